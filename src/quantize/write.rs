//! The graph in QDQ form (ONNX QuantizeLinear and DequantizeLinear, operator set 13): u8
//! activations, i8 weights with a scale each channel and zero point 0, i32 biases in the scale of
//! the sums.

use super::linear::{self, Layout};
use super::net::{Net, input, node, reals, set};
use super::opset;
use super::range::Bytes;
use super::scheme::Scheme;
use crate::network::qdq::editor::int_attribute;
use std::collections::HashMap;
use tract_onnx::pb::{
    ModelProto, NodeProto, OperatorSetIdProto, TensorProto, tensor_proto::DataType,
};

/// The version of the file format that operator set 13 came with.
const LEAST_IR: i64 = 7;
/// Biases stay away from the ends of i32, so that sums do not reach them.
const MOST_BIAS: f64 = (1u32 << 30) as f64;
/// Bits that a bias keeps where there are no weights to set a scale.
const BIAS_STEPS: f64 = (1u32 << 24) as f64;
const LEAST_SCALE: f64 = 1e-16;

/// `model` (whose graph does not matter) with `net` in QDQ form, and what the marked tensors are
/// called where they are read. `bytes`: of the marked tensors.
pub fn write(
    model: &ModelProto,
    net: &Net,
    scheme: &Scheme,
    bytes: &HashMap<String, Bytes>,
) -> (ModelProto, HashMap<String, String>) {
    let mut writer = Writer {
        net: net.clone(),
        nodes: Vec::new(),
        names: HashMap::new(),
        parameters: HashMap::new(),
        scheme,
        bytes,
    };
    for input in &net.graph.input {
        writer.quantize(&input.name, &input.name);
    }
    for index in 0..net.graph.node.len() {
        writer.node(index);
    }
    let Writer { mut net, nodes, names, .. } = writer;
    net.graph.node = nodes;
    net.graph.value_info.clear();
    net.graph.quantization_annotation.clear();
    net.sweep();
    (pack(model, net), names)
}

/// A model of this graph, of operator set 13 or newer.
pub fn pack(model: &ModelProto, net: Net) -> ModelProto {
    let mut sets = model.opset_import.clone();
    let used = |domain: &str| net.graph.node.iter().any(|node| node.domain == domain);
    sets.retain(|set| !set.domain.is_empty() && set.domain != "ai.onnx" && used(&set.domain));
    let version = crate::network::proto::opset(model).max(opset::LEAST);
    sets.insert(0, OperatorSetIdProto { domain: String::new(), version });
    ModelProto {
        ir_version: model.ir_version.max(LEAST_IR),
        opset_import: sets,
        producer_name: "segcam".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        domain: model.domain.clone(),
        model_version: model.model_version,
        doc_string: model.doc_string.clone(),
        metadata_props: model.metadata_props.clone(),
        graph: Some(net.graph),
        ..Default::default()
    }
}

/// The scales of weights, and weights and biases in them.
pub struct Quantized {
    pub scales: Vec<f32>,
    pub weights: Vec<i8>,
    pub bias: Vec<i32>,
    /// The scales of the sums, by output channel.
    pub sums: Vec<f32>,
}

/// Symmetric weights: the largest of each channel takes 127. `input`: the scale of the bytes
/// that they multiply.
pub fn weights(layout: Layout, weights: &[f32], bias: &[f32], input: f32) -> Quantized {
    let mut largest = vec![0.0f64; layout.scales()];
    for (weight, (_, output)) in weights.iter().zip(layout.channels()) {
        let largest = &mut largest[layout.scale_of(output)];
        *largest = largest.max(f64::from(weight.abs()));
    }
    let mut least = vec![0.0f64; layout.scales()];
    for (output, bias) in bias.iter().enumerate() {
        let channel = layout.scale_of(output);
        let steps = if largest[channel] > 0.0 { MOST_BIAS } else { BIAS_STEPS };
        least[channel] = least[channel].max(f64::from(bias.abs()) / f64::from(input) / steps);
    }
    let scale = |(largest, least): (&f64, &f64)| match (largest / 127.0).max(*least) {
        0.0 => 1.0,
        scale => scale.max(LEAST_SCALE) as f32,
    };
    let scales: Vec<f32> = largest.iter().zip(&least).map(scale).collect();
    let quantum = |(weight, (_, output)): (&f32, (usize, usize))| {
        let quanta = (weight / scales[layout.scale_of(output)]).round_ties_even();
        quanta.clamp(-127.0, 127.0) as i8
    };
    let weights = weights.iter().zip(layout.channels()).map(quantum).collect();
    let sums: Vec<f32> =
        (0..layout.outputs).map(|output| input * scales[layout.scale_of(output)]).collect();
    let bias = bias.iter().zip(&sums).map(|(bias, scale)| {
        let quanta = (f64::from(*bias) / f64::from(*scale)).round_ties_even();
        quanta.clamp(-MOST_BIAS, MOST_BIAS) as i32
    });
    Quantized { weights, bias: bias.collect(), scales, sums }
}

