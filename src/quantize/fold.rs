//! Fewer operators for the same function: what multiplies and shifts channels goes into the
//! weights before it, zero padding into the window behind it.

use super::linear::{self, is_linear};
use super::net::{Facts, Net, float, input, int, ints, node, set, text};
use crate::network::qdq::editor::{int_attribute, ints_attribute};
use std::collections::HashMap;
use tract_onnx::pb::NodeProto;

/// Folds until nothing more folds. `facts` are of the graph before.
pub fn fold(net: &mut Net, facts: &Facts) {
    drop_dropouts(net);
    products_to_gemm(net, facts);
    pads(net);
    let mut index = 0;
    while index < net.graph.node.len() {
        let affine = affine(net, &net.graph.node[index], facts);
        let Some(Affine { from, a, b }) = affine else {
            index += 1;
            continue;
        };
        let folder = Folder { producers: net.producers(), readers: net.readers(), facts };
        let output = net.graph.node[index].output[0].clone();
        if folder.takes(net, &from, a.len()) {
            folder.put(net, &from, &a, &b);
            net.graph.node.remove(index);
            rename(net, &from, &output);
            continue;
        }
        let rank = facts.get(&from).map_or(0, |fact| fact.shape.len());
        if net.graph.node[index].op_type == "BatchNormalization" && rank >= 2 {
            spell_out(net, index, &from, rank, &a, &b);
            index += 1;
        }
        index += 1;
    }
    net.sweep();
}

/// y = a * x + b, numbers a channel (axis 1).
struct Affine {
    from: String,
    a: Vec<f32>,
    b: Vec<f32>,
}

fn affine(net: &Net, node: &NodeProto, facts: &Facts) -> Option<Affine> {
    if node.op_type == "BatchNormalization" {
        if node.output.iter().skip(1).any(|name| !name.is_empty())
            || int(node, "training_mode", 0) != 0
        {
            return None;
        }
        let [scale, shift, mean, variance] =
            [1, 2, 3, 4].map(|at| input(node, at).and_then(|name| net.reals(name)));
        let (scale, shift, mean, variance) = (scale?, shift?, mean?, variance?);
        let count = scale.len();
        if [shift.len(), mean.len(), variance.len()] != [count; 3] {
            return None;
        }
        let epsilon = f64::from(float(node, "epsilon", 1e-5));
        let factor = |channel: usize| {
            f64::from(scale[channel]) / (f64::from(variance[channel]) + epsilon).sqrt()
        };
        let a: Vec<f32> = (0..count).map(|channel| factor(channel) as f32).collect();
        let rest = |channel: usize| {
            (f64::from(shift[channel]) - f64::from(mean[channel]) * factor(channel)) as f32
        };
        let b = (0..count).map(rest).collect();
        return Some(Affine { from: node.input[0].clone(), a, b });
    }
    if !matches!(node.op_type.as_str(), "Mul" | "Add" | "Sub" | "Div") {
        return None;
    }
    let [x, y] = &node.input[..] else { return None };
    let (from, constant, second) = match (net.is_constant(x), net.is_constant(y)) {
        (false, true) => (x, y, true),
        (true, false) if node.op_type != "Div" => (y, x, false),
        _ => return None,
    };
    let shape = &facts.get(from)?.shape;
    if &facts.get(&node.output[0])?.shape != shape || !(2..=4).contains(&shape.len()) {
        return None;
    }
    let channels = shape[1];
    let dims = net.dims(constant)?;
    let values = net.reals(constant)?;
    let fill = shape.len().checked_sub(dims.len())?;
    let per_channel = dims.iter().enumerate().all(|(axis, dim)| *dim == 1 || axis + fill == 1);
    let values = match values.len() {
        1 => vec![values[0]; channels],
        count if count == channels && per_channel => values,
        _ => return None,
    };
    let ones = || vec![1.0; channels];
    let (a, b) = match (node.op_type.as_str(), second) {
        ("Mul", _) => (values, vec![0.0; channels]),
        ("Add", _) => (ones(), values),
        ("Sub", true) => (ones(), values.iter().map(|value| -value).collect()),
        ("Sub", false) => (vec![-1.0; channels], values),
        _ => (values.iter().map(|value| 1.0 / value).collect(), vec![0.0; channels]),
    };
    let whole = a.iter().chain(&b).all(|value| value.is_finite());
    whole.then(|| Affine { from: from.clone(), a, b })
}

