//! `segcam eval`: a folder of images with their true masks.

use super::{Confusion, CrossEntropy, EvaluateError, Meaning, Report};
use crate::camera::{CameraError, read_picture};
use crate::config::card::Kind;
use crate::decode::LabelMap;
use crate::frame::{Frame, PixelFormat};
use crate::network::model::Model;
use crate::segment::{SegmentError, Segmenter, StepTimes};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum FolderError {
    #[error("{}: cannot be read: {cause}; expected a folder with images/ and masks/", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{}: no PNG or JPEG images there; put the pictures to label in it", path.display())]
    Empty { path: PathBuf },
    #[error("{}: no mask for it: expected {}", image.display(), mask.display())]
    NoMask { image: PathBuf, mask: PathBuf },
    #[error(transparent)]
    Image(#[from] CameraError),
    #[error("{}: {error}", path.display())]
    Segment { path: PathBuf, error: SegmentError },
    #[error("{}: {found}, expected {expected}", path.display())]
    Mask { path: PathBuf, found: String, expected: String },
}

/// Labels FOLDER/images and compares with FOLDER/masks (the same names, PNG, 8-bit class ids,
/// 255 ignored).
pub fn folder(model: Arc<Model>, folder: &Path) -> Result<Report, FolderError> {
    let images = list(&folder.join("images"))?;
    let names: Vec<String> = model.classes.iter().map(|class| class.name.clone()).collect();
    let mut confusion = Confusion::new(names.len());
    let mut loss = CrossEntropy::default();
    let has_scores = model.output.kind != Kind::Labels;
    let mut segmenter = Segmenter::new(Arc::clone(&model))
        .map_err(|error| FolderError::Segment { path: folder.to_owned(), error })?;
    let mut labels = LabelMap::default();
    let (mut frame, mut mask) = (Frame::empty(), Frame::empty());
    for image in images {
        let name = image.file_stem().unwrap_or_default().to_string_lossy();
        let mask_path = folder.join("masks").join(format!("{name}.png"));
        if !mask_path.exists() {
            return Err(FolderError::NoMask { image, mask: mask_path });
        }
        read_picture(&image, &mut frame)?;
        read_picture(&mask_path, &mut mask)?;
        let size = (frame.width(), frame.height());
        if mask.layout.format != PixelFormat::Grey || (mask.width(), mask.height()) != size {
            let color = if mask.layout.format == PixelFormat::Grey { "grey" } else { "colour" };
            return Err(FolderError::Mask {
                path: mask_path,
                found: format!("{}x{} {color} pixels", mask.width(), mask.height()),
                expected: format!(
                    "{}x{} grey ones (class ids), the size of its image",
                    size.0, size.1
                ),
            });
        }
        let wrong = |error: EvaluateError| FolderError::Mask {
            path: mask_path.clone(),
            found: error.to_string(),
            expected: format!("ids below {} or 255", names.len()),
        };
        labels.reset(size.0, size.1);
        let mut problem = None;
        let parts = segmenter.each_part(
            &frame,
            &mut StepTimes::default(),
            &mut |decoder, scores, mapping, _| {
                decoder.decode(scores, mapping, &mut labels)?;
                if has_scores && let Some(meaning) = Meaning::of(model.output.kind, scores) {
                    let added = loss.add(scores, meaning, mapping, &mask.data, [size.1, size.0]);
                    problem = problem.take().or(added.err());
                }
                Ok(())
            },
        );
        parts.map_err(|error| FolderError::Segment { path: image.clone(), error })?;
        if let Some(error) = problem {
            return Err(wrong(error));
        }
        confusion.add(&mask.data, &labels.ids).map_err(wrong)?;
    }
    Ok(confusion.report(&names, has_scores.then_some(&loss)))
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
