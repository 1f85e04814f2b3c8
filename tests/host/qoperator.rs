//! QOperator nodes, one at a time, with answers worked out by hand.

use crate::onnx::{Attribute, Graph};
use crate::program::{Ended, Place, call};
use Attribute::{Float as Number, Int, Ints};
use DataType::{Float, Int8, Int32, Uint8};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::{Datum, Tensor};

fn infer(place: &Place, graph: Graph, x: &Tensor) -> Ended {
    let model = place.write("m.onnx", &graph.bytes());
    let input = place.write("x.npy", &segcam::npy::to_bytes(x).unwrap());
    call(&["infer", &model, "--tensor", &input, "-o", &place.text("y.npy")])
}

/// The first output for one input.
fn answer(graph: Graph, x: &Tensor) -> Tensor {
    let place = Place::new();
    infer(&place, graph, x).success();
    segcam::npy::read(&place.path("y.npy")).unwrap()
}

fn error(graph: Graph, x: &Tensor) -> String {
    let ended = infer(&Place::new(), graph, x);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    ended.error().to_owned()
}

fn tensor<T: Datum + Copy>(shape: &[usize], values: &[T]) -> Tensor {
    Tensor::from_shape(shape, values).unwrap()
}

fn graph(x: DataType, shape: &[i64], y: DataType) -> Graph {
    Graph::new(17).input("x", x, shape).output("y", y)
}

/// NAMEs and NAMEz: a scale and a zero point.
trait Quantized {
    fn quantized(self, name: &str, scale: f32, zero_point: i32) -> Self;
}

impl Quantized for Graph {
    fn quantized(self, name: &str, scale: f32, zero_point: i32) -> Graph {
        self.floats(&format!("{name}s"), &[], &[scale]).integers(
            &format!("{name}z"),
            Uint8,
            &[],
            &[zero_point],
        )
    }
}

const TERNARY: [&str; 8] = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"];
const UNARY: [&str; 5] = ["x", "xs", "xz", "ys", "yz"];

/// The weights are 1 and -1, the biases both 1.
fn convolution(shape: &[i64], attributes: Vec<Attribute>) -> Graph {
    graph(Uint8, shape, Uint8)
        .quantized("x", 0.5, 10)
        .integers("w", Int8, &[2, 1, 1, 1], &[2, -4])
        .floats("ws", &[2], &[0.5, 0.25])
        .integers("wz", Int8, &[], &[0])
        .quantized("y", 1.0, 20)
        .integers("b", Int32, &[2], &[4, 8])
        .node("QLinearConv", &[&TERNARY[..], &["b"]].concat(), &["y"], attributes)
}

#[test]
fn convolutions_have_a_scale_for_each_channel() {
    // 0, 5, 10, 15.
    let x = [10u8, 20, 30, 40];
    let first = answer(convolution(&[1, 1, 2, 2], vec![]), &tensor(&[1, 1, 2, 2], &x));
    assert_eq!(first, tensor(&[1, 2, 2, 2], &[21u8, 26, 31, 36, 21, 16, 11, 6]));
    let last = convolution(&[1, 2, 2, 1], vec![Int("channels_last", 1)]);
    let last = answer(last.in_domain("com.microsoft"), &tensor(&[1, 2, 2, 1], &x));
    assert_eq!(last, tensor(&[1, 2, 2, 2], &[21u8, 21, 26, 16, 31, 11, 36, 6]));
}

