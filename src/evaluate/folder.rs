//! `segcam eval`: a folder of images with their true masks, one network or two.

use super::differ::{self, Names};
use super::png;
use super::set::{Set, stem};
use super::{Agreement, Comparison, EvaluateError, Meaning, Measures, Report, comparison, matrix};
use crate::camera::{CameraError, read_picture};
use crate::config::card::Kind;
use crate::decode::LabelMap;
use crate::files::WriteError;
use crate::frame::Frame;
use crate::network::model::Model;
use crate::segment::{SegmentError, Segmenter, StepTimes};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tract_onnx::prelude::DatumType;

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
    #[error("{}: {error}", path.display())]
    Truth { path: PathBuf, error: EvaluateError },
    #[error("{}: {found}, expected {expected}", path.display())]
    Mask { path: PathBuf, found: String, expected: String },
    #[error(
        "{other} has {found} classes, {model} has {expected}: only networks with the same classes can be compared; choose another, or mend its card"
    )]
    Classes { model: String, expected: usize, other: String, found: usize },
    #[error(
        "{}: its picture would have the same name as that of {}; give each a name of its own", second.display(), first.display()
    )]
    Twice { first: PathBuf, second: PathBuf },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("{}: {error}", path.display())]
    Picture { path: PathBuf, error: image::ImageError },
}

/// What to evaluate.
pub struct Job<'a> {
    pub model: Arc<Model>,
    /// To compare with.
    pub other: Option<Arc<Model>>,
    /// With images/ and masks/; for a comparison images are enough.
    pub folder: &'a Path,
    /// Where pictures go: confusion.png (and confusion.other.png), and for a comparison
    /// NAME.differ.png of each image NAME. Made when it is missing.
    pub pictures: Option<&'a Path>,
}

/// The result; its `Display` is tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// How many.
    pub pictures: u64,
    /// None without masks.
    #[serde(flatten)]
    pub report: Option<Report>,
    /// The other network's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// A network at work, with what is measured of it.
pub(super) struct Subject {
    model: Arc<Model>,
    segmenter: Segmenter,
    pub labels: LabelMap,
    measures: Measures,
    /// Whether the output's numbers are probabilities or logits, which integers are not: they
    /// are steps of a size that they do not tell.
    has_scores: bool,
}

impl Subject {
    pub fn new(model: Arc<Model>, folder: &Path) -> Result<Subject, FolderError> {
        let segmenter = Segmenter::new(Arc::clone(&model))
            .map_err(|error| FolderError::Segment { path: folder.to_owned(), error })?;
        let output = &model.output;
        let element = model.network.ports.outputs.get(output.index).map(|port| port.element);
        Ok(Subject {
            segmenter,
            labels: LabelMap::default(),
            measures: Measures::new(model.classes.len()),
            has_scores: output.kind != Kind::Labels && element == Some(DatumType::F32),
            model,
        })
    }

    /// Labels a picture, and measures where it has a truth.
    pub fn look(&mut self, frame: &Frame, truth: Option<&LabelMap>) -> Result<(), SegmentError> {
        let Subject { model, segmenter, labels, measures, has_scores } = self;
        labels.reset(frame.width(), frame.height());
        let mut times = StepTimes::default();
        segmenter.each_part(frame, &mut times, &mut |decoder, scores, mapping, _| {
            decoder.decode(scores, mapping, labels)?;
            if let Some(truth) = truth.filter(|_| *has_scores)
                && let Some(meaning) = Meaning::of(model.output.kind, scores)
            {
                measures.losses.add(scores, meaning, mapping, truth)?;
            }
            Ok(())
        })
    }

    fn names(&self) -> Vec<String> {
        self.model.classes.iter().map(|class| class.name.clone()).collect()
    }

    fn report(&self) -> Report {
        self.measures.report(&self.names())
    }

    fn write_matrix(&self, name: &str, path: &Path) -> Result<(), FolderError> {
        let picture = matrix::draw(&self.measures.confusion, &self.model.classes, name);
        png::write(path, picture.width(), (0..picture.height()).map(|y| picture.row(y)))
    }
}

