//! What a run is made of, loaded and tried before anything is shown; or why there is nothing to
//! run.

use super::Failure;
use super::arguments::RunArguments;
use crate::camera::{self, Camera, Wanted};
use crate::compose::{Settings, Shown};
use crate::config;
use crate::config::board::Board;
use crate::network::model::{self, BUILT_IN, Model};
use crate::segment::Segmenter;
use std::sync::Arc;
use std::time::Duration;

/// Frames of a run without a camera named: ten seconds of the built-in one.
const DEMO_FRAMES: u64 = 300;
const DEMO_CAMERA: &str = "synthetic:portrait";

/// A model that labelled a picture, and what is set for it.
pub struct Checked {
    pub segmenter: Segmenter,
    /// What that took.
    pub inference: Duration,
    pub settings: Settings,
}

/// What a run needs.
pub struct Ready {
    pub checked: Checked,
    pub camera: Box<dyn Camera>,
    pub frames: Option<u64>,
}

/// Why there is nothing to run, as the screen tells it.
pub enum Unready {
    Model(Failure),
    Other(Failure),
}

impl Unready {
    pub fn failure(&self) -> &Failure {
        let (Unready::Model(failure) | Unready::Other(failure)) = self;
        failure
    }

    pub fn shown(&self) -> Shown<'_> {
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

/// Opens the camera for a model.
pub fn prepare(
    arguments: &RunArguments,
    board: &Board,
    checked: Checked,
) -> Result<Ready, Unready> {
    let camera = arguments.camera.clone().or_else(|| board.camera());
    let camera = camera.unwrap_or_else(|| DEMO_CAMERA.to_owned());
    let demo = arguments.camera.is_none() && !arguments.stay && camera == DEMO_CAMERA;
    let demo = demo.then_some(DEMO_FRAMES);
    let input = checked.segmenter.model().input;
    let wanted = Wanted { width: input.width, height: input.height };
    let camera = camera::open(&camera, wanted).map_err(Failure::from)?;
    Ok(Ready { checked, camera, frames: arguments.frames.or(demo) })
}

impl RunArguments {
    /// A class that the model does not have is refused.
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
