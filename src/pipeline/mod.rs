//! The threads of the main job, and what passes between them.
//!
//! ```text
//! capture ──fresh──▶ inference ──results──▶ display
//!    ▲                                         │
//!    └──────────────── spent ◀─────────────────┘
//! ```
//! A [`Shot`] goes round with its buffers. The queues hold one shot each, and the newest wins:
//! a shot that another one displaces is spent at once and counted as dropped. Sources that wait
//! for their reader (files) are read no faster than the screen shows.

//! A [`monitor`] watches from outside: a thread that does not answer fails the run.

mod capture;
mod changes;
mod handover;
mod line;
mod monitor;
mod screen;
mod shown;
mod statistics;

pub use changes::Changes;
pub use screen::KEYS;
pub use statistics::{STAGES, Summary};

use crate::camera::{Camera, CameraError};
use crate::compose::Settings;
use crate::display::{Display, DisplayError};
use crate::health::Signal;
use crate::health::pulse::{Pulse, Pulses};
use crate::health::throttle::Throttle;
use crate::health::watchdog::Watchdog;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::network::model::Model;
use crate::record::Recorder;
use crate::segment::{SegmentError, Segmented, Segmenter};
use handover::{CloseOnDrop, Handover, Taken};
use screen::Screen;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a thread waits before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a thread may take to end.
const ENDING: Duration = Duration::from_secs(10);
/// An inference may take so many times longer than the longest before.
const SLOWER: u32 = 10;
/// Shots in the round: one in each thread (the display's is the one on the screen), one in each queue.
const SHOTS: usize = 5;

#[derive(Debug, Error)]
pub enum RunError {
    #[error(transparent)]
    Camera(#[from] CameraError),
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error(transparent)]
    Display(#[from] DisplayError),
    #[error("standard output: {0}")]
    Output(std::io::Error),
    /// A thread does not answer any more; it is left behind.
    #[error("{0}; segcam ends to be started anew")]
    Stalled(String),
    #[error("the thread for the {0} cannot be started: {1}; free some memory")]
    Start(String, std::io::Error),
    #[error("{0} ended unexpectedly; this is a defect of segcam, please report it")]
    Thread(&'static str),
}

/// What a run is made of.
pub struct Job<'a> {
    pub segmenter: Segmenter,
    /// What an inference took when the network was checked.
    pub inference: Duration,
    pub camera: Box<dyn Camera>,
    pub displays: &'a mut [Box<dyn Display>],
    pub settings: Settings,
    /// Ends after so many shown frames.
    pub frames: Option<u64>,
    /// Takes one JSON object a shown frame.
    pub json: Option<&'a mut dyn Write>,
    /// Ends the run when set, from a signal handler for one.
    pub stop: Arc<AtomicBool>,
    /// Where the snapshot key puts its pictures.
    pub snapshots: String,
    /// Beats with what is shown.
    pub watchdog: &'a mut Watchdog,
    /// What is to be different from now on.
    pub changes: Arc<Changes>,
    /// Ends the process when the display does not answer any more; told why.
    pub abandon: fn(&str),
    /// Is told what the screen says.
    pub journal: Option<&'a Journal>,
    /// Takes the shown frames with their masks.
    pub recorder: Option<Recorder>,
    pub metrics: &'a Metrics,
}

/// A frame on its way, with what was computed from it and by which network.
#[derive(Default)]
struct Shot {
    segmented: Segmented,
    model: Option<Arc<Model>>,
}

/// What the threads share.
#[derive(Default)]
struct Round {
    fresh: Handover<Shot, 1>,
    results: Handover<Shot, 1>,
    spent: Handover<Shot, SHOTS>,
    signal: Signal,
    pulses: Pulses,
    throttle: Mutex<Throttle>,
    /// The thread that does not answer; empty: all do.
    failed: Mutex<String>,
    /// Frames whose scores were no numbers, since the last that were.
    not_numbers: AtomicU64,
    /// Milliseconds that an inference may take.
    slow_ms: AtomicU64,
    /// Frames captured, or lost by the camera, that never reach the screen.
    dropped: AtomicU64,
    over: AtomicBool,
}

impl Round {
    /// Gives a shot's buffers back unseen.
    fn drop_shot(&self, shot: Shot) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.spend(shot);
    }

    /// Gives a shot's buffers back: its own to the round, a lent one to the camera.
    fn spend(&self, mut shot: Shot) {
        shot.segmented.frame_mut().data.give_back();
        self.spent.put(shot);
    }

    /// Passes a shot on; a patient one waits for its turn.
    fn pass(&self, queue: &Handover<Shot, 1>, shot: Shot, patient: bool, pulse: &Pulse) {
        let mut shot = shot;
        while patient && !self.is_over() {
            pulse.beat();
            match queue.put_patiently(shot, PATIENCE) {
                Ok(()) => return,
                Err(back) => shot = back,
            }
        }
        if let Some(displaced) = queue.put(shot) {
            self.drop_shot(displaced);
        }
    }

