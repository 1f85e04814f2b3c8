//! Raises a graph to operator set 13, the first whose QuantizeLinear and DequantizeLinear know
//! scales along an axis. What changed its meaning on the way is rewritten, or refused by name.

use super::QuantizeError;
use super::net::{Facts, Net, attribute, input, int, ints, node, set, text, text_attribute};
use crate::network::proto::node_name;
use crate::network::qdq::editor::int_attribute;
use tract_onnx::pb::NodeProto;

pub const LEAST: i64 = 13;
/// Before it, sums and products broadcast by attributes.
const OLDEST: i64 = 7;

pub fn raise(net: &mut Net, opset: i64, facts: &Facts, path: &str) -> Result<(), QuantizeError> {
    if opset >= LEAST {
        return Ok(());
    }
    if opset < OLDEST {
        return Err(QuantizeError::Refused(format!(
            "{path}: is written for operator set {opset}; {OLDEST} and newer can be quantized, so \
             export it with {LEAST}"
        )));
    }
    let mut raised = Vec::new();
    for mut node in std::mem::take(&mut net.graph.node) {
        match changed(net, &mut node, opset, facts) {
            Ok(Shape::Same) => raised.push(node),
            Ok(Shape::Nodes(nodes)) => raised.extend(nodes),
            Err(why) => {
                return Err(QuantizeError::Refused(format!(
                    "{path}: node \"{}\" ({}) {why}, which operator set {LEAST} has otherwise; \
                     export the network with operator set {LEAST} or newer",
                    node_name(&node),
                    node.op_type
                )));
            }
        }
    }
    net.graph.node = raised;
    Ok(())
}

enum Shape {
    Same,
    Nodes(Vec<NodeProto>),
}

fn changed(
    net: &mut Net,
    node: &mut NodeProto,
    opset: i64,
    facts: &Facts,
) -> Result<Shape, &'static str> {
    match node.op_type.as_str() {
        "Squeeze" | "Unsqueeze" | "ReduceSum" => list_to_input(net, node, "axes", 1),
        "Split" => list_to_input(net, node, "split", 1),
        "Pad" if opset < 11 => {
            list_to_input(net, node, "pads", 1);
            if let Some(value) = attribute(node, "value").map(|value| value.f) {
                let value = net.add_reals(&format!("{}_value", node.output[0]), vec![], &[value]);
                node.input.push(value);
                node.attribute.retain(|attribute| attribute.name != "value");
            }
        }
        "Slice" if opset < 10 => {
            let axes = ints(node, "axes");
            list_to_input(net, node, "starts", 1);
            list_to_input(net, node, "ends", 2);
            if !axes.is_empty() {
                list_to_input(net, node, "axes", 3);
            }
        }
        "Clip" if opset < 11 => {
            for (at, name) in ["min", "max"].into_iter().enumerate() {
                let Some(bound) = attribute(node, name).map(|bound| bound.f) else { continue };
                let bound = net.add_reals(&format!("{}_{name}", node.output[0]), vec![], &[bound]);
                node.input.resize(at + 1, String::new());
                node.input.push(bound);
            }
            node.attribute.clear();
        }
        "Upsample" => resize(net, node, "asymmetric")?,
        "Resize" if opset < 11 => resize(net, node, "asymmetric")?,
        "Softmax" | "LogSoftmax" | "Hardmax" => return softmax(net, node, facts),
        "If" | "Loop" | "Scan" | "SequenceMap" => return Err("holds graphs of its own"),
        "TopK" if opset < 11 => return Err("takes its number in another way"),
        "Scatter" => return Err("was withdrawn"),
        "BatchNormalization" if int(node, "spatial", 1) == 0 => {
            return Err("normalizes each position for itself");
        }
        _ => {}
    }
    Ok(Shape::Same)
}

/// Input `at` from the attribute of a list, if the node has it.
fn list_to_input(net: &mut Net, node: &mut NodeProto, name: &str, at: usize) {
    let Some(list) = attribute(node, name).map(|attribute| attribute.ints.clone()) else {
        return;
    };
    node.attribute.retain(|attribute| attribute.name != name);
    let wanted = format!("{}_{name}", node.output.first().map_or("", String::as_str));
    let list = net.add_integers(&wanted, list);
    node.input.resize(at, String::new());
    node.input.push(list);
}

/// Upsample, and Resize of operator set 10, as the Resize of 11.
fn resize(net: &mut Net, node: &mut NodeProto, coordinates: &str) -> Result<(), &'static str> {
    let mode = text(node, "mode");
    let scales = match (input(node, 1), attribute(node, "scales")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(scales)) => {
            let scales = scales.floats.clone();
            let name = format!("{}_scales", node.output[0]);
            net.add_reals(&name, vec![scales.len() as i64], &scales)
        }
        (None, None) => return Err("has no scales"),
    };
    node.op_type = "Resize".to_owned();
    node.input = vec![node.input[0].clone(), String::new(), scales];
    node.attribute.clear();
    set(node, text_attribute("mode", if mode.is_empty() { "nearest" } else { &mode }));
    set(node, text_attribute("coordinate_transformation_mode", coordinates));
    set(node, text_attribute("nearest_mode", "floor"));
    Ok(())
}

/// Before 13 it ran over all axes from `axis` (1 if not given) on, as if they were one.
fn softmax(net: &mut Net, old: &mut NodeProto, facts: &Facts) -> Result<Shape, &'static str> {
    let fact = old.input.first().and_then(|name| facts.get(name));
    let shape = fact.ok_or("works on a tensor of unknown shape")?.shape.clone();
    let rank = shape.len() as i64;
    let axis = int(old, "axis", 1);
    let axis = if axis < 0 { axis + rank } else { axis };
    if !(0..rank).contains(&axis) {
        return Err("runs along an axis that is not there");
    }
    if shape[axis as usize + 1..].iter().all(|extent| *extent == 1) {
        set(old, int_attribute("axis", axis));
        return Ok(Shape::Same);
    }
    let name = node_name(old).to_owned();
    let output = old.output[0].clone();
    let whole: Vec<i64> = shape.iter().map(|extent| *extent as i64).collect();
    let whole = net.add_integers(&format!("{output}_shape"), whole);
    let [flat, soft] = ["flat", "soft"].map(|what| net.free_name(&format!("{output}_{what}")));
    let [before, behind] =
        ["flatten", "reshape"].map(|what| net.free_name(&format!("{name}_{what}")));
    let mut flatten = node(&before, "Flatten", &[&old.input[0]], &flat);
    set(&mut flatten, int_attribute("axis", axis));
    let mut middle = node(&name, &old.op_type, &[&flat], &soft);
    set(&mut middle, int_attribute("axis", 1));
    let reshape = node(&behind, "Reshape", &[&soft, &whole], &output);
    Ok(Shape::Nodes(vec![flatten, middle, reshape]))
}
