//! How a single node may run: in bytes, or in float for a reason.

use super::linear::{bias, is_linear, layout};
use super::net::{Facts, Net, input, ints, text};
use crate::network::lower::{mode, moved_inputs, moves, unary};
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::Datum;

/// Channels with numbers of their own that a function may have.
const MOST_CHANNELS: usize = 4096;

/// How a node may run.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    Linear,
    /// A sum, product or mean of bytes.
    Arithmetic,
    /// A function of one number, with its other operands constant.
    Function,
    Movement,
    /// The largest: reads bytes.
    Largest,
    /// In float, for a reason; none for what has nothing to do with pictures.
    Float(String),
}

/// The operand of a function that is not constant.
pub fn operand<'n>(net: &Net, node: &'n NodeProto) -> &'n str {
    let varies = |name: &&String| !net.is_constant(name);
    node.input.iter().find(varies).map_or("", String::as_str)
}

pub fn two(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Add" | "Sub" | "Mul")
}

pub fn clamps(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Relu" | "Clip")
}

/// How a node may run, by its operator, its constants and its shapes.
pub fn rule(net: &Net, facts: &Facts, node: &NodeProto) -> Rule {
    let float = |why: &str| Rule::Float(why.to_owned());
    let shape = |name: &str| facts.get(name).map(|fact| &fact.shape[..]);
    let (Some(first), Some(output)) = (input(node, 0), node.output.first()) else {
        return float("");
    };
    if node.op_type == "ArgMax" {
        return Rule::Largest;
    }
    let real = |name: &str| facts.get(name).is_some_and(|fact| fact.element == f32::datum_type());
    if !real(output) || !(real(first) || net.is_constant(first)) {
        return float("");
    }
    if !node.domain.is_empty() && node.domain != "ai.onnx" {
        return float("its operator is not of the standard");
    }
    let (Some(from), Some(to)) = (shape(first), shape(output)) else {
        return float("its shapes depend on the data");
    };
    if from.contains(&0) || to.contains(&0) {
        return float("it works on an empty tensor");
    }
    if is_linear(node) {
        let Some(layout) = layout(net, node) else {
            return float("its weights are not constant, or not of a picture's operator");
        };
        let real = input(node, 1).is_some_and(|name| net.reals(name).is_some());
        let biased = bias(net, node, layout).is_some();
        let rank = match node.op_type.as_str() {
            "Conv" | "ConvTranspose" => 4..=4,
            "Gemm" => 2..=2,
            _ => 1..=4,
        };
        return match real && biased && rank.contains(&from.len()) && !net.is_constant(first) {
            true => Rule::Linear,
            false => float("its weights or bias are no 32-bit floats for this shape"),
        };
    }
    if moves(node) {
        let constant = moved_inputs(node).any(|name| net.is_constant(name));
        let zero = input(node, 2).is_none_or(|name| net.reals(name) == Some(vec![0.0]));
        return match node.op_type.as_str() {
            _ if constant => float("it moves a constant"),
            "Pad" if !zero => float("it pads with another number than 0"),
            "MaxPool" | "GlobalMaxPool" | "Resize" | "Upsample" if from.len() != 4 => {
                float("it does not work on pictures")
            }
            _ => Rule::Movement,
        };
    }
    match node.op_type.as_str() {
        "AveragePool" | "GlobalAveragePool" if from.len() == 4 => Rule::Arithmetic,
        "ReduceMean" if from.len() == 4 => {
            let axes = match input(node, 1) {
                Some(name) => net.integers(name).unwrap_or_default(),
                None => ints(node, "axes"),
            };
            let mut axes: Vec<i64> = axes.iter().map(|axis| axis.rem_euclid(4)).collect();
            axes.sort_unstable();
            match axes == [2, 3] {
                true => Rule::Arithmetic,
                false => float("it is no mean over height and width"),
            }
        }
        "Resize" | "Upsample" => {
            let plane = from.len() == 4 && from[..2] == to[..2] && mode(node) == "linear";
            let crops = text(node, "coordinate_transformation_mode") == "tf_crop_and_resize";
            match plane && !crops {
                true => Rule::Arithmetic,
                false => float("it is neither a linear nor a nearest Resize of pictures"),
            }
        }
        operator if unary(operator) => {
            let constant = node.input[1..].iter().all(|name| {
                name.is_empty() || net.reals(name).is_some() && per_channel(net, name, to)
            });
            match constant {
                true => Rule::Function,
                false => float("its parameters are no constant numbers a channel"),
            }
        }
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "Pow" if node.input.len() == 2 => {
            let [a, b] = &node.input[..] else { return float("") };
            let constants = [a, b].map(|name| net.is_constant(name));
            match constants {
                [true, false] | [false, true] => {
                    let constant = if constants[0] { a } else { b };
                    let other = if constants[0] { b } else { a };
                    let fits = net.reals(constant).is_some()
                        && per_channel(net, constant, to)
                        && shape(other) == Some(to);
                    match fits {
                        true => Rule::Function,
                        false => float("its constant is not one number a channel"),
                    }
                }
                [false, false] if two(node) && to.len() <= 4 => {
                    let whole = [a, b].into_iter().any(|name| shape(name) == Some(to));
                    match whole && [a, b].into_iter().all(|name| real(name)) {
                        true => Rule::Arithmetic,
                        false => float("both its inputs are broadcast"),
                    }
                }
                _ => float("it has no rule for integers"),
            }
        }
        _ => float("it has no rule for integers"),
    }
}

/// Whether a constant has one number, or one a channel of a single axis.
fn per_channel(net: &Net, name: &str, over: &[usize]) -> bool {
    let Some(dims) = net.dims(name) else { return false };
    let count = dims.iter().product::<i64>();
    if dims.len() > over.len() || !(1..=MOST_CHANNELS as i64).contains(&count) {
        return false;
    }
    let fill = over.len() - dims.len();
    let mut long = dims.iter().enumerate().filter(|(_, dim)| **dim != 1);
    match (long.next(), long.next()) {
        (None, _) => true,
        (Some((axis, dim)), None) => over[fill + axis] as i64 == *dim,
        _ => false,
    }
}
