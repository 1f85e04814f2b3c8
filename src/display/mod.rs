//! Where pictures go.

mod ansi;
mod console;
pub mod drm;
pub mod fbdev;
mod null;
mod png;
mod rotate;
pub mod spi;
mod terminal;
#[cfg(feature = "window")]
mod window;

use crate::config::uri::{Uri, UriError};
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

impl Key {
    /// The key that types `character`; escape is a character too.
    pub fn from_char(character: char) -> Option<Key> {
        Some(match character.to_ascii_lowercase() {
            'v' => Key::View,
            '+' | '=' => Key::MoreAlpha,
            '-' | '_' => Key::LessAlpha,
            'l' => Key::Legend,
            'c' => Key::Class,
            ' ' => Key::Pause,
            's' => Key::Snapshot,
            'q' | '\u{1b}' => Key::Quit,
            _ => return None,
        })
    }
}

#[derive(Debug, Error)]
pub enum DisplayError {
    #[error("{display}: {cause}")]
    Io { display: String, cause: std::io::Error },
    #[error("{display}: {message}")]
    Failed { display: String, message: String },
    #[error(transparent)]
    Write(#[from] crate::files::WriteError),
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

    /// Brings to its end what was held back: to be called after the last picture, so that an
    /// error can be told. Dropping the display does the same in silence.
    fn finish(&mut self) -> Result<(), DisplayError> {
        Ok(())
    }
}

/// Opens the display that `uri` names:
/// * `drm:/dev/dri/card0?connector=HDMI-A-1&mode=1280x720@60` shows on a screen through the
///   kernel's mode setting; without a path on the first card that has a screen, in the mode
///   that the screen prefers,
/// * `fbdev:/dev/fb0` shows on a framebuffer, the first one without a path,
/// * `spi:PANEL?dc=25&reset=24&backlight=18` is a panel on a serial bus ([`spi`]),
/// * `png:DIR?last=N&every=SECONDS&prefix=frame-` writes files `DIR/frame-000042.png`,
/// * `terminal:` draws with half blocks on the terminal that standard output is,
/// * `window:` opens a desktop window (cargo feature `window`),
/// * `null:?size=800x480` shows nothing; without a size it takes pictures of any.
///
/// `drm:`, `fbdev:` and `spi:` turn pictures clockwise with `rotate=90`, `180` or `270`.
pub fn open(uri: &str) -> Result<Box<dyn Display>, DisplayError> {
    const KINDS: [&str; 7] = ["drm", "fbdev", "spi", "png", "terminal", "window", "null"];
    let uri = Uri::parse(uri, "display", &KINDS, "png:segcam-out")?;
    Ok(match uri.scheme.as_str() {
        "drm" => Box::new(drm::Drm::open(uri)?),
        "fbdev" => Box::new(fbdev::Fbdev::open(uri)?),
        "spi" => spi::open(uri)?,
        "png" => Box::new(png::Png::open(uri)?),
        "terminal" => Box::new(terminal::Terminal::open(uri)?),
        "null" => Box::new(null::Null::open(uri)?),
        _ => open_window(uri)?,
    })
}

#[cfg(feature = "window")]
fn open_window(uri: Uri) -> Result<Box<dyn Display>, DisplayError> {
    Ok(Box::new(window::Window::open(uri)?))
}

#[cfg(not(feature = "window"))]
fn open_window(uri: Uri) -> Result<Box<dyn Display>, DisplayError> {
    Err(DisplayError::Failed {
        display: uri.text().to_owned(),
        message: "this segcam was built without windows; build it with `cargo build --release \
                  --features window` (needs libsdl2-dev), or take terminal: or png:DIR"
            .to_owned(),
    })
}

/// Refuses a path where a kind of display has none.
fn no_path(uri: &Uri) -> Result<(), DisplayError> {
    if uri.path.is_empty() {
        return Ok(());
    }
    let message = format!("takes no path; write {}:", uri.scheme);
    Err(DisplayError::Failed { display: uri.text().to_owned(), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows a picture of one colour (blue, green, red, unused).
    pub fn show(display: &mut dyn Display, size: (u32, u32), color: [u8; 4], sequence: u64) {
        let (width, height) = size;
        display.begin(Size { width, height }).unwrap();
        let row = color.repeat(width as usize);
        for y in 0..height {
            display.write_row(y, &row);
        }
        display.present(sequence).unwrap();
    }

    fn refused(uri: &str) -> String {
        match open(uri) {
            Ok(_) => panic!("{uri} was opened"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn wrong_uris_say_what_would_be_right() {
        assert!(refused("segcam-out").contains("such as \"png:segcam-out\""));
        assert!(refused("pgn:x").contains("did you mean \"png:\"?"));
        assert!(refused("png:").contains("write png:segcam-out"));
        assert!(refused("png:/tmp?lats=3").contains("did you mean \"last\"?"));
        assert!(refused("png:/tmp?last=0").contains("last=0 is not a number from 1"));
        assert!(refused("png:/tmp?every=-1").contains("every=-1 is not a number from 0"));
        assert!(refused("png:/tmp?prefix=a/b").contains("prefix=a/b is not"));
        assert!(refused("null:?size=800").contains("size=800 is not"));
        assert!(refused("null:?size=0x5").contains("size=0x5 is not"));
        assert!(refused("null:x").contains("takes no path; write null:"));
    }

    #[test]
    fn what_is_no_screen_is_not_even_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = file.path().to_str().unwrap();
        for path in ["/dev/null", "/dev", file] {
            let error = refused(&format!("drm:{path}"));
            assert!(error.starts_with(&format!("{path}: is no graphics card; ")), "{error}");
            let error = refused(&format!("fbdev:{path}"));
            assert!(error.starts_with(&format!("{path}: is no framebuffer; take ")), "{error}");
        }
        for missing in ["drm:/dev/dri/card77", "fbdev:/dev/fb77", "drm:\u{0}"] {
            let error = refused(missing);
            assert!(error.contains("(os error ") && error.contains("; "), "{error}");
        }
    }

    #[test]
    fn parameters_of_screens_are_checked_first() {
        assert!(refused("drm:?mode=800").contains("mode=800 is not a mode, such as 1280x720"));
        assert!(refused("drm:?rotate=45").contains("rotate=45 is not one of 0 90 180 270"));
        assert!(refused("fbdev:?rotat=90").contains("did you mean \"rotate\"?"));
        assert!(refused("drm:?conector=x").contains("did you mean \"connector\"?"));
    }

    #[test]
    #[cfg(not(feature = "window"))]
    fn without_the_feature_a_window_says_how_to_get_one() {
        assert!(refused("window:").contains("cargo build --release --features window"));
    }

    #[test]
    fn keys_are_what_they_type() {
        assert_eq!(Key::from_char('V'), Some(Key::View));
        assert_eq!(Key::from_char('='), Some(Key::MoreAlpha));
        assert_eq!(Key::from_char('\u{1b}'), Some(Key::Quit));
        assert_eq!(Key::from_char('x'), None);
    }
}