struct Writer<'a> {
    net: Net,
    nodes: Vec<NodeProto>,
    /// What a tensor is called where it is read.
    names: HashMap<String, String>,
    /// Scale and zero point initializers.
    parameters: HashMap<(u32, u8), (String, String)>,
    scheme: &'a Scheme,
    bytes: &'a HashMap<String, Bytes>,
}

impl Writer<'_> {
    /// Quantizes and dequantizes a tensor that was just made as `made`, if it is marked.
    fn quantize(&mut self, name: &str, made: &str) {
        let Some(bytes) = self.bytes.get(name).copied() else { return };
        let (scale, zero_point) = self.parameters(name, bytes);
        let quantized = self.net.free_name(&format!("{name}_quantized"));
        let real = match made == name {
            true => self.net.free_name(&format!("{name}_dequantized")),
            // An output of the graph.
            false => name.to_owned(),
        };
        let inputs = [made, &scale, &zero_point];
        let (from, to) = ("QuantizeLinear", "DequantizeLinear");
        let own = self.net.free_name(&format!("{name}_quantize"));
        self.nodes.push(node(&own, from, &inputs, &quantized));
        let own = self.net.free_name(&format!("{name}_dequantize"));
        self.nodes.push(node(&own, to, &[&quantized, &scale, &zero_point], &real));
        self.names.insert(name.to_owned(), real);
    }

    fn parameters(&mut self, name: &str, bytes: Bytes) -> (String, String) {
        let key = (bytes.scale.to_bits(), bytes.zero_point);
        if let Some(known) = self.parameters.get(&key) {
            return known.clone();
        }
        let scale = self.net.add_reals(&format!("{name}_scale"), vec![], &[bytes.scale]);
        let zero_point = integers(
            &format!("{name}_zero_point"),
            DataType::Uint8,
            vec![],
            vec![bytes.zero_point],
        );
        let zero_point = self.net.add(zero_point);
        self.parameters.insert(key, (scale.clone(), zero_point.clone()));
        (scale, zero_point)
    }

    fn node(&mut self, index: usize) {
        let mut node = self.net.graph.node[index].clone();
        let old = node.clone();
        if !matches!(node.op_type.as_str(), "Shape" | "Size") {
            for name in &mut node.input {
                if let Some(known) = self.names.get(name) {
                    name.clone_from(known);
                }
            }
        }
        if self.scheme.linear.contains(&index) {
            self.linear(&mut node, &old);
        }
        for name in &mut node.output {
            if self.bytes.contains_key(name) && self.net.is_output(name) {
                *name = self.net.free_name(&format!("{name}_real"));
            }
        }
        let made = node.output.clone();
        self.nodes.push(node);
        for (name, made) in old.output.iter().zip(made) {
            self.quantize(name, &made);
        }
    }

    /// Replaces weights and bias by dequantized integers.
    fn linear(&mut self, node: &mut NodeProto, old: &NodeProto) {
        let Some(layout) = linear::layout(&self.net, old) else { return };
        let Some(values) = self.net.reals(&old.input[1]) else { return };
        let Some(bias) = linear::bias(&self.net, old, layout) else { return };
        let Some(bytes) = self.bytes.get(&old.input[0]) else { return };
        let quantized = weights(layout, &values, &bias, bytes.scale);
        let name = &old.input[1];
        let dims = self.net.dims(name).unwrap_or_default().to_vec();
        let raw: Vec<u8> = quantized.weights.iter().map(|weight| *weight as u8).collect();
        let count = quantized.scales.len() as i64;
        let constants = [
            integers(&format!("{name}_int8"), DataType::Int8, dims, raw),
            reals(&format!("{name}_scale"), vec![count], &quantized.scales),
            integers(
                &format!("{name}_zero_point"),
                DataType::Int8,
                vec![count],
                vec![0; count as usize],
            ),
        ];
        node.input[1] = self.dequantized(name, constants.into(), layout.axis);
        if let Some(name) = input(old, 2) {
            let raw = quantized.bias.iter().flat_map(|bias| bias.to_le_bytes()).collect();
            let count = quantized.bias.len() as i64;
            let constants = vec![
                integers(&format!("{name}_int32"), DataType::Int32, vec![count], raw),
                reals(&format!("{name}_scale"), vec![count], &quantized.sums),
            ];
            node.input[2] = self.dequantized(name, constants, 0);
        }
    }

    fn dequantized(&mut self, name: &str, constants: Vec<TensorProto>, axis: i64) -> String {
        let inputs: Vec<String> =
            constants.into_iter().map(|constant| self.net.add(constant)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let real = self.net.free_name(&format!("{name}_dequantized"));
        let own = self.net.free_name(&format!("{name}_dequantize"));
        let mut made = node(&own, "DequantizeLinear", &inputs, &real);
        set(&mut made, int_attribute("axis", axis));
        self.nodes.push(made);
        real
    }
}

fn integers(name: &str, element: DataType, dims: Vec<i64>, raw_data: Vec<u8>) -> TensorProto {
    let (name, data_type) = (name.to_owned(), element as i32);
    TensorProto { name, dims, data_type, raw_data, ..Default::default() }
}
