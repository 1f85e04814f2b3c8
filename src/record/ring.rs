//! The ring on the disk: appends to the newest segment, begins new ones, deletes the oldest.

use super::folder::{Folder, LAST, name};
use super::format::Writer;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// What stays free on the disk, in bytes. A new segment begins with twice that.
const MARGIN: u64 = 64 << 20;
/// Bytes until the disk is looked at again.
const LOOK: u64 = 8 << 20;
/// The least that a ring is worth, in bytes, where its limit is not less.
const LEAST: u64 = 8 << 20;
/// Segments of the ring, one of which is deleted at a time.
const PARTS: u64 = 16;
/// The largest segment that another frame is appended to, in bytes.
const MOST: u64 = 64 << 20;
/// The most segments, however small.
const MAX_SEGMENTS: usize = 4096;

pub struct Ring {
    path: PathBuf,
    limit: u64,
    open: Option<Open>,
    syncer: Syncer,
}

/// The segment that grows.
struct Open {
    folder: Folder,
    number: u32,
    file: Arc<File>,
    /// The line of its header.
    about: Arc<[u8]>,
    bytes: u64,
    /// Bytes that no frame after the first exceeds.
    most: u64,
    frames: u64,
    synced: bool,
    /// Bytes until the disk is looked at again.
    credit: u64,
}

impl Ring {
    /// At most `limit` bytes, and a frame.
    pub fn new(path: PathBuf, limit: u64) -> Ring {
        Ring { path, limit, open: None, syncer: Syncer::start() }
    }

    /// Appends a framed frame to the segment of its header's line. What fails leaves the
    /// segment closed as it was before, and the next call begins another.
    pub fn append(&mut self, about: &Arc<[u8]>, frame: &[u8]) -> io::Result<()> {
        let goes_on = self.open.as_ref().is_some_and(|open| {
            let fits = open.frames == 0 || open.bytes + frame.len() as u64 <= open.most;
            fits && Arc::ptr_eq(&open.about, about)
        });
        if !goes_on {
            self.close()?;
            self.begin(about)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let written = open.look(frame.len() as u64).and_then(|()| (&*open.file).write_all(frame));
        if let Err(error) = written {
            self.abandon();
            return Err(error);
        }
        open.bytes += frame.len() as u64;
        open.frames += 1;
        open.synced = false;
        Ok(())
    }

    /// Begins to make all that was appended last; an error can be an earlier call's.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(open) = self.open.as_mut().filter(|open| !open.synced) {
            open.credit = 0;
            // Where the last one is not done yet, the next call does it.
            open.synced = self.syncer.files.try_send(Arc::clone(&open.file)).is_ok();
        }
        match self.syncer.failures.try_recv() {
            Ok(error) => {
                self.abandon();
                Err(error)
            }
            Err(_) => Ok(()),
        }
    }

    /// Ends the segment; what was appended to it lasts once this ring is dropped.
    pub fn close(&mut self) -> io::Result<()> {
        if let Some(open) = self.open.take().filter(|open| !open.synced) {
            // It ends when we do.
            let _ = self.syncer.files.send(open.file);
        }
        self.sync()
    }

    /// Makes room, then a segment with its header.
    fn begin(&mut self, about: &Arc<[u8]>) -> io::Result<()> {
        // Each time anew: the disk may be another one, and others may delete.
        let folder = Folder::create(&self.path)?;
        let segments = folder.segments()?;
        let next = segments.last().map_or(1, |(number, _)| number + 1);
        if next > LAST {
            let message = format!("it holds {}, the last number; move it away", name(LAST));
            return Err(io::Error::new(ErrorKind::AlreadyExists, message));
        }
        let ours = segments.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let disk = ours.saturating_add(folder.free()?);
        let room = self.limit.min(disk.saturating_sub(2 * MARGIN));
        if room < self.limit.min(LEAST) {
            return Err(full(2 * MARGIN));
        }
        let wanted = (room / PARTS).clamp(1, MOST);
        let (mut left, mut count) = (ours, segments.len());
        for (number, bytes) in segments {
            if left + wanted <= room && count < MAX_SEGMENTS {
                break;
            }
            // One that cannot be deleted shall not end the ring.
            if folder.delete(number).is_ok() {
                (left, count) = (left.saturating_sub(bytes), count - 1);
            }
        }
        if left + wanted > room {
            return Err(full(2 * MARGIN));
        }
        let file = Arc::new(folder.make(next)?);
        folder.sync();
        let mut writer = Writer::default();
        let header = writer.header(about);
        let written = (&*file).write_all(header);
        let bytes = header.len() as u64;
        let about = Arc::clone(about);
        self.open = Some(Open {
            folder,
            number: next,
            file,
            about,
            bytes,
            most: wanted,
            frames: 0,
            synced: false,
            credit: LOOK,
        });
        written.inspect_err(|_| self.abandon())
    }

    /// Takes back what was half written, as far as that can be done.
    fn abandon(&mut self) {
        let Some(open) = self.open.take() else { return };
        let _ = match open.frames {
            0 => open.folder.delete(open.number),
            _ => open.file.set_len(open.bytes),
        };
    }
}

impl Open {
    /// Finds out early that the disk is nearly full.
    fn look(&mut self, wanted: u64) -> io::Result<()> {
        if self.credit < wanted {
            if self.folder.free()? < MARGIN + wanted {
                return Err(full(MARGIN));
            }
            self.credit = LOOK.max(wanted);
        }
        self.credit -= wanted;
        Ok(())
    }
}

/// Syncs files while others are written: cards take as long for that as for the bytes themselves.
struct Syncer {
    files: SyncSender<Arc<File>>,
    failures: Receiver<io::Error>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    fn start() -> Syncer {
        let (files, queue) = sync_channel::<Arc<File>>(1);
        let (failed, failures) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            for file in queue {
                if let Err(error) = file.sync_data() {
                    // One is enough.
                    let _ = failed.try_send(error);
                }
            }
        });
        Syncer { files, failures, thread: Some(thread) }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // Closes the queue.
        self.files = sync_channel(0).0;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn full(margin: u64) -> io::Error {
    let megabytes = margin >> 20;
    let message = format!("the disk has less than {megabytes} MB free beside older recordings");
    io::Error::new(ErrorKind::StorageFull, message)
}
