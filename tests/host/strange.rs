//! Networks that parse but make no sense, or far too much of it: an error that names node and
//! field, or floats, and soon.

use crate::hostile::{load_bytes, load_network};
use crate::onnx::{Attribute, Graph};
use segcam::network::plan::Session;
use tract_onnx::pb::tensor_proto::DataType;

/// A quantized convolution, to be spoilt in one place.
struct Quantized {
    scales: [f32; 3],
    zero_point: i32,
    /// Of the zero points of input and output.
    element: DataType,
    weights: [i64; 4],
    weight: i32,
    bias: Option<i64>,
    channels: i64,
    attributes: Vec<Attribute>,
    /// Of the first QuantizeLinear.
    quantizing: Vec<Attribute>,
}

impl Default for Quantized {
    fn default() -> Quantized {
        Quantized {
            scales: [0.1, 0.01, 0.2],
            zero_point: 10,
            element: DataType::Uint8,
            weights: [4, 4, 3, 3],
            weight: 5,
            bias: None,
            channels: 4,
            attributes: vec![],
            quantizing: vec![],
        }
    }
}

impl Quantized {
    fn graph(self) -> Graph {
        let count = self.weights.iter().product::<i64>() as usize;
        let mut graph = Graph::new(21)
            .input("x", DataType::Float, &[1, self.channels, 8, 8])
            .output("y", DataType::Float)
            .floats("xs", &[], &self.scales[..1])
            .floats("ws", &[], &self.scales[1..2])
            .floats("ys", &[], &self.scales[2..])
            .integers("z", self.element, &[], &[self.zero_point])
            .integers("w", DataType::Int8, &self.weights, &vec![self.weight; count])
            .integers("wz", DataType::Int8, &[], &[0])
            .node("QuantizeLinear", &["x", "xs", "z"], &["xq"], self.quantizing)
            .node("DequantizeLinear", &["xq", "xs", "z"], &["xd"], vec![])
            .node("DequantizeLinear", &["w", "ws", "wz"], &["wd"], vec![]);
        let mut inputs = vec!["xd", "wd"];
        if let Some(count) = self.bias {
            graph = graph.floats("b", &[count], &vec![0.5; count as usize]);
            inputs.push("b");
        }
        graph
            .node("Conv", &inputs, &["c"], self.attributes)
            .node("QuantizeLinear", &["c", "ys", "z"], &["yq"], vec![])
            .node("DequantizeLinear", &["yq", "ys", "z"], &["y"], vec![])
    }

    fn error(self) -> String {
        let error = load_network(&self.graph().bytes()).map(|_| ()).expect_err("it loads");
        assert!(error.starts_with("m.onnx: ") && !error.contains("malformed"), "{error}");
        error
    }

    /// Loads and runs; how the convolution runs is returned.
    fn way(self) -> String {
        let network = load_network(&self.graph().bytes()).unwrap();
        Session::new(&network).unwrap().run().unwrap();
        let conv = network.ways.iter().find(|way| way.node == "Conv c").unwrap();
        conv.runs.clone()
    }
}

#[test]
fn strange_quantization_is_refused_or_runs_in_float() {
    assert!(Quantized::default().way().starts_with("int8"));
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        for (index, node) in ["QuantizeLinear xq", "DequantizeLinear wd", "QuantizeLinear yq"]
            .into_iter()
            .enumerate()
        {
            let mut quantized = Quantized::default();
            quantized.scales[index] = scale;
            let error = quantized.error();
            assert!(error.contains(node) && error.contains("scale"), "{node}: {error}");
        }
    }
    for zero_point in [-1, 256, 70_000] {
        let error = Quantized { zero_point, ..Default::default() }.error();
        let right = error.contains("initializer \"z\"") && error.contains("from 0 to 255");
        assert!(right, "{error}");
    }
    let blocks = vec![Attribute::Int("block_size", 2)];
    let error = Quantized { quantizing: blocks, ..Default::default() }.error();
    assert!(error.contains("QuantizeLinear xq") && error.contains("block_size"), "{error}");
    for element in [DataType::Int4, DataType::Uint4, DataType::Float8e4m3fn, DataType::Float8e5m2] {
        let error = Quantized { element, ..Default::default() }.error();
        assert!(error.contains("initializer \"z\""), "{error}");
        assert!(error.contains(&format!("{element:?}")), "{error}");
    }
    let way = Quantized { element: DataType::Int16, ..Default::default() }.way();
    assert!(way.starts_with("float"), "{way}");
}

