//! `segcam run`: the main job, and the demonstration without arguments.

use super::Failure;
use super::arguments::RunArguments;
use super::device::{Device, Signals};
use super::log::HeldLog;
use crate::compose::Settings;
use crate::config::board::Board;
use crate::display::{self, Display, DisplayError};
use crate::guard::Guard;
use crate::health::watchdog::Watchdog;
use crate::journal::Journal;
use crate::metrics::Metrics;
use std::io::{self, IsTerminal};
use std::path::Path;

/// Where a run without a display named leaves its pictures.
pub const DEMO_FOLDER: &str = "segcam-out";

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
        // No thread was started yet, and no model or picture read.
        let guard = Guard::install(&arguments.needs(&board, &names));
        let journal = match arguments.log.as_deref().map(open_journal).transpose() {
            // A worn-out card is no reason to show nothing.
            Err(failure) if arguments.stay => {
                log::error!("{failure}");
                None
            }
            opened => opened?,
        };
        let metrics = arguments.metrics.as_deref().map(Metrics::start).transpose();
        let metrics = metrics
            .map_err(|cause| Failure::Running(format!("--metrics: no thread for it: {cause}")))?;
        let metrics = metrics.unwrap_or_default();
        Device { arguments, names, displays, watchdog, signals, guard, journal, metrics }.run()
    });
    log.release();
    done
}

fn open_journal(folder: &Path) -> Result<Journal, Failure> {
    Journal::open(folder).map_err(|error| {
        Failure::Configuration(format!(
            "--log {}: the journal cannot be kept: {error}; choose a folder that you may write to",
            folder.display()
        ))
    })
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
