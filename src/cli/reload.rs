//! Another model or board file while it runs: loaded and checked beside the one that works, taken
//! between two frames, or refused in words.

use super::ready::{Checked, check_model};
use super::{Failure, arguments::RunArguments};
use crate::camera::{self, Wanted};
use crate::config::board::Board;
use crate::guard::Guard;
use crate::journal::{Event, Journal};
use crate::metrics::Metrics;
use crate::network::model::BUILT_IN;
use crate::pipeline::Changes;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked whether the run is over.
const NAP: Duration = Duration::from_millis(100);
/// Files of a model's folder that are looked at.
const MOST: usize = 256;

/// The files that a run was made of, and how they were.
pub struct Watched {
    paths: Vec<PathBuf>,
    /// When the run took them.
    taken: Vec<Stamp>,
    /// When they were last looked at.
    seen: Vec<Stamp>,
}

/// What tells one content of a file from another, short of reading it.
#[derive(Clone, Debug, PartialEq)]
struct Stamp {
    path: PathBuf,
    length: u64,
    changed: Option<SystemTime>,
}

impl Watched {
    /// The board file, the model's files and its card, as far as they are files and named.
    pub fn of(arguments: &RunArguments) -> Watched {
        let model = arguments.model.as_deref().filter(|model| *model != BUILT_IN);
        let named = [arguments.board.as_deref(), model];
        let mut paths: Vec<PathBuf> = named.into_iter().flatten().map(PathBuf::from).collect();
        paths.extend(arguments.card.card.clone());
        let taken = stamps(&paths);
        Watched { paths, seen: taken.clone(), taken }
    }

    /// And the files of the board's model, when that is the one to run.
    pub fn add(&mut self, arguments: &RunArguments, board: &Board) {
        let model = board.model.as_deref().filter(|model| *model != BUILT_IN);
        if let (None, Some(model)) = (&arguments.model, model) {
            self.paths.push(PathBuf::from(model));
            self.taken.extend(stamps(&self.paths[self.paths.len() - 1..]));
            self.seen.clone_from(&self.taken);
        }
    }

    /// Something is different, and has been since the last look: nobody writes any more.
    pub fn changed(&mut self) -> bool {
        let now = stamps(&self.paths);
        let settled = now == self.seen;
        self.seen = now;
        settled && self.seen != self.taken
    }

    fn take(&mut self) {
        self.taken.clone_from(&self.seen);
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for path in paths {
        let inside = fs::read_dir(path).into_iter().flatten().flatten().take(MOST);
        let mut files: Vec<PathBuf> = inside.map(|entry| entry.path()).collect();
        files.sort();
        stamps.extend([path].into_iter().chain(&files).filter_map(|path| stamp(path)));
    }
    stamps
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp { path: path.to_owned(), length: found.len(), changed: found.modified().ok() })
}

/// Waits for a change or SIGHUP; false when the run is over before.
pub fn wait(watched: &mut Watched, asked: &AtomicBool, over: &dyn Fn() -> bool) -> bool {
    loop {
        for _ in 0..LOOK.as_millis() / NAP.as_millis() {
            if over() {
                return false;
            }
            if asked.swap(false, Ordering::Relaxed) {
                return true;
            }
            std::thread::sleep(NAP);
        }
        if watched.changed() {
            return true;
        }
    }
}

/// What the run took, what it may take, and who is told.
pub struct Taken<'a> {
    pub arguments: &'a RunArguments,
    pub board: &'a Board,
    pub guard: &'a Guard,
    pub journal: Option<&'a Journal>,
    pub metrics: &'a Metrics,
}

/// What the next run is made of: the files as they were read and tried, not as they are by then.
pub struct Next {
    pub board: Board,
    pub checked: Checked,
    /// From before the others were read.
    pub watched: Watched,
}

/// Takes or refuses changes until the run is over; what it has to begin again with.
pub fn follow(
    run: &Taken,
    watched: &mut Watched,
    changes: &Changes,
    asked: &AtomicBool,
    over: &dyn Fn() -> bool,
) -> Option<Box<Next>> {
    while wait(watched, asked, over) {
        watched.seen = stamps(&watched.paths);
        watched.take();
        match change(run) {
            Ok(Change::Model(checked)) => changes.swap(checked.segmenter),
            Ok(Change::All(next)) => {
                changes.begin_again();
                return Some(next);
            }
            Err(failure) => {
                log::error!("the change is not taken: {failure}");
                run.metrics.count(|figures| figures.refused += 1);
                if let Some(journal) = run.journal {
                    journal.tell(Event::Refused { cause: failure.to_string() });
                }
                changes.refuse(&format!("the change is not taken: {failure}"));
            }
        }
    }
    None
}

enum Change {
    /// Nothing but the model may be different.
    Model(Box<Checked>),
    All(Box<Next>),
}

/// Refuses what lies outside of the folders that were known when the guard was put up: no process
/// can take that back.
pub fn within(guard: &Guard, arguments: &RunArguments, board: &Board) -> Result<(), Failure> {
    let needs = arguments.needs(board, &[]);
    guard.outside(&needs).map_or(Ok(()), |path| {
        Err(Failure::Configuration(format!(
            "{}: outside of the folders that segcam was started with, and closed to it since; it is taken at the next start",
            path.display()
        )))
    })
}

/// What the files say now, checked as far as that goes beside a run.
fn change(run: &Taken) -> Result<Change, Failure> {
    let Taken { arguments, board, guard, .. } = run;
    let mut watched = Watched::of(arguments);
    let now = arguments.board()?;
    watched.add(arguments, &now);
    within(guard, arguments, &now)?;
    let checked = check_model(arguments, &now)?;
    if arguments.display.is_empty() && now.displays() != board.displays() {
        return Err(Failure::Configuration(
            "display and rotate are taken at the next start".to_owned(),
        ));
    }
    let camera = now.camera().filter(|_| arguments.camera.is_none());
    let camera = camera.filter(|camera| board.camera().as_ref() != Some(camera));
    // Whether a kernel's camera can do it shows when the run has let go of it.
    if let Some(camera) = camera.filter(|camera| !camera.starts_with("v4l2:")) {
        camera::open(&camera, Wanted::default())?;
    }
    Ok(if now.says_the_same(board) {
        Change::Model(Box::new(checked))
    } else {
        Change::All(Box::new(Next { board: now, checked, watched }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_nobody_writes_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir(&model).unwrap();
        fs::write(model.join("model.toml"), "1").unwrap();
        let arguments = RunArguments {
            model: Some(model.to_str().unwrap().to_owned()),
            ..RunArguments::default()
        };
        let mut watched = Watched::of(&arguments);
        assert!(!watched.changed());
        fs::write(model.join("model.toml"), "12").unwrap();
        assert!(!watched.changed(), "it may still be written");
        assert!(watched.changed() && watched.changed());
        watched.take();
        assert!(!watched.changed());
        fs::write(model.join("model.onnx"), "new").unwrap();
        assert!(!watched.changed());
        fs::write(model.join("model.onnx"), "newer").unwrap();
        assert!(!watched.changed(), "it was written again");
        assert!(watched.changed());
        fs::remove_dir_all(&model).unwrap();
        assert!(!watched.changed());
        assert!(watched.changed());
    }

    #[test]
    fn the_built_in_model_has_no_files() {
        let board = Board::open("host").unwrap();
        let mut watched = Watched::of(&RunArguments::default());
        watched.add(&RunArguments::default(), &board);
        assert!(watched.paths.is_empty());
        assert!(!watched.changed());
    }
}