#[test]
fn shapes_that_disagree_name_their_node() {
    let cases = [
        Quantized { weights: [4, 3, 3, 3], ..Default::default() },
        Quantized { bias: Some(3), ..Default::default() },
        Quantized { attributes: vec![Attribute::Int("group", 3)], ..Default::default() },
        Quantized { attributes: vec![Attribute::Int("group", 0)], ..Default::default() },
        Quantized {
            attributes: vec![Attribute::Ints("dilations", vec![9, 9])],
            ..Default::default()
        },
        Quantized {
            attributes: vec![Attribute::Ints("strides", vec![0, 1])],
            ..Default::default()
        },
    ];
    for (index, case) in cases.into_iter().enumerate() {
        let error = case.error();
        assert!(error.contains("Conv c"), "{index}: {error}");
    }
}

#[test]
fn sums_beyond_32_bits_stay_in_float() {
    let wide = |channels: i64| Quantized {
        channels,
        weights: [1, channels, 1, 1],
        weight: 127,
        ..Default::default()
    };
    // 255 * 127 * 66,311 is the first beyond 2^31.
    assert!(wide(66_000).way().starts_with("int8"));
    let way = wide(67_000).way();
    assert!(way.contains("more than 32 bits hold"), "{way}");
}

#[test]
fn windows_without_end_are_refused_at_once() {
    let pool = |operator: &str, name: &'static str, values: Vec<i64>| {
        let mut attributes = vec![Attribute::Ints(name, values)];
        if name != "kernel_shape" {
            attributes.push(Attribute::Ints("kernel_shape", vec![2, 2]));
        }
        let graph = Graph::new(13)
            .input("x", DataType::Float, &[1, 1, 8, 8])
            .output("y", DataType::Float)
            .node(operator, &["x"], &["y"], attributes);
        load_bytes(&graph.bytes()).expect_err("it loads")
    };
    for operator in ["MaxPool", "AveragePool"] {
        for name in ["kernel_shape", "strides", "dilations", "pads"] {
            for value in [1i64 << 40, i64::MAX, i64::MIN] {
                let count = if name == "pads" { 4 } else { 2 };
                let error = pool(operator, name, vec![value; count]);
                assert!(
                    error.contains(&format!("{operator} y")) && error.contains(name),
                    "{error}"
                );
            }
        }
        let error = pool(operator, "kernel_shape", vec![1 << 15; 2]);
        assert!(error.contains("kernel_shape"), "{error}");
    }
}

#[test]
fn a_transpose_that_names_an_axis_twice_is_refused_at_once() {
    for perm in [vec![1, 2, 3, 1], vec![0, 1, 2, 4], vec![0, 1, 2, -1], vec![i64::MIN; 4]] {
        let graph = Graph::new(13)
            .input("x", DataType::Float, &[1, 10, 12, 5])
            .output("y", DataType::Float)
            .node("Transpose", &["x"], &["y"], vec![Attribute::Ints("perm", perm)]);
        let error = load_bytes(&graph.bytes()).unwrap_err();
        assert!(error.contains("Transpose y") && error.contains("perm"), "{error}");
    }
}

/// Some hundred bytes of file, terabytes of values.
#[test]
fn constants_without_bound_are_refused_before_they_are_made() {
    let graph = || {
        Graph::new(13)
            .input("x", DataType::Float, &[1, 1, 8, 8])
            .output("y", DataType::Float)
            .floats("a", &[1, 1], &[1.0])
            .floats("p", &[1, 1, 1, 1], &[1.0])
            .longs("pads", &[4], &[0, 0, 1 << 20, 1 << 20])
            .longs("sizes", &[4], &[1, 1, 1 << 20, 1 << 20])
            .longs("shape", &[2], &[1 << 20, 1 << 20])
            .longs("zero", &[], &[0])
            .longs("one", &[], &[1])
            .longs("many", &[], &[1 << 40])
    };
    let nearest = || vec![Attribute::Text("mode", "nearest")];
    for (operator, inputs, attributes) in [
        ("Pad", &["a", "pads"][..], vec![]),
        ("Resize", &["p", "", "", "sizes"], nearest()),
        ("Tile", &["a", "shape"], vec![]),
        ("Expand", &["a", "shape"], vec![]),
        ("ConstantOfShape", &["shape"], vec![]),
        ("Range", &["zero", "many", "one"], vec![]),
    ] {
        let error = load_bytes(&graph().node(operator, inputs, &["y"], attributes).bytes());
        let error = error.expect_err(operator);
        assert!(error.contains(" MB of constants"), "{operator}: {error}");
    }
}

#[test]
fn a_gather_by_a_single_number_is_refused_at_once() {
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[1, 3, 8, 8])
        .output("y", DataType::Float)
        .longs("i", &[], &[1])
        .node("GatherND", &["x", "i"], &["y"], vec![]);
    let error = load_bytes(&graph.bytes()).unwrap_err();
    assert!(error.contains("GatherND y") && error.contains("0 axes"), "{error}");
}