#[test]
fn matrix_products_have_a_scale_for_each_column() {
    // 2, 4 times (1, 0), (3, 1).
    let x = tensor(&[1, 2], &[3u8, 5]);
    let product = graph(Uint8, &[1, 2], Uint8)
        .quantized("x", 1.0, 1)
        .integers("w", Int8, &[2, 2], &[1, 2, 3, 4])
        .floats("ws", &[2], &[1.0, 0.5])
        .integers("wz", Int8, &[2], &[0, 2])
        .quantized("y", 2.0, 0)
        .node("QLinearMatMul", &TERNARY, &["y"], vec![]);
    assert_eq!(answer(product, &x), tensor(&[1, 2], &[7u8, 2]));
    // The same transposed, doubled, and 2, -2 added.
    let gemm = |output: DataType, inputs: &[&str]| {
        graph(Uint8, &[1, 2], output)
            .quantized("x", 1.0, 1)
            .integers("w", Int8, &[2, 2], &[1, 3, 2, 4])
            .floats("ws", &[2], &[1.0, 0.5])
            .integers("wz", Int8, &[2], &[0, 2])
            .integers("b", Int32, &[2], &[1, -2])
            .quantized("y", 2.0, 1)
            .node("QGemm", inputs, &["y"], vec![Int("transB", 1), Number("alpha", 2.0)])
            .in_domain("com.microsoft")
    };
    let inputs = ["x", "xs", "xz", "w", "ws", "wz", "b", "ys", "yz"];
    assert_eq!(answer(gemm(Uint8, &inputs), &x), tensor(&[1, 2], &[16u8, 4]));
    assert_eq!(answer(gemm(Float, &inputs[..7]), &x), tensor(&[1, 2], &[30f32, 6.0]));
}

#[test]
fn integer_operators_pad_with_the_zero_point() {
    // 0, 1, 2 between zeros, times -1, 1.
    let conv = graph(Uint8, &[1, 1, 1, 3], Int32)
        .integers("xz", Uint8, &[], &[1])
        .integers("w", Uint8, &[1, 1, 1, 2], &[5, 7])
        .integers("wz", Uint8, &[], &[6])
        .node("ConvInteger", &["x", "w", "xz", "wz"], &["y"], vec![Ints("pads", vec![0, 1, 0, 1])]);
    let x = tensor(&[1, 1, 1, 3], &[1u8, 2, 3]);
    assert_eq!(answer(conv, &x), tensor(&[1, 1, 1, 4], &[0i32, 1, 1, -2]));
    // Zero points of rows and of columns: (0, 1), (0, 1) times (1, 0), (3, 2); then without.
    let product = |inputs: &[&str]| {
        graph(Uint8, &[2, 2], Int32)
            .integers("xz", Uint8, &[2], &[1, 3])
            .integers("w", Int8, &[2, 2], &[1, 2, 3, 4])
            .integers("wz", Int8, &[2], &[0, 2])
            .node("MatMulInteger", inputs, &["y"], vec![])
    };
    let x = tensor(&[2, 2], &[1u8, 2, 3, 4]);
    let both = answer(product(&["x", "w", "xz", "wz"]), &x);
    assert_eq!(both, tensor(&[2, 2], &[3i32, 2, 3, 2]));
    assert_eq!(answer(product(&["x", "w"]), &x), tensor(&[2, 2], &[7i32, 10, 15, 22]));
}

#[test]
fn dynamic_quantization_measures_its_input() {
    let dynamic = |y: DataType, outputs: &[&str]| {
        graph(Float, &[1, 3], y).node("DynamicQuantizeLinear", &["x"], outputs, vec![])
    };
    let x = tensor(&[1, 3], &[-200f32, 0.0, 310.0]);
    let y = answer(dynamic(Uint8, &["y", "s", "z"]), &x);
    assert_eq!(y, tensor(&[1, 3], &[0u8, 100, 255]));
    let y = answer(dynamic(Float, &["q", "y", "z"]), &x);
    assert_eq!(y, tensor(&[], &[2f32]));
    // 153 - 2.5 / (5 / 255) is 25.500003 in float32: multiplying by 51 gives the even 25.
    let near_tie = answer(dynamic(Uint8, &["y", "s", "z"]), &tensor(&[1, 3], &[2f32, -3.0, -2.5]));
    assert_eq!(near_tie, tensor(&[1, 3], &[255u8, 0, 26]));
    let zeros = tensor(&[1, 3], &[0f32; 3]);
    assert_eq!(answer(dynamic(Uint8, &["y", "s", "z"]), &zeros), tensor(&[1, 3], &[0u8; 3]));
    // -100, 0, 155 times 1, 2, 3.
    let product = dynamic(Int32, &["q", "s", "z"]).integers("w", Int8, &[3, 1], &[1, 2, 3]).node(
        "MatMulInteger",
        &["q", "w", "z"],
        &["y"],
        vec![],
    );
    assert_eq!(answer(product, &x), tensor(&[1, 1], &[365i32]));
}

