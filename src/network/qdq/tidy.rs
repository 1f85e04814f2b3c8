//! Constant nodes as initializers, and no Identity: what exporters put between a value and the
//! operator that wants it.

use super::editor::{floats, inner_names};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

/// Makes an initializer of each Constant node that holds numbers.
pub fn constants_to_initializers(graph: &mut GraphProto) {
    let mut known: HashSet<String> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.clone())
        .chain(graph.input.iter().map(|input| input.name.clone()))
        .collect();
    let mut found = Vec::new();
    graph.node.retain_mut(|node| {
        let fresh = node.output.first().is_some_and(|name| !known.contains(name));
        let Some(tensor) = fresh.then(|| constant(node)).flatten() else { return true };
        known.insert(tensor.name.clone());
        found.push(tensor);
        false
    });
    graph.initializer.extend(found);
}

fn constant(node: &mut NodeProto) -> Option<TensorProto> {
    if node.op_type != "Constant" {
        return None;
    }
    let ([name], [value]) = (node.output.as_slice(), node.attribute.as_mut_slice()) else {
        return None;
    };
    let integers = |values: Vec<i64>, dims: Vec<i64>| TensorProto {
        name: name.clone(),
        dims,
        data_type: DataType::Int64 as i32,
        int64_data: values,
        ..Default::default()
    };
    match value.name.as_str() {
        "value" => Some(TensorProto { name: name.clone(), ..value.t.take()? }),
        "value_float" => Some(floats(name, vec![value.f])),
        "value_floats" => Some(TensorProto {
            dims: vec![value.floats.len() as i64],
            ..floats(name, value.floats.clone())
        }),
        "value_int" => Some(integers(vec![value.i], vec![])),
        "value_ints" => Some(integers(value.ints.clone(), vec![value.ints.len() as i64])),
        _ => None,
    }
}

/// Takes Identity nodes out, but for those that give a name to an output or to a graph inside
/// a node.
pub fn remove_identities(graph: &mut GraphProto) {
    let mut kept: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    for node in &graph.node {
        inner_names(node, &mut |name| {
            kept.insert(name.to_owned());
        });
    }
    let mut same: HashMap<String, String> = HashMap::new();
    graph.node.retain_mut(|node| {
        for input in &mut node.input {
            if let Some(origin) = same.get(input) {
                input.clone_from(origin);
            }
        }
        match (node.input.as_slice(), node.output.as_slice()) {
            ([input], [output])
                if node.op_type == "Identity" && !input.is_empty() && !kept.contains(output) =>
            {
                same.insert(output.clone(), input.clone());
                false
            }
            _ => true,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::{AttributeProto, ValueInfoProto};

    fn node(operator: &str, input: &str, output: &str) -> NodeProto {
        NodeProto {
            op_type: operator.into(),
            input: vec![input.into()],
            output: vec![output.into()],
            ..Default::default()
        }
    }

    #[test]
    fn identities_go_unless_somebody_else_needs_their_name() {
        let inner = GraphProto { node: vec![node("Relu", "seen", "i")], ..Default::default() };
        let mut branch = node("If", "b", "c");
        branch.attribute = vec![AttributeProto { g: Some(inner), ..Default::default() }];
        let mut graph = GraphProto {
            node: vec![
                node("Identity", "x", "a"),
                node("Identity", "a", "b"),
                node("Identity", "b", "seen"),
                branch,
                node("Identity", "c", "y"),
            ],
            output: vec![ValueInfoProto { name: "y".into(), ..Default::default() }],
            ..Default::default()
        };
        remove_identities(&mut graph);
        let left: Vec<(&str, &str)> =
            graph.node.iter().map(|node| (&*node.input[0], &*node.output[0])).collect();
        assert_eq!(left, [("x", "seen"), ("x", "c"), ("c", "y")]);
    }

    #[test]
    fn constants_become_initializers_of_their_shape() {
        let constant = |name: &str, value: AttributeProto| NodeProto {
            attribute: vec![AttributeProto { name: name.into(), ..value }],
            ..node("Constant", "", name)
        };
        let known = |name: &str| TensorProto { name: name.into(), ..Default::default() };
        let tensor = TensorProto { dims: vec![0, 3], ..Default::default() };
        let mut graph = GraphProto {
            node: vec![
                constant("value", AttributeProto { t: Some(tensor), ..Default::default() }),
                constant("value_float", AttributeProto { f: 2.0, ..Default::default() }),
                constant(
                    "value_floats",
                    AttributeProto { floats: vec![2.0], ..Default::default() },
                ),
                constant("value_ints", AttributeProto { ints: vec![4, 5], ..Default::default() }),
                constant("value_int", AttributeProto { i: 4, ..Default::default() }),
                constant("value_string", AttributeProto::default()),
            ],
            initializer: vec![known("value_int")],
            ..Default::default()
        };
        constants_to_initializers(&mut graph);
        // A name that is taken is left to whoever reports it.
        let left: Vec<&str> = graph.node.iter().map(|node| &*node.output[0]).collect();
        assert_eq!(left, ["value_int", "value_string"]);
        let made: Vec<(&str, &[i64])> =
            graph.initializer.iter().skip(1).map(|tensor| (&*tensor.name, &*tensor.dims)).collect();
        let right: [(&str, &[i64]); 4] = [
            ("value", &[0, 3]),
            ("value_float", &[]),
            ("value_floats", &[1]),
            ("value_ints", &[2]),
        ];
        assert_eq!(made, right);
    }
}
