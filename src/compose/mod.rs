//! Frame and labels -> picture.
//!
//! A [`Scene`] says what is shown, a [`Compositor`] turns it into rows of a picture. Each row
//! is put together in a buffer that stays in the cache (video, mask, then text) and handed out
//! once, so that displays whose memory is slow are written to exactly once.

mod banner;
mod compositor;
mod legend;
pub mod palette;
pub(crate) mod picture;
mod scale;
mod status;
pub(crate) mod text;
mod tint;

#[cfg(test)]
mod cost;
#[cfg(test)]
pub(crate) mod golden;

pub use compositor::Compositor;

use crate::config::card::Class;
use crate::frame::Frame;
use crate::health::STALE_AFTER;
use crate::segment::{Mask, Segmented};
use std::time::Duration;

/// What there is to see. Only [`Shown::Live`] has labels: a mask that is too old, or whose
/// frame is gone, cannot be drawn.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// Nothing came yet.
    Starting,
    /// A frame with the labels computed from it.
    Live(Mask<'a>),
    /// The newest result is too old: its frame goes grey, without a mask.
    Stale { frame: &'a Frame, age: Duration },
    /// The camera is gone.
    NoSignal { camera: &'a str, cause: &'a str },
    /// There is no network to run.
    NoModel { reason: &'a str },
    /// Something else that was configured does not work.
    CannotRun { reason: &'a str },
    /// A part of the program does not answer any more; it ends to be started anew.
    Failed { reason: &'a str },
}

impl<'a> Shown<'a> {
    /// A result: live, or stale when its frame is older than `limit`.
    pub fn result(segmented: &'a Segmented, limit: Duration) -> Shown<'a> {
        match segmented.mask(limit) {
            Some(mask) => Shown::Live(mask),
            None => Shown::Stale { frame: segmented.frame(), age: segmented.age() },
        }
    }

    fn frame(&self) -> Option<&'a Frame> {
        match self {
            Shown::Live(mask) => Some(mask.frame()),
            Shown::Stale { frame, .. } => Some(frame),
            _ => None,
        }
    }

    fn age(&self) -> Option<Duration> {
        match self {
            Shown::Live(mask) => Some(mask.age()),
            Shown::Stale { age, .. } => Some(*age),
            _ => None,
        }
    }
}

/// Which pictures are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum View {
    /// The mask over the video.
    #[default]
    Overlay,
    /// The mask alone.
    Mask,
    /// The video left, the mask right.
    SideBySide,
}

impl View {
    pub const ALL: [View; 3] = [View::Overlay, View::Mask, View::SideBySide];

    pub fn name(self) -> &'static str {
        match self {
            View::Overlay => "overlay",
            View::Mask => "mask",
            View::SideBySide => "side-by-side",
        }
    }

    pub fn from_name(name: &str) -> Option<View> {
        View::ALL.into_iter().find(|view| view.name() == name)
    }

    /// The next one, after the last the first.
    pub fn next(self) -> View {
        let at = View::ALL.iter().position(|view| *view == self).unwrap_or(0);
        View::ALL[(at + 1) % View::ALL.len()]
    }
}

/// What the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub view: View,
    /// How much the mask covers the video: 0 nothing, 255 all.
    pub alpha: u8,
    pub legend: bool,
    /// The status bar.
    pub status: bool,
    /// This class alone.
    pub only: Option<u8>,
    pub paused: bool,
    /// How old a mask may be.
    pub stale_after: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            view: View::default(),
            alpha: 128,
            legend: true,
            status: true,
            only: None,
            paused: false,
            stale_after: STALE_AFTER,
        }
    }
}

impl Settings {
    /// How old a mask may be now: a paused picture says so, and may be as old as it is.
    pub fn age_limit(&self) -> Duration {
        if self.paused { Duration::MAX } else { self.stale_after }
    }
}

/// The time one stage took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    pub name: &'static str,
    pub milliseconds: f32,
}

/// What the status bar says beside the age of the mask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub model: String,
    pub camera: String,
    /// In the order of the way.
    pub stages: Vec<Stage>,
    pub frames_per_second: f32,
    /// Frames that were captured and not shown.
    pub dropped: u64,
    /// The processor's temperature in °C.
    pub celsius: Option<f32>,
    /// What is not as it should be while masks are fresh; empty when all is well.
    pub trouble: String,
}

/// All that makes a picture.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub shown: Shown<'a>,
    pub classes: &'a [Class],
    pub status: &'a Status,
    pub settings: &'a Settings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_go_round_and_have_names() {
        for view in View::ALL {
            assert_eq!(View::from_name(view.name()), Some(view));
            assert_eq!(view.next().next().next(), view);
        }
        assert_eq!(View::from_name("mosaic"), None);
    }
}