#[test]
fn sums_products_and_concatenations_requantize() {
    // 0, 5 and 4.
    let two = |operator: &str| {
        graph(Uint8, &[1, 2], Uint8)
            .quantized("x", 0.5, 10)
            .integers("w", Uint8, &[1], &[3])
            .quantized("w", 2.0, 1)
            .quantized("y", 1.0, 7)
            .node(operator, &TERNARY, &["y"], vec![])
            .in_domain("com.microsoft")
    };
    let x = tensor(&[1, 2], &[10u8, 20]);
    assert_eq!(answer(two("QLinearAdd"), &x), tensor(&[1, 2], &[11u8, 16]));
    assert_eq!(answer(two("QLinearMul"), &x), tensor(&[1, 2], &[7u8, 27]));
    let concat = graph(Uint8, &[1, 2], Uint8)
        .quantized("x", 0.5, 10)
        .integers("w", Uint8, &[1, 1], &[3])
        .quantized("w", 2.0, 1)
        .quantized("y", 1.0, 7)
        .node(
            "QLinearConcat",
            &["ys", "yz", "x", "xs", "xz", "w", "ws", "wz"],
            &["y"],
            vec![Int("axis", 1)],
        );
    assert_eq!(answer(concat, &x), tensor(&[1, 3], &[7u8, 12, 11]));
}

#[test]
fn functions_of_one_input() {
    let one = |operator: &str, shape: &[i64], attributes: Vec<Attribute>| {
        graph(Uint8, shape, Uint8)
            .quantized("x", 1.0, 128)
            .quantized("y", 1.0 / 256.0, 0)
            .node(operator, &UNARY, &["y"], attributes)
            .in_domain("com.microsoft")
    };
    // Halves, and e^-2.
    let x = tensor(&[1, 3], &[0u8, 128, 130]);
    let y = answer(one("QLinearSigmoid", &[1, 3], vec![]), &x);
    assert_eq!(y, tensor(&[1, 3], &[0u8, 128, 225]));
    let softmax = vec![Int("axis", 1), Int("opset", 17)];
    let y = answer(one("QLinearSoftmax", &[1, 3], softmax), &tensor(&[1, 3], &[7u8, 7, 0]));
    assert_eq!(y, tensor(&[1, 3], &[128u8, 128, 0]));
}

#[test]
fn averages_in_both_orders() {
    let pool = |operator: &str, shape: &[i64], attributes: Vec<Attribute>| {
        graph(Uint8, shape, Uint8).quantized("x", 0.5, 4).quantized("y", 1.0, 0).node(
            operator,
            &UNARY,
            &["y"],
            attributes,
        )
    };
    let window = |last: i64| vec![Ints("kernel_shape", vec![2, 2]), Int("channels_last", last)];
    let last = |last: i64| vec![Int("channels_last", last)];
    // 0, 2, 4, 6 in one channel, 8 in the other.
    let first = tensor(&[1, 2, 2, 2], &[4u8, 8, 12, 16, 20, 20, 20, 20]);
    let other = tensor(&[1, 2, 2, 2], &[4u8, 20, 8, 20, 12, 20, 16, 20]);
    let shape = [1, 2, 2, 2];
    let right = |shape: &[usize]| tensor(shape, &[3u8, 8]);
    let (up, down) = ([1, 2, 1, 1], [1, 1, 1, 2]);
    let (windows, all) = ("QLinearAveragePool", "QLinearGlobalAveragePool");
    assert_eq!(answer(pool(windows, &shape, window(0)), &first), right(&up));
    assert_eq!(answer(pool(windows, &shape, window(1)), &other), right(&down));
    assert_eq!(answer(pool(all, &shape, last(0)), &first), right(&up));
    assert_eq!(answer(pool(all, &shape, last(1)), &other), right(&down));
}

