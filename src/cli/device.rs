//! The device: what stays while models and cameras come and go, and its life.

use super::Failure;
use super::arguments::RunArguments;
use super::ready::{Ready, Unready, check_model, prepare};
use super::reload::{self, Next, Taken, Watched};
use super::run::DEMO_FOLDER;
use crate::compose::{Compositor, Scene, Settings, Shown, Status};
use crate::config::board::Board;
use crate::display::Display;
use crate::doctor;
use crate::guard::Guard;
use crate::health::State;
use crate::health::watchdog::Watchdog;
use crate::journal::{Event, Journal};
use crate::metrics::Metrics;
use crate::pipeline::{self, Changes, Job, KEYS, Summary};
use crate::record::{self, Recorded, Recording};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Megabytes of recordings unless said.
const RECORD_LIMIT: u64 = 1000;
/// How often a screen that says what is wrong is drawn anew, should it have been unplugged.
const SAY_AGAIN: Duration = Duration::from_secs(1);
/// To say why the process ends.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What the user or the system asks by signals.
pub struct Signals {
    /// SIGINT or SIGTERM.
    stop: Arc<AtomicBool>,
    /// SIGHUP: look at the files again.
    again: Arc<AtomicBool>,
}

impl Signals {
    pub fn register() -> Result<Signals, Failure> {
        let signals = Signals { stop: Arc::default(), again: Arc::default() };
        let flags = [
            (signal_hook::consts::SIGINT, &signals.stop),
            (signal_hook::consts::SIGTERM, &signals.stop),
            (signal_hook::consts::SIGHUP, &signals.again),
        ];
        for (signal, flag) in flags {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .map_err(|error| Failure::Running(format!("signal {signal}: {error}")))?;
        }
        Ok(signals)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What stays while models and cameras come and go.
pub struct Device<'a> {
    pub arguments: &'a RunArguments,
    /// The displays' URIs.
    pub names: Vec<String>,
    pub displays: Vec<Box<dyn Display>>,
    pub watchdog: Watchdog,
    pub signals: Signals,
    pub guard: Guard,
    pub journal: Option<Journal>,
    pub metrics: Metrics,
}

impl Device<'_> {
    /// Runs what is configured, and again when that changes. One that stays says what is wrong
    /// and waits until it is mended.
    pub fn run(&mut self) -> Result<(), Failure> {
        let ended = self.run_on();
        let cause = ended.as_ref().err().map_or("asked to end", Failure::text).to_owned();
        self.tell(Event::End { cause });
        ended
    }

    fn tell(&self, event: Event) {
        if let Some(journal) = &self.journal {
            journal.tell(event);
        }
    }

    fn run_on(&mut self) -> Result<(), Failure> {
        if self.arguments.stay {
            say(&mut self.displays, Shown::Starting);
        }
        let arguments = self.arguments;
        let mut next = None;
        loop {
            let mut watched = Watched::of(arguments);
            let read = match next.take() {
                Some(Next { board, checked, watched: since }) => {
                    watched = since;
                    Ok((board, checked))
                }
                None => {
                    let board = arguments.board().map_err(Unready::Other);
                    if let Ok(board) = &board {
                        watched.add(arguments, board);
                        reload::within(&self.guard, arguments, board)?;
                    }
                    board.and_then(|board| {
                        let checked = check_model(arguments, &board).map_err(Unready::Model)?;
                        Ok((board, checked))
                    })
                }
            };
            let ready =
                read.and_then(|(board, checked)| Ok((prepare(arguments, &board, checked)?, board)));
            match ready {
                Ok((ready, board)) => match self.show(ready, &board, &mut watched)? {
                    Some(changed) => next = Some(*changed),
                    None => return Ok(()),
                },
                Err(unready) => {
                    say(&mut self.displays, unready.shown());
                    if !arguments.stay || !self.wait(&unready, &mut watched) {
                        return Err(unready.into());
                    }
                }
            }
        }
    }

    /// Says what is wrong until something changes; false when the end comes before.
    fn wait(&mut self, unready: &Unready, watched: &mut Watched) -> bool {
        log::error!("{}", unready.failure());
        self.tell(Event::Unready { cause: unready.failure().to_string() });
        let said = Cell::new(Instant::now());
        let displays = RefCell::new((&mut self.displays, &mut self.watchdog));
        let (signals, metrics) = (&self.signals, &self.metrics);
        reload::wait(watched, &signals.again, &|| {
            let (displays, watchdog) = &mut *displays.borrow_mut();
            watchdog.beat();
            metrics.show(|figures| figures.enter(State::NoModel));
            if said.get().elapsed() >= SAY_AGAIN {
                said.set(Instant::now());
                say(displays, unready.shown());
            }
            signals.stopped()
        })
    }

