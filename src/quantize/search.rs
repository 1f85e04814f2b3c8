//! Tries ways to quantize on some of the calibration pictures and keeps the one whose
//! probabilities are nearest to the float network's. How much is tried does not depend on how long
//! it takes, so that two runs give the same file.

use super::bias::correct;
use super::calibrate::{Calibration, calibrate};
use super::equalize::{Factors, equalize};
use super::linear;
use super::net::{Facts, Net};
use super::noise::{end, noise};
use super::pictures::Pictures;
use super::range::{Bytes, Method, Range};
use super::run::{self, Loading, agreement, distribution, labels};
use super::scheme::{Scheme, scheme};
use super::{QuantizeError, ranges, write};
use crate::network::model::OutputSpec;
use crate::network::plan::Session;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{ModelProto, NodeProto};

/// Pictures that a trial looks at.
const TRIAL_PICTURES: usize = 12;
/// Agreement that is good enough not to leave more in float.
const ENOUGH: f64 = 0.99;
/// What leaving layers in float has to leave of the distance, at most.
const WORTH: f64 = 0.85;
/// The share of the multiply-accumulates that may be left in float for it.
const AFFORDED: f64 = 0.15;
/// Layers that are left in float together, at most.
const RESCUED: [usize; 2] = [3, 8];
/// Activations beyond it mean that the pictures are not what the network was trained on.
const STRANGE: f32 = 1e5;
/// Distances that differ by less say nothing about other pictures.
const CHANCE: f64 = 0.97;
/// A layer that loses less, in dB, is not the cause.
const LOSS: f64 = 1.0;

const METHODS: [Method; 4] =
    [Method::SquaredError, Method::Percentile(1e-4), Method::MinMax, Method::Percentile(5e-4)];

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

impl Context<'_> {
    /// The pictures that trials look at.
    pub fn tried(&self) -> Vec<usize> {
        let count = self.pictures.len();
        let tried = count.min(TRIAL_PICTURES);
        (0..tried).map(|index| index * count / tried).collect()
    }
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
    /// How often each tensor of `net` is read.
    pub readers: HashMap<String, usize>,
}

pub struct Found {
    pub candidate: Candidate,
    pub choice: Choice,
    /// Agreement of each mask on all pictures.
    pub agreement: Vec<f64>,
    pub calibration: Calibration,
    /// Signal to noise by tensor, in dB.
    pub noise: HashMap<String, f64>,
    pub notes: Vec<String>,
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
    let calibration = calibrate(context, &full, &means, progress)?;
    let searcher = Searcher { context, calibration: &calibration, plan: &plan };
    let first = Choice {
        method: method.unwrap_or(METHODS[0]),
        strength: 0.0,
        corrected: false,
        kept: HashSet::new(),
    };
    let mut best = searcher.trial(first, progress)?;
    let tail = searcher.tail();
    if best.agreement < ENOUGH && !tail.is_empty() {
        let choice = Choice { kept: tail, ..best.choice.clone() };
        let trial = searcher.trial(choice, progress)?;
        best = if trial.distance <= WORTH * best.distance { trial } else { best };
    }
    let methods = if method.is_some() { &[][..] } else { &METHODS[1..] };
    for method in methods {
        let choice = Choice { method: *method, ..best.choice.clone() };
        best = better(best, searcher.trial(choice, progress)?);
    }
    // Equalized channels want corrected biases, and maybe other ranges: tried together.
    let own = best.choice.method;
    let other = method.is_none().then_some(METHODS[0]).filter(|other| *other != own);
    let choice = Choice { corrected: true, ..best.choice.clone() };
    let mut found = searcher.trial(choice, progress)?;
    for method in [own].into_iter().chain(other) {
        let choice = Choice { method, strength: 1.0, corrected: true, ..best.choice.clone() };
        found = better(found, searcher.trial(choice, progress)?);
    }
    best = better(best, found);
    if best.choice.strength > 0.0 {
        for choice in [
            Choice { corrected: false, ..best.choice.clone() },
            Choice { strength: 0.5, ..best.choice.clone() },
        ] {
            best = better(best, searcher.trial(choice, progress)?);
        }
    }
    let mut noise = noise(context, &best.candidate)?;
    let mut notes = Vec::new();
    let largest = calibration.statistics.values().flat_map(|values| &values.histograms);
    let largest = largest.map(|values| values.high.max(-values.low)).fold(0.0, f32::max);
    if largest > STRANGE {
        notes.push(format!(
            "activations reach {largest:.0e}, which trained networks do not: check the card's \
             input.color, input.mean and input.std"
        ));
    }
    if best.agreement < ENOUGH {
        let losers = losers(&best.candidate, &noise);
        best = searcher.rescue(best, &losers, progress)?;
        if !best.choice.kept.is_empty() {
            noise = super::noise::noise(context, &best.candidate)?;
        }
    }
    let Trial { choice, candidate, .. } = best;
    let all: Vec<usize> = (0..context.pictures.len()).collect();
    progress("comparing masks");
    let (agreement, _) = searcher.compare(&candidate, &all)?;
    if agreement.iter().any(|agreement| *agreement < ENOUGH) {
        let worst: Vec<String> = losers(&candidate, &noise)
            .iter()
            .take(5)
            .map(|(loss, name)| format!("\"{name}\" ({loss:.0} dB)"))
            .collect();
        notes.push(format!(
            "masks agree to less than 99 %: most signal to noise is lost in {}",
            worst.join(", ")
        ));
    }
    Ok(Found { candidate, choice, agreement, calibration, noise, notes })
}