struct Folder<'f> {
    producers: HashMap<String, usize>,
    readers: HashMap<String, usize>,
    facts: &'f Facts,
}

impl Folder<'_> {
    /// Whether what makes a tensor can make it multiplied and shifted.
    fn takes(&self, net: &Net, name: &str, channels: usize) -> bool {
        let Some(&index) = self.producers.get(name) else { return false };
        let node = &net.graph.node[index];
        let alone = self.readers.get(name) == Some(&1) && !net.is_output(name);
        let whole = || {
            let count = |name: &String| self.facts.get(name)?.shape.get(1).copied();
            node.input.iter().map(count).sum::<Option<usize>>() == Some(channels)
        };
        alone
            && match node.op_type.as_str() {
                "MatMul" => false,
                _ if is_linear(node) => linear::layout(net, node).is_some_and(|layout| {
                    layout.outputs == channels && linear::bias(net, node, layout).is_some()
                }),
                "Concat" => {
                    int(node, "axis", 1) == 1
                        && whole()
                        && node.input.iter().all(|name| {
                            let count = self.facts[name].shape[1];
                            self.takes(net, name, count)
                        })
                }
                "Resize" | "Upsample" => {
                    let mode = text(node, "mode");
                    (mode == "linear" || mode == "nearest" || mode.is_empty())
                        && text(node, "coordinate_transformation_mode") != "tf_crop_and_resize"
                        && self.takes(net, &node.input[0], channels)
                }
                "GlobalAveragePool" => self.takes(net, &node.input[0], channels),
                "AveragePool" => {
                    ints(node, "pads").iter().all(|pad| *pad == 0)
                        && !text(node, "auto_pad").starts_with("SAME")
                        && self.takes(net, &node.input[0], channels)
                }
                _ => false,
            }
    }

    fn put(&self, net: &mut Net, name: &str, a: &[f32], b: &[f32]) {
        let index = self.producers[name];
        let node = net.graph.node[index].clone();
        if is_linear(&node) {
            let Some(layout) = linear::layout(net, &node) else { return };
            let Some(bias) = linear::bias(net, &node, layout) else { return };
            let channels = bias.iter().zip(a).zip(b);
            let shifted = channels
                .map(|((bias, a), b)| (f64::from(*bias) * f64::from(*a) + f64::from(*b)) as f32);
            let bias: Vec<f32> = shifted.collect();
            linear::rewrite(net, index, |_, output| f64::from(a[output]), Some(&bias));
            return;
        }
        let mut from = 0;
        let moved = if node.op_type == "Concat" { &node.input[..] } else { &node.input[..1] };
        for input in moved {
            let count = self.facts.get(input).map_or(0, |fact| fact.shape[1]);
            self.put(net, input, &a[from..from + count], &b[from..from + count]);
            from += count;
        }
    }
}

/// Tensor `from` becomes `to`.
fn rename(net: &mut Net, from: &str, to: &str) {
    for node in &mut net.graph.node {
        for name in node.input.iter_mut().chain(&mut node.output) {
            if name == from {
                to.clone_into(name);
            }
        }
    }
}

/// A batch normalization with nothing before it to go into: a product and a sum.
fn spell_out(net: &mut Net, index: usize, from: &str, rank: usize, a: &[f32], b: &[f32]) {
    let old = net.graph.node[index].clone();
    let output = &old.output[0];
    let mut dims = vec![1; rank - 1];
    dims[0] = a.len() as i64;
    let a = net.add_reals(&format!("{output}_factor"), dims.clone(), a);
    let b = net.add_reals(&format!("{output}_shift"), dims, b);
    let product = net.free_name(&format!("{output}_scaled"));
    let name = net.free_name(&format!("{}_scale", old.name));
    net.graph.node[index] = node(&old.name, "Add", &[&product, &b], output);
    net.graph.node.insert(index, node(&name, "Mul", &[from, &a], &product));
}

