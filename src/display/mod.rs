//! Where pictures go.

use crate::config::uri::UriError;
use thiserror::Error;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// A key pressed at a window or terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// v: the next view.
    View,
    /// + and -: more or less of the mask's colour.
    MoreAlpha,
    LessAlpha,
    /// l: legend on or off.
    Legend,
    /// c: the next class alone, after the last one all.
    Class,
    /// space.
    Pause,
    /// s: the picture as a PNG file.
    Snapshot,
    /// q, escape, a closed window.
    Quit,
}

#[derive(Debug, Error)]
pub enum DisplayError {
    #[error("{display}: {cause}")]
    Io { display: String, cause: std::io::Error },
    #[error("{display}: {message}")]
    Failed { display: String, message: String },
    #[error(transparent)]
    Uri(#[from] UriError),
}

/// A screen. A picture is begun, written row by row from the top, and presented.
pub trait Display {
    /// The screen's own size; None when it takes pictures of any size.
    fn size(&self) -> Option<Size>;

    /// Begins a picture of `size` (the screen's own where it has one).
    fn begin(&mut self, size: Size) -> Result<(), DisplayError>;

    /// Writes row `y`: `width` pixels of 4 bytes, blue, green, red, unused.
    fn write_row(&mut self, y: u32, row: &[u8]);

    /// Shows the picture; `sequence` is its frame's.
    fn present(&mut self, sequence: u64) -> Result<(), DisplayError>;

    /// The next key pressed since, without waiting.
    fn key(&mut self) -> Option<Key> {
        None
    }
}