/// Linear layers by what they lose of their input's signal to noise, most first.
fn losers(candidate: &Candidate, noise: &HashMap<String, f64>) -> Vec<(f64, String)> {
    // What bytes of a picture have.
    const EXACT: f64 = 48.0;
    let Candidate { net, scheme, .. } = candidate;
    let of = |name: &str| noise.get(name).copied().unwrap_or(EXACT).min(EXACT);
    let mut losers: Vec<(f64, String)> = Vec::new();
    for index in &scheme.linear {
        let node = &net.graph.node[*index];
        let loss = of(&node.input[0]) - of(&end(candidate, *index));
        if loss > LOSS {
            losers.push((loss, node.name.clone()));
        }
    }
    losers.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    losers
}

struct Trial {
    /// The mean of the masks.
    agreement: f64,
    /// From the float network's probabilities, the sum of the masks.
    distance: f64,
    choice: Choice,
    candidate: Candidate,
}

/// The nearer one; the first where that may be chance.
fn better(a: Trial, b: Trial) -> Trial {
    if b.distance < CHANCE * a.distance { b } else { a }
}

struct Searcher<'a> {
    context: &'a Context<'a>,
    calibration: &'a Calibration,
    /// What can run in integers.
    plan: &'a Scheme,
}

impl Searcher<'_> {
    /// Leaves the layers that lose most in float, few or more of them, where that helps.
    fn rescue(
        &self,
        best: Trial,
        losers: &[(f64, String)],
        progress: &mut dyn FnMut(&str),
    ) -> Result<Trial, QuantizeError> {
        let most = WORTH * best.distance;
        let mut best = best;
        let costs = self.costs();
        let mut left = AFFORDED * costs.values().sum::<f64>();
        let before = best.choice.kept.clone();
        left -= before.iter().filter_map(|name| costs.get(name.as_str())).sum::<f64>();
        let affordable = |(_, name): &&(f64, String)| {
            let cost = costs.get(name.as_str()).copied().unwrap_or(0.0);
            let fits = cost <= left;
            left -= if fits { cost } else { 0.0 };
            fits
        };
        let losers: Vec<_> = losers.iter().filter(affordable).collect();
        for count in RESCUED {
            let more = losers.iter().take(count).map(|(_, name)| name.clone());
            let kept = before.iter().cloned().chain(more).collect();
            let choice = Choice { kept, ..best.choice.clone() };
            let trial = self.trial(choice, progress)?;
            let helps = trial.distance < best.distance;
            if trial.distance <= most {
                best = better(best, trial);
            }
            if !helps || best.agreement >= ENOUGH || losers.len() <= count {
                break;
            }
        }
        Ok(best)
    }

    fn trial(
        &self,
        choice: Choice,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Trial, QuantizeError> {
        let candidate = self.candidate(&choice);
        let (agreements, distance) = self.compare(&candidate, &self.context.tried())?;
        let agreement = agreements.iter().sum::<f64>() / agreements.len().max(1) as f64;
        let equalized = match choice.strength {
            0.0 => String::new(),
            strength => format!(", equalized ({strength})"),
        };
        let corrected = if choice.corrected { ", biases corrected" } else { "" };
        let kept = match choice.kept.len() {
            0 => String::new(),
            count => format!(", {count} layers in float"),
        };
        let line = format!(
            "trying {}{equalized}{corrected}{kept}: masks agree to {:.3} %, distance {distance:.4}",
            choice.method.name(),
            100.0 * agreement
        );
        progress(&line);
        log::info!("{line}");
        Ok(Trial { agreement, distance, choice, candidate })
    }

    /// Multiply-accumulates by node.
    fn costs(&self) -> HashMap<&str, f64> {
        let Context { net, facts, .. } = self.context;
        let cost = |node: &'_ NodeProto| linear::products(net, node, facts);
        net.graph.node.iter().map(|node| (node.name.as_str(), cost(node))).collect()
    }

    /// The nodes at the end that work on no more channels than the masks have: their values may
    /// differ by less than a step of what they have in common. Empty where they cost too much.
    fn tail(&self) -> HashSet<String> {
        let Context { net, facts, masks, .. } = self.context;
        let most = masks.iter().map(|mask| mask.channels).max().unwrap_or(0);
        // Channels first or last.
        let few = |name: &String| {
            let shape = facts.get(name).map(|fact| &fact.shape[..]);
            matches!(shape, Some([_, first, _, last]) if *first.min(last) <= most)
        };
        // Tensors that only the tail reads, or what stays in float anyway.
        let mut free: HashMap<&String, bool> = HashMap::new();
        let mut tail = HashSet::new();
        for (index, node) in net.graph.node.iter().enumerate().rev() {
            let own = node.output.iter().all(|name| free.get(name).copied().unwrap_or(true));
            let values = || node.input.iter().filter(|name| !net.is_constant(name));
            let integer = self.plan.layers.get(&index) == Some(&None);
            let small = values().chain(&node.output).all(few);
            for name in values() {
                let known = free.entry(name).or_insert(true);
                *known &= own && (small || !integer);
            }
            if own && small && integer {
                tail.insert(node.name.clone());
            }
        }
        let costs = self.costs();
        let cost: f64 = tail.iter().filter_map(|name| costs.get(name.as_str())).sum();
        match cost <= AFFORDED * costs.values().sum::<f64>() {
            true => tail,
            false => HashSet::new(),
        }
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
        let readers = net.readers();
        Candidate { model, names, net, scheme, readers }
    }

    /// The share of pixels that have the float network's class, for each mask; and the distance
    /// from its probabilities: the root of the divergence, so that a picture on which the float
    /// network itself is at a loss does not outweigh all others.
    fn compare(
        &self,
        candidate: &Candidate,
        some: &[usize],
    ) -> Result<(Vec<f64>, f64), QuantizeError> {
        let Context { loading, masks, pictures, .. } = self.context;
        let Calibration { masks: labelled, distributions, .. } = self.calibration;
        let mut session = Session::new(&loading.load(&candidate.model)?)?;
        let mut counts = vec![(0, 0); masks.len()];
        let mut distance = 0.0;
        for index in some {
            let area = pictures.area(*index);
            let outputs = run::run(&mut session, pictures, *index)?;
            for (mask, (spec, count)) in masks.iter().zip(&mut counts).enumerate() {
                let output = &outputs[spec.index];
                let (same, all) =
                    agreement(&labels(output, spec)?, &labelled[*index][mask], spec, area);
                *count = (count.0 + same, count.1 + all);
                distance += match distributions.get(index).map(|masks| &masks[mask]) {
                    Some(Some(float)) => distribution(output, spec, area, Some(float))
                        .map_or(f64::INFINITY, |own| float.divergence(&own).sqrt()),
                    // Ids say nothing finer.
                    _ => (all - same) as f64 / all.max(1) as f64,
                };
            }
        }
        let shares = counts.iter().map(|(same, all)| *same as f64 / (*all).max(1) as f64);
        Ok((shares.collect(), distance / some.len().max(1) as f64))
    }
}