    /// Shows until the end; what it is to be shown anew with, if it is.
    fn show(
        &mut self,
        ready: Ready,
        board: &Board,
        watched: &mut Watched,
    ) -> Result<Option<Box<Next>>, Failure> {
        let arguments = self.arguments;
        if io::stdout().is_terminal() && io::stdin().is_terminal() {
            log::info!("keys: {}", KEYS);
        }
        let model = ready.checked.segmenter.model();
        self.tell(Event::Start {
            version: env!("CARGO_PKG_VERSION"),
            board: board.name.clone(),
            config: board.sha256.clone(),
            model: model.name.clone(),
            model_sha256: model.sha256.clone(),
            kernels: model.kernels(),
            camera: ready.camera.name().to_owned(),
            displays: self.names.clone(),
            cpu: doctor::features(),
            fence_files: self.guard.files.to_string(),
            fence_calls: self.guard.calls.to_string(),
        });
        self.metrics.count(|figures| {
            figures.board.clone_from(&board.name);
            figures.model.clone_from(&model.name);
            figures.model_sha256.clone_from(&model.sha256);
        });
        let (recording, recorder) = arguments
            .record
            .as_ref()
            .map(|folder| {
                let limit = arguments.record_limit.unwrap_or(RECORD_LIMIT) * 1_000_000;
                record::start(folder.clone(), limit, ready.camera.name(), &board.name)
            })
            .unzip();
        let mut out = io::stdout();
        let changes = Arc::new(Changes::default());
        let over = AtomicBool::new(false);
        let (signals, guard, journal) = (&self.signals, &self.guard, self.journal.as_ref());
        let (displays, watchdog) = (&mut self.displays, &mut self.watchdog);
        let metrics = &self.metrics;
        let (summary, next) = std::thread::scope(|scope| {
            let ending = SetOnDrop(&over);
            let follower = scope.spawn(|| {
                let over = || over.load(Ordering::Relaxed);
                let taken = Taken { arguments, board, guard, journal, metrics };
                reload::follow(&taken, watched, &changes, &signals.again, &over)
            });
            let summary = pipeline::run(Job {
                segmenter: ready.checked.segmenter,
                inference: ready.checked.inference,
                camera: ready.camera,
                displays,
                settings: ready.checked.settings,
                frames: ready.frames,
                json: if arguments.json { Some(&mut out) } else { None },
                stop: Arc::clone(&signals.stop),
                snapshots: DEMO_FOLDER.to_owned(),
                watchdog,
                changes: Arc::clone(&changes),
                abandon,
                journal,
                recorder,
                metrics,
            });
            drop(ending);
            (summary, follower.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let summary = summary?;
        let recording = recording.map(Recording::finish);
        if next.is_some() && !self.signals.stopped() {
            self.metrics.count(|figures| figures.reloads += 1);
            return Ok(next);
        }
        self.summarize(&summary, recording)?;
        Ok(None)
    }

    fn summarize(&self, summary: &Summary, recording: Option<Recorded>) -> Result<(), Failure> {
        let mut out = io::stdout();
        if self.arguments.json {
            #[derive(Serialize)]
            struct Last<'a> {
                summary: Sums<'a>,
            }
            #[derive(Serialize)]
            struct Sums<'a> {
                #[serde(flatten)]
                summary: &'a Summary,
                #[serde(skip_serializing_if = "Option::is_none")]
                recording: Option<Recorded>,
            }
            let last = Last { summary: Sums { summary, recording } };
            serde_json::to_writer(&mut out, &last).map_err(io::Error::from)?;
            return Ok(writeln!(out)?);
        }
        write!(out, "{summary}")?;
        if let Some(Recorded { recorded, skipped }) = recording {
            writeln!(out, "recording  {recorded} recorded, {skipped} skipped")?;
        }
        for folder in self.names.iter().filter_map(|uri| uri.strip_prefix("png:")) {
            let folder = folder.split('?').next().unwrap_or(folder);
            writeln!(out, "pictures   {folder}")?;
        }
        Ok(())
    }
}

/// However a scope ends, its threads are told.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Ends the process when the screen does not answer. Standard error may be what it hangs on.
fn abandon(why: &str) {
    let why = why.to_owned();
    std::thread::spawn(move || log::error!("{why}; segcam ends to be started anew"));
    std::thread::sleep(LAST_WORDS);
    std::process::exit(Failure::STALLED.into());
}

/// The screens say what there is instead of a picture. What goes wrong with that does not matter
/// more than what they say.
fn say(displays: &mut [Box<dyn Display>], shown: Shown) {
    let (status, settings) = (Status::default(), Settings::default());
    let scene = Scene { shown, classes: &[], status: &status, settings: &settings };
    for display in displays {
        let screen = display.size();
        let mut compositor = Compositor::default();
        let shown = display.begin(compositor.size(&scene, screen)).and_then(|()| {
            compositor.compose(&scene, screen, &mut |y, row| display.write_row(y, row));
            display.present(0)?;
            display.finish()
        });
        if let Err(error) = shown {
            log::warn!("{error}");
        }
    }
}
