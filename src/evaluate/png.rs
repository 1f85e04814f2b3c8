//! Pictures as files.

use super::FolderError;
use crate::files;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use std::path::Path;

/// Rows of blue, green, red, unused: what pictures are drawn as.
pub fn write<'a>(
    path: &Path,
    width: u32,
    rows: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(), FolderError> {
    let mut rgb = Vec::new();
    for row in rows {
        rgb.extend(row.chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
    }
    let height = rgb.len() / (3 * width.max(1) as usize);
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&rgb, width, height as u32, ExtendedColorType::Rgb8)
        .map_err(|error| FolderError::Picture { path: path.to_owned(), error })?;
    Ok(files::write(path, &bytes)?)
}
