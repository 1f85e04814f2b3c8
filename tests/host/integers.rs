//! What the passes make of small quantized networks: which steps they become, and the numbers
//! that come out.

use crate::onnx::{Attribute, Graph};
use segcam::network::load::{self, Network, Options};
use segcam::network::{plan::Session, proto};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::*;

fn load(graph: Graph, compared: Option<(usize, usize)>) -> Network {
    let model = proto::parse("m.onnx", &graph.bytes()).unwrap();
    let resolve = |_: &load::OpenInput| unreachable!("all sizes are given");
    let options = Options { resolve: &resolve, threads: 1, memory: None, compared: &|_| compared };
    load::load("m.onnx", model, &options).unwrap()
}

/// Runs a network of one input on numbers.
fn run(network: &Network, values: &[f32]) -> TValue {
    let mut session = Session::new(network).unwrap();
    let mut plain = session.input(0).try_as_plain_ram_mut().unwrap();
    plain.as_slice_mut::<f32>().unwrap().copy_from_slice(values);
    session.run().unwrap().remove(0)
}

fn values<T: Datum + Copy>(tensor: &Tensor) -> Vec<T> {
    tensor.try_as_plain_ram().unwrap().as_slice::<T>().unwrap().to_vec()
}

/// The steps of all integer parts.
fn steps(network: &Network) -> Vec<&'static str> {
    network.programs().flat_map(|program| &program.steps).map(|step| step.algorithm()).collect()
}

fn way<'n>(network: &'n Network, node: &str) -> &'n str {
    let way = network.ways.iter().find(|way| way.node == node);
    &way.unwrap_or_else(|| panic!("no node {node}")).runs
}

/// Scale and zero point of the bytes of every activation here.
const SCALE: f32 = 0.125;

fn graph(shape: &[i64], output: DataType) -> Graph {
    Graph::new(13)
        .input("x", DataType::Float, shape)
        .output("y", output)
        .floats("s", &[], &[SCALE])
        .integers("z", DataType::Int8, &[], &[0])
}

/// `from` to bytes and back, as `to`.
fn quantized(graph: Graph, from: &str, to: &str) -> Graph {
    let bytes = format!("{to} bytes");
    graph.node("QuantizeLinear", &[from, "s", "z"], &[&bytes], vec![]).node(
        "DequantizeLinear",
        &[&bytes, "s", "z"],
        &[to],
        vec![],
    )
}

/// A convolution of `from` with constant weights of scale one.
fn convolution(
    graph: Graph,
    from: &str,
    to: &str,
    shape: [i64; 4],
    weights: &[i32],
    attributes: Vec<Attribute>,
) -> Graph {
    let (bytes, reals, one) = (format!("{to} w"), format!("{to} reals"), format!("{to} one"));
    graph
        .integers(&bytes, DataType::Int8, &shape, weights)
        .floats(&one, &[], &[1.0])
        .node("DequantizeLinear", &[&bytes, &one, "z"], &[&reals], vec![])
        .node("Conv", &[from, &reals], &[to], attributes)
}

fn rounded(x: f32) -> f32 {
    (x / SCALE).round_ties_even().clamp(-128.0, 127.0) * SCALE
}

#[test]
fn a_float_operator_in_the_middle_makes_two_integer_parts() {
    let graph = quantized(graph(&[1, 1, 1, 4], DataType::Float), "x", "a");
    let graph = convolution(graph, "a", "b", [1, 1, 1, 1], &[3], vec![]);
    let graph = quantized(graph, "b", "c").node("Cos", &["c"], &["d"], vec![]);
    let graph = quantized(graph, "d", "e");
    let graph = quantized(convolution(graph, "e", "f", [1, 1, 1, 1], &[-2], vec![]), "f", "y");
    let network = load(graph, None);
    assert_eq!(network.programs().count(), 2);
    assert!(way(&network, "Cos d").starts_with("float"));
    assert!(way(&network, "Conv b").starts_with("int8"), "{}", way(&network, "Conv b"));
    assert!(way(&network, "Conv f").starts_with("int8"), "{}", way(&network, "Conv f"));
    let x = [0.3, -1.0, 2.2, 9.0];
    let right = x.map(|x| rounded(-2.0 * rounded(rounded(3.0 * rounded(x)).cos())));
    assert_eq!(values::<f32>(&run(&network, &x)), right);
}

