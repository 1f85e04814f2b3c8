//! One normal form for quantized networks: QOperator nodes (`QLinearConv`, `QLinearAdd` …) are
//! rewritten as `DequantizeLinear` of each input -> the float operator -> `QuantizeLinear`, which
//! is what their definitions in ONNX and com.microsoft come to. Weights stay integers.
//!
//! The float operator keeps the node's name; what stands around it is called after it (`NAME.x`,
//! `NAME.w`, `NAME.quantized` …). Graphs inside nodes (the branches of If) are left as they are.

pub(crate) mod editor;
mod parameters;
pub(crate) mod tidy;

use super::NetworkError;
use super::proto::node_name;
use editor::{Editor, attribute, floats, int, int_attribute, ints_attribute};
use parameters::{given, input, products};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, tensor_proto::DataType};

/// Brings a checked graph of the default operator set `opset` into normal form. `path` is for
/// the messages.
pub fn normalize(path: &str, opset: i64, graph: &mut GraphProto) -> Result<(), NetworkError> {
    tidy::constants_to_initializers(graph);
    tidy::remove_identities(graph);
    let (editor, nodes) = Editor::new(graph);
    let mut rewriter = Rewriter { editor, opset, counted: 0 };
    for node in nodes {
        let place = format!("node \"{}\" ({})", node_name(&node), node.op_type);
        rewriter.rewrite(node).map_err(|cause| NetworkError::Graph {
            path: path.to_owned(),
            place,
            cause,
        })?;
    }
    Ok(())
}

/// The name of a tensor, or why there is none.
type Named = Result<String, String>;
type Done = Result<(), String>;

struct Rewriter<'g> {
    editor: Editor<'g>,
    opset: i64,
    /// Scales and zero points read so far.
    counted: usize,
}

