//! Networks at work on the calibration pictures: values of chosen tensors, and masks.

use super::QuantizeError;
use super::divergence::Distribution;
use super::pictures::Pictures;
use crate::config::card::{Axes, Card, Kind};
use crate::evaluate::Meaning;
use crate::network::load::{Network, Options, Resolve, load};
use crate::network::model::OutputSpec;
use crate::network::plan::Session;
use crate::network::specs::output_spec;
use crate::prepare::InputSpec;
use crate::segment::scores;
use std::ops::Range;
use tract_onnx::pb::{ModelProto, ValueInfoProto};
use tract_onnx::prelude::*;

/// How networks are loaded here.
pub struct Loading<'a> {
    pub path: &'a str,
    pub resolve: &'a Resolve<'a>,
    pub threads: usize,
}

impl Loading<'_> {
    pub fn load(&self, model: &ModelProto) -> Result<Network, QuantizeError> {
        let (resolve, threads) = (self.resolve, self.threads);
        let options = Options { resolve, threads, memory: None, compared: &|_| None };
        Ok(load(self.path, model.clone(), &options)?)
    }

    /// A network whose outputs are these tensors.
    pub fn tapped(&self, model: &ModelProto, taps: &[String]) -> Result<Session, QuantizeError> {
        let mut model = model.clone();
        if let Some(graph) = &mut model.graph {
            let info = |name: &String| {
                let known = graph.output.iter().find(|output| output.name == *name);
                let bare = || ValueInfoProto { name: name.clone(), ..Default::default() };
                known.cloned().unwrap_or_else(bare)
            };
            graph.output = taps.iter().map(info).collect();
        }
        Ok(Session::new(&self.load(&model)?)?)
    }
}

/// The outputs for a picture.
pub fn run(
    session: &mut Session,
    pictures: &Pictures,
    index: usize,
) -> Result<TVec<TValue>, QuantizeError> {
    let filled = pictures.fill(index, session.input(0));
    filled.map_err(|error| QuantizeError::Failed(error.to_string()))?;
    Ok(session.run()?)
}

/// A tensor's reals.
pub fn values(tensor: &Tensor) -> Result<&[f32], QuantizeError> {
    let failed = |error: TractError| QuantizeError::Failed(error.to_string());
    tensor.try_as_plain_ram().map_err(failed)?.as_slice::<f32>().map_err(failed)
}

/// The outputs that are masks or become masks.
pub fn masks(network: &Network, card: &Card, input: &InputSpec) -> Vec<OutputSpec> {
    let spec = |index: usize| {
        let mut card = card.clone();
        if index != card.output.index {
            card.output.kind = None;
        }
        card.output.index = index;
        output_spec(&network.ports, &card, input).ok()
    };
    (0..network.ports.outputs.len()).filter_map(spec).collect()
}

/// The class of each pixel of an output.
pub fn labels(tensor: &Tensor, spec: &OutputSpec) -> Result<Vec<u8>, QuantizeError> {
    let pixels = spec.height * spec.width;
    let reals =
        tensor.cast_to::<f32>().map_err(|error| QuantizeError::Failed(error.to_string()))?;
    let scores = values(&reals)?;
    let (pixel, channel) = match spec.axes {
        Axes::Nchw => (1, pixels),
        Axes::Nhwc => (spec.channels, 1),
    };
    let label = |at: usize| match spec.kind {
        Kind::Labels => scores[at] as u8,
        Kind::Probability => u8::from(scores[at] >= spec.threshold),
        Kind::Scores => {
            let score = |class: usize| scores[at * pixel + class * channel];
            (1..spec.channels).fold(0, |best, class| match score(class) > score(best) {
                true => class,
                false => best,
            }) as u8
        }
    };
    Ok((0..pixels).map(label).collect())
}

/// The probabilities that an output gives, read as `like` was. None of ids, and of what is no
/// number.
pub fn distribution(
    tensor: &Tensor,
    spec: &OutputSpec,
    area: [f64; 4],
    like: Option<&Distribution>,
) -> Option<Distribution> {
    let scores = scores(tensor, spec).ok()?;
    let meaning = match like {
        Some(like) => like.meaning,
        None => Meaning::of(spec.kind, &scores)?,
    };
    let (columns, rows) = within(spec, area);
    Some(Distribution::new(&scores, meaning, columns, rows))
}

/// The columns and rows of the picture's area.
fn within(spec: &OutputSpec, [left, right, top, bottom]: [f64; 4]) -> (Range<usize>, Range<usize>) {
    let along = |share: f64, length: usize| (share * length as f64).round() as usize;
    (
        along(left, spec.width)..along(right, spec.width),
        along(top, spec.height)..along(bottom, spec.height),
    )
}

/// How many pixels of the picture's area agree, and how many there are.
pub fn agreement(a: &[u8], b: &[u8], spec: &OutputSpec, area: [f64; 4]) -> (u64, u64) {
    let (columns, rows) = within(spec, area);
    let (mut same, mut all) = (0, 0);
    for y in rows {
        let row = y * spec.width + columns.start..y * spec.width + columns.end;
        all += row.len() as u64;
        same += a[row.clone()].iter().zip(&b[row]).filter(|(a, b)| a == b).count() as u64;
    }
    (same, all)
}
