//! Transposes that exporters of channels-last networks put around functions of one number go
//! below them, where they meet their opposite and vanish.

use super::net::{Facts, Net, input, ints, node, set};
use crate::network::lower::unary;
use crate::network::qdq::editor::ints_attribute;
use std::collections::HashMap;
use tract_onnx::pb::NodeProto;

/// What a transposed tensor was before, and the permutation.
type Transposed = HashMap<String, (String, Vec<i64>)>;

pub fn sink(net: &mut Net, facts: &Facts) {
    let mut known = Transposed::new();
    // Tensors that are the same as another after all.
    let mut same: HashMap<String, String> = HashMap::new();
    let inner = net.inner();
    let mut nodes = Vec::new();
    for mut current in std::mem::take(&mut net.graph.node) {
        for name in &mut current.input {
            if let Some(other) = same.get(name) {
                name.clone_from(other);
            }
        }
        let output = current.output.first().cloned().unwrap_or_default();
        if current.op_type == "Transpose" && !current.input.is_empty() {
            let Some(perm) = permutation(&current, facts) else {
                nodes.push(current);
                continue;
            };
            let (from, perm) = match known.get(&current.input[0]) {
                Some((from, first)) => {
                    (from.clone(), perm.iter().map(|axis| first[*axis as usize]).collect())
                }
                None => (current.input[0].clone(), perm),
            };
            let identity = perm.iter().enumerate().all(|(at, axis)| at as i64 == *axis);
            if identity && !net.is_output(&output) && !inner.contains(&output) {
                same.insert(output, from);
                continue;
            }
            current.input[0].clone_from(&from);
            set(&mut current, ints_attribute("perm", perm.clone()));
            known.insert(output, (from, perm));
            nodes.push(current);
            continue;
        }
        match below(net, facts, &known, &nodes, &current) {
            Some((inputs, perm)) => {
                let result = net.free_name(&format!("{output}_plain"));
                let name = net.free_name(&format!("{}_transpose", current.name));
                let mut transpose = node(&name, "Transpose", &[&result], &output);
                set(&mut transpose, ints_attribute("perm", perm.clone()));
                current.input = inputs;
                current.output[0].clone_from(&result);
                nodes.push(current);
                nodes.push(transpose);
                known.insert(output, (result, perm));
            }
            None => nodes.push(current),
        }
    }
    net.graph.node = nodes;
    net.sweep();
}

fn permutation(node: &NodeProto, facts: &Facts) -> Option<Vec<i64>> {
    let rank = facts.get(node.input.first()?)?.shape.len();
    let given = ints(node, "perm");
    let perm = if given.is_empty() { (0..rank as i64).rev().collect() } else { given };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    (sorted == (0..rank as i64).collect::<Vec<_>>()).then_some(perm)
}

/// What a node would read if it stood before the Transpose (of this permutation) of its inputs.
fn below(
    net: &mut Net,
    facts: &Facts,
    known: &Transposed,
    nodes: &[NodeProto],
    node: &NodeProto,
) -> Option<(Vec<String>, Vec<i64>)> {
    let scalar =
        |net: &Net, name: &str| net.dims(name).is_some_and(|dims| dims.iter().all(|dim| *dim == 1));
    if node.output.len() != 1 {
        return None;
    }
    if unary(&node.op_type) {
        let (from, perm) = known.get(input(node, 0)?)?;
        let plain = node.input[1..].iter().all(|name| name.is_empty() || scalar(net, name));
        let mut inputs = node.input.clone();
        inputs[0].clone_from(from);
        return plain.then(|| (inputs, perm.clone()));
    }
    if !matches!(node.op_type.as_str(), "Add" | "Sub" | "Mul" | "Div") || node.input.len() != 2 {
        return None;
    }
    let perm = node.input.iter().find_map(|name| known.get(name))?.1.clone();
    let before = |name: &String| {
        if let Some((from, own)) = known.get(name) {
            return (*own == perm).then(|| from.clone());
        }
        if scalar(net, name) {
            return Some(name.clone());
        }
        // One number a channel, brought to the channels' place by a Reshape.
        let reshape = nodes.iter().find(|node| node.output.first() == Some(name))?;
        let from = reshape.input.first().filter(|_| reshape.op_type == "Reshape")?;
        let (old, new) = (&facts.get(from)?.shape, &facts.get(name)?.shape);
        let alike = old.len() == perm.len()
            && new.len() == perm.len()
            && perm.iter().zip(new).all(|(axis, extent)| old[*axis as usize] == *extent)
            && old.iter().filter(|extent| **extent != 1).count() <= 1;
        alike.then(|| from.clone())
    };
    let inputs: Option<Vec<String>> = node.input.iter().map(before).collect();
    Some((inputs?, perm))
}
