//! What quantizing did, layer by layer, and what it is good for.

use super::QuantizeError;
use super::noise::end;
use super::run::run;
use super::search::{Candidate, Choice, Context, Found};
use crate::config::card::Kind;
use crate::network::inspect::inspect;
use crate::network::load::Network;
use crate::network::model::OutputSpec;
use crate::network::plan::Session;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

/// Classes that are named in a note, at most.
const UNSEEN: usize = 8;

/// Runs of either network.
const RUNS: usize = 2;

/// One operator that computes.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    pub name: String,
    pub operator: String,
    /// Signal to noise of the quantized network's value against the float one's; None where both
    /// are the same, or nothing.
    pub snr_db: Option<f64>,
    /// Why it stays in float; None for integers.
    pub float: Option<String>,
}

/// Agreement of a mask with the float network's, on the calibration pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Mask {
    pub output: String,
    pub agreement: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub file: String,
    /// Where it is written; empty until then.
    pub output: String,
    pub pictures: usize,
    pub ranges: String,
    /// Strength of the equalization, 0 for none.
    pub equalization: f64,
    pub biases_corrected: bool,
    pub layers: Vec<Layer>,
    pub masks: Vec<Mask>,
    pub bytes_before: usize,
    pub bytes_after: usize,
    /// Share of the multiply-accumulates that run in integers.
    pub integer_macs: f64,
    /// Time of the float network over that of the quantized one, both run in turns here.
    pub speedup: f64,
    /// Time of all this beyond the float network on every picture, in float inferences.
    pub extra_inferences: f64,
    /// Things to do, or to know.
    pub notes: Vec<String>,
}

pub fn report(
    context: &Context,
    found: &Found,
    float: &Network,
    bytes_after: usize,
    started: Instant,
    progress: &mut dyn FnMut(&str),
) -> Result<Report, QuantizeError> {
    progress("measuring layers and speed");
    let Context { loading, proto, masks, pictures, .. } = context;
    let inspected = inspect(loading.path, &found.candidate.model, loading.resolve);
    let integer = inspected.operators.iter().filter(|operator| operator.runs.starts_with("int8"));
    let integer_macs: u64 = integer.map(|operator| operator.macs).sum();
    let mut layers = layers(&found.candidate, &found.noise);
    // What the runtime itself has to say.
    for operator in &inspected.operators {
        if let Some(why) = operator.runs.strip_prefix("float: ")
            && let Some(layer) = layers.iter_mut().find(|layer| layer.name == operator.name)
            && layer.float.is_none()
        {
            layer.float = Some(why.to_owned());
        }
    }
    let speedup = speedup(context, float, &found.candidate.model)?;
    let Choice { method, strength, corrected, .. } = &found.choice;
    let outputs = &float.ports.outputs;
    let mut notes = found.notes.clone();
    for (mask, spec) in masks.iter().enumerate() {
        let unseen = unseen(found.calibration.masks.iter().map(|picture| &*picture[mask]), spec);
        if !unseen.is_empty() {
            notes.push(format!(
                "mask \"{}\": the float network finds {} on no calibration picture, so the ranges \
                 of their scores are a guess; add pictures that show them",
                outputs[spec.index].name,
                unseen.join(", ")
            ));
        }
    }
    let masks = masks.iter().zip(&found.agreement).map(|(spec, agreement)| Mask {
        output: outputs[spec.index].name.clone(),
        agreement: *agreement,
    });
    let extra = started.elapsed().saturating_sub(found.calibration.time);
    let inference = found.calibration.inference.as_secs_f64().max(1e-9);
    Ok(Report {
        file: loading.path.to_owned(),
        output: String::new(),
        pictures: pictures.files,
        ranges: method.name(),
        equalization: *strength,
        biases_corrected: *corrected,
        layers,
        masks: masks.collect(),
        bytes_before: prost::Message::encoded_len(*proto),
        bytes_after,
        integer_macs: integer_macs as f64 / inspected.macs.max(1) as f64,
        speedup,
        extra_inferences: extra.as_secs_f64() / inference,
        notes,
    })
}

