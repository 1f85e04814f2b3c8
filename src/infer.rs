//! `segcam infer`: images to masks and overlays, tensors to tensors.

use crate::camera::{CameraError, read_picture};
use crate::compose::{Compositor, Scene, Settings, Shown, Status};
use crate::files::{self, WriteError};
use crate::network::NetworkError;
use crate::network::load::{Options, describe, load};
use crate::network::model::{Model, ModelArguments, read};
use crate::network::plan::Session;
use crate::npy::{self, NpyError};
use crate::segment::{Mask, SegmentError, Segmented, Segmenter};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum InferError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("{file}: {error}")]
    Segment { file: String, error: SegmentError },
    #[error(transparent)]
    Image(#[from] CameraError),
    #[error(transparent)]
    Tensor(#[from] NpyError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("{file}: its mask would be written over {}, the mask of another image of this call; give each a name of its own, or another -o", path.display())]
    Twice { file: String, path: PathBuf },
    #[error("{0}")]
    Output(String),
}

/// One image's result, a line of JSON.
#[derive(Debug, Serialize)]
pub struct ImageResult {
    pub file: String,
    pub mask: PathBuf,
    pub overlay: PathBuf,
    pub age_ms: f32,
    /// Milliseconds by stage.
    pub stages: BTreeMap<&'static str, f32>,
    /// Share of the labelled pixels by class, for classes that occur.
    pub classes: BTreeMap<String, f32>,
}

/// Labels images one after the other.
pub struct Inferer {
    segmenter: Segmenter,
    folder: PathBuf,
    segmented: Segmented,
    compositor: Compositor,
    written: HashSet<PathBuf>,
}

impl Inferer {
    /// `folder` is made when it is missing.
    pub fn new(model: Arc<Model>, folder: PathBuf) -> Result<Inferer, InferError> {
        std::fs::create_dir_all(&folder)
            .map_err(|cause| WriteError { path: folder.clone(), cause })?;
        let name = model.name.clone();
        let segmenter =
            Segmenter::new(model).map_err(|error| InferError::Segment { file: name, error })?;
        Ok(Inferer {
            segmenter,
            folder,
            segmented: Segmented::default(),
            compositor: Compositor::default(),
            written: HashSet::new(),
        })
    }

    /// Writes `NAME.mask.png` (8-bit class ids, the image's size; 255 where the network saw
    /// nothing) and `NAME.overlay.png` beside each other.
    pub fn image(&mut self, path: &Path) -> Result<ImageResult, InferError> {
        let start = Instant::now();
        let file = path.display().to_string();
        read_picture(path, self.segmented.frame_mut())?;
        self.segmented
            .segment(&mut self.segmenter)
            .map_err(|error| InferError::Segment { file: file.clone(), error })?;
        let model = Arc::clone(self.segmenter.model());
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mask_path = self.folder.join(format!("{stem}.mask.png"));
        let overlay = self.folder.join(format!("{stem}.overlay.png"));
        if !self.written.insert(mask_path.clone()) {
            return Err(InferError::Twice { file, path: mask_path });
        }
        // A picture in a file is of any age.
        let Some(mask) = self.segmented.mask(Duration::MAX) else {
            let error = NetworkError::Run("it gave no mask".to_owned()).into();
            return Err(InferError::Segment { file, error });
        };
        let (labels, areas) = (mask.labels(), mask.shares());
        let (width, height) = (labels.width, labels.height);
        let bytes = png(&labels.ids, width, height, ExtendedColorType::L8, &mask_path)?;
        files::write(&mask_path, &bytes)?;
        let pixels = draw_overlay(&mut self.compositor, &model, mask);
        let bytes = png(&pixels, width, height, ExtendedColorType::Rgb8, &overlay)?;
        files::write(&overlay, &bytes)?;
        let times = self.segmented.times();
        let milliseconds = |time: Duration| time.as_secs_f32() * 1e3;
        let present = model.classes.iter().zip(areas).filter(|(_, share)| **share > 0.0);
        Ok(ImageResult {
            file,
            mask: mask_path,
            overlay,
            age_ms: milliseconds(start.elapsed()),
            stages: BTreeMap::from([
                ("prepare", milliseconds(times.prepare)),
                ("network", milliseconds(times.network)),
                ("decode", milliseconds(times.decode)),
            ]),
            classes: present.map(|(class, share)| (class.name.clone(), *share)).collect(),
        })
    }
}

/// The mask over the image, as RGB.
fn draw_overlay(compositor: &mut Compositor, model: &Model, mask: Mask) -> Vec<u8> {
    let settings = Settings { status: false, ..Settings::default() };
    let scene = Scene {
        shown: Shown::Live(mask),
        classes: &model.classes,
        status: &Status::default(),
        settings: &settings,
    };
    let mut pixels = Vec::with_capacity(3 * mask.labels().ids.len());
    compositor.compose(&scene, None, &mut |_, row| {
        pixels.extend(row.chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
    });
    pixels
}

fn png(
    pixels: &[u8],
    width: u32,
    height: u32,
    color: ExtendedColorType,
    path: &Path,
) -> Result<Vec<u8>, InferError> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(pixels, width, height, color)
        .map_err(|error| InferError::Output(format!("{}: {error}", path.display())))?;
    Ok(bytes)
}

/// One output tensor's file.
#[derive(Debug, Serialize)]
pub struct TensorResult {
    pub output: String,
    pub file: PathBuf,
    pub shape: Vec<usize>,
}

/// Runs the bare network on the tensors in .npy files, one for each input, and writes each
/// output: `out.npy`, `out.1.npy` …
pub fn tensors(
    arguments: &ModelArguments,
    inputs: &[PathBuf],
    output: &Path,
) -> Result<Vec<TensorResult>, InferError> {
    let files = read(arguments)?;
    let tensors = inputs.iter().map(|path| npy::read(path)).collect::<Result<Vec<_>, _>>()?;
    // An input too many stays unresolved here; the count is checked next.
    let shape = |index: usize| tensors.get(index).map_or_else(Vec::new, |t| t.shape().to_vec());
    let options = Options {
        resolve: &|input| Ok(shape(input.index)),
        threads: arguments.threads,
        memory: arguments.memory,
        compared: &|_| None,
    };
    let network = load(&files.path, files.proto, &options)?;
    if network.ports.inputs.len() != tensors.len() {
        return Err(NetworkError::Card {
            path: files.path,
            field: "--tensor".to_owned(),
            found: format!("{} files", tensors.len()),
            expected: format!("{}, one for each input in order", network.ports.inputs.len()),
        }
        .into());
    }
    let mut session = Session::new(&network)?;
    for (index, (tensor, port)) in tensors.into_iter().zip(&network.ports.inputs).enumerate() {
        if (port.element, &port.shape[..]) != (tensor.datum_type(), tensor.shape()) {
            let found = describe(tensor.datum_type(), tensor.shape());
            return Err(NetworkError::Input {
                index,
                name: port.name.clone(),
                found: format!("{found} in {}", inputs[index].display()),
                expected: port.describe(),
            }
            .into());
        }
        *session.input(index) = tensor;
    }
    let outputs = session.run()?;
    let mut written = Vec::new();
    for (index, (value, port)) in outputs.iter().zip(&network.ports.outputs).enumerate() {
        let file = match index {
            0 => output.to_owned(),
            _ => output.with_extension(format!("{index}.npy")),
        };
        let bytes = npy::to_bytes(value).ok_or_else(|| {
            InferError::Output(format!("{}: NumPy has no {:?}", port.name, value.datum_type()))
        })?;
        files::write(&file, &bytes)?;
        written.push(TensorResult {
            output: port.name.clone(),
            file,
            shape: value.shape().to_vec(),
        });
    }
    Ok(written)
}
