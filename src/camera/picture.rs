//! PNG and JPEG files -> frames and masks, their sizes checked before they are decoded.

use super::CameraError;
use crate::decode::LabelMap;
use crate::frame::{Frame, Layout, MAX_SIDE, PixelFormat};
use image::{DynamicImage, ImageError, ImageReader, Limits};
use std::io::{BufRead, Seek};
use std::path::Path;
use std::time::Instant;

/// The largest file that is read.
const MAX_FILE: u64 = 256 << 20;
/// The most that decoding may allocate: 64 million pixels of 8 bytes.
const MAX_ALLOCATION: u64 = 512 << 20;

fn failed(path: &Path, message: String) -> CameraError {
    CameraError::Failed { source_name: path.display().to_string(), message }
}

/// Reads an image as RGB, or as GREY where it has no colours. Alpha is left out.
pub fn read_image(path: &Path) -> Result<Frame, CameraError> {
    let image = read(path)?;
    let (width, height) = (image.width(), image.height());
    let (format, data) = match image.color().has_color() {
        true => (PixelFormat::Rgb, image.into_rgb8().into_raw()),
        false => (PixelFormat::Grey, image.into_luma8().into_raw()),
    };
    let source_name = || path.display().to_string();
    let layout = Layout::packed(format, width, height)
        .map_err(|error| CameraError::Layout { source_name: source_name(), error })?;
    Ok(Frame { layout, sequence: 0, captured: Instant::now(), data, truth: Vec::new() })
}

/// Reads a mask: an image of 8-bit class ids.
pub fn read_mask(path: &Path) -> Result<LabelMap, CameraError> {
    let image = read(path)?;
    let (width, height) = (image.width(), image.height());
    match image {
        DynamicImage::ImageLuma8(ids) => Ok(LabelMap { width, height, ids: ids.into_raw() }),
        other => Err(failed(
            path,
            format!("is a {:?} image; a mask is an 8-bit grey PNG of class ids", other.color()),
        )),
    }
}

fn read(path: &Path) -> Result<DynamicImage, CameraError> {
    let unreadable =
        |error: std::io::Error| failed(path, format!("cannot be read: {error}; check the path"));
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_FILE {
        return Err(failed(path, format!("is {length} bytes long; at most {MAX_FILE} are read")));
    }
    let reader = ImageReader::open(path).map_err(unreadable)?;
    let reader = reader.with_guessed_format().map_err(unreadable)?;
    decode(reader).map_err(|error| failed(path, reason(&error)))
}

fn decode(mut reader: ImageReader<impl BufRead + Seek>) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let decoder = reader.into_decoder()?;
    DynamicImage::from_decoder(decoder)
}

fn reason(error: &ImageError) -> String {
    match error {
        ImageError::Unsupported(_) => {
            "is neither a PNG nor a JPEG image; convert it first".to_owned()
        }
        ImageError::Limits(_) => {
            format!("is larger than {MAX_SIDE} pixels a side or 64 million in all; make it smaller")
        }
        error => format!("is damaged ({error}); copy or export it again"),
    }
}
