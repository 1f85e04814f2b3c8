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
mod golden;

pub use compositor::Compositor;

use crate::config::card::Class;
use crate::decode::LabelMap;
use crate::frame::Frame;
use crate::health::STALE_AFTER;
use std::time::Duration;

/// What there is to see. Only [`Shown::Live`] has labels: a mask that is too old, or whose
/// frame is gone, cannot be drawn.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// Nothing came yet.
    Starting,
    /// A frame with the labels computed from it.
    Live {
        frame: &'a Frame,
        /// Ids for the whole frame. Of another size than the frame, they are spread over it.
        labels: &'a LabelMap,
        /// Share of the labelled pixels by class id, 0 to 1; missing ones count as 0.
        shares: &'a [f32],
        /// Time since the frame was captured.
        age: Duration,
    },
    /// The newest result is too old: its frame goes grey, without a mask.
    Stale { frame: &'a Frame, age: Duration },
    /// The camera is gone.
    NoSignal { camera: &'a str, cause: &'a str },
    /// There is no network to run.
    NoModel { reason: &'a str },
    /// Something else that was configured does not work.
    CannotRun { reason: &'a str },
}

impl<'a> Shown<'a> {
    /// A result that is `age` old: live, or stale when that is more than `stale_after`.
    pub fn by_age(
        frame: &'a Frame,
        labels: &'a LabelMap,
        shares: &'a [f32],
        age: Duration,
        stale_after: Duration,
    ) -> Shown<'a> {
        if age > stale_after {
            Shown::Stale { frame, age }
        } else {
            Shown::Live { frame, labels, shares, age }
        }
    }

    fn frame(&self) -> Option<&'a Frame> {
        match self {
            Shown::Live { frame, .. } | Shown::Stale { frame, .. } => Some(frame),
            _ => None,
        }
    }

    fn age(&self) -> Option<Duration> {
        match self {
            Shown::Live { age, .. } | Shown::Stale { age, .. } => Some(*age),
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
    fn a_result_goes_stale_after_its_time() {
        let (frame, labels) = (golden::frame(1, 1), LabelMap::default());
        let limit = Duration::from_millis(500);
        let by_age = |age| Shown::by_age(&frame, &labels, &[], Duration::from_millis(age), limit);
        assert!(matches!(by_age(500), Shown::Live { .. }));
        assert!(matches!(by_age(501), Shown::Stale { .. }));
    }

    #[test]
    fn views_go_round_and_have_names() {
        for view in View::ALL {
            assert_eq!(View::from_name(view.name()), Some(view));
            assert_eq!(view.next().next().next(), view);
        }
        assert_eq!(View::from_name("mosaic"), None);
    }
}
