//! The screen: each picture that segcam shows, read as it comes, and judged.

use super::feed::Feed;
use super::picture::{Said, read};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// How old a mask may be.
pub const STALE: Duration = Duration::from_millis(200);
/// How long one that became older may stand until the screen has changed.
const CHANGE: Duration = Duration::from_millis(150);
/// So late may the clock of files be.
const TICK: Duration = Duration::from_millis(10);
/// Pictures that are kept.
const KEPT: usize = 5000;

/// A picture and when it was on the screen.
#[derive(Clone, Debug)]
pub struct Picture {
    pub at: Instant,
    pub said: Said,
}

pub struct Screen {
    seen: Arc<Mutex<Seen>>,
    came: Arc<Condvar>,
}

#[derive(Default)]
struct Seen {
    pictures: VecDeque<Picture>,
    count: u64,
    /// While segcam or its display was held: nobody can draw then.
    held: Vec<(Instant, Option<Instant>)>,
    /// The longest that a mask stood on after it became too old.
    worst: Duration,
    wrong: Vec<String>,
    last: Option<u32>,
}

impl Screen {
    /// Watches the folder of `png:`.
    pub fn watch(folder: PathBuf, feed: Arc<Feed>) -> Screen {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let came = Arc::new(Condvar::new());
        let screen = Screen { seen: Arc::clone(&seen), came: Arc::clone(&came) };
        let inotify = inotify::init(CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&inotify, &folder, WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF)
            .unwrap();
        let seen = Arc::downgrade(&seen);
        std::thread::spawn(move || {
            let mut buffer = [MaybeUninit::uninit(); 1 << 14];
            let mut reader = Reader::new(inotify, &mut buffer);
            while let Ok(event) = reader.next() {
                let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
                let Some(seen) = seen.upgrade() else { return };
                let Some(name) = name else { return };
                let found = load(&folder.join(&name));
                let mut seen = seen.lock().unwrap();
                match found {
                    Ok(picture) => seen.take(picture, &feed),
                    Err(error) => seen.wrong.push(format!("{name}: {error}")),
                }
                came.notify_all();
            }
        });
        screen
    }

