//! Recording beside a run: frames are copied where they are shown, packed and written by a
//! thread of their own. Nothing waits for the disk.
//!
//! ```text
//! Recorder ──full──▶ writer ──▶ ring
//!     ▲                │
//!     └─────empty──────┘
//! ```
//! A few [`Slot`]s go round with their buffers. A frame that finds none empty is skipped and
//! counted. For 640x480 YUYV with its mask, the copy is 0.14 million instructions on a Cortex-A53,
//! packing 8.8 million.

use super::format::Writer;
use super::ring::Ring;
use super::{About, Extra, MAX_LINE, MAX_PICTURE, Picture, RecordedModel};
use crate::decode::LabelMap;
use crate::frame::Frame;
use crate::network::model::Model;
use serde::Serialize;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

/// Frames that wait for the disk, at most.
const SLOTS: usize = 4;
/// How often what was written is made to last.
const SYNC: Duration = Duration::from_secs(1);
/// How long after a failure the disk is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How long it must go well for the next failure to be news.
const RECOVERED: Duration = Duration::from_secs(10);
/// How long the end of a run waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// A frame on its way to the disk.
#[derive(Default)]
struct Slot {
    about: Option<Arc<[u8]>>,
    frame: u64,
    line: Vec<u8>,
    picture: Vec<u8>,
    stride: usize,
    mask: Vec<u8>,
    width: usize,
}

#[derive(Default)]
struct Counts {
    recorded: AtomicU64,
    skipped: AtomicU64,
}

/// How many shown frames are on the disk, and how many are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    pub recorded: u64,
    pub skipped: u64,
}

/// A recording that goes on. Ends, with all that was recorded on the disk, when its
/// [`Recorder`] is gone and this is dropped.
pub struct Recording {
    counts: Arc<Counts>,
    /// Closed when all is written.
    written: Receiver<()>,
}

/// Takes the frames.
pub struct Recorder {
    empty: Receiver<Slot>,
    full: SyncSender<Slot>,
    /// One that was not filled.
    spare: Option<Slot>,
    counts: Arc<Counts>,
    about: Arc<[u8]>,
    /// That `about` speaks of.
    model: Option<Arc<Model>>,
    camera: String,
    board: String,
    start: Instant,
}

/// Starts recording into a folder, at most `limit` bytes and a frame. What is wrong with the
/// folder is logged, and tried again: it stops no run.
pub fn start(folder: PathBuf, limit: u64, camera: &str, board: &str) -> (Recording, Recorder) {
    // Now, while we may; what is wrong with it is told with the first frame.
    let _ = std::fs::create_dir_all(&folder);
    let (full, to_write) = sync_channel(SLOTS);
    let (written_out, empty) = sync_channel(SLOTS);
    for _ in 0..SLOTS {
        // There is room for all of them.
        let _ = written_out.try_send(Slot::default());
    }
    let (done, written) = sync_channel::<()>(0);
    let counts = Arc::new(Counts::default());
    let thread = Thread {
        name: folder.display().to_string(),
        ring: Ring::new(folder, limit),
        writer: Writer::default(),
        counts: Arc::clone(&counts),
        trouble: None,
    };
    std::thread::spawn(move || {
        let _done = done;
        thread.run(to_write, written_out);
    });
    let recorder = Recorder {
        empty,
        full,
        spare: None,
        counts: Arc::clone(&counts),
        about: Arc::new([]),
        model: None,
        camera: camera.to_owned(),
        board: board.to_owned(),
        start: Instant::now(),
    };
    (Recording { counts, written }, recorder)
}

impl Counts {
    fn now(&self) -> Recorded {
        Recorded {
            recorded: self.recorded.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }
}

impl Recording {
    /// Until now.
    pub fn counts(&self) -> Recorded {
        self.counts.now()
    }

    /// Waits for what is on its way to the disk.
    pub fn finish(self) -> Recorded {
        let counts = Arc::clone(&self.counts);
        drop(self);
        counts.now()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.written.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            log::error!("recording: the disk does not answer; its last frames may be missing");
        }
    }
}

