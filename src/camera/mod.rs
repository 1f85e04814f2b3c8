//! Where frames come from: [`open`] turns a URI into a [`Camera`].
//!
//! | URI | frames |
//! | --- | --- |
//! | `file:PATH` | a PNG or JPEG picture; a directory of them in the byte order of their names; a Y4M clip |
//! | `pipe:-` | raw frames on standard input |
//! | `replay:DIR` | what `run --record DIR` recorded, byte for byte, under the same sequence numbers |
//! | `v4l2:/dev/videoN` | a camera of the kernel's; `v4l2:` alone is the first that captures |
//! | `synthetic:portrait` | pans and zooms over a built-in photograph of a person |
//! | `synthetic:field` | a generated drive over farmland that knows its true label map |
//!
//! Parameters follow as `?key=value&key=value`.
//!
//! | kind | parameter | meaning |
//! | --- | --- | --- |
//! | `file:` | `fps=F` | comes live at F (0.1 to 1000) frames a second, and frames nobody takes are lost; a bare `fps` is the clip's own rate. Without it the source waits for its reader |
//! | | `loop` | begins again at the end |
//! | clips, `pipe:`, `v4l2:` | `matrix=601\|709`, `range=full\|limited` | what Y'CbCr means; limited BT.601 when not said. Clips of 720 rows and more are BT.709, and their header may say full range; `v4l2:` devices say themselves |
//! | `pipe:` | `format=` `yuyv` `uyvy` `nv12` `yuv420` `rgb24` `bgr24` `grey`, `width=`, `height=` | needed |
//! | | `stride=BYTES` | from a row of the first plane to the next, when rows are padded |
//! | | `fps=F` | for the log only: the sender sets the pace |
//! | `replay:` | `fps=F` | comes live, as for `file:`; a bare `fps` is the recording's own pace |
//! | `v4l2:` | `format=` as for `pipe:` or `mjpeg`, `width=`, `height=`, `fps=F` | what the device must do; what is not said is chosen by what it costs (see the `v4l2` room) |
//! | | `control.NAME=VALUE` | a control by the name that `v4l2-ctl -l` shows, set in the order they stand: `control.auto_exposure=1&control.exposure_time_absolute=200`; a menu's entry by its number or name |
//! | | `timeout=MS` | lost when no frame comes for so long (2000 when not said; 5000 for the first) |
//! | `synthetic:` | `width=`, `height=` | up to 4096; 640x480 when not said |
//! | | `fps=F` | 30 when not said; 0: as fast as it is read, every frame |
//! | | `seed=N` | another path, another field |
//! | | `format=` | as for `pipe:`; `rgb24` when not said. Y'CbCr is limited BT.601 |
//! | any | `fault.KEY=…` | injected faults: see [`fault`] |
//!
//! Examples: `file:clip.y4m?fps&loop`, `synthetic:field?seed=7&width=1280&height=720`,
//! `pipe:-?format=yuv420&width=640&height=480` behind
//! `rpicam-vid -n -t 0 --codec yuv420 --width 640 --height 480 -o -`.

mod encode;
pub mod fault;
pub mod field;
mod files;
pub mod mjpeg;
mod pace;
mod pipe;
mod portrait;
mod replay;
mod sensor;
mod sprite;
mod synthetic;
mod texture;
pub mod v4l2;
mod y4m;

pub use files::read_picture;

use crate::config::uri::{Uri, UriError};
use crate::frame::{Encoding, Frame, LayoutError, Matrix, Range};
use crate::record::FolderError;
use std::time::Duration;
use thiserror::Error;

