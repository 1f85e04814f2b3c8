//! `segcam quantize`: a float network -> standard QDQ ONNX of 8 bits, after training.
//!
//! 1. [`normal`] brings the graph to one form: batch normalization folded ([`fold`]), operator
//!    set 13 or newer ([`opset`]).
//! 2. [`scheme`] says which tensors become bytes.
//! 3. [`calibrate`] runs the float network on [`pictures`] and keeps [`statistics`] of them.
//! 4. [`search`] tries ranges ([`range`], [`ranges`]), equalization ([`equalize`]) and bias
//!    correction ([`bias`]), and keeps what agrees best with the float masks.
//! 5. [`write`] puts it down, [`report`] tells layer by layer what it costs.

mod bias;
mod calibrate;
mod divergence;
mod equalize;
mod fold;
mod linear;
mod net;
mod noise;
mod normal;
mod opset;
mod pictures;
mod range;
mod ranges;
mod report;
mod rules;
mod run;
mod save;
mod scheme;
mod search;
mod statistics;
mod transposes;
mod write;

pub use range::Method;
pub use report::{Layer, Mask, Report};

use crate::camera::CameraError;
use crate::contain::contain;
use crate::files::WriteError;
use crate::network::NetworkError;
use crate::network::load::OpenInput;
use crate::network::model::{self, ModelArguments};
use crate::network::specs::{input_spec, open_shape};
use pictures::Pictures;
use run::Loading;
use std::path::Path;
use std::time::Instant;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum QuantizeError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// What is wrong before anything runs.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Picture(CameraError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A quantized network, not written yet.
pub struct Quantized {
    /// The ONNX file.
    pub bytes: Vec<u8>,
    pub report: Report,
}

/// Quantizes a float network on the pictures of a folder. `method`: of the ranges; None: the best
/// of them. `progress` is called with a line to show.
pub fn quantize(
    named: &ModelArguments,
    folder: &Path,
    method: Option<Method>,
    progress: &mut dyn FnMut(&str),
) -> Result<Quantized, QuantizeError> {
    let started = Instant::now();
    let model::Files { path, proto, card, .. } = model::read(named)?;
    let resolve = |input: &OpenInput| open_shape(&path, input, &card);
    let loading = Loading { path: &path, resolve: &resolve, threads: named.threads };
    let (net, facts) = normal::normal(&path, &proto, &resolve)?;
    let float = write::pack(&proto, net.clone());
    let network = loading.load(&float)?;
    let input = input_spec(&network.ports, &card)?;
    let masks = run::masks(&network, &card, &input);
    if masks.is_empty() {
        // Says what is wrong with it.
        crate::network::specs::output_spec(&network.ports, &card, &input)?;
    }
    let pictures = Pictures::read(folder, input, card.input.fit)?;
    let context = search::Context {
        loading: &loading,
        proto: &proto,
        float: &float,
        net: &net,
        facts: &facts,
        masks: &masks,
        pictures: &pictures,
    };
    let found = search::search(&context, method, progress)?;
    let bytes = prost::Message::encode_to_vec(&found.candidate.model);
    let report = report::report(&context, &found, &network, bytes.len(), started, progress)?;
    Ok(Quantized { bytes, report })
}

/// The same, written to `output`: an ONNX file, or a folder that takes the card, too.
pub fn to_file(
    named: &ModelArguments,
    folder: &Path,
    method: Option<Method>,
    output: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Report, QuantizeError> {
    let place = save::Place::new(output, named)?;
    // Files come from outside: what is not foreseen here is their fault, too.
    let done = contain(|| quantize(named, folder, method, progress)).unwrap_or_else(|panic| {
        let model = &named.model;
        let message = format!("{model}: is malformed ({panic}); export it again");
        Err(QuantizeError::Refused(message))
    });
    let Quantized { bytes, mut report } = done?;
    let (written, notes) = place.write(&bytes)?;
    report.output = written;
    report.notes.extend(notes);
    Ok(report)
}