    /// The first picture from `since` on that is as wanted, or the last one that is not.
    pub fn wait(
        &self,
        since: Instant,
        until: Instant,
        wanted: &dyn Fn(&Said) -> bool,
    ) -> Result<Picture, Option<Picture>> {
        let mut seen = self.seen.lock().unwrap();
        loop {
            let at = seen.pictures.partition_point(|picture| picture.at < since);
            let found = seen.pictures.range(at..).find(|picture| wanted(&picture.said));
            if let Some(found) = found {
                return Ok(found.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(seen.pictures.back().cloned());
            }
            seen = self.came.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// From now on nobody can draw.
    pub fn hold(&self) {
        self.seen.lock().unwrap().held.push((Instant::now(), None));
    }

    pub fn release(&self) {
        if let Some((_, end)) = self.seen.lock().unwrap().held.last_mut() {
            *end = Some(Instant::now());
        }
    }

    /// Pictures, what was wrong with them since the last call, the longest that a mask stood too old.
    pub fn judged(&self) -> (u64, Vec<String>, Duration) {
        let mut seen = self.seen.lock().unwrap();
        (seen.count, std::mem::take(&mut seen.wrong), seen.worst)
    }
}

impl Seen {
    fn take(&mut self, picture: Picture, feed: &Feed) {
        self.count += 1;
        if let Some(before) = self.pictures.back().cloned() {
            self.stood(&before, picture.at, feed);
        }
        match &picture.said {
            Said::Live { frame, mask, .. } if frame != mask => {
                self.wrong.push(format!("frame {frame} under the mask of frame {mask}"));
            }
            Said::Nothing(what) => self.wrong.push(what.clone()),
            Said::Noise => self.wrong.push("a picture without a number".to_owned()),
            Said::Live { frame, .. } | Said::Stale { frame } => {
                if feed.fed(*frame).is_none() {
                    self.wrong.push(format!("frame {frame}, which was never fed"));
                }
                if let Some(last) = self.last.filter(|last| last > frame) {
                    self.wrong.push(format!("frame {frame} after frame {last}"));
                }
                self.last = Some(*frame);
            }
            _ => {}
        }
        if self.pictures.len() == KEPT {
            self.pictures.pop_front();
        }
        self.pictures.push_back(picture);
    }

    /// A picture stood until `end`.
    fn stood(&mut self, picture: &Picture, end: Instant, feed: &Feed) {
        let Said::Live { frame, .. } = picture.said else { return };
        let Some(fed) = feed.fed(frame) else { return };
        let begin = picture.at.max(fed + STALE);
        let mut old = end.saturating_duration_since(begin);
        for (from, to) in &self.held {
            let (from, to) = ((*from).max(begin), to.unwrap_or(end).min(end));
            old = old.saturating_sub(to.saturating_duration_since(from));
        }
        self.held.retain(|(_, to)| to.is_none_or(|to| to > picture.at));
        self.worst = self.worst.max(old);
        // What made it late began before.
        if old > CHANGE + strain(picture.at) {
            let ms = old.as_millis();
            self.wrong
                .push(format!("the mask of frame {frame} stood {ms} ms after it was too old"));
        }
    }
}

fn load(path: &Path) -> Result<Picture, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut file = File::open(path).map_err(failed)?;
    let written = file.metadata().and_then(|found| found.modified()).map_err(failed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    let age = SystemTime::now().duration_since(written + TICK).unwrap_or_default();
    let at = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
    let picture = image::load_from_memory(&bytes).map_err(|error| error.to_string())?;
    Ok(Picture { at, said: read(&picture.into_rgb8()) })
}

/// How late the machine is.
struct Machine {
    /// A nap and a little work, when each was done and how much longer it took than the shortest.
    late: VecDeque<(Instant, Duration)>,
    shortest: Duration,
    /// When the newest began.
    begun: Instant,
    worst: Duration,
}

static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);

/// Four times the most that the machine was late by since `since`: threads wait for each other, and
/// what it does to us, it does to segcam. At most so much that nothing could go wrong unseen.
pub fn strain(since: Instant) -> Duration {
    const MOST: Duration = Duration::from_secs(5);
    let mut machine = MACHINE.lock().unwrap();
    let machine = machine.get_or_insert_with(|| {
        std::thread::spawn(watch_machine);
        let (late, shortest) = (VecDeque::new(), Duration::from_millis(30));
        Machine { late, shortest, begun: Instant::now(), worst: Duration::ZERO }
    });
    let newest = machine.begun.elapsed().saturating_sub(machine.shortest);
    let recent = machine.late.iter().rev().take_while(|(at, _)| *at > since);
    (4 * recent.map(|(_, late)| *late).max().unwrap_or_default().max(newest)).min(MOST)
}

/// The most that the machine was late by.
pub fn worst_strain() -> Duration {
    MACHINE.lock().unwrap().as_ref().map_or(Duration::ZERO, |machine| machine.worst)
}

fn watch_machine() {
    let bytes = vec![7; 1 << 20];
    loop {
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(10));
        std::hint::black_box(crc32fast::hash(&bytes));
        let took = begun.elapsed();
        let mut machine = MACHINE.lock().unwrap();
        let Some(machine) = machine.as_mut() else { return };
        machine.begun = Instant::now();
        machine.shortest = machine.shortest.min(took);
        let late = took - machine.shortest;
        machine.worst = machine.worst.max(late);
        machine.late.push_back((machine.begun, late));
        if machine.late.len() > 3000 {
            machine.late.pop_front();
        }
    }
}

#[test]
fn a_judge_sees_what_must_not_be() {
    use std::process::{Command, Stdio};
    let mut sink = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let feed = Feed::start(sink.stdin.take().unwrap());
    std::thread::sleep(Duration::from_millis(200));
    feed.pause();
    let (start, first) = (Instant::now(), feed.fed(1).unwrap());
    let live = |frame, mask| Said::Live { frame, mask, second: false, degraded: false };
    let judge = |pictures: &[(Instant, Said)], held| {
        let mut seen = Seen { held, ..Seen::default() };
        for (at, said) in pictures {
            seen.take(Picture { at: *at, said: said.clone() }, &feed);
        }
        seen.wrong.join("; ")
    };
    let stale = Said::Stale { frame: 1 };
    let after = |time: Duration| first + STALE + time;
    let soon = [(first, live(1, 1)), (after(CHANGE / 2), stale.clone()), (start, live(3, 3))];
    assert_eq!(judge(&soon, vec![]), "");
    let very_late = after(CHANGE + Duration::from_secs(3600));
    let old = [(first, live(1, 1)), (very_late, stale)];
    assert!(judge(&old, vec![]).contains("stood 3600150 ms"));
    assert_eq!(judge(&old, vec![(first, Some(after(Duration::from_secs(3600))))]), "");
    assert!(judge(&[(start, live(2, 1))], vec![]).contains("under the mask of frame 1"));
    assert!(judge(&[(start, live(2, 2)), (start, live(1, 1))], vec![]).contains("after frame 2"));
    assert!(judge(&[(start, live(999, 999))], vec![]).contains("never fed"));
    sink.kill().unwrap();
    sink.wait().unwrap();
}
