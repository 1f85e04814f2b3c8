//! `segcam run`: the main job, and the demonstration without arguments.

use super::Failure;
use super::arguments::RunArguments;
use super::log::HeldLog;
use super::reload::{self, Watched};
use crate::camera::{self, Camera, Wanted};
use crate::compose::{Compositor, Scene, Settings, Shown, Status};
use crate::config;
use crate::config::board::Board;
use crate::display::{self, Display, DisplayError};
use crate::doctor;
use crate::health::watchdog::Watchdog;
use crate::journal::{Event, Journal};
use crate::network::model::{self, BUILT_IN, Model};
use crate::pipeline::{self, Changes, Job, KEYS, Summary};
use crate::record::{self, Recorded, Recording};
use crate::segment::Segmenter;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Frames of a run without a camera named: ten seconds of the built-in one.
const DEMO_FRAMES: u64 = 300;
/// Where a run without a display named leaves its pictures.
const DEMO_FOLDER: &str = "segcam-out";
const DEMO_CAMERA: &str = "synthetic:portrait";
/// Megabytes of recordings unless said.
const RECORD_LIMIT: u64 = 1000;
/// How often a screen that says what is wrong is drawn anew, should it have been unplugged.
const SAY_AGAIN: Duration = Duration::from_secs(1);
/// To say why the process ends.
const LAST_WORDS: Duration = Duration::from_millis(200);

impl RunArguments {
    pub fn demo() -> RunArguments {
        let alpha = Settings::default().alpha;
        RunArguments { alpha, ..RunArguments::default() }
    }

    pub fn board(&self) -> Result<Board, Failure> {
        let board = match &self.board {
            Some(named) => Board::open(named),
            None => Board::detect(),
        };
        board.map_err(|error| Failure::Configuration(error.to_string()))
    }

    /// The displays to open, and whether the first that opens is enough: all that are named, else
    /// one of the board's, else those of the demonstration.
    fn displays(&self, board: &Board) -> (Vec<String>, bool) {
        if !self.display.is_empty() {
            return (self.display.clone(), false);
        }
        let of_board = board.displays();
        if !of_board.is_empty() {
            return (of_board, true);
        }
        let pictures = format!("png:{DEMO_FOLDER}?last=8&every=1");
        let terminal = io::stdout().is_terminal() && !self.json;
        let terminal = terminal.then(|| "terminal:".to_owned());
        (terminal.into_iter().chain([pictures]).collect(), false)
    }

    fn settings(&self, board: &Board, model: &Model) -> Result<Settings, Failure> {
        let class = |name: &String| {
            let names: Vec<&str> = model.classes.iter().map(|class| &*class.name).collect();
            let at = names.iter().position(|known| known == name);
            at.map(|at| at as u8).ok_or_else(|| {
                let near = config::nearest(name, &names).unwrap_or_default();
                Failure::Configuration(format!(
                    "--class {name}: {} has no such class; did you mean \"{near}\"? (there are {})",
                    model.name,
                    names.join(", ")
                ))
            })
        };
        let only = self.class.as_ref().map(class).transpose()?;
        let stale_after = self.stale_after.map_or(board.stale_after(), Duration::from_millis);
        Ok(Settings {
            view: self.view,
            alpha: self.alpha,
            only,
            stale_after,
            ..Settings::default()
        })
    }
}

pub fn run(arguments: &RunArguments, log: &HeldLog) -> Result<(), Failure> {
    let signals = Signals::register()?;
    // A board file that cannot be read leaves the screen to the board that this is.
    let detected = || Board::detect().map_err(|error| Failure::Configuration(error.to_string()));
    let board = arguments.board().or_else(|_| detected())?;
    let (names, first_only) = arguments.displays(&board);
    if names.iter().any(|display| display.starts_with("terminal:")) && io::stderr().is_terminal() {
        log.hold();
    }
    let opened = if first_only { open_first(names) } else { open_all(names) };
    let done = opened.and_then(|displays| {
        let (names, displays): (Vec<String>, Vec<_>) = displays.into_iter().unzip();
        log::info!("board {}, {}", board.name, names.join(", "));
        let watchdog = if arguments.stay { Watchdog::of(&board) } else { Watchdog::default() };
        let journal = arguments.log.as_deref().map(open_journal).transpose()?;
        Device { arguments, names, displays, watchdog, signals, journal }.run()
    });
    log.release();
    done
}

/// What the user or the system asks by signals.
struct Signals {
    /// SIGINT or SIGTERM.
    stop: Arc<AtomicBool>,
    /// SIGHUP: look at the files again.
    again: Arc<AtomicBool>,
}

