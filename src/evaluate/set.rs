//! The pictures of a folder and their masks.

use super::{FolderError, check_truth};
use crate::camera::read_picture;
use crate::decode::LabelMap;
use crate::frame::{Frame, PixelFormat};
use std::path::{Path, PathBuf};

/// FOLDER/images with FOLDER/masks (the same names, PNG, 8-bit class ids, 255 ignored).
pub struct Set {
    /// In name order.
    pub images: Vec<PathBuf>,
    /// None: the pictures have no truth.
    masks: Option<PathBuf>,
}

impl Set {
    /// `bare`: masks may be missing as a whole, and so may the folder `images`, then the folder
    /// itself holds the pictures.
    pub fn open(folder: &Path, bare: bool) -> Result<Set, FolderError> {
        let (images, masks) = (folder.join("images"), folder.join("masks"));
        if bare && !masks.is_dir() {
            let images = if images.is_dir() { &images } else { folder };
            return Ok(Set { images: list(images)?, masks: None });
        }
        Ok(Set { images: list(&images)?, masks: Some(masks) })
    }

    pub fn has_masks(&self) -> bool {
        self.masks.is_some()
    }

    /// Reads the mask of an image into `truth`; false where the set has none.
    pub fn truth(
        &self,
        image: &Path,
        frame: &Frame,
        classes: usize,
        truth: &mut LabelMap,
    ) -> Result<bool, FolderError> {
        let Some(masks) = &self.masks else { return Ok(false) };
        let path = masks.join(format!("{}.png", stem(image)));
        if !path.exists() {
            return Err(FolderError::NoMask { image: image.to_owned(), mask: path });
        }
        let mut mask = Frame::empty();
        read_picture(&path, &mut mask)?;
        let (width, height) = (frame.width(), frame.height());
        if mask.layout.format != PixelFormat::Grey
            || (mask.width(), mask.height()) != (width, height)
        {
            let color = if mask.layout.format == PixelFormat::Grey { "grey" } else { "colour" };
            return Err(FolderError::Mask {
                path,
                found: format!("{}x{} {color} pixels", mask.width(), mask.height()),
                expected: format!("{width}x{height} grey ones (class ids), the size of its image"),
            });
        }
        (truth.width, truth.height) = (width, height);
        truth.ids.clear();
        truth.ids.extend_from_slice(&mask.data);
        check_truth(&truth.ids, classes).map_err(|error| FolderError::Truth { path, error })?;
        Ok(true)
    }
}

/// An image's name without its ending.
pub fn stem(image: &Path) -> String {
    image.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The images of a folder in name order.
fn list(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let read = |cause| FolderError::Read { path: folder.to_owned(), cause };
    let mut images = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let kind = path.extension().and_then(|kind| kind.to_str()).map(str::to_ascii_lowercase);
        if matches!(kind.as_deref(), Some("png" | "jpg" | "jpeg")) {
            images.push(path);
        }
    }
    images.sort();
    if images.is_empty() { Err(FolderError::Empty { path: folder.to_owned() }) } else { Ok(images) }
}