/// Three classes of one pixel row: the input itself, reversed and zero.
fn scores() -> Graph {
    let graph = quantized(graph(&[1, 1, 1, 4], DataType::Int64), "x", "a");
    quantized(convolution(graph, "a", "b", [3, 1, 1, 1], &[1, -1, 0], vec![]), "b", "c")
}

#[test]
fn a_softmax_before_the_largest_is_left_out() {
    let along = || vec![Attribute::Int("axis", 1)];
    let labels = |graph: Graph, from: &str| {
        graph.node(
            "ArgMax",
            &[from],
            &["y"],
            vec![Attribute::Int("axis", 1), Attribute::Int("keepdims", 0)],
        )
    };
    let network = load(labels(scores().node("Softmax", &["c"], &["d"], along()), "d"), None);
    assert_eq!(way(&network, "Softmax d"), "fused away");
    assert_eq!(way(&network, "ArgMax y"), "int8 argmax");
    assert_eq!(values::<i64>(&run(&network, &[1.0, -1.0, 0.0, 0.05])), [0, 1, 0, 0]);
    // Along another axis it changes the order.
    let other = scores().node("Softmax", &["c"], &["d"], vec![Attribute::Int("axis", 3)]);
    let network = load(labels(other, "d"), None);
    assert!(way(&network, "Softmax d").starts_with("float"));
}

#[test]
fn only_labels_need_no_reals() {
    let graph = |output| {
        let graph = quantized(graph(&[1, 1, 1, 4], output), "x", "a");
        let graph = convolution(graph, "a", "b", [3, 1, 1, 1], &[1, -1, 0], vec![]);
        quantized(graph, "b", "y")
    };
    let x = [1.0, -1.0, 0.0, 4.0];
    let bytes = load(graph(DataType::Float), Some((0, 1)));
    let found = run(&bytes, &x);
    assert_eq!(found.datum_type(), i8::datum_type());
    assert_eq!(values::<i8>(&found), [8, -8, 0, 32, -8, 8, 0, -32, 0, 0, 0, 0]);
    let reals = run(&load(graph(DataType::Float), None), &x);
    assert_eq!(reals.datum_type(), f32::datum_type());
    assert_eq!(values::<f32>(&reals)[..4], x);
}

#[test]
fn zeroes_around_a_picture_are_the_convolutions_own() {
    let ones = || vec![Attribute::Ints("kernel_shape", vec![3, 3])];
    let padded = |value: f32| {
        let graph = quantized(graph(&[1, 1, 2, 2], DataType::Float), "x", "a");
        let pads = [0, 0, 1, 1, 0, 0, 1, 1].map(i64::from);
        let graph = graph.longs("pads", &[8], &pads).floats("fill", &[], &[value]);
        let graph = graph.node("Pad", &["a", "pads", "fill"], &["p"], vec![]);
        quantized(convolution(graph, "p", "b", [1, 1, 3, 3], &[1; 9], ones()), "b", "y")
    };
    let x = [0.5, 1.0, 0.25, -0.75];
    let network = load(padded(0.0), None);
    assert!(!steps(&network).contains(&"gather"), "{:?}", steps(&network));
    assert_eq!(way(&network, "Pad p"), "fused away");
    assert_eq!(values::<f32>(&run(&network, &x)), [1.0; 4]);
    // Another number has to be written.
    let network = load(padded(0.5), None);
    assert!(steps(&network).contains(&"gather"), "{:?}", steps(&network));
    assert_eq!(values::<f32>(&run(&network, &x)), [3.5; 4]);
}

#[test]
fn what_a_concat_joins_is_written_in_place() {
    let graph = quantized(graph(&[1, 1, 1, 4], DataType::Float), "x", "a");
    let graph = convolution(graph, "a", "b", [2, 1, 1, 1], &[1, 2], vec![]);
    let graph = convolution(graph, "a", "c", [1, 1, 1, 1], &[3], vec![]);
    let graph = quantized(quantized(graph, "b", "d"), "c", "e");
    let joined = graph.node("Concat", &["d", "e"], &["f"], vec![Attribute::Int("axis", 1)]);
    let network = load(quantized(joined, "f", "y"), None);
    assert!(!steps(&network).contains(&"rearrange"), "{:?}", steps(&network));
    assert!(network.ways.iter().all(|way| !way.runs.starts_with("float")), "{:?}", network.ways);
    let x = [0.5, -1.0, 0.0, 2.0];
    let right: Vec<f32> = [1.0, 2.0, 3.0].iter().flat_map(|weight| x.map(|x| weight * x)).collect();
    assert_eq!(values::<f32>(&run(&network, &x)), right);
}
