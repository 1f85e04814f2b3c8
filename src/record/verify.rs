//! `segcam verify`: the recorded frames through the recorded model, mask for mask.

use super::folder::{Folder, FolderError};
use super::segment::{Record, Segment, Step};
use super::{About, name, settings};
use crate::decode::LabelMap;
use crate::frame::Frame;
use crate::network::NetworkError;
use crate::network::model::{self, BUILT_IN, Model, ModelArguments};
use crate::segment::{SegmentError, Segmenter};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum VerifyError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{}: cannot be read: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("{segment}: was recorded with the model \"{recorded}\" of SHA-256 {sha256}, but {}; name that one by --model", offered.join(", "))]
    OtherModel { segment: String, recorded: String, sha256: String, offered: Vec<String> },
    #[error(
        "{segment}: was recorded with {recorded}, but the card of {model} makes that {found}; use the card of that time"
    )]
    OtherCard { segment: String, model: String, recorded: String, found: String },
    #[error("{segment}: frame {frame}: {error}")]
    Segment { segment: String, frame: u64, error: SegmentError },
}

/// A segment's result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SegmentReport {
    pub file: String,
    pub frames: u64,
    /// Masks that are the same, bit for bit.
    pub equal: u64,
    pub different: u64,
    /// Places that hold no frame though frames follow.
    pub damaged: u64,
    /// Bytes after the last whole frame.
    pub torn_bytes: u64,
    /// What is wrong first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_wrong: Option<String>,
}

impl SegmentReport {
    fn wrong(&mut self, what: impl FnOnce() -> String) {
        let what = self.first_wrong.get_or_insert_with(what);
        log::debug!("{what}");
    }
}

/// All segments of a folder.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub segments: Vec<SegmentReport>,
    pub frames: u64,
    pub equal: u64,
    pub different: u64,
    pub damaged: u64,
    /// Segments with a torn end.
    pub torn: u64,
    /// None: each whole frame has the mask that its model makes of it, and nothing between them
    /// is damaged. Torn ends are what power cuts leave, and no fault.
    pub first_wrong: Option<String>,
}

impl Report {
    fn add(&mut self, segment: SegmentReport) {
        self.frames += segment.frames;
        self.equal += segment.equal;
        self.different += segment.different;
        self.damaged += segment.damaged;
        self.torn += u64::from(segment.torn_bytes > 0);
        if self.first_wrong.is_none() {
            self.first_wrong.clone_from(&segment.first_wrong);
        }
        self.segments.push(segment);
    }
}

/// Reads all segments of a folder and compares each mask with what the model makes of its frame.
/// The models are the built-in one and `models`, told by their hashes; their cards are set as
/// they were recorded.
pub fn verify(path: &Path, models: &[ModelArguments]) -> Result<Report, VerifyError> {
    let (folder, numbers) = Folder::open(path)?;
    let mut report = Report::default();
    let mut workshop = Workshop { models, known: None };
    let (mut record, mut frame) = (Record::default(), Frame::empty());
    for number in numbers {
        let file = name(number);
        let mut found = SegmentReport { file: file.clone(), ..SegmentReport::default() };
        let mut segment = match Segment::open(&folder, number) {
            // The ring went on meanwhile.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => {
                found.damaged = 1;
                found.wrong(|| format!("{file}: cannot be read: {cause}"));
                report.add(found);
                continue;
            }
            Ok(segment) => segment,
        };
        loop {
            let step = segment.next(&mut record);
            match step.map_err(|cause| VerifyError::Read { path: path.join(&file), cause })? {
                Step::End { torn } => {
                    found.torn_bytes = torn;
                    break;
                }
                Step::Damaged(damage) => {
                    found.damaged += 1;
                    found.wrong(|| damage.to_string());
                }
                Step::Frame => {
                    found.frames += 1;
                    let Some(about) = &segment.about else {
                        found.different += 1;
                        found.wrong(|| {
                            format!(
                                "{file}: frame {}: no header says which model made its mask",
                                record.frame
                            )
                        });
                        continue;
                    };
                    frame.reshape(record.layout);
                    frame.data.own().copy_from_slice(&record.picture);
                    frame.sequence = record.frame;
                    let labels = workshop.labels(&file, about, &frame)?;
                    let differ = difference(labels, &record.labels);
                    if differ == 0 {
                        found.equal += 1;
                        continue;
                    }
                    found.different += 1;
                    let pixels = record.labels.ids.len();
                    found.wrong(|| {
                        let frame = record.frame;
                        format!(
                            "{file}: frame {frame}: {differ} of {pixels} pixels of its mask differ"
                        )
                    });
                }
            }
        }
        report.add(found);
    }
    Ok(report)
}