#[test]
fn an_axis_that_is_none_is_refused_at_once() {
    let norm = |shape: &[i64], axis: Option<i64>| {
        let attributes = axis.map(|axis| Attribute::Int("axis", axis)).into_iter().collect();
        let graph = Graph::new(17)
            .input("x", DataType::Float, &[1, 3, 8, 8])
            .output("y", DataType::Float)
            .floats("a", shape, &vec![1.0; shape.iter().product::<i64>() as usize])
            .floats("s", &[], &[1.0])
            .node("LayerNormalization", &["a", "s"], &["y"], attributes);
        load_bytes(&graph.bytes()).expect_err("it loads")
    };
    let error = norm(&[], None);
    assert!(error.contains("LayerNorm") && error.contains("0 axes"), "{error}");
    for axis in [-4, 4, i64::MIN, i64::MAX] {
        let error = norm(&[1, 2, 3], Some(axis));
        assert!(error.contains("LayerNorm") && error.contains(&axis.to_string()), "{error}");
    }
    let named = |name: &str| {
        let graph = Graph::new(17)
            .input("x", DataType::Float, &[1, 3, 8, 8])
            .output("y", DataType::Float)
            .floats("s", &[], &[1.0])
            .node("LayerNormalization", &["x", "s"], &["d"], vec![Attribute::Int("axis", -9)])
            .node("LayerNormalization", &["d", "s"], &["y"], vec![]);
        load_bytes(&graph.named(name).bytes()).expect_err("it loads")
    };
    for error in [named(""), named("twice")] {
        assert!(error.contains("its axis is -9"), "{error}");
    }
}

#[test]
fn an_empty_constant_for_a_number_is_refused() {
    let graph = Graph::new(17)
        .input("x", DataType::Float, &[1, 3, 8, 8])
        .output("y", DataType::Float)
        .floats("ratio", &[0], &[])
        .floats("training", &[], &[1.0])
        .floats("c", &[1], &[1.0])
        .node("Dropout", &["c", "ratio", "training"], &["d"], vec![])
        .node("Add", &["x", "d"], &["y"], vec![]);
    let error = load_bytes(&graph.bytes()).expect_err("it loads");
    assert!(error.contains("Dropout") && error.contains("empty constant"), "{error}");
}

#[test]
fn a_window_of_other_axes_than_the_picture_is_refused() {
    let pool = |shape: &[i64], attribute: &'static str, ints: &[i64]| {
        let window = match attribute {
            "kernel_shape" => vec![Attribute::Ints(attribute, ints.to_vec())],
            _ => vec![
                Attribute::Ints("kernel_shape", vec![1; shape.len() - 2]),
                Attribute::Ints(attribute, ints.to_vec()),
            ],
        };
        let graph = Graph::new(13)
            .input("x", DataType::Float, &[1, 3, 8, 8])
            .output("y", DataType::Float)
            .floats("c", shape, &vec![1.0; shape.iter().product::<i64>() as usize])
            .node("AveragePool", &["c"], &["p"], window)
            .node("Add", &["x", "p"], &["y"], vec![]);
        load_bytes(&graph.bytes()).expect_err("it loads")
    };
    for (shape, attribute, ints) in [
        (&[4, 1][..], "kernel_shape", &[][..]),
        (&[1, 3, 8, 8], "kernel_shape", &[2]),
        (&[1, 3, 8, 8], "strides", &[2]),
        (&[1, 3, 8, 8], "dilations", &[1, 1, 1]),
        (&[1, 3, 8, 8], "pads", &[0, 0]),
    ] {
        let error = pool(shape, attribute, ints);
        assert!(error.contains("AveragePool") && error.contains(attribute), "{error}");
    }
}

#[test]
fn names_are_made_once() {
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[1, 4])
        .output("y", DataType::Float)
        .node("Softmax", &["x"], &["y"], vec![])
        .node("Softmax", &["y"], &["y"], vec![]);
    let error = load_bytes(&graph.bytes()).unwrap_err();
    assert!(error.contains("Softmax y") && error.contains("made before"), "{error}");
}

#[test]
fn long_networks_load_soon() {
    let base = || {
        Graph::new(13)
            .input("x", DataType::Float, &[1, 4])
            .floats("s", &[], &[0.1])
            .integers("z", DataType::Uint8, &[], &[128])
            .node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![])
            .node("DequantizeLinear", &["q", "s", "z"], &["0"], vec![])
    };
    let chain = |operator: &str, count: usize| {
        let mut graph = base();
        for index in 0..count {
            let (from, to) = (index.to_string(), (index + 1).to_string());
            graph = graph.node(operator, &[&from], &[&to], vec![]);
        }
        graph
            .node("ArgMax", &[&count.to_string()], &["y"], vec![Attribute::Int("axis", 1)])
            .output("y", DataType::Int64)
    };
    for operator in ["Softmax", "Relu", "Transpose"] {
        let start = std::time::Instant::now();
        let _ = load_bytes(&chain(operator, 3000).bytes());
        println!("{operator}: {:?}", start.elapsed());
        assert!(start.elapsed().as_secs() < 60, "{operator}: {:?}", start.elapsed());
    }
}
