//! Where frames come from.

mod picture;

pub use picture::{read_image, read_mask};

use crate::config::uri::UriError;
use crate::frame::{Frame, LayoutError};
use std::time::Duration;
use thiserror::Error;

/// What came of waiting for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The frame was filled.
    Frame,
    /// Nothing came in time; the source may still be alive.
    Timeout,
    /// The source has no more.
    End,
}

#[derive(Debug, Error)]
pub enum CameraError {
    /// The source went away and may come back: try [`Camera::reopen`].
    #[error("{source_name}: lost: {cause}")]
    Lost { source_name: String, cause: String },
    /// Nothing more will come; says what to do.
    #[error("{source_name}: {message}")]
    Failed { source_name: String, message: String },
    #[error("{source_name}: {error}")]
    Layout { source_name: String, error: LayoutError },
    #[error(transparent)]
    Uri(#[from] UriError),
}

/// A source of frames. Formats and controls are chosen by URI when it is opened.
pub trait Camera: Send {
    /// What it is called in messages and on the screen.
    fn name(&self) -> &str;

    /// True when frames come at their own pace and those nobody takes are lost; false when
    /// the source waits for its reader (files).
    fn is_live(&self) -> bool;

    /// Waits up to `timeout` for the next frame and fills `frame`, reusing its allocation and
    /// changing its layout where the source does.
    fn read(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, CameraError>;

    /// Opens a lost source again.
    fn reopen(&mut self) -> Result<(), CameraError>;
}

pub fn open(_uri: &str) -> Result<Box<dyn Camera>, CameraError> {
    Err(CameraError::Failed { source_name: "x".into(), message: "temporary".into() })
}
