//! Operators of our own, and shapes of all kinds, through `infer --tensor`.

use crate::onnx::{Attribute, Graph};
use crate::program::{Place, call};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::{Tensor, tensor1};

fn run(graph: Graph, input: Tensor) -> Vec<f32> {
    let place = Place::new();
    let model = place.write("m.onnx", &graph.bytes());
    let tensor = place.write("in.npy", &segcam::npy::to_bytes(&input).unwrap());
    call(&["infer", &model, "--tensor", &tensor, "-o", &place.text("out.npy")]).success();
    let output = segcam::npy::read(&place.path("out.npy")).unwrap();
    let output = output.cast_to::<f32>().unwrap().into_owned();
    output.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
}

fn picture(values: &[f32], shape: &[usize]) -> Tensor {
    tensor1(values).into_shape(shape).unwrap()
}

#[test]
fn upsample_7_takes_its_scales_from_an_attribute_9_from_an_input() {
    let input = || picture(&[1.0, 2.0, 3.0, 4.0], &[1, 1, 2, 2]);
    let nearest = [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 3.0, 3.0, 4.0, 4.0];
    let scales = vec![1.0, 1.0, 2.0, 2.0];
    let seven = Graph::new(7)
        .input("x", DataType::Float, &[1, 1, 2, 2])
        .output("y", DataType::Float)
        .node("Upsample", &["x"], &["y"], vec![Attribute::Floats("scales", scales.clone())]);
    assert_eq!(run(seven, input()), nearest);
    let nine = |mode| {
        Graph::new(9)
            .input("x", DataType::Float, &[1, 1, 2, 2])
            .output("y", DataType::Float)
            .floats("s", &[4], &scales)
            .node("Upsample", &["x", "s"], &["y"], vec![Attribute::Text("mode", mode)])
    };
    assert_eq!(run(nine("nearest"), input()), nearest);
    // Asymmetric coordinates, the border repeated: rows 1 1.5 2 2, then 2 2.5 3 3 …
    let linear = run(nine("linear"), input());
    assert_eq!(linear[..8], [1.0, 1.5, 2.0, 2.0, 2.0, 2.5, 3.0, 3.0]);
}

#[test]
fn max_unpool_puts_values_back() {
    let pool = || {
        vec![Attribute::Ints("kernel_shape", vec![2, 2]), Attribute::Ints("strides", vec![2, 2])]
    };
    let graph = Graph::new(11)
        .input("x", DataType::Float, &[1, 2, 4, 4])
        .output("y", DataType::Float)
        .node("MaxPool", &["x"], &["p", "i"], pool())
        .node("MaxUnpool", &["p", "i"], &["y"], pool());
    let mut random = fastrand::Rng::with_seed(1);
    let values: Vec<f32> = (0..32).map(|_| random.i32(1..1000) as f32).collect();
    let mut expected = vec![0.0; 32];
    for (channel, y, x) in (0..8).map(|at| (at / 4, at / 2 % 2, at % 2)) {
        let corner = channel * 16 + y * 8 + x * 2;
        let places = [corner, corner + 1, corner + 4, corner + 5];
        let best = places.into_iter().max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap();
        expected[best] = values[best];
    }
    assert_eq!(run(graph, picture(&values, &[1, 2, 4, 4])), expected);
}

#[test]
fn quantization_rounds_half_to_even_and_saturates() {
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[1, 8])
        .output("y", DataType::Uint8)
        .floats("s", &[], &[2.0])
        .node("QuantizeLinear", &["x", "s"], &["y"], vec![]);
    let input = [-5.0, 1.0, 3.0, 5.0, 7.0, 509.0, 511.0, 9999.0];
    assert_eq!(
        run(graph, picture(&input, &[1, 8])),
        [0.0, 0.0, 2.0, 2.0, 4.0, 254.0, 255.0, 255.0]
    );
}

#[test]
fn open_dimensions_take_the_tensors_shape() {
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[0, 3, 0, 0])
        .output("y", DataType::Float)
        .node("Relu", &["x"], &["y"], vec![]);
    let values: Vec<f32> = (0..2 * 3 * 5 * 4).map(|value| value as f32 - 60.0).collect();
    let expected: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
    assert_eq!(run(graph, picture(&values, &[2, 3, 5, 4])), expected);
}

