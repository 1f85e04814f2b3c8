//! Scales and zero points of QOperator nodes: checked, and put into DequantizeLinear and
//! QuantizeLinear.

use super::editor::{floats, int_attribute};
use super::{Done, Named, Rewriter};
use crate::network::proto::node_name;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto, tensor_proto::DataType};
use tract_onnx::prelude::f16;

/// The most scales and zero points that the nodes of a network together may read.
const MAX_PARAMETERS: usize = 1 << 22;

impl Rewriter<'_> {
    /// The floats of a quantized input: value, scale, zero point stand at `at` and after.
    /// Several scales are allowed where there is an `axis` to put them on.
    pub fn dequantize(
        &mut self,
        node: &NodeProto,
        at: usize,
        field: &str,
        axis: Option<i64>,
    ) -> Named {
        let value = input(node, at, field)?;
        let Parameters { scale, zero_point, attributes } =
            self.parameters(node, at + 1, field, axis)?;
        let mut inputs = vec![value, &scale];
        inputs.extend(zero_point.as_deref());
        Ok(self.beside(node, "DequantizeLinear", field, &inputs, attributes))
    }

    /// Quantizes `real` to the node's output by the scale and zero point at `at`. Without a zero
    /// point it takes the type of input `like`.
    pub fn quantize(
        &mut self,
        node: &NodeProto,
        real: &str,
        at: usize,
        field: &str,
        axis: Option<i64>,
        like: usize,
    ) -> Done {
        let Parameters { scale, mut zero_point, attributes } =
            self.parameters(node, at, field, axis)?;
        if zero_point.is_none()
            && self.editor.element(input(node, like, field)?) == Some(DataType::Int8)
        {
            let name = format!("{}.{field}.zero_point", node_name(node));
            zero_point = Some(self.editor.add_constant(integers(&name, DataType::Int8, vec![0])));
        }
        let mut inputs = vec![real.to_owned(), scale];
        inputs.extend(zero_point);
        let name = self.editor.free_name(&format!("{}.quantized", node_name(node)));
        self.add(name, "QuantizeLinear", inputs, attributes, node.output.clone());
        Ok(())
    }

    /// The floats of an int32 bias.
    pub fn bias(&mut self, node: &NodeProto, at: usize, scales: Vec<f32>, axis: i64) -> String {
        let attributes =
            if scales.len() > 1 { vec![int_attribute("axis", axis)] } else { Vec::new() };
        let scale = floats(&format!("{}.bias.scale", node_name(node)), scales);
        let scale = self.editor.add_constant(scale);
        self.beside(node, "DequantizeLinear", "bias", &[&node.input[at], &scale], attributes)
    }

    /// The scales at `at`, all of them positive numbers. Of float16 they are the same numbers.
    pub fn scales(&mut self, node: &NodeProto, at: usize, field: &str) -> Result<Vec<f32>, String> {
        let field = format!("{field}_scale");
        self.count(node, at, &field)?;
        let tensor = self.constant(input(node, at, &field)?, &field)?;
        let bytes = tensor.raw_data.as_slice();
        let scales: Vec<f32> = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float) if bytes.is_empty() => tensor.float_data.clone(),
            Ok(DataType::Float) => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Ok(DataType::Float16) if bytes.is_empty() => {
                let bits = tensor.int32_data.iter().map(|bits| *bits as u16);
                bits.map(|bits| f16::from_bits(bits).to_f32()).collect()
            }
            Ok(DataType::Float16) => {
                let bits = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
                bits.map(|bits| f16::from_bits(bits).to_f32()).collect()
            }
            _ => return Err(format!("{field} has type {}; expected float", type_name(tensor))),
        };
        match scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            Some(scale) => Err(format!("{field} holds {scale}; expected positive numbers")),
            None => Ok(scales),
        }
    }

    /// The number of scales or zero points at `at`. The sum over the network is bounded: one
    /// large tensor that all nodes share would take its size from each.
    pub fn count(&mut self, node: &NodeProto, at: usize, field: &str) -> Result<usize, String> {
        let count = elements(self.constant(input(node, at, field)?, field)?);
        if count == 0 {
            return Err(format!("{field} is empty; expected at least one"));
        }
        self.counted = self.counted.saturating_add(count);
        if self.counted > MAX_PARAMETERS {
            return Err(format!(
                "{field} is one too many: more than {MAX_PARAMETERS} scales and zero points; \
                 expected one a channel"
            ));
        }
        Ok(count)
    }

    pub fn constant(&self, name: &str, field: &str) -> Result<&TensorProto, String> {
        self.editor.constant(name).ok_or_else(|| {
            format!(
                "{field} \"{name}\" is no constant; expected one stored in the file, so quantize \
                 the network statically"
            )
        })
    }

    /// The scale at `at` and the zero point after it, as many of one as of the other.
    fn parameters(
        &mut self,
        node: &NodeProto,
        at: usize,
        field: &str,
        axis: Option<i64>,
    ) -> Result<Parameters, String> {
        let scales = self.scales(node, at, field)?;
        let own = |what: &str| format!("{}.{field}.{what}", node_name(node));
        let mut scale = node.input[at].clone();
        if self.editor.element(&scale) == Some(DataType::Float16) {
            scale = self.editor.add_constant(floats(&own("scale"), scales.clone()));
        }
        let mut zero_point = given(node, at + 1).then(|| node.input[at + 1].clone());
        let mut count = scales.len();
        if let Some(name) = &zero_point {
            let zeros = self.count(node, at + 1, &format!("{field}_zero_point"))?;
            let tensor = self.constant(name, field)?;
            let data_type = tensor.data_type;
            let known = [DataType::Uint8, DataType::Int8, DataType::Int32];
            let Some(element) = known.into_iter().find(|known| *known as i32 == data_type) else {
                let found = type_name(tensor);
                return Err(format!("{field}_zero_point has type {found}; expected uint8 or int8"));
            };
            match (count, zeros) {
                _ if count == zeros => {}
                (_, 1) => {
                    let zeros = vec![first_integer(tensor); count];
                    let all = integers(&own("zero_point"), element, zeros);
                    zero_point = Some(self.editor.add_constant(all));
                }
                (1, 2..) => {
                    let all = floats(&own("scale"), vec![scales[0]; zeros]);
                    scale = self.editor.add_constant(all);
                    count = zeros;
                }
                _ => {
                    return Err(format!(
                        "{field} has {count} scales but {zeros} zero points; expected as many"
                    ));
                }
            }
        }
        let attributes = match axis {
            _ if count == 1 => Vec::new(),
            Some(axis) => vec![int_attribute("axis", axis)],
            None => return Err(format!("{field} has {count} scales; expected one")),
        };
        Ok(Parameters { scale, zero_point, attributes })
    }
}