/// Labels the images of a folder, one at a time, and compares with their masks and between the
/// networks.
pub fn folder(job: Job) -> Result<Evaluation, FolderError> {
    let set = Set::open(job.folder, job.other.is_some())?;
    let names = names(&job);
    let mut model = Subject::new(job.model, job.folder)?;
    let classes = model.model.classes.len();
    let other = job.other.map(|other| Subject::new(other, job.folder)).transpose()?;
    if let Some(other) = &other
        && other.model.classes.len() != classes
    {
        let [model, other_name] = names;
        let found = other.model.classes.len();
        return Err(FolderError::Classes { model, expected: classes, other: other_name, found });
    }
    let mut other = other.map(|other| (other, Agreement::new(classes, set.has_masks())));
    if let Some(pictures) = job.pictures {
        std::fs::create_dir_all(pictures)
            .map_err(|cause| WriteError { path: pictures.to_owned(), cause })?;
        if other.is_some() {
            check_names(&set.images)?;
        }
    }
    let (mut frame, mut truth) = (Frame::empty(), LabelMap::default());
    for image in &set.images {
        read_picture(image, &mut frame)?;
        let has_truth = set.truth(image, &frame, classes, &mut truth)?;
        let truth = has_truth.then_some(&truth);
        let failed = |error| FolderError::Segment { path: image.clone(), error };
        model.look(&frame, truth).map_err(failed)?;
        measure(&mut model, image, truth)?;
        let Some((other, agreement)) = &mut other else { continue };
        other.look(&frame, truth).map_err(failed)?;
        measure(other, image, truth)?;
        let tally = agreement.add(&model.labels, &other.labels, truth);
        if let Some(pictures) = job.pictures {
            let [first, second] = &names;
            let names = Names { model: first, other: second };
            let legend = differ::legend(frame.width(), &tally, has_truth, &names);
            let bytes = differ::draw(&frame, [&model.labels, &other.labels], truth, &legend);
            let path = pictures.join(format!("{}.differ.png", stem(image)));
            png::write(&path, frame.width(), [&bytes[..]])?;
        }
    }
    if let Some(pictures) = job.pictures.filter(|_| set.has_masks()) {
        let [first, second] = &names;
        model.write_matrix(first, &pictures.join("confusion.png"))?;
        if let Some((other, _)) = &other {
            other.write_matrix(second, &pictures.join("confusion.other.png"))?;
        }
    }
    let (other, agreement) = other.unzip();
    let [first, second] = names;
    Ok(Evaluation {
        pictures: set.images.len() as u64,
        report: set.has_masks().then(|| model.report()),
        other: other.filter(|_| set.has_masks()).map(|other| other.report()),
        comparison: agreement.map(|agreement| Comparison {
            model: first,
            other: second,
            agreement: agreement.report(&model.names()),
        }),
    })
}

/// What the two are called: by their cards, and by their files where these say the same.
fn names(job: &Job) -> [String; 2] {
    let model = job.model.name.clone();
    let other = job.other.as_ref().map_or(String::new(), |other| other.name.clone());
    if model == other { [model, format!("other {other}")] } else { [model, other] }
}

fn measure(
    subject: &mut Subject,
    image: &Path,
    truth: Option<&LabelMap>,
) -> Result<(), FolderError> {
    let Some(truth) = truth else { return Ok(()) };
    subject
        .measures
        .add(truth, &subject.labels)
        .map_err(|error: EvaluateError| FolderError::Truth { path: image.to_owned(), error })
}

/// Pictures with the same stem would be written over each other.
fn check_names(images: &[PathBuf]) -> Result<(), FolderError> {
    let mut known: HashMap<String, &PathBuf> = HashMap::new();
    for image in images {
        if let Some(first) = known.insert(stem(image), image) {
            return Err(FolderError::Twice { first: first.clone(), second: image.clone() });
        }
    }
    Ok(())
}

impl fmt::Display for Evaluation {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match (&self.report, &self.other, &self.comparison) {
            (Some(report), Some(other), Some(comparison)) => {
                let reports = [report, other];
                write!(out, "{}", comparison::Table { comparison, reports })?;
                write!(out, "\n{comparison}")
            }
            (Some(report), ..) => write!(out, "{report}"),
            (None, _, Some(comparison)) => write!(out, "{comparison}"),
            (None, _, None) => Ok(()),
        }
    }
}
