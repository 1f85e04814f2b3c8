//! How far each tensor of the quantized network is from the float one's, as signal to noise.

use super::net::{Net, input};
use super::run::{run, values};
use super::search::{Candidate, Context};
use super::{QuantizeError, write};
use std::collections::HashMap;

/// Pictures that signal and noise are measured on.
const PICTURES: usize = 2;
/// Tensors that are kept at once.
const AT_ONCE: usize = 48;

/// 10 log10(signal / noise) of the marked tensors and of the ends of layers, in dB. Those without
/// noise, or without anything, are left out.
pub fn noise(
    context: &Context,
    candidate: &Candidate,
) -> Result<HashMap<String, f64>, QuantizeError> {
    let Candidate { net, scheme, names, model, .. } = candidate;
    let ends = scheme.layers.keys().map(|index| end(candidate, *index));
    let inputs: Vec<&String> = net.graph.input.iter().map(|input| &input.name).collect();
    let mut taps: Vec<String> = scheme.marked.iter().cloned().chain(ends).collect();
    taps.retain(|name| !inputs.contains(&name));
    taps.sort();
    taps.dedup();
    let float = write::pack(model, net.clone());
    let mut found = HashMap::new();
    for taps in taps.chunks(AT_ONCE) {
        let there: Vec<String> =
            taps.iter().map(|name| names.get(name).unwrap_or(name).clone()).collect();
        let mut float = context.loading.tapped(&float, taps)?;
        let mut quantized = context.loading.tapped(model, &there)?;
        let mut powers = vec![(0.0, 0.0); taps.len()];
        let count = context.pictures.len();
        let used = count.min(PICTURES);
        for index in (0..used).map(|index| index * count / used) {
            let exact = run(&mut float, context.pictures, index)?;
            let rounded = run(&mut quantized, context.pictures, index)?;
            for ((exact, rounded), power) in exact.iter().zip(&rounded).zip(&mut powers) {
                let (Ok(exact), Ok(rounded)) = (values(exact), values(rounded)) else { continue };
                for (exact, rounded) in exact.chunks(4096).zip(rounded.chunks(4096)) {
                    let square = |sum: f32, x: f32| sum + x * x;
                    power.0 += f64::from(exact.iter().copied().fold(0.0, square));
                    let errors = exact.iter().zip(rounded).map(|(x, y)| x - y);
                    power.1 += f64::from(errors.fold(0.0, square));
                }
            }
        }
        for (name, (signal, noise)) in taps.iter().zip(powers) {
            if signal > 0.0 && noise > 0.0 {
                found.insert(name.clone(), 10.0 * f64::log10(signal / noise));
            }
        }
    }
    Ok(found)
}

/// The tensor that tells about a node: its output, or that of what it is joined with.
pub fn end(candidate: &Candidate, index: usize) -> String {
    let net: &Net = &candidate.net;
    let mut name = net.graph.node[index].output.first().cloned().unwrap_or_default();
    let readers = &candidate.readers;
    while !candidate.names.contains_key(&name) && readers.get(&name) == Some(&1) {
        let mut nodes = net.graph.node.iter();
        match nodes.find(|node| input(node, 0) == Some(&name)) {
            Some(node) if matches!(node.op_type.as_str(), "Relu" | "Clip" | "Transpose") => {
                name.clone_from(&node.output[0]);
            }
            _ => break,
        }
    }
    name
}