/// Training is over.
fn drop_dropouts(net: &mut Net) {
    let mut index = 0;
    while index < net.graph.node.len() {
        let dropout = &net.graph.node[index];
        let plain = dropout.op_type == "Dropout"
            && dropout.output.iter().skip(1).all(|name| !net.readers().contains_key(name));
        let ends = dropout.output.first().is_some_and(|name| net.is_output(name));
        if plain && !ends && !dropout.input.is_empty() && !net.inner().contains(&dropout.output[0])
        {
            let dropout = net.graph.node.remove(index);
            rename(net, &dropout.output[0], &dropout.input[0]);
        } else {
            index += 1;
        }
    }
}

/// MatMul and Add of rows are a Gemm; a Gemm's alpha and beta go into its constants.
fn products_to_gemm(net: &mut Net, facts: &Facts) {
    for index in 0..net.graph.node.len() {
        let node = &net.graph.node[index];
        let flat = node.input.first().and_then(|name| facts.get(name));
        let flat = flat.is_some_and(|fact| fact.shape.len() == 2);
        if node.op_type == "MatMul" && flat && linear::layout(net, node).is_some() {
            net.graph.node[index].op_type = "Gemm".to_owned();
        }
        let node = &net.graph.node[index];
        let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
        if node.op_type != "Gemm" || (alpha, beta) == (1.0, 1.0) {
            continue;
        }
        let Some(layout) = linear::layout(net, node) else { continue };
        let Some(bias) = linear::bias(net, node, layout) else { continue };
        let bias: Vec<f32> = bias.iter().map(|bias| bias * beta).collect();
        if linear::rewrite(net, index, |_, _| alpha.into(), Some(&bias)).is_some() {
            let attributes = &mut net.graph.node[index].attribute;
            attributes.retain(|attribute| !["alpha", "beta"].contains(&attribute.name.as_str()));
        }
    }
}

/// Zero padding joins that of the window behind it.
fn pads(net: &mut Net) {
    let readers = net.readers();
    for index in 0..net.graph.node.len() {
        let Some((pad, pads)) = zero_pad(net, &net.graph.node[index]) else { continue };
        let alone = readers.get(&pad.1) == Some(&1) && !net.is_output(&pad.1);
        let behind = net.graph.node.iter().position(|node| node.input.first() == Some(&pad.1));
        let Some(behind) = behind.filter(|_| alone) else { continue };
        let window = &mut net.graph.node[behind];
        let own = match &ints(window, "pads")[..] {
            [] => [0; 4],
            &[a, b, c, d] => [a, b, c, d],
            _ => continue,
        };
        let counted = int(window, "count_include_pad", 0) != 0 || own == [0; 4];
        let takes = match window.op_type.as_str() {
            "Conv" => true,
            "AveragePool" => counted && int(window, "ceil_mode", 0) == 0,
            _ => false,
        };
        let automatic = text(window, "auto_pad");
        if !takes || !(automatic.is_empty() || automatic == "NOTSET") {
            continue;
        }
        let sum = (0..4).map(|side| own[side] + pads[side]).collect();
        set(window, ints_attribute("pads", sum));
        if window.op_type == "AveragePool" {
            set(window, int_attribute("count_include_pad", 1));
        }
        window.input[0] = pad.0;
    }
    net.sweep();
}

/// Input, output and the sides of a Pad with zeroes of height and width.
fn zero_pad(net: &Net, node: &NodeProto) -> Option<((String, String), [i64; 4])> {
    let mode = text(node, "mode");
    if node.op_type != "Pad" || !(mode.is_empty() || mode == "constant") || input(node, 3).is_some()
    {
        return None;
    }
    let zero = input(node, 2).is_none_or(|name| net.reals(name) == Some(vec![0.0]));
    match &net.integers(input(node, 1)?)?[..] {
        &[0, 0, top, left, 0, 0, bottom, right]
            if zero && [top, left, bottom, right].iter().all(|side| (0..=4096).contains(side)) =>
        {
            let ends = (node.input[0].clone(), node.output[0].clone());
            Some((ends, [top, left, bottom, right]))
        }
        _ => None,
    }
}