#[test]
fn the_type_follows_where_no_zero_point_tells_it() {
    // MaxPool keeps int8; alpha is one half: -4, 4 become -2, 4.
    let leaky = graph(Int8, &[1, 1, 1, 4], Int8)
        .floats("s", &[], &[1.0])
        .node(
            "MaxPool",
            &["x"],
            &["m"],
            vec![Ints("kernel_shape", vec![1, 2]), Ints("strides", vec![1, 2])],
        )
        .node("QLinearLeakyRelu", &["m", "s", "", "s", ""], &["y"], vec![Number("alpha", 0.5)]);
    let x = tensor(&[1, 1, 1, 4], &[-4i8, -9, 4, 1]);
    assert_eq!(answer(leaky, &x), tensor(&[1, 1, 1, 2], &[-2i8, 4]));
}

#[test]
fn constants_and_identities_are_looked_through() {
    // 3 times 2, through a name that others already have.
    let long_way = graph(Uint8, &[1], Float)
        .node("Constant", &[], &["c"], vec![Number("value_float", 2.0)])
        .node("Identity", &["c"], &["s"], vec![])
        .integers("z", Uint8, &[], &[1])
        .node("QLinearSigmoid", &["x", "s", "z", "s", "z"], &["q"], vec![])
        .node("Identity", &["q"], &["QLinearSigmoid q.X"], vec![])
        .node("Cast", &["QLinearSigmoid q.X"], &["f"], vec![Int("to", 1)])
        .node("DequantizeLinear", &["x", "s", "z"], &["d"], vec![])
        .in_domain("com.microsoft")
        .node("Add", &["d", "f"], &["i"], vec![])
        .node("Identity", &["i"], &["y"], vec![]);
    // Sigmoid(6) / 2 rounds to 0; its zero point is 1.
    assert_eq!(answer(long_way, &tensor(&[1], &[4u8])), tensor(&[1], &[7f32]));
}

#[test]
fn errors_name_node_and_field() {
    let x = tensor(&[1, 2], &[0u8, 1]);
    let add = || graph(Uint8, &[1, 2], Uint8).quantized("x", 1.0, 0);
    let says = |graph: Graph, parts: &[&str]| {
        let error = error(graph, &x);
        parts.iter().for_each(|part| assert!(error.contains(part), "{part}: {error}"));
    };
    let node = |graph: Graph| graph.node("QLinearSigmoid", &UNARY, &["y"], vec![]);
    let named = "node \"QLinearSigmoid y\" (QLinearSigmoid): Y_";
    says(node(add().quantized("y", 0.0, 0)), &[named, "scale holds 0", "positive"]);
    says(node(add().quantized("y", f32::NAN, 0)), &[named, "scale holds NaN"]);
    let computed = add().quantized("y", 1.0, 0).node("Neg", &["ys"], &["n"], vec![]);
    let computed = computed.node("QLinearSigmoid", &["x", "xs", "xz", "n", "yz"], &["y"], vec![]);
    says(computed, &[named, "scale \"n\" is no constant", "statically"]);
    let several = add().floats("ys", &[2], &[1.0, 2.0]).integers("yz", Uint8, &[], &[0]);
    says(node(several), &["Y has 2 scales; expected one"]);
    let float = add().floats("ys", &[], &[1.0]).floats("yz", &[], &[0.0]);
    says(node(float), &[named, "zero_point has type float", "uint8"]);
    let short = add().node("QLinearAdd", &["x", "xs", "xz"], &["y"], vec![]);
    says(short, &["node \"QLinearAdd y\"", "has no input 3 (B)"]);
    let short = add().node("QLinearConcat", &["xs", "xz", "x"], &["y"], vec![]);
    says(short, &["has 3 inputs"]);
    let strange = add().node("QLinearWhere", &["x", "xs", "xz"], &["y"], vec![]);
    says(strange, &["QLinearWhere", "quant_format=QDQ"]);
}
