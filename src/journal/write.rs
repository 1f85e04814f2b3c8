//! Writes a journal.

use super::read::{MAX_FILE, parse};
use super::{CHAIN, Chain, Event, before, current, hex, link};
use crate::files;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// A file of this many bytes is full.
const FULL: u64 = 4 << 20;
/// Entries that wait for a slow card.
const WAITING: usize = 256;
/// Between two syncs.
const SYNC: Duration = Duration::from_secs(1);

/// A journal that is written. Dropping it writes what waits.
#[derive(Debug)]
pub struct Journal {
    sender: Option<SyncSender<Told>>,
    writer: Option<JoinHandle<()>>,
    /// Entries that found no room.
    lost: AtomicU64,
}

/// An event and when it was.
#[derive(Debug)]
struct Told {
    event: Event,
    time: SystemTime,
    at: Instant,
    lost: u64,
}

impl Journal {
    /// Goes on with the journal in `folder`, which is made when it is missing.
    pub fn open(folder: &Path) -> io::Result<Journal> {
        let mut pen = Pen::open(folder, FULL)?;
        let (sender, told) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let writer = thread.spawn(move || pen.follow(&told))?;
        Ok(Journal { sender: Some(sender), writer: Some(writer), lost: AtomicU64::new(0) })
    }

    /// Never waits.
    pub fn tell(&self, event: Event) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let told = Told { event, time: SystemTime::now(), at: Instant::now(), lost };
        if self.sender.as_ref().is_none_or(|sender| sender.try_send(told).is_err()) {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(writer) = self.writer.take() {
            // What it had to say is said.
            let _ = writer.join();
        }
    }
}

/// The file and its place in the chain.
pub(super) struct Pen {
    folder: PathBuf,
    file: File,
    bytes: u64,
    full: u64,
    next: u64,
    chain: Chain,
    start: Instant,
    lost: u64,
    torn: u64,
    unsynced: bool,
    failed: bool,
    /// The file holds an entry.
    begun: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    n: u64,
    time: &'a str,
    up_s: f64,
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "none")]
    lost: u64,
    #[serde(skip_serializing_if = "none")]
    torn: u64,
}

fn none(count: &u64) -> bool {
    *count == 0
}

impl Pen {
    pub(super) fn open(folder: &Path, full: u64) -> io::Result<Pen> {
        fs::create_dir_all(folder)?;
        let path = current(folder);
        let (mut next, mut chain, mut torn, mut open) = (0, Chain::default(), 0, false);
        let mut begun = false;
        // After a cut in the midst of a rotation the newest entry is in the older file.
        for path in [before(folder), path.clone()] {
            (open, begun) = (false, false);
            let mut bytes = match files::read(&path, MAX_FILE) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found?,
            };
            // A cut may have taken nothing but the last line's end.
            open = bytes.last().is_some_and(|last| *last != b'\n');
            bytes.extend(open.then_some(b'\n'));
            let mut whole = true;
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let line = parse(line);
                whole = line.is_some();
                if let Some(line) = line {
                    (chain, begun) = (line.chain, true);
                    let n = line.fields.get("n").and_then(|n| n.as_u64());
                    next = n.map_or(next, |n| n.saturating_add(1));
                }
            }
            torn = u64::from(open && !whole);
        }
        let mut file = append(&path)?;
        if open {
            file.write_all(b"\n")?;
        }
        let bytes = file.metadata()?.len();
        let (folder, start) = (folder.to_owned(), Instant::now());
        let (lost, unsynced, failed) = (0, false, false);
        Ok(Pen {
            folder,
            file,
            bytes,
            full,
            next,
            chain,
            start,
            lost,
            torn,
            unsynced,
            failed,
            begun,
        })
    }

    /// Writes until nobody tells any more.
    fn follow(&mut self, told: &Receiver<Told>) {
        loop {
            match told.recv_timeout(SYNC) {
                Ok(told) => self.tell(&told.event, told.time, told.at, told.lost),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            }
        }
    }

    /// A failure is logged once; the entries it costs are counted in the next one written.
    pub(super) fn tell(&mut self, event: &Event, time: SystemTime, at: Instant, lost: u64) {
        self.lost += lost;
        let written = self.write(event, time, at);
        match written {
            Ok(()) if self.failed => log::warn!("the journal is written again"),
            Ok(()) => {}
            Err(ref error) => {
                self.lost += 1;
                if !self.failed {
                    log::error!("{}: {error}; entries are lost", current(&self.folder).display());
                }
            }
        }
        self.failed = written.is_err();
    }

    fn write(&mut self, event: &Event, time: SystemTime, at: Instant) -> io::Result<()> {
        if self.bytes >= self.full {
            self.sync();
            match fs::rename(current(&self.folder), before(&self.folder)) {
                // It was renamed, and no new one could be made then.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
            self.file = append(&current(&self.folder))?;
            (self.bytes, self.begun) = (0, false);
        }
        // Also after a cut between a file and its first entry.
        if !self.begun && self.next > 0 {
            self.line(&Event::Continued { after: hex(&self.chain) }, time, at)?;
        }
        self.line(event, time, at)
    }

    fn line(&mut self, event: &Event, time: SystemTime, at: Instant) -> io::Result<()> {
        let up = at.saturating_duration_since(self.start);
        let line = Line {
            n: self.next,
            time: &rfc3339(time),
            up_s: (up.as_secs_f64() * 1e3).round() / 1e3,
            event,
            lost: self.lost,
            torn: self.torn,
        };
        let mut text = serde_json::to_string(&line).map_err(io::Error::from)?;
        text.truncate(text.len() - 1);
        let chain = link(&self.chain, &text);
        text += &format!("{CHAIN}{}\"}}\n", hex(&chain));
        // One write: what of it a full disk took is closed, or it would swallow the next line.
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            let length = self.file.metadata().map_or(self.bytes, |found| found.len());
            if length > self.bytes {
                let _ = self.file.set_len(self.bytes);
            }
            return Err(error);
        }
        self.bytes += text.len() as u64;
        (self.next, self.chain) = (self.next.saturating_add(1), chain);
        (self.unsynced, self.begun) = (true, true);
        (self.lost, self.torn) = (0, 0);
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        if std::mem::take(&mut self.unsynced)
            && let Err(error) = self.file.sync_data()
        {
            log::debug!("{}: {error}", current(&self.folder).display());
        }
    }
}

/// Opens for appending, not through a link that somebody put there.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).custom_flags(files::NO_LINK).open(path)
}

/// UTC with milliseconds (RFC 3339), by the days of the Gregorian calendar.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years begin in March, so that the leap day is their last; eras have 400 years.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (400 * era + year, month + 3),
        _ => (400 * era + year + 1, month - 9),
    };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let milli = since.subsec_millis();
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}
