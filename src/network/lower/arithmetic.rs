//! Sums, products and means of bytes.

use super::located::{IMAGE, Located};
use super::real::{Real, Target};
use super::window;
use super::{Lowering, Why};
use crate::int8::Quantization;
use crate::int8::draft::Sketch;
use crate::int8::elementwise::{Add, Mul};
use crate::int8::pool::{AveragePool, Window};
use crate::int8::resize::ResizeLinear;
use tract_onnx::pb::NodeProto;

impl<'a> Lowering<'a> {
    /// Notes an operator that waits for the scale of its output, if it may run in integers.
    pub(super) fn wait(&mut self, node: &'a NodeProto) -> Result<(), Why> {
        let operands = match node.op_type.as_str() {
            "Conv" | "ConvTranspose" | "Gemm" | "MatMul" | "AveragePool" | "GlobalAveragePool"
            | "ReduceMean" => 1,
            "Resize" | "Upsample" if window::mode(node) == "linear" => 1,
            "Add" | "Sub" | "Mul" if node.input.len() == 2 => 2,
            other => return Err(format!("{other} runs in float")),
        };
        let weighted =
            matches!(node.op_type.as_str(), "Conv" | "ConvTranspose" | "Gemm" | "MatMul");
        if weighted && node.input.get(1).is_none_or(String::is_empty) {
            return Err("it has no weights".into());
        }
        for name in &node.input[..operands] {
            self.operand(name)?;
        }
        self.reals.insert(&node.output[0], Real::Waiting { node: self.now });
        Ok(())
    }

    /// Adds the step of a waiting node.
    pub(super) fn compute(&mut self, index: usize, target: Target) -> Result<Located, Why> {
        let node = self.node(index);
        let now = std::mem::replace(&mut self.now, index);
        let made = match node.op_type.as_str() {
            "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => self.linear(node, target),
            "Add" | "Sub" | "Mul" => self.two(node, target),
            "Resize" | "Upsample" => self.resize_linear(node, target),
            _ => self.average(node, target),
        };
        self.now = now;
        made
    }

    /// The bytes of an operand, which may be a dequantized constant.
    fn operand(&mut self, name: &'a str) -> Result<(Located, Quantization), Why> {
        if let Ok(view) = self.view(name) {
            return Ok(view);
        }
        let not = || format!("its input \"{name}\" is not quantized");
        let (node, constant) = self.dequantized(name).ok_or_else(not)?;
        let (quantization, unsigned) = self.quantization(node)?;
        let shape = self.facts.shape(constant).ok_or_else(not)?.to_vec();
        if shape.contains(&0) {
            return Err("its operand is empty".into());
        }
        let bytes = self.facts.integers(constant).ok_or_else(not)?;
        let offset = if unsigned { 128 } else { 0 };
        let order: Vec<usize> = (0..shape.len()).collect();
        let value = self.draft.add_value(super::located::dims(&shape, &order));
        let bytes = bytes.iter().map(|byte| (byte - offset) as i8).collect();
        self.draft.values[value].constant = Some(bytes);
        let located = Located { value, shape, order };
        self.reals.insert(name, Real::View { located: located.clone(), quantization });
        Ok((located, quantization))
    }

    fn two(&mut self, node: &'a NodeProto, target: Target) -> Result<Located, Why> {
        let shape = self.facts.shape(&node.output[0]).ok_or("its shape is not known")?.to_vec();
        let (mut a, mut a_scale) = self.operand(&node.input[0])?;
        let (mut b, mut b_scale) = self.operand(&node.input[1])?;
        if node.op_type == "Sub" {
            b_scale.scale = -b_scale.scale;
        }
        if a.shape != shape {
            std::mem::swap(&mut a, &mut b);
            std::mem::swap(&mut a_scale, &mut b_scale);
        }
        let rank = shape.len();
        if a.shape != shape || b.shape.len() > rank || rank > 4 {
            return Err("its inputs are both broadcast, or have more than four axes".into());
        }
        // A shorter shape stands for ones in front.
        let fill = rank - b.shape.len();
        let ones = std::iter::repeat_n(1, fill);
        let b_shape: Vec<usize> = ones.chain(b.shape.iter().copied()).collect();
        let b_order: Vec<usize> = (0..fill).chain(b.order.iter().map(|axis| axis + fill)).collect();
        let b = self.reshaped(&b, b_shape, b_order);
        let order = match rank == 4 && (a.order == IMAGE || b.order == IMAGE) {
            true => IMAGE.to_vec(),
            false => a.order.clone(),
        };
        let (a, b) = (self.ordered(&a, &order), self.ordered(&b, &order));
        let Target { quantization, low, high } = target;
        let sketch = match node.op_type.as_str() {
            "Mul" => Sketch::Mul(Mul::new(a_scale, b_scale, quantization, low, high)),
            _ => Sketch::Add(Add::new(a_scale, b_scale, quantization, low, high)),
        };
        Ok(self.emit_located(sketch, vec![a.value, b.value], shape, order))
    }

    fn average(&mut self, node: &'a NodeProto, target: Target) -> Result<Located, Why> {
        let (located, quantization) = self.operand(&node.input[0])?;
        let image = self.image(&located)?;
        let shape = self.facts.shape(&node.output[0]).ok_or("its shape is not known")?.to_vec();
        let mut pooled = shape.clone();
        let window = match node.op_type.as_str() {
            "AveragePool" => window::window(self, node, &image.shape, &shape)?,
            "GlobalAveragePool" => Window::global(image.shape[2], image.shape[3]),
            _ => {
                let axes = self.parameter(node, 1, "axes")?.unwrap_or_default();
                let mut axes: Vec<i64> = axes.iter().map(|axis| axis.rem_euclid(4)).collect();
                axes.sort_unstable();
                if axes != [2, 3] {
                    return Err("it is no mean over height and width".into());
                }
                pooled = vec![image.shape[0], image.shape[1], 1, 1];
                Window::global(image.shape[2], image.shape[3])
            }
        };
        let padded = self.integer(node, "count_include_pad", 0) != 0;
        let Target { quantization: out, low, high } = target;
        let pool = AveragePool::new(window, padded, quantization, out, low, high);
        let pool = pool.ok_or("its window is too large for 32-bit sums")?;
        let output = self.image_step(Sketch::AveragePool(pool), &image, pooled);
        if output.shape == shape {
            return Ok(output);
        }
        // Without the axes of one that a ReduceMean leaves out.
        let order = (0..shape.len()).collect();
        Ok(self.reshaped(&output, shape, order))
    }

    fn resize_linear(&mut self, node: &'a NodeProto, target: Target) -> Result<Located, Why> {
        let (located, quantization) = self.operand(&node.input[0])?;
        let image = self.image(&located)?;
        let shape = self.facts.shape(&node.output[0]).ok_or("its shape is not known")?.to_vec();
        let resize = window::resize(self, node, &image.shape, &shape)?;
        let Target { quantization: out, low, high } = target;
        let resize =
            ResizeLinear::new(resize.taps(0), resize.taps(1), quantization, out, low, high);
        Ok(self.image_step(Sketch::Resize(resize), &image, shape))
    }
}