impl Signals {
    fn register() -> Result<Signals, Failure> {
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
struct Device<'a> {
    arguments: &'a RunArguments,
    /// The displays' URIs.
    names: Vec<String>,
    displays: Vec<Box<dyn Display>>,
    watchdog: Watchdog,
    signals: Signals,
    journal: Option<Journal>,
}

impl Device<'_> {
    /// Runs what is configured, and again when that changes. One that stays says what is wrong
    /// and waits until it is mended.
    fn run(&mut self) -> Result<(), Failure> {
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
        loop {
            let board = self.arguments.board().map_err(Unready::Other);
            let mut watched = Watched::of(self.arguments, board.as_ref().ok());
            let ready = board.and_then(|board| Ok((prepare(self.arguments, &board)?, board)));
            match ready {
                Ok((ready, board)) => {
                    if !self.show(ready, &board, &mut watched)? {
                        return Ok(());
                    }
                }
                Err(unready) => {
                    say(&mut self.displays, unready.shown());
                    if !self.arguments.stay || !self.wait(&unready, &mut watched) {
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
        let signals = &self.signals;
        reload::wait(watched, &signals.again, &|| {
            let (displays, watchdog) = &mut *displays.borrow_mut();
            watchdog.beat();
            if said.get().elapsed() >= SAY_AGAIN {
                said.set(Instant::now());
                say(displays, unready.shown());
            }
            signals.stopped()
        })
    }

    /// Shows until the end; true when it is to be shown anew with other parts.
    fn show(
        &mut self,
        ready: Ready,
        board: &Board,
        watched: &mut Watched,
    ) -> Result<bool, Failure> {
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
        let (signals, journal) = (&self.signals, self.journal.as_ref());
        let (displays, watchdog) = (&mut self.displays, &mut self.watchdog);
        let summary = std::thread::scope(|scope| {
            let _over = SetOnDrop(&over);
            scope.spawn(|| {
                let over = || over.load(Ordering::Relaxed);
                reload::follow(arguments, board, watched, &changes, journal, &signals.again, &over);
            });
            pipeline::run(Job {
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
            })
        })?;
        let recording = recording.map(Recording::finish);
        if changes.take_again() && !self.signals.stopped() {
            return Ok(true);
        }
        self.summarize(&summary, recording)?;
        Ok(false)
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

fn open_journal(folder: &Path) -> Result<Journal, Failure> {
    Journal::open(folder).map_err(|error| {
        Failure::Configuration(format!(
            "--log {}: the journal cannot be kept: {error}; choose a folder that you may write to",
            folder.display()
        ))
    })
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

/// A display and its URI.
type Named = (String, Box<dyn Display>);

fn open_all(uris: Vec<String>) -> Result<Vec<Named>, Failure> {
    let displays = uris.into_iter().map(|uri| display::open(&uri).map(|display| (uri, display)));
    Ok(displays.collect::<Result<_, DisplayError>>()?)
}

fn open_first(uris: Vec<String>) -> Result<Vec<Named>, Failure> {
    let mut causes = Vec::new();
    for uri in uris {
        match display::open(&uri) {
            Ok(display) => return Ok(vec![(uri, display)]),
            Err(error) => causes.push(error.to_string()),
        }
    }
    Err(Failure::Configuration(causes.join("; ")))
}

/// A model that labelled a picture, and what is set for it.
pub struct Checked {
    pub segmenter: Segmenter,
    /// What that took.
    pub inference: Duration,
    settings: Settings,
}

/// What a run needs.
struct Ready {
    checked: Checked,
    camera: Box<dyn Camera>,
    frames: Option<u64>,
}

/// Why there is nothing to run, as the screen tells it.
enum Unready {
    Model(Failure),
    Other(Failure),
}

impl Unready {
    fn failure(&self) -> &Failure {
        let (Unready::Model(failure) | Unready::Other(failure)) = self;
        failure
    }
}

impl Unready {
    fn shown(&self) -> Shown<'_> {
        match self {
            Unready::Model(Failure::Configuration(reason) | Failure::Running(reason)) => {
                Shown::NoModel { reason }
            }
            Unready::Model(failure) | Unready::Other(failure) => {
                Shown::CannotRun { reason: failure.text() }
            }
        }
    }
}

impl From<Failure> for Unready {
    fn from(failure: Failure) -> Unready {
        Unready::Other(failure)
    }
}

impl From<Unready> for Failure {
    fn from(unready: Unready) -> Failure {
        match unready {
            Unready::Model(failure) | Unready::Other(failure) => failure,
        }
    }
}

/// Loads the model that a run would take now, within the board's memory, and tries it.
pub fn check_model(arguments: &RunArguments, board: &Board) -> Result<Checked, Failure> {
    let named = arguments.model.as_deref().or(board.model.as_deref()).unwrap_or(BUILT_IN);
    let mut named = arguments.card.of(named);
    named.threads = board.threads.unwrap_or(named.threads);
    named.memory = board.memory();
    let model = Arc::new(model::open(&named)?);
    let settings = arguments.settings(board, &model)?;
    let (segmenter, inference) = Segmenter::checked(Arc::clone(&model))
        .map_err(|error| Failure::Configuration(format!("{}: {error}", model.name)))?;
    Ok(Checked { segmenter, inference, settings })
}

fn prepare(arguments: &RunArguments, board: &Board) -> Result<Ready, Unready> {
    let checked = check_model(arguments, board).map_err(Unready::Model)?;
    let camera = arguments.camera.clone().or_else(|| board.camera());
    let camera = camera.unwrap_or_else(|| DEMO_CAMERA.to_owned());
    let demo = arguments.camera.is_none() && !arguments.stay && camera == DEMO_CAMERA;
    let demo = demo.then_some(DEMO_FRAMES);
    let input = checked.segmenter.model().input;
    let wanted = Wanted { width: input.width, height: input.height };
    let camera = camera::open(&camera, wanted).map_err(Failure::from)?;
    Ok(Ready { checked, camera, frames: arguments.frames.or(demo) })
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