#[test]
fn every_output_gets_its_file() {
    let place = Place::new();
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[1, 2])
        .output("y", DataType::Float)
        .output("z", DataType::Float)
        .node("Relu", &["x"], &["y"], vec![])
        .node("Neg", &["x"], &["z"], vec![]);
    let model = place.write("m.onnx", &graph.bytes());
    let input =
        place.write("in.npy", &segcam::npy::to_bytes(&picture(&[-1.0, 2.0], &[1, 2])).unwrap());
    let ended = call(&["infer", &model, "--tensor", &input, "-o", &place.text("o.npy")]).success();
    assert_eq!(ended.out.lines().count(), 2);
    let second = segcam::npy::read(&place.path("o.1.npy")).unwrap();
    assert_eq!(second, picture(&[1.0, -2.0], &[1, 2]));
}

#[test]
fn each_input_takes_a_file_of_its_own() {
    let place = Place::new();
    let graph = Graph::new(13)
        .input("a", DataType::Float, &[1, 2])
        .input("more", DataType::Bool, &[1, 2])
        .input("b", DataType::Float, &[1, 2])
        .output("y", DataType::Float)
        .node("Where", &["more", "a", "b"], &["y"], vec![]);
    let model = place.write("m.onnx", &graph.bytes());
    let file = |name: &str, tensor: Tensor| {
        place.write(name, &segcam::npy::to_bytes(&tensor.into_shape(&[1, 2]).unwrap()).unwrap())
    };
    let a = file("a.npy", tensor1(&[1.0f32, 2.0]));
    let more = file("more.npy", tensor1(&[true, false]));
    let b = file("b.npy", tensor1(&[3.0f32, 4.0]));
    let out = place.text("o.npy");
    let mut line = vec!["infer", &model, "-o", &out, "--tensor", &a, "--tensor", &more];
    let short = call(&line);
    assert!(short.err.contains("--tensor: found 2 files, expected 3"), "{}", short.err);
    line.extend(["--tensor", &b]);
    call(&line).success();
    assert_eq!(segcam::npy::read(&place.path("o.npy")).unwrap(), picture(&[1.0, 4.0], &[1, 2]));
}

#[test]
fn pads_cut_and_wrap() {
    let padded = |mode, pads: &[i64]| {
        let graph =
            Graph::new(9).input("x", DataType::Float, &[1, 4]).output("y", DataType::Float).node(
                "Pad",
                &["x"],
                &["y"],
                vec![Attribute::Text("mode", mode), Attribute::Ints("pads", pads.to_vec())],
            );
        run(graph, picture(&[1.0, 2.0, 3.0, 4.0], &[1, 4]))
    };
    assert_eq!(padded("constant", &[0, 1, 0, -2]), [0.0, 1.0, 2.0]);
    assert_eq!(padded("reflect", &[0, -1, 0, 2]), [2.0, 3.0, 4.0, 3.0, 2.0]);
    assert_eq!(padded("wrap", &[0, 1, 0, 2]), [4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
}

#[test]
fn transposed_convolutions_reach_the_size_that_is_asked_for() {
    // One value, spread by a kernel of two over strides of three.
    let spread = |attributes: Vec<Attribute>| {
        let mut all = vec![Attribute::Ints("strides", vec![3])];
        all.extend(attributes);
        let graph = Graph::new(11)
            .input("x", DataType::Float, &[1, 1, 2])
            .output("y", DataType::Float)
            .floats("w", &[1, 1, 2], &[10.0, 1.0])
            .floats("b", &[1], &[0.5])
            .node("ConvTranspose", &["x", "w", "b"], &["y"], all);
        run(graph, picture(&[1.0, 2.0], &[1, 1, 2]))
    };
    let whole = [10.5, 1.5, 0.5, 20.5, 2.5];
    assert_eq!(spread(vec![]), whole);
    assert_eq!(spread(vec![Attribute::Text("auto_pad", "SAME_UPPER")]), whole);
    assert_eq!(spread(vec![Attribute::Ints("output_shape", vec![4])]), whole[1..]);
    let longer = spread(vec![Attribute::Ints("output_shape", vec![6])]);
    assert_eq!((&longer[..5], longer[5]), (&whole[..], 0.5));
}

#[test]
fn inspect_counts_what_a_transposed_convolution_multiplies() {
    let graph = Graph::new(11)
        .input("x", DataType::Float, &[1, 2, 4, 5])
        .output("y", DataType::Float)
        .floats("w", &[2, 3, 2, 2], &[1.0; 24])
        .node("ConvTranspose", &["x", "w"], &["y"], vec![Attribute::Ints("strides", vec![2, 2])]);
    let place = Place::new();
    let told = call(&["inspect", &place.write("m.onnx", &graph.bytes()), "--json"]).success().out;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    // Each of 20 pixels by the whole kernel.
    assert_eq!(told["macs"], 20 * 24);
}
