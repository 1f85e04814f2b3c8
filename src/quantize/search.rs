//! Tries ways to quantize on some of the calibration pictures and keeps the one whose masks agree
//! best with the float network's. How much is tried does not depend on how long it takes, so that
//! two runs give the same file.

use super::bias::correct;
use super::calibrate::{Calibration, calibrate};
use super::equalize::{Factors, equalize};
use super::net::{Facts, Net};
use super::pictures::Pictures;
use super::range::{Bytes, Method, Range};
use super::run::{self, Loading, agreement, labels};
use super::scheme::{Scheme, scheme};
use super::{QuantizeError, ranges, write};
use crate::network::model::OutputSpec;
use crate::network::plan::Session;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::ModelProto;

/// Pictures that a trial looks at.
const TRIAL_PICTURES: usize = 8;

const METHODS: [Method; 4] =
    [Method::SquaredError, Method::Percentile(1e-4), Method::MinMax, Method::Percentile(5e-4)];
const STRENGTHS: [f64; 2] = [0.5, 1.0];

pub struct Context<'a> {
    pub loading: &'a Loading<'a>,
    /// As the user has it.
    pub proto: &'a ModelProto,
    /// In normal form.
    pub float: &'a ModelProto,
    pub net: &'a Net,
    pub facts: &'a Facts,
    pub masks: &'a [OutputSpec],
    pub pictures: &'a Pictures,
}

/// A way to quantize.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub method: Method,
    /// Of the equalization; 0: none.
    pub strength: f64,
    pub corrected: bool,
    /// Nodes left in float.
    pub kept: HashSet<String>,
}

/// A quantized network with all that led to it.
pub struct Candidate {
    pub model: ModelProto,
    /// What the marked tensors are called where they are read.
    pub names: HashMap<String, String>,
    /// The float network with the same channel factors.
    pub net: Net,
    pub scheme: Scheme,
}

pub struct Found {
    pub candidate: Candidate,
    pub choice: Choice,
    /// Agreement of each mask on all pictures.
    pub agreement: Vec<f64>,
    pub calibration: Calibration,
    pub model: ModelProto,
}

pub fn search(
    context: &Context,
    method: Option<Method>,
    progress: &mut dyn FnMut(&str),
) -> Result<Found, QuantizeError> {
    let plan = scheme(context.net, context.facts, &HashSet::new());
    if plan.linear.is_empty() {
        let why: Vec<String> = plan
            .layers
            .iter()
            .filter_map(|(index, why)| {
                let node = &context.net.graph.node[*index];
                Some(format!("\"{}\" ({}): {}", node.name, node.op_type, why.as_ref()?))
            })
            .take(3)
            .collect();
        return Err(QuantizeError::Refused(format!(
            "{}: holds no convolution or matrix product that can run in integers{}{}",
            context.loading.path,
            if why.is_empty() { "" } else { "; " },
            why.join("; ")
        )));
    }
    let full: Vec<String> =
        plan.marked.iter().filter(|name| !plan.moved.contains_key(*name)).cloned().collect();
    let inputs = plan.linear.iter().map(|index| context.net.graph.node[*index].input[0].clone());
    let means: Vec<String> = inputs.collect();
    let calibration = calibrate(
        context.loading,
        context.float,
        context.facts,
        &full,
        &means,
        context.masks,
        context.pictures,
        progress,
    )?;
    let searcher = Searcher { context, calibration: &calibration };
    let first = Choice {
        method: method.unwrap_or(METHODS[0]),
        strength: 0.0,
        corrected: false,
        kept: HashSet::new(),
    };
    let mut best = searcher.trial(first, progress)?;
    let methods = if method.is_some() { &[][..] } else { &METHODS[1..] };
    for method in methods {
        let choice = Choice { method: *method, ..best.1.clone() };
        best = better(best, searcher.trial(choice, progress)?);
    }
    for strength in STRENGTHS {
        let choice = Choice { strength, ..best.1.clone() };
        best = better(best, searcher.trial(choice, progress)?);
    }
    let choice = Choice { corrected: true, ..best.1.clone() };
    best = better(best, searcher.trial(choice, progress)?);
    let (_, choice, candidate) = best;
    let all: Vec<usize> = (0..context.pictures.len()).collect();
    progress("comparing masks");
    let agreement = searcher.agreement(&candidate, &all)?;
    let model = candidate.model.clone();
    Ok(Found { candidate, choice, agreement, calibration, model })
}

type Trial = (f64, Choice, Candidate);

/// The one that agrees better; the first where both do equally.
fn better(a: Trial, b: Trial) -> Trial {
    if b.0 > a.0 { b } else { a }
}

struct Searcher<'a> {
    context: &'a Context<'a>,
    calibration: &'a Calibration,
}

impl Searcher<'_> {
    fn trial(
        &self,
        choice: Choice,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Trial, QuantizeError> {
        let candidate = self.candidate(&choice);
        let count = self.context.pictures.len();
        let tried = count.min(TRIAL_PICTURES);
        let some: Vec<usize> = (0..tried).map(|index| index * count / tried).collect();
        let agreements = self.agreement(&candidate, &some)?;
        let score = agreements.iter().sum::<f64>() / agreements.len().max(1) as f64;
        let equalized = match choice.strength {
            0.0 => String::new(),
            strength => format!(", equalized ({strength})"),
        };
        let corrected = if choice.corrected { ", biases corrected" } else { "" };
        progress(&format!(
            "trying {}{equalized}{corrected}: masks agree to {:.3} %",
            choice.method.name(),
            100.0 * score
        ));
        Ok((score, choice, candidate))
    }

    fn candidate(&self, choice: &Choice) -> Candidate {
        let Context { proto, net, facts, pictures, .. } = self.context;
        let mut net = (*net).clone();
        let statistics = &self.calibration.statistics;
        let factors = match choice.strength {
            0.0 => Factors::new(),
            strength => equalize(&mut net, facts, statistics, strength),
        };
        let scheme = scheme(&net, facts, &choice.kept);
        let (low, high) = pictures.extremes();
        let input = Range { low: low.into(), high: high.into() };
        let given = net.graph.input.iter().map(|info| (info.name.clone(), input)).collect();
        let bytes: HashMap<String, Bytes> =
            ranges::bytes(&net, &scheme, statistics, &factors, &given, choice.method);
        if choice.corrected {
            correct(&mut net, &scheme, statistics, &factors, &bytes);
        }
        let (model, names) = write::write(proto, &net, &scheme, &bytes);
        Candidate { model, names, net, scheme }
    }

    /// The share of pixels that have the float network's class, for each mask.
    fn agreement(&self, candidate: &Candidate, some: &[usize]) -> Result<Vec<f64>, QuantizeError> {
        let Context { loading, masks, pictures, .. } = self.context;
        let mut session = Session::new(&loading.load(&candidate.model)?)?;
        let mut counts = vec![(0, 0); masks.len()];
        for index in some {
            let outputs = run::run(&mut session, pictures, *index)?;
            for (mask, (spec, count)) in masks.iter().zip(&mut counts).enumerate() {
                let own = labels(&outputs[spec.index], spec)?;
                let float = &self.calibration.masks[*index][mask];
                let (same, all) = agreement(&own, float, spec, pictures.area(*index));
                *count = (count.0 + same, count.1 + all);
            }
        }
        Ok(counts.iter().map(|(same, all)| *same as f64 / (*all).max(1) as f64).collect())
    }
}
