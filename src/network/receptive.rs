//! How far an output pixel sees, and on what grid: what tiles must know.
//!
//! Follows Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016):
//! along each operator the step between neighbours (in input pixels) and the reach to each
//! side are carried on.

use super::proto::opset;
use std::cmp::Ordering;
use std::collections::HashMap;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

/// The receptive field of an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Receptive {
    /// Input pixels that an output pixel sees to each side; None: all of them.
    pub radius: Option<u32>,
    /// Input pixels after which the network's sampling grid repeats.
    pub stride: u32,
    /// Input pixels between neighbouring output pixels.
    pub step: u32,
}

#[derive(Clone, Copy)]
struct Reach {
    /// Input pixels between neighbouring values.
    step: f64,
    /// Input pixels seen to each side; infinite when all are.
    radius: f64,
    /// The largest step on the way.
    stride: f64,
}

/// The receptive field of output `index`.
pub fn receptive_field(model: &ModelProto, index: usize) -> Receptive {
    let whole = Receptive { radius: None, stride: 1, step: 1 };
    let Some(graph) = &model.graph else { return whole };
    let Some(output) = graph.output.get(index) else { return whole };
    let scales = constants(graph);
    let start = Reach { step: 1.0, radius: 0.0, stride: 1.0 };
    let given: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut reaches: HashMap<&str, Reach> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .filter(|name| !given.contains(name))
        .map(|name| (name, start))
        .collect();
    for node in &graph.node {
        let inputs = node.input.iter().filter_map(|name| reaches.get(name.as_str()).copied());
        // A coarser value beside a finer one is broadcast over it, as in squeeze and excitation.
        let Some(input) = inputs.reduce(|a, b| Reach {
            step: a.step.min(b.step),
            radius: a.radius.max(b.radius),
            stride: match a.step.total_cmp(&b.step) {
                Ordering::Less => a.stride,
                Ordering::Equal => a.stride.max(b.stride),
                Ordering::Greater => b.stride,
            },
        }) else {
            continue;
        };
        let output = through(node, input, &scales, opset(model));
        reaches.extend(node.output.iter().map(|name| (name.as_str(), output)));
    }
    match reaches.get(output.name.as_str()) {
        Some(reach) => Receptive {
            radius: (reach.radius.is_finite() && reach.radius < 1e6)
                .then_some(reach.radius.ceil() as u32),
            stride: reach.stride.clamp(1.0, 4096.0).round() as u32,
            step: reach.step.clamp(1.0, 4096.0).round() as u32,
        },
        None => whole,
    }
}

/// Float constants by name: the scales of Resize and Upsample.
fn constants(graph: &GraphProto) -> HashMap<&str, Vec<f32>> {
    let values = |tensor: &tract_onnx::pb::TensorProto| -> Vec<f32> {
        if tensor.raw_data.is_empty() {
            return tensor.float_data.clone();
        }
        let chunks = tensor.raw_data.chunks_exact(4).take(8);
        chunks.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
    };
    let initializers =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), values(tensor)));
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
        Some((node.output.first()?.as_str(), values(tensor)))
    });
    initializers.chain(nodes).filter(|(_, values)| (1..=8).contains(&values.len())).collect()
}

fn through(
    node: &NodeProto,
    input: Reach,
    constants: &HashMap<&str, Vec<f32>>,
    opset: i64,
) -> Reach {
    let Reach { step, radius, stride } = input;
    let ints = |name: &str| {
        let attribute = node.attribute.iter().find(|attribute| attribute.name == name);
        attribute.map(|attribute| attribute.ints.clone()).unwrap_or_default()
    };
    let largest = |name: &str, default: i64| {
        ints(name).iter().copied().max().unwrap_or(default).clamp(1, 1 << 20) as f64
    };
    let int = |name: &str| {
        let attribute = node.attribute.iter().find(|attribute| attribute.name == name);
        attribute.map_or(1, |attribute| attribute.i).clamp(1, 1 << 20) as f64
    };
    // Growing by `scale`: each value depends on its neighbours one step away.
    let grown = |scale: f64, reach: f64| Reach {
        step: step / scale,
        radius: radius + reach * step,
        stride,
    };
    let shrunk = |window: f64, by: f64| Reach {
        step: step * by,
        radius: radius + (window - 1.0) * step,
        stride: stride.max(step * by),
    };
    match node.op_type.strip_prefix("QLinear").unwrap_or(&node.op_type) {
        "Conv" | "ConvInteger" | "MaxPool" | "AveragePool" | "LpPool" => {
            // A window without kernel_shape takes it from the weights: 3 is usual, 7 is safe.
            let kernel = largest("kernel_shape", 7);
            let window = (kernel - 1.0) * largest("dilations", 1) + 1.0;
            shrunk(window / 2.0 + 0.5, largest("strides", 1))
        }
        "ConvTranspose" => {
            let scale = largest("strides", 1);
            let window = (largest("kernel_shape", 7) - 1.0) * largest("dilations", 1);
            grown(scale, (window / scale).ceil())
        }
        "MaxUnpool" => grown(largest("strides", 1), 1.0),
        "DepthToSpace" => grown(int("blocksize"), 1.0),
        "SpaceToDepth" => shrunk(int("blocksize"), int("blocksize")),
        "Resize" | "Upsample" => {
            let at = if node.op_type == "Upsample" || opset == 10 { 1 } else { 2 };
            let scales = node.input.get(at).and_then(|name| constants.get(name.as_str()));
            let attribute = node.attribute.iter().find(|attribute| attribute.name == "scales");
            let scales = scales.or(attribute.map(|attribute| &attribute.floats));
            match scales.and_then(|scales| scales.iter().copied().reduce(f32::max)) {
                Some(scale) if scale.is_finite() && scale > 0.0 => {
                    grown(f64::from(scale), 2.0 / f64::from(scale.min(1.0)))
                }
                _ => Reach { step, radius: f64::INFINITY, stride },
            }
        }
        "GlobalAveragePool"
        | "GlobalMaxPool"
        | "ReduceMean"
        | "ReduceMax"
        | "ReduceSum"
        | "MatMul"
        | "MatMulInteger"
        | "Gemm"
        | "QGemm"
        | "DynamicQuantizeLinear"
        | "InstanceNormalization"
        | "LayerNormalization"
        | "Flatten"
        | "Attention" => Reach { step, radius: f64::INFINITY, stride },
        _ => input,
    }
}