impl Recorder {
    /// Records a frame with the mask that `model` made of it. `line` is what `run --json` says
    /// of it. Copies, and never waits; allocates nothing after the first frames of a size.
    pub fn record(
        &mut self,
        model: &Arc<Model>,
        frame: &Frame,
        labels: &LabelMap,
        line: &impl Serialize,
    ) {
        let slot = self.spare.take().or_else(|| self.empty.try_recv().ok());
        if let Some(mut slot) = slot {
            if self.fill(&mut slot, model, frame, labels, line) {
                match self.full.try_send(slot) {
                    Ok(()) => return,
                    Err(TrySendError::Full(slot) | TrySendError::Disconnected(slot)) => {
                        self.spare = Some(slot);
                    }
                }
            } else {
                self.spare = Some(slot);
            }
        }
        self.counts.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// False where a frame cannot be recorded.
    fn fill(
        &mut self,
        slot: &mut Slot,
        model: &Arc<Model>,
        frame: &Frame,
        labels: &LabelMap,
        line: &impl Serialize,
    ) -> bool {
        let bytes = frame.layout.bytes();
        let size = (labels.width, labels.height);
        if bytes > MAX_PICTURE || !frame.is_whole() || size != (frame.width(), frame.height()) {
            return false;
        }
        if !self.model.as_ref().is_some_and(|known| Arc::ptr_eq(known, model)) {
            self.about = self.describe(model);
            self.model = Some(Arc::clone(model));
        }
        slot.about = Some(Arc::clone(&self.about));
        slot.frame = frame.sequence;
        (slot.stride, slot.width) = (frame.layout.stride, labels.width as usize);
        slot.picture.clear();
        slot.picture.extend_from_slice(&frame.data[..bytes]);
        slot.mask.clear();
        slot.mask.extend_from_slice(&labels.ids);
        let since_start = frame.captured.saturating_duration_since(self.start);
        let wall_clock = SystemTime::now()
            .checked_sub(frame.captured.elapsed())
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let extra = Extra {
            captured_ms: since_start.as_secs_f64() * 1e3,
            time_ms: wall_clock.map_or(0, |time| time.as_millis() as u64),
            skipped: self.counts.skipped.load(Ordering::Relaxed),
            picture: Picture::of(frame.layout),
        };
        slot.line.clear();
        let said = serde_json::to_writer(&mut slot.line, &Line { line, extra });
        said.is_ok() && slot.line.len() <= MAX_LINE
    }

    /// The line of the header.
    fn describe(&self, model: &Model) -> Arc<[u8]> {
        let mut about = About {
            segcam: env!("CARGO_PKG_VERSION").to_owned(),
            model: RecordedModel::new(model),
            kernels: model.kernels().to_owned(),
            camera: self.camera.clone(),
            board: self.board.clone(),
        };
        let mut line = serde_json::to_vec(&about).unwrap_or_default();
        if line.len() > MAX_LINE {
            about.model.classes.clear();
            about.model.name.clear();
            line = serde_json::to_vec(&about).unwrap_or_default();
        }
        line.into()
    }
}

/// A frame's whole line.
#[derive(Serialize)]
struct Line<'a, L: Serialize> {
    #[serde(flatten)]
    line: &'a L,
    #[serde(flatten)]
    extra: Extra<'a>,
}

/// The writer's.
struct Thread {
    name: String,
    ring: Ring,
    writer: Writer,
    counts: Arc<Counts>,
    /// The disk failed: when it is tried again.
    trouble: Option<Instant>,
}

impl Thread {
    fn run(mut self, full: Receiver<Slot>, empty: SyncSender<Slot>) {
        let mut synced = Instant::now();
        loop {
            match full.recv_timeout(SYNC.saturating_sub(synced.elapsed())) {
                Ok(slot) => {
                    let written = self.write(&slot);
                    let count = if written { &self.counts.recorded } else { &self.counts.skipped };
                    count.fetch_add(1, Ordering::Relaxed);
                    // It came from there.
                    let _ = empty.try_send(slot);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if synced.elapsed() >= SYNC {
                let done = self.ring.sync();
                self.heed(done);
                synced = Instant::now();
            }
        }
        let done = self.ring.close();
        self.heed(done);
    }

    fn write(&mut self, slot: &Slot) -> bool {
        let waits = self.trouble.is_some_and(|again| Instant::now() < again);
        let Some(about) = slot.about.as_ref().filter(|_| !waits) else { return false };
        let (picture, mask) = ((&*slot.picture, slot.stride), (&*slot.mask, slot.width));
        let frame = self.writer.frame(slot.frame, &slot.line, picture, mask);
        let done = self.ring.append(about, frame);
        self.heed(done)
    }

    /// Says once that the disk fails, and once that it does no longer.
    fn heed(&mut self, done: io::Result<()>) -> bool {
        match (&done, self.trouble) {
            (Err(error), before) => {
                if before.is_none() {
                    log::error!(
                        "recording to {}: {error}; frames are shown but not recorded until that is mended",
                        self.name
                    );
                }
                self.trouble = Some(Instant::now() + RETRY);
            }
            (Ok(()), Some(again)) if again.elapsed() >= RECOVERED => {
                log::warn!("recording to {} goes on", self.name);
                self.trouble = None;
            }
            (Ok(()), _) => {}
        }
        done.is_ok()
    }
}
