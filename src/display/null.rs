//! `null:` shows nothing: for measuring and tests.

use super::{Display, DisplayError, Size, no_path};
use crate::config::uri::Uri;
use crate::frame::Layout;
use crate::frame::PixelFormat;

pub struct Null {
    size: Option<Size>,
}

impl Null {
    pub fn open(mut uri: Uri) -> Result<Null, DisplayError> {
        no_path(&uri)?;
        let size = match uri.take("size") {
            None => None,
            Some(text) => Some(read_size(&text).ok_or_else(|| {
                uri.refuse("size", &text, "a width and a height, such as 800x480")
            })?),
        };
        uri.finish()?;
        Ok(Null { size })
    }
}

fn read_size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    // What may be a frame may be a screen.
    Layout::packed(PixelFormat::Grey, width, height).ok()?;
    Some(Size { width, height })
}

impl Display for Null {
    fn size(&self) -> Option<Size> {
        self.size
    }

    fn begin(&mut self, _: Size) -> Result<(), DisplayError> {
        Ok(())
    }

    fn write_row(&mut self, _: u32, row: &[u8]) {
        std::hint::black_box(row);
    }

    fn present(&mut self, _: u64) -> Result<(), DisplayError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::display::{Size, open};

    #[test]
    fn its_size_is_open_or_as_asked() {
        assert_eq!(open("null:").unwrap().size(), None);
        let size = Size { width: 800, height: 480 };
        assert_eq!(open("null:?size=800x480").unwrap().size(), Some(size));
    }
}