/// Names of the scale and the zero point, and the axis if there are several.
struct Parameters {
    scale: String,
    zero_point: Option<String>,
    attributes: Vec<AttributeProto>,
}

/// The scales of a product's sums.
pub fn products(x: &[f32], w: &[f32], alpha: f32) -> Vec<f32> {
    let product = |w: &f32| match x[0] * w * alpha {
        // Too small for a float, as it is for all that the bias could add.
        0.0 => f32::MIN_POSITIVE,
        scale => scale,
    };
    w.iter().map(product).collect()
}

pub fn given(node: &NodeProto, at: usize) -> bool {
    node.input.get(at).is_some_and(|name| !name.is_empty())
}

pub fn input<'n>(node: &'n NodeProto, at: usize, field: &str) -> Result<&'n str, String> {
    match node.input.get(at) {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(format!("has no input {at} ({field}); export it again")),
    }
}

/// How many elements a checked tensor has.
fn elements(tensor: &TensorProto) -> usize {
    tensor.dims.iter().map(|dim| *dim as usize).product()
}

fn first_integer(tensor: &TensorProto) -> i32 {
    match (tensor.data_type, tensor.raw_data.as_slice()) {
        (_, []) => tensor.int32_data.first().copied().unwrap_or(0),
        (kind, [byte, ..]) if kind == DataType::Uint8 as i32 => i32::from(*byte),
        (kind, [byte, ..]) if kind == DataType::Int8 as i32 => i32::from(*byte as i8),
        (_, [a, b, c, d, ..]) => i32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

fn integers(name: &str, element: DataType, values: Vec<i32>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: if values.len() == 1 { vec![] } else { vec![values.len() as i64] },
        data_type: element as i32,
        int32_data: values,
        ..Default::default()
    }
}

fn type_name(tensor: &TensorProto) -> String {
    DataType::try_from(tensor.data_type)
        .map_or_else(|_| tensor.data_type.to_string(), |kind| format!("{kind:?}").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NetworkError;
    use crate::network::qdq::{editor, normalize};
    use tract_onnx::pb::GraphProto;

    /// A convolution with two channels of weights, the scales and zero points given.
    fn convolution(scales: Vec<f32>, zero_points: Vec<i32>) -> GraphProto {
        let inputs = ["x", "xs", "", "w", "ws", "wz", "ys", "", "b"];
        GraphProto {
            initializer: vec![
                floats("xs", vec![0.5]),
                integers("w", DataType::Int8, vec![3, -4]),
                floats("ws", scales),
                integers("wz", DataType::Int8, zero_points),
                floats("ys", vec![1.0]),
                integers("b", DataType::Int32, vec![7, 8]),
            ],
            node: vec![NodeProto {
                name: "conv".into(),
                op_type: "QLinearConv".into(),
                input: inputs.map(str::to_owned).to_vec(),
                // In the way of a name that the rewriting wants.
                output: vec!["conv.w".into()],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn node<'g>(graph: &'g GraphProto, name: &str) -> &'g NodeProto {
        graph.node.iter().find(|node| node.name.starts_with(name)).unwrap()
    }

    fn values(graph: &GraphProto, name: &str) -> (Vec<f32>, Vec<i32>) {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name == name).unwrap();
        (tensor.float_data.clone(), tensor.int32_data.clone())
    }

    #[test]
    fn weights_stay_integers_and_the_bias_gets_the_scale_of_the_sums() {
        let mut graph = convolution(vec![0.5, 0.25], vec![9]);
        normalize("m.onnx", 13, &mut graph).unwrap();
        let operators: Vec<&str> = graph.node.iter().map(|node| &*node.op_type).collect();
        let (from, to) = ("DequantizeLinear", "QuantizeLinear");
        assert_eq!(operators, [from, from, from, "Conv", to]);
        let weights = node(&graph, "conv.w.");
        assert_eq!(weights.input[..2], ["w", "ws"]);
        assert_eq!(values(&graph, &weights.input[2]).1, [9, 9]);
        assert_eq!(editor::int(weights, "axis"), Some(0));
        let bias = node(&graph, "conv.bias");
        assert_eq!(values(&graph, &bias.input[1]).0, [0.25, 0.125]);
        assert_eq!(editor::int(bias, "axis"), Some(0));
        let quantize = node(&graph, "conv.quantized");
        assert_eq!((quantize.input.len(), &*quantize.output[0]), (2, "conv.w"));
    }

    #[test]
    fn one_scale_serves_several_zero_points_but_two_do_not() {
        let mut graph = convolution(vec![0.5], vec![1, 2]);
        normalize("m.onnx", 13, &mut graph).unwrap();
        let weights = node(&graph, "conv.w.");
        assert_eq!(values(&graph, &weights.input[1]).0, [0.5, 0.5]);
        let refused = normalize("m.onnx", 13, &mut convolution(vec![0.5; 2], vec![1; 3]));
        let Err(NetworkError::Graph { place, cause, .. }) = refused else { panic!() };
        assert_eq!(place, "node \"conv\" (QLinearConv)");
        assert_eq!(cause, "w has 2 scales but 3 zero points; expected as many");
    }

    /// A tensor of a few megabytes that each of a million nodes reads would take terabytes.
    #[test]
    fn scales_are_bounded_in_sum() {
        let mut graph = convolution(vec![0.5; MAX_PARAMETERS / 4], vec![0]);
        graph.node = vec![graph.node[0].clone(); 1000];
        let refused = normalize("m.onnx", 13, &mut graph);
        assert!(refused.unwrap_err().to_string().contains("one too many"));
    }

    #[test]
    fn scales_too_small_for_a_float_stay_above_0() {
        assert_eq!(products(&[1e-30], &[1e-30, 1.0], 2.0), [f32::MIN_POSITIVE, 2e-30]);
    }
}