impl Rewriter<'_> {
    fn rewrite(&mut self, mut node: NodeProto) -> Done {
        let known = ["", "ai.onnx", "com.microsoft"].contains(&node.domain.as_str());
        if known && node.op_type.starts_with("QLinear") && is_set(&node, "channels_last") {
            return self.channels_last(node);
        }
        match node.op_type.as_str() {
            _ if !known => {}
            "QLinearConv" => return self.convolution(&node),
            "QLinearMatMul" => return self.matrix_product(&node),
            "QGemm" => return self.gemm(&node),
            "ConvInteger" => return self.integer(&node, "Conv", [("x", None), ("w", Some(0))]),
            "MatMulInteger" => {
                return self.integer(&node, "MatMul", [("A", Some(-2)), ("B", Some(-1))]);
            }
            "DynamicQuantizeLinear" => return self.dynamic(&node),
            "QLinearAdd" => return self.two(&node, "Add"),
            "QLinearMul" => return self.two(&node, "Mul"),
            "QLinearConcat" => return self.concat(&node),
            "QLinearSigmoid" => return self.one(&node, "Sigmoid"),
            "QLinearLeakyRelu" => return self.one(&node, "LeakyRelu"),
            "QLinearAveragePool" => return self.one(&node, "AveragePool"),
            "QLinearGlobalAveragePool" => return self.one(&node, "GlobalAveragePool"),
            "QLinearSoftmax" => return self.softmax(&node),
            // The same in com.microsoft as in ONNX.
            "QuantizeLinear" | "DequantizeLinear" => node.domain.clear(),
            _ => {}
        }
        self.editor.add(node);
        Ok(())
    }

    /// The node in channel-first order between two Transposes.
    fn channels_last(&mut self, mut node: NodeProto) -> Done {
        let value = input(&node, 0, "x")?.to_owned();
        let rank = match attribute(&node, "kernel_shape") {
            Some(kernel) => kernel.ints.len() + 2,
            // Pictures have four axes.
            None => self.editor.declared_rank(&value).unwrap_or(4),
        };
        if !(3..=8).contains(&rank) {
            return Err(format!("has {rank} axes; expected 3 to 8"));
        }
        let last = rank as i64 - 1;
        let first = [0, last].into_iter().chain(1..last).collect();
        let back = [0].into_iter().chain(2..=last).chain([1]).collect();
        node.name = node_name(&node).to_owned();
        node.attribute.retain(|attribute| attribute.name != "channels_last");
        let perm = vec![ints_attribute("perm", first)];
        node.input[0] = self.beside(&node, "Transpose", "first", &[&value], perm);
        let result = self.editor.free_name(&format!("{}.last", node.name));
        let output = std::mem::replace(&mut node.output, vec![result.clone()]);
        let name = format!("{result}.transposed");
        self.rewrite(node)?;
        let perm = vec![ints_attribute("perm", back)];
        self.add(name, "Transpose", vec![result], perm, output);
        Ok(())
    }

    fn convolution(&mut self, node: &NodeProto) -> Done {
        let x = self.dequantize(node, 0, "x", None)?;
        let w = self.dequantize(node, 3, "w", Some(0))?;
        let mut inputs = vec![x, w];
        if given(node, 8) {
            let scales = products(&self.scales(node, 1, "x")?, &self.scales(node, 4, "w")?, 1.0);
            inputs.push(self.bias(node, 8, scales, 0));
        }
        let real = self.real(node, "Conv", inputs, node.attribute.clone());
        self.quantize(node, &real, 6, "y", None, 0)
    }

    fn matrix_product(&mut self, node: &NodeProto) -> Done {
        let a = self.dequantize(node, 0, "a", Some(-2))?;
        let b = self.dequantize(node, 3, "b", Some(-1))?;
        let real = self.real(node, "MatMul", vec![a, b], vec![]);
        self.quantize(node, &real, 6, "y", Some(-2), 0)
    }

    /// Its bias has the scale of the products, times alpha. Without a scale it gives floats.
    fn gemm(&mut self, node: &NodeProto) -> Done {
        let columns = if is_set(node, "transB") { 0 } else { 1 };
        let a = self.dequantize(node, 0, "a", None)?;
        let b = self.dequantize(node, 3, "b", Some(columns))?;
        let mut inputs = vec![a, b];
        if given(node, 6) {
            let alpha = attribute(node, "alpha").map_or(1.0, |alpha| alpha.f);
            let scales = products(&self.scales(node, 1, "a")?, &self.scales(node, 4, "b")?, alpha);
            inputs.push(self.bias(node, 6, scales, -1));
        }
        if !given(node, 7) {
            let name = node_name(node).to_owned();
            self.add(name, "Gemm", inputs, node.attribute.clone(), node.output.clone());
            return Ok(());
        }
        let real = self.real(node, "Gemm", inputs, node.attribute.clone());
        self.quantize(node, &real, 7, "y", None, 0)
    }

    fn two(&mut self, node: &NodeProto, operator: &str) -> Done {
        let a = self.dequantize(node, 0, "A", None)?;
        let b = self.dequantize(node, 3, "B", None)?;
        let real = self.real(node, operator, vec![a, b], vec![]);
        self.quantize(node, &real, 6, "C", None, 0)
    }

    fn one(&mut self, node: &NodeProto, operator: &str) -> Done {
        let x = self.dequantize(node, 0, "X", None)?;
        let mut attributes = node.attribute.clone();
        attributes.retain(|attribute| attribute.name != "channels_last");
        let real = self.real(node, operator, vec![x], attributes);
        self.quantize(node, &real, 3, "Y", None, 0)
    }

    fn concat(&mut self, node: &NodeProto) -> Done {
        let found = node.input.len();
        if found < 5 || found % 3 != 2 {
            return Err(format!(
                "has {found} inputs; expected a scale and a zero point, then three a tensor"
            ));
        }
        let parts: Result<Vec<String>, String> = (2..found)
            .step_by(3)
            .map(|at| self.dequantize(node, at, &format!("X{}", at / 3), None))
            .collect();
        let real = self.real(node, "Concat", parts?, node.attribute.clone());
        self.quantize(node, &real, 0, "Y", None, 2)
    }

    /// Its attribute `opset` tells which Softmax it is: before 13, over all axes from `axis` on.
    fn softmax(&mut self, node: &NodeProto) -> Done {
        let axis = int(node, "axis").unwrap_or(-1);
        let meant = int(node, "opset").unwrap_or(self.opset);
        if axis != -1 && (meant < 13) != (self.opset < 13) {
            let here = self.opset;
            return Err(format!(
                "has opset {meant} and axis {axis}; expected opset {here} like the network's: \
                 quantize it again"
            ));
        }
        let x = self.dequantize(node, 0, "X", None)?;
        let real = self.real(node, "Softmax", vec![x], vec![int_attribute("axis", axis)]);
        self.quantize(node, &real, 3, "Y", None, 0)
    }

    /// ConvInteger, MatMulInteger: integers as floats of scale 1, the sums back as integers.
    fn integer(
        &mut self,
        node: &NodeProto,
        operator: &str,
        fields: [(&str, Option<i64>); 2],
    ) -> Done {
        let mut inputs = Vec::new();
        for (at, (field, axis)) in fields.into_iter().enumerate() {
            inputs.push(self.unscaled(node, at, field, axis)?);
        }
        let sums = self.real(node, operator, inputs, node.attribute.clone());
        let to = vec![int_attribute("to", DataType::Int32 as i64)];
        let name = self.editor.free_name(&format!("{}.sums", node_name(node)));
        self.add(name, "Cast", vec![sums], to, node.output.clone());
        Ok(())
    }

    /// Input `at` minus its zero point, two inputs further on, as floats.
    fn unscaled(&mut self, node: &NodeProto, at: usize, field: &str, axis: Option<i64>) -> Named {
        let value = input(node, at, field)?;
        let zero_point = node.input.get(at + 2).map_or("", String::as_str);
        // A zero point that is computed, by DynamicQuantizeLinear say, is a single number.
        let stored = self.editor.constant(zero_point).is_some();
        let count =
            if stored { self.count(node, at + 2, &format!("{field}_zero_point"))? } else { 1 };
        let axis = axis.filter(|_| count > 1).map(|axis| int_attribute("axis", axis));
        let scale = floats(&format!("{}.{field}.scale", node_name(node)), vec![1.0; count]);
        let scale = self.editor.add_constant(scale);
        let mut inputs = vec![value, scale.as_str()];
        inputs.extend((!zero_point.is_empty()).then_some(zero_point));
        Ok(self.beside(node, "DequantizeLinear", field, &inputs, axis.into_iter().collect()))
    }

    /// By its definition: the range of `x`, with 0 in it, takes 0 to 255. An empty range takes
    /// scale 1. The zero point needs no clipping: it cannot lie outside.
    fn dynamic(&mut self, node: &NodeProto) -> Done {
        let x = input(node, 0, "x")?;
        let [zero, one, top] = [0.0, 1.0, 255.0].map(|value| {
            self.editor.add_constant(floats(&format!("{}.{value}", node_name(node)), vec![value]))
        });
        let mut compute = |operator: &str, what: &str, inputs: &[&str]| {
            let reduces = operator.starts_with("Reduce").then(|| int_attribute("keepdims", 0));
            self.beside(node, operator, what, inputs, reduces.into_iter().collect())
        };
        let low = compute("ReduceMin", "min", &[x]);
        let low = compute("Min", "low", &[&low, &zero]);
        let high = compute("ReduceMax", "max", &[x]);
        let high = compute("Max", "high", &[&high, &zero]);
        let range = compute("Sub", "range", &[&high, &low]);
        let step = self.quotient(node, &range, &top);
        let empty = self.beside(node, "Equal", "empty", &[&step, &zero], vec![]);
        let scale = self.beside(node, "Where", "scale", &[&empty, &one, &step], vec![]);
        let below = self.quotient(node, &low, &scale);
        let above = self.beside(node, "Sub", "above", &[&zero, &below], vec![]);
        let rounded = self.beside(node, "Round", "rounded", &[&above], vec![]);
        let byte = vec![int_attribute("to", DataType::Uint8 as i64)];
        let zero_point = self.beside(node, "Cast", "zero_point", &[&rounded], byte);
        let results = [
            ("QuantizeLinear", vec![x.to_owned(), scale.clone(), zero_point.clone()]),
            ("Identity", vec![scale]),
            ("Identity", vec![zero_point]),
        ];
        for (output, (operator, inputs)) in node.output.iter().zip(results) {
            if !output.is_empty() {
                let name = self.editor.free_name(&format!("{}.{output}", node_name(node)));
                self.add(name, operator, inputs, vec![], vec![output.clone()]);
            }
        }
        Ok(())
    }

    /// a / b as the standard rounds it: tract multiplies by a rounded 1 / b, which is right for
    /// float32 when it is done in float64.
    fn quotient(&mut self, node: &NodeProto, a: &str, b: &str) -> String {
        let to = |element: DataType| vec![int_attribute("to", element as i64)];
        let a = self.beside(node, "Cast", "dividend", &[a], to(DataType::Double));
        let b = self.beside(node, "Cast", "divisor", &[b], to(DataType::Double));
        let quotient = self.beside(node, "Div", "quotient", &[&a, &b], vec![]);
        self.beside(node, "Cast", "rounded_quotient", &[&quotient], to(DataType::Float))
    }

    /// The float operator, under the node's name.
    fn real(
        &mut self,
        node: &NodeProto,
        operator: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = node_name(node).to_owned();
        let output = self.editor.free_name(&format!("{name}.real"));
        self.add(name, operator, inputs, attributes, vec![output.clone()]);
        output
    }

    /// A node called after `node`; returns its output.
    fn beside(
        &mut self,
        node: &NodeProto,
        operator: &str,
        what: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.editor.free_name(&format!("{}.{what}", node_name(node)));
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        self.add(name.clone(), operator, inputs, attributes, vec![name.clone()]);
        name
    }

    fn add(
        &mut self,
        name: String,
        operator: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
        output: Vec<String>,
    ) {
        let op_type = operator.to_owned();
        self.editor.add(NodeProto {
            name,
            op_type,
            input,
            output,
            attribute,
            ..Default::default()
        });
    }
}

fn is_set(node: &NodeProto, name: &str) -> bool {
    int(node, name).unwrap_or(0) != 0
}
