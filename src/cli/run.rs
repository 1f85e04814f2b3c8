//! `segcam run`: the main job, and the demonstration without arguments.

use super::Failure;
use super::arguments::RunArguments;
use super::log::HeldLog;
use crate::camera::{self, Camera, Wanted};
use crate::compose::{Compositor, Scene, Settings, Shown, Status};
use crate::config;
use crate::config::board::Board;
use crate::display::{self, Display, DisplayError};
use crate::health::watchdog::Watchdog;
use crate::network::model::{self, BUILT_IN, Model};
use crate::pipeline::{self, Job, KEYS, Summary};
use crate::record::{self, Recorded, Recording};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Frames of a run without a camera named: ten seconds of the built-in one.
const DEMO_FRAMES: u64 = 300;
/// Where a run without a display named leaves its pictures.
const DEMO_FOLDER: &str = "segcam-out";
const DEMO_CAMERA: &str = "synthetic:portrait";
/// Megabytes of recordings unless said.
const RECORD_LIMIT: u64 = 1000;
/// How often a screen that says what is wrong is drawn anew, should it have been unplugged.
const SAY_AGAIN: Duration = Duration::from_secs(1);

impl RunArguments {
    pub fn demo() -> RunArguments {
        let alpha = Settings::default().alpha;
        RunArguments { alpha, ..RunArguments::default() }
    }

    fn board(&self) -> Result<Board, Failure> {
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
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::Running(format!("signal {signal}: {error}")))?;
    }
    let named = arguments.board();
    // A board file that cannot be read leaves the screen to the board that this is.
    let board = match &named {
        Ok(board) => board.clone(),
        Err(_) => Board::detect().map_err(|error| Failure::Configuration(error.to_string()))?,
    };
    let (names, first_only) = arguments.displays(&board);
    if names.iter().any(|display| display.starts_with("terminal:")) && io::stderr().is_terminal() {
        log.hold();
    }
    let opened = if first_only { open_first(names) } else { open_all(names) };
    let done = opened.and_then(|displays| {
        let (names, mut displays): (Vec<String>, Vec<_>) = displays.into_iter().unzip();
        log::info!("board {}, {}", board.name, names.join(", "));
        let mut watchdog = Watchdog::default();
        if arguments.stay {
            watchdog = Watchdog::of(&board);
        }
        match named.map_err(Unready::Other).and_then(|_| prepare(arguments, &board)) {
            Ok(ready) => show(arguments, &board, &names, displays, ready, watchdog, stop),
            Err(unready) => {
                say(&mut displays, &unready);
                if arguments.stay {
                    log::error!("{}", unready.failure());
                }
                while arguments.stay && !stop.load(Ordering::Relaxed) {
                    watchdog.beat();
                    std::thread::sleep(SAY_AGAIN);
                    say(&mut displays, &unready);
                }
                Err(unready.into())
            }
        }
    });
    log.release();
    done
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

/// What a run needs.
struct Ready {
    model: Arc<Model>,
    camera: Box<dyn Camera>,
    settings: Settings,
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

fn prepare(arguments: &RunArguments, board: &Board) -> Result<Ready, Unready> {
    let named = arguments.model.as_deref().or(board.model.as_deref()).unwrap_or(BUILT_IN);
    let mut named = arguments.card.of(named);
    named.threads = board.threads.unwrap_or(named.threads);
    named.memory = board.memory();
    let model = model::open(&named).map_err(|error| Unready::Model(error.into()))?;
    let settings = arguments.settings(board, &model)?;
    let camera = arguments.camera.clone().or_else(|| board.camera());
    let camera = camera.unwrap_or_else(|| DEMO_CAMERA.to_owned());
    let demo = arguments.camera.is_none() && !arguments.stay && camera == DEMO_CAMERA;
    let demo = demo.then_some(DEMO_FRAMES);
    let wanted = Wanted { width: model.input.width, height: model.input.height };
    let camera = camera::open(&camera, wanted).map_err(Failure::from)?;
    Ok(Ready { model: Arc::new(model), camera, settings, frames: arguments.frames.or(demo) })
}

fn show(
    arguments: &RunArguments,
    board: &Board,
    names: &[String],
    displays: Vec<Box<dyn Display>>,
    ready: Ready,
    watchdog: Watchdog,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        log::info!("keys: {}", KEYS);
    }
    let (recording, recorder) = arguments
        .record
        .as_ref()
        .map(|folder| {
            let limit = arguments.record_limit.unwrap_or(RECORD_LIMIT) * 1_000_000;
            record::start(folder.clone(), limit, ready.camera.name(), &board.name)
        })
        .unzip();
    let mut out = io::stdout();
    let summary = pipeline::run(Job {
        model: ready.model,
        camera: ready.camera,
        displays,
        settings: ready.settings,
        frames: ready.frames,
        json: if arguments.json { Some(&mut out) } else { None },
        stop,
        snapshots: DEMO_FOLDER.to_owned(),
        watchdog,
        recorder,
    })?;
    let recording = recording.map(Recording::finish);
    if arguments.json {
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
        let last = Last { summary: Sums { summary: &summary, recording } };
        serde_json::to_writer(&mut out, &last).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    write!(out, "{summary}")?;
    if let Some(Recorded { recorded, skipped }) = recording {
        writeln!(out, "recording  {recorded} recorded, {skipped} skipped")?;
    }
    for folder in names.iter().filter_map(|uri| uri.strip_prefix("png:")) {
        let folder = folder.split('?').next().unwrap_or(folder);
        writeln!(out, "pictures   {folder}")?;
    }
    Ok(())
}

/// The screens say why there is nothing to see. What goes wrong with that does not matter more
/// than the reason, which follows.
fn say(displays: &mut [Box<dyn Display>], unready: &Unready) {
    let reason = &unready.failure().to_string();
    let shown = match unready {
        Unready::Model(_) => Shown::NoModel { reason },
        Unready::Other(_) => Shown::CannotRun { reason },
    };
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