    fn fail(&self, cause: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_empty() {
            failed.push_str(cause);
        }
    }

    /// Copies the name of the thread that does not answer; false when all do.
    fn failed(&self, text: &mut String) -> bool {
        text.clear();
        text.push_str(&self.failed.lock().unwrap_or_else(PoisonError::into_inner));
        !text.is_empty()
    }

    /// An inference took so long; some longer is no reason to worry.
    fn took(&self, time: Duration) {
        let slow = (SLOWER * time).as_millis() as u64;
        self.slow_ms.fetch_max(slow, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Lets all threads end.
    fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.fresh.close();
        self.results.close();
        self.spent.close();
    }
}

/// Ends the round however the display's part ends, or the other threads would wait for ever.
struct EndOnDrop<'a>(&'a Round);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Runs the job until its source ends, its frames are shown, or it is stopped.
pub fn run(job: Job) -> Result<Summary, RunError> {
    let round = Arc::new(Round::default());
    round.took(job.inference);
    let live = job.camera.is_live();
    let (camera, segmenter) = (job.camera, job.segmenter);
    let model = Arc::clone(segmenter.model());
    let camera_name = camera.name().to_owned();
    let changes = Arc::clone(&job.changes);
    // The display's thread is this one: when it ends, so does the round. The others are not
    // waited for when they do not answer.
    let capture = start("capture", &round, move |round| {
        let _close = CloseOnDrop(&round.fresh);
        capture::run(camera, round)
    })?;
    let inference = start("inference", &round, move |round| {
        let _close = CloseOnDrop(&round.results);
        infer(segmenter, round, &changes, !live)
    })?;
    let abandon = job.abandon;
    start("monitor", &round, move |round| {
        monitor::run(round, live, abandon);
        Ok(())
    })?;
    let displays = job.displays;
    let mut screen =
        Screen::new(&model, displays, camera_name, job.settings, job.snapshots, job.metrics);
    screen.recorder = job.recorder;
    screen.journal = job.journal;
    let shown = {
        let _end = EndOnDrop(&round);
        screen.run(&round, job.frames, &job.stop, &job.changes, job.json, job.watchdog)
    };
    if let Err(RunError::Stalled(_)) = shown {
        return shown;
    }
    let inference = end("the inference", inference, &round);
    let capture = end("the capture", capture, &round);
    // The first cause is the most telling.
    capture?;
    inference?;
    shown
}

/// Starts a thread of the round.
fn start(
    name: &str,
    round: &Arc<Round>,
    work: impl FnOnce(&Round) -> Result<(), RunError> + Send + 'static,
) -> Result<JoinHandle<Result<(), RunError>>, RunError> {
    let round = Arc::clone(round);
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || work(&round)).map_err(|cause| RunError::Start(name.to_owned(), cause))
}

/// Waits for a thread that was told to end.
fn end(
    name: &'static str,
    thread: JoinHandle<Result<(), RunError>>,
    round: &Round,
) -> Result<(), RunError> {
    let slow = Duration::from_millis(round.slow_ms.load(Ordering::Relaxed));
    let until = Instant::now() + ENDING.max(slow);
    while !thread.is_finished() {
        if Instant::now() > until {
            return Err(RunError::Stalled(format!("{name} does not end")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    thread.join().map_err(|_| RunError::Thread(name))?
}

fn infer(
    mut segmenter: Segmenter,
    round: &Round,
    changes: &Changes,
    patient: bool,
) -> Result<(), RunError> {
    loop {
        round.pulses.inference.beat();
        if let Some(next) = changes.segmenter() {
            segmenter = next;
            log::warn!("from now on {} labels", segmenter.model().name);
        }
        match round.fresh.take(PATIENCE) {
            Taken::Item(mut shot) => match shot.segmented.segment(&mut segmenter) {
                Ok(()) => {
                    round.not_numbers.store(0, Ordering::Relaxed);
                    round.took(shot.segmented.times().network);
                    let model = segmenter.model();
                    if shot.model.as_ref().is_none_or(|known| !Arc::ptr_eq(known, model)) {
                        shot.model = Some(Arc::clone(model));
                    }
                    round.pass(&round.results, shot, patient, &round.pulses.inference);
                }
                // A picture of its own kind may do that to a float network.
                Err(error @ SegmentError::NotANumber) => {
                    if round.not_numbers.fetch_add(1, Ordering::Relaxed) == 0 {
                        log::warn!("frame {}: {error}", shot.segmented.frame().sequence);
                    }
                    round.drop_shot(shot);
                }
                Err(error) => return Err(error.into()),
            },
            Taken::Timeout if !round.is_over() => {}
            _ => return Ok(()),
        }
    }
}

fn milliseconds(time: Duration) -> f32 {
    time.as_secs_f32() * 1e3
}