fn difference(one: &LabelMap, other: &LabelMap) -> usize {
    one.ids.iter().zip(&other.ids).filter(|(one, other)| one != other).count()
}

/// The most that a network may take, in bytes: its size can come from the recording.
const MEMORY: u64 = 4 << 30;

/// Runs the model that a header names.
struct Workshop<'a> {
    models: &'a [ModelArguments],
    known: Option<(About, Segmenter, LabelMap)>,
}

impl Workshop<'_> {
    fn labels(
        &mut self,
        segment: &str,
        about: &About,
        frame: &Frame,
    ) -> Result<&LabelMap, VerifyError> {
        let of_frame = |error| VerifyError::Segment {
            segment: segment.to_owned(),
            frame: frame.sequence,
            error,
        };
        let known = self.known.take().filter(|(known, ..)| known.model == about.model);
        let (about, mut segmenter, mut labels) = match known {
            Some(known) => known,
            None => {
                let model = Arc::new(self.open(segment, about)?);
                if model.kernels() != about.kernels {
                    let (then, now) = (&about.kernels, model.kernels());
                    log::info!("{segment}: recorded with {then} kernels, verified with {now}");
                }
                let segmenter = Segmenter::new(model).map_err(of_frame)?;
                (about.clone(), segmenter, LabelMap::default())
            }
        };
        segmenter.segment(frame, &mut labels).map_err(of_frame)?;
        Ok(&self.known.insert((about, segmenter, labels)).2)
    }

    fn open(&self, segment: &str, about: &About) -> Result<Model, VerifyError> {
        let built_in = ModelArguments {
            model: BUILT_IN.to_owned(),
            threads: 1,
            labels: true,
            ..ModelArguments::default()
        };
        let mut offered = Vec::new();
        for named in std::iter::once(&built_in).chain(self.models) {
            let found = model::read(named)?.sha256;
            if found != about.model.sha256 {
                offered.push(format!("{} has {found}", named.model));
                continue;
            }
            let recorded = &about.model.settings;
            let decides = |key: &str| key.starts_with("input.") || key.starts_with("output.");
            let set = recorded.iter().filter(|(key, _)| decides(key));
            let set = set.map(|(key, value)| format!("{key}={value}")).collect();
            let memory = Some(MEMORY);
            let model = model::open(&ModelArguments { set, memory, ..named.clone() })?;
            let now = settings(&model.card);
            if let Some((key, value)) = now.iter().find(|(key, _)| !recorded.contains_key(*key)) {
                return Err(VerifyError::OtherCard {
                    segment: segment.to_owned(),
                    model: named.model.clone(),
                    recorded: format!("no {key}"),
                    found: value.clone(),
                });
            }
            return Ok(model);
        }
        Err(VerifyError::OtherModel {
            segment: segment.to_owned(),
            recorded: about.model.name.clone(),
            sha256: about.model.sha256.clone(),
            offered,
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let row = |f: &mut Formatter, name: &str, cells: [u64; 5]| {
            let [frames, equal, different, damaged, torn] = cells;
            writeln!(f, "{name:<16} {frames:>8} {equal:>8} {different:>10} {damaged:>8} {torn:>10}")
        };
        writeln!(f, "segment            frames    equal  different  damaged  torn bytes")?;
        for segment in &self.segments {
            let SegmentReport { frames, equal, different, damaged, torn_bytes, .. } = *segment;
            row(f, &segment.file, [frames, equal, different, damaged, torn_bytes])?;
        }
        let torn = self.segments.iter().map(|segment| segment.torn_bytes).sum();
        row(f, "all", [self.frames, self.equal, self.different, self.damaged, torn])?;
        match &self.first_wrong {
            Some(wrong) => writeln!(f, "first wrong: {wrong}"),
            None => writeln!(f, "each mask is what its model makes of its frame, bit for bit"),
        }
    }
}