/// The classes that no picture's mask holds, some of them by number; ids name none.
fn unseen<'m>(masks: impl Iterator<Item = &'m [u8]>, spec: &OutputSpec) -> Vec<String> {
    let classes = match spec.kind {
        Kind::Scores => spec.channels,
        Kind::Probability => 2,
        Kind::Labels => 0,
    };
    let mut seen = [false; 256];
    masks.flatten().for_each(|class| seen[usize::from(*class)] = true);
    let unseen: Vec<usize> = (0..classes).filter(|class| !seen[*class]).collect();
    let mut named: Vec<String> =
        unseen.iter().take(UNSEEN).map(|class| format!("class {class}")).collect();
    if unseen.len() > UNSEEN {
        named.push(format!("{} more", unseen.len() - UNSEEN));
    }
    named
}

/// Both networks on the same picture in turns; the ratio of their median times.
fn speedup(
    context: &Context,
    float: &Network,
    quantized: &tract_onnx::pb::ModelProto,
) -> Result<f64, QuantizeError> {
    let mut sessions = [Session::new(float)?, Session::new(&context.loading.load(quantized)?)?];
    let mut times: [Vec<Duration>; 2] = Default::default();
    for turn in 0..=RUNS {
        for (session, times) in sessions.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run(session, context.pictures, 0)?;
            // The first run makes the memory.
            if turn > 0 {
                times.push(start.elapsed());
            }
        }
    }
    let [float, integer] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    Ok(float / integer.max(1e-9))
}

fn layers(candidate: &Candidate, noise: &HashMap<String, f64>) -> Vec<Layer> {
    let layer = |(index, why): (&usize, &Option<String>)| {
        let node = &candidate.net.graph.node[*index];
        Layer {
            name: node.name.clone(),
            operator: node.op_type.clone(),
            snr_db: noise.get(&end(candidate, *index)).copied(),
            float: why.clone(),
        }
    };
    candidate.scheme.layers.iter().map(layer).collect()
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&Layer) -> &str, least: usize| {
            self.layers.iter().map(|layer| text(layer).len()).max().unwrap_or(0).clamp(least, 48)
        };
        let (name, operator) = (width(|layer| &layer.name, 4), width(|layer| &layer.operator, 8));
        writeln!(f, "{:name$}  {:operator$}  {:>7}  runs", "name", "operator", "SNR dB")?;
        for layer in &self.layers {
            let snr = layer.snr_db.map_or("-".to_owned(), |snr| format!("{snr:.1}"));
            let runs =
                layer.float.as_ref().map_or("int8".to_owned(), |why| format!("float: {why}"));
            writeln!(f, "{:name$}  {:operator$}  {snr:>7}  {runs}", layer.name, layer.operator)?;
        }
        let equalized = match self.equalization {
            0.0 => "channels as they were".to_owned(),
            strength => format!("channels equalized (strength {strength})"),
        };
        let corrected = if self.biases_corrected { "corrected" } else { "as they were" };
        writeln!(f, "\nranges {}, {equalized}, biases {corrected}", self.ranges)?;
        for mask in &self.masks {
            writeln!(
                f,
                "mask \"{}\": {:.2} % of the pixels as in float, on the {} calibration pictures",
                mask.output,
                100.0 * mask.agreement,
                self.pictures
            )?;
        }
        let float: Vec<&str> = self
            .layers
            .iter()
            .filter(|layer| layer.float.is_some())
            .map(|layer| layer.name.as_str())
            .collect();
        if !float.is_empty() {
            writeln!(f, "in float: {}", float.join(", "))?;
        }
        writeln!(
            f,
            "size {} -> {} bytes; {:.1} % of the multiply-accumulates in integers; {:.1} times as \
             fast as in float here",
            self.bytes_before,
            self.bytes_after,
            100.0 * self.integer_macs,
            self.speedup
        )?;
        writeln!(f, "took {:.0} float inferences' time beyond calibrating", self.extra_inferences)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
