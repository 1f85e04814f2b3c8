//! The float network on all calibration pictures: statistics of its tensors, and its masks.

use super::QuantizeError;
use super::divergence::Distribution;
use super::net::Facts;
use super::run::{self, distribution, labels, values};
use super::search::Context;
use super::statistics::Statistics;
use crate::network::lower::Fact;
use crate::network::model::OutputSpec;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Bytes of tensors that are kept at once beside what the network itself needs.
const MOST_BYTES: usize = 256 << 20;

pub struct Calibration {
    pub statistics: HashMap<String, Statistics>,
    /// By picture, by mask.
    pub masks: Vec<Vec<Vec<u8>>>,
    /// By picture that a trial looks at, by mask.
    pub distributions: HashMap<usize, Vec<Option<Distribution>>>,
    /// All inferences, and the median one.
    pub time: Duration,
    pub inference: Duration,
}

/// `full`: tensors whose values are counted; of `means` only sums are kept.
pub fn calibrate(
    context: &Context,
    full: &[String],
    means: &[String],
    progress: &mut dyn FnMut(&str),
) -> Result<Calibration, QuantizeError> {
    let Context { loading, float, facts, masks, pictures, .. } = *context;
    let outputs: Vec<String> = float
        .graph
        .iter()
        .flat_map(|graph| &graph.output)
        .map(|output| output.name.clone())
        .collect();
    let full: HashSet<&String> = full.iter().collect();
    let inputs: HashSet<&String> =
        float.graph.iter().flat_map(|graph| &graph.input).map(|input| &input.name).collect();
    let mut wanted: Vec<&String> = full.iter().copied().chain(means).collect();
    wanted.retain(|name| !inputs.contains(name) && !outputs.contains(name));
    wanted.sort();
    wanted.dedup();
    let mut calibration = Calibration {
        statistics: HashMap::new(),
        masks: Vec::new(),
        distributions: HashMap::new(),
        time: Duration::ZERO,
        inference: Duration::ZERO,
    };
    let mut times = Vec::new();
    let tried = context.tried();
    let parts = parts(&wanted, facts);
    let count = parts.len() * pictures.len();
    for (part, taps) in parts.iter().enumerate() {
        let names: Vec<String> =
            outputs.iter().cloned().chain(taps.iter().map(|name| (*name).clone())).collect();
        let mut session = loading.tapped(float, &names)?;
        for index in 0..pictures.len() {
            let start = Instant::now();
            let results = run::run(&mut session, pictures, index)?;
            times.push(start.elapsed());
            progress(&format!(
                "calibrating: picture {} of {count}",
                part * pictures.len() + index + 1
            ));
            if part == 0 {
                let labels: Result<Vec<Vec<u8>>, QuantizeError> =
                    masks.iter().map(|spec| labels(&results[spec.index], spec)).collect();
                calibration.masks.push(labels?);
                if tried.contains(&index) {
                    let of = |spec: &OutputSpec| {
                        distribution(&results[spec.index], spec, pictures.area(index), None)
                    };
                    calibration.distributions.insert(index, masks.iter().map(of).collect());
                }
            }
            for (name, result) in names.iter().zip(&results) {
                let used = full.contains(name) || means.contains(name);
                let first = part == 0 || !outputs.contains(name);
                if !used || !first {
                    continue;
                }
                let statistics = calibration.statistics.entry(name.clone()).or_default();
                let histogram = full.contains(name);
                if !statistics.add(values(result)?, result.shape(), histogram) {
                    return Err(QuantizeError::Failed(format!(
                        "{}: \"{name}\" is not finite on calibration picture {}; check the card's \
                         input.mean and input.std, or train the network again",
                        loading.path,
                        index + 1
                    )));
                }
            }
        }
    }
    calibration.time = times.iter().sum();
    times.sort();
    calibration.inference = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(calibration)
}

/// Tensors in parts that are small enough to be kept.
fn parts<'n>(names: &[&'n String], facts: &Facts) -> Vec<Vec<&'n String>> {
    let size = |name: &String| {
        facts.get(name).map_or(0, |Fact { shape, .. }| 4 * shape.iter().product::<usize>())
    };
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for name in names {
        if bytes > 0 && bytes + size(name) > MOST_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size(name);
        if let Some(last) = parts.last_mut() {
            last.push(*name);
        }
    }
    parts
}