/// The kinds of camera URI there are.
pub const KINDS: [&str; 5] = ["file", "pipe", "replay", "synthetic", "v4l2"];

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
    #[error(transparent)]
    Recording(#[from] FolderError),
    #[error("{source_name}: {error}")]
    Layout { source_name: String, error: LayoutError },
    #[error(transparent)]
    Uri(#[from] UriError),
}

impl CameraError {
    fn failed(source_name: &str, message: impl Into<String>) -> CameraError {
        CameraError::Failed { source_name: source_name.to_owned(), message: message.into() }
    }

    fn layout(source_name: &str) -> impl FnOnce(LayoutError) -> CameraError {
        move |error| CameraError::Layout { source_name: source_name.to_owned(), error }
    }
}

/// A source of frames. Formats and controls are chosen by URI when it is opened.
pub trait Camera: Send {
    /// What it is called in messages and on the screen.
    fn name(&self) -> &str;

    /// True when frames come at their own pace and those nobody takes are lost; false when
    /// the source waits for its reader (files).
    fn is_live(&self) -> bool;

    /// Waits up to `timeout` for the next frame and fills `frame`, reusing its allocation and
    /// changing its layout where the source does. Unless it returns [`Arrival::Frame`] the
    /// contents of `frame` mean nothing.
    fn read(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, CameraError>;

    /// Opens a lost source again.
    fn reopen(&mut self) -> Result<(), CameraError>;
}

/// The picture that is wanted, for cameras that offer a choice: at least as large as this, in
/// pixels, and as cheap to get there as can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub width: u32,
    pub height: u32,
}

/// Opens the camera that a URI names. A URI that is wrong is [`CameraError::Uri`], a source
/// that cannot be read [`CameraError::Failed`]. A device that is not there is waited for: it
/// begins as a lost one.
pub fn open(uri: &str, wanted: Wanted) -> Result<Box<dyn Camera>, CameraError> {
    let mut uri = Uri::parse(uri, "camera", &KINDS, "synthetic:portrait")?;
    let faults = fault::Faults::take(&mut uri)?;
    let camera: Box<dyn Camera> = match uri.scheme.as_str() {
        "file" => Box::new(files::FileCamera::open(uri)?),
        "pipe" => Box::new(pipe::open(uri)?),
        "replay" => Box::new(replay::open(uri)?),
        "v4l2" => Box::new(v4l2::open(uri, wanted)?),
        _ => synthetic::open(uri)?,
    };
    Ok(match faults {
        Some(faults) => Box::new(fault::FaultyCamera::new(camera, faults)),
        None => camera,
    })
}

/// The parameters `matrix` and `range`, where they stand.
fn take_encoding(uri: &mut Uri) -> Result<(Option<Matrix>, Option<Range>), UriError> {
    let matrix = uri.take_one_of("matrix", &[("601", Matrix::Bt601), ("709", Matrix::Bt709)])?;
    let range = uri.take_one_of("range", &[("full", Range::Full), ("limited", Range::Limited)])?;
    Ok((matrix, range))
}

/// `given`, or what stands in for it.
fn encoding_or(given: (Option<Matrix>, Option<Range>), otherwise: Encoding) -> Encoding {
    Encoding {
        matrix: given.0.unwrap_or(otherwise.matrix),
        range: given.1.unwrap_or(otherwise.range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(uri: &str) -> String {
        open(uri, Wanted::default()).err().expect(uri).to_string()
    }

    #[test]
    fn wrong_uris_say_what_would_be_right() {
        assert_eq!(
            error("v4l:/dev/video0"),
            "camera \"v4l:/dev/video0\": unknown kind \"v4l:\"; did you mean \"v4l2:\"? (there are file pipe replay synthetic v4l2)"
        );
        assert!(error("clip.y4m").contains("expected one of file pipe replay synthetic v4l2"));
        assert_eq!(
            error("synthetic:potrait"),
            "synthetic:potrait: \"potrait\" is not a scene; did you mean \"portrait\"? (there are portrait field)"
        );
        assert!(error("synthetic:field?sed=3").contains("did you mean \"seed\"?"));
        assert!(error("synthetic:portrait?width=100000&height=100000").contains("1 to 4096"));
        assert!(error("synthetic:portrait?width=0").contains("1 to 4096"));
        assert!(error("synthetic:portrait?fps=nan").contains("fps=nan is not"));
        assert!(error("synthetic:portrait?fps=1e-300").contains("fps=1e-300 is not"));
        assert!(error("pipe:-?width=4&height=4").contains("add format=yuv420"));
        assert!(error("pipe:-?format=yuv&width=4&height=4").contains("yuyv"));
        assert!(error("pipe:-?format=yuyv&width=100000&height=100000").contains("1 to 16384"));
        assert!(error("pipe:-?format=yuyv&width=0&height=4").contains("1 to 16384"));
        assert!(error("pipe:-?format=yuyv&width=16384&height=16384").contains("16384x16384"));
        assert!(error("pipe:-?format=yuyv&width=8&height=4&stride=5").contains("at least 16"));
        assert!(error("pipe:x?format=yuyv&width=4&height=4").contains("\"x\" is not -"));
        assert!(error("file:").contains("path"));
    }
}
