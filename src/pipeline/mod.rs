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

mod capture;
mod handover;
mod screen;
mod statistics;

pub use screen::KEYS;
pub use statistics::{STAGES, Summary};

use crate::camera::{Camera, CameraError};
use crate::compose::Settings;
use crate::decode::{LabelMap, shares};
use crate::display::{Display, DisplayError};
use crate::frame::Frame;
use crate::health::Signal;
use crate::health::watchdog::Watchdog;
use crate::network::model::Model;
use crate::record::Recorder;
use crate::segment::{SegmentError, Segmenter, StepTimes};
use handover::{CloseOnDrop, Handover, Taken};
use screen::Screen;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;

/// How long a thread waits before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(100);
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
    #[error("{0} ended unexpectedly; this is a defect of segcam, please report it")]
    Thread(&'static str),
}

/// What a run is made of.
pub struct Job<'a> {
    pub model: Arc<Model>,
    pub camera: Box<dyn Camera>,
    pub displays: Vec<Box<dyn Display>>,
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
    pub watchdog: Watchdog,
    /// Takes the shown frames with their masks.
    pub recorder: Option<Recorder>,
}

/// A frame on its way, with what was computed from it.
struct Shot {
    frame: Frame,
    labels: LabelMap,
    times: StepTimes,
    /// Share of the labelled pixels by class, 0 to 1.
    shares: Vec<f32>,
}

/// What the threads share.
#[derive(Default)]
struct Round {
    fresh: Handover<Shot, 1>,
    results: Handover<Shot, 1>,
    spent: Handover<Shot, SHOTS>,
    signal: Signal,
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
        shot.frame.data.give_back();
        self.spent.put(shot);
    }

    /// Passes a shot on; a patient one waits for its turn.
    fn pass(&self, queue: &Handover<Shot, 1>, shot: Shot, patient: bool) {
        let mut shot = shot;
        while patient && !self.is_over() {
            match queue.put_patiently(shot, PATIENCE) {
                Ok(()) => return,
                Err(back) => shot = back,
            }
        }
        if let Some(displaced) = queue.put(shot) {
            self.drop_shot(displaced);
        }
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
    let round = Round::default();
    let patient = !job.camera.is_live();
    let camera_name = job.camera.name().to_owned();
    let segmenter = Segmenter::new(Arc::clone(&job.model))?;
    let mut screen =
        Screen::new(&job.model, job.displays, camera_name, job.settings, job.snapshots);
    screen.recorder = job.recorder;
    std::thread::scope(|scope| {
        // The display's thread is this one: when it ends, so does the round.
        let capture = scope.spawn(|| {
            let _close = CloseOnDrop(&round.fresh);
            capture::run(job.camera, &round)
        });
        let inference = scope.spawn(|| {
            let _close = CloseOnDrop(&round.results);
            infer(segmenter, &round, patient)
        });
        let shown = {
            let _end = EndOnDrop(&round);
            screen.run(&round, job.frames, &job.stop, job.json, job.watchdog)
        };
        let inference = inference.join().map_err(|_| RunError::Thread("the inference"));
        let capture = capture.join().map_err(|_| RunError::Thread("the capture"));
        // The first cause is the most telling.
        capture??;
        inference??;
        shown
    })
}

fn infer(mut segmenter: Segmenter, round: &Round, patient: bool) -> Result<(), RunError> {
    let classes = segmenter.model().classes.len();
    loop {
        match round.fresh.take(PATIENCE) {
            Taken::Item(mut shot) => {
                shot.times = segmenter.segment(&shot.frame, &mut shot.labels)?;
                shot.shares.resize(classes, 0.0);
                shares(&shot.labels, &mut shot.shares);
                round.pass(&round.results, shot, patient);
            }
            Taken::Timeout if !round.is_over() => {}
            _ => return Ok(()),
        }
    }
}

/// How old a shot's frame is.
fn age(shot: &Shot) -> Duration {
    shot.frame.captured.elapsed()
}
