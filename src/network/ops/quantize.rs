//! QuantizeLinear and DequantizeLinear (ONNX opset 10, 13, 19): as the standard has them.
//! tract's multiply by the reciprocal of the scale, which rounds other numbers, and its
//! simplification of a chain of both takes the type of one for the other's.

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("QuantizeLinear", |_, node| build(node, Direction::Quantize));
    register.insert("DequantizeLinear", |_, node| build(node, Direction::Dequantize));
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Direction {
    Quantize,
    Dequantize,
}

fn build(
    node: &NodeProto,
    direction: Direction,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let blocks = node.get_attr_opt::<i64>("block_size")?.unwrap_or(0);
    ensure!(blocks == 0, "blocked quantization is not supported (block_size {blocks})");
    let axis = node.get_attr_opt("axis")?.unwrap_or(1);
    let has_zero_point = node.input.get(2).is_some_and(|name| !name.is_empty());
    Ok((expand(Written { direction, axis, has_zero_point }), vec![]))
}

/// The operator as the file has it: value, scale, zero point.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Written {
    direction: Direction,
    axis: i64,
    has_zero_point: bool,
}

impl Expansion for Written {
    fn name(&self) -> StaticName {
        match self.direction {
            Direction::Quantize => "QuantizeLinear".into(),
            Direction::Dequantize => "DequantizeLinear".into(),
        }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.has_zero_point))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        s.equals(&inputs[1].datum_type, f32::datum_type())?;
        match (self.direction, self.has_zero_point) {
            (Direction::Quantize, true) => s.equals(&outputs[0].datum_type, &inputs[2].datum_type),
            (Direction::Quantize, false) => s.equals(&outputs[0].datum_type, u8::datum_type()),
            (Direction::Dequantize, zero_point) => {
                if zero_point {
                    s.equals(&inputs[0].datum_type, &inputs[2].datum_type)?;
                }
                s.equals(&outputs[0].datum_type, f32::datum_type())
            }
        }
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let scale = model.outlet_fact(inputs[1])?.konst.clone();
        let scale = scale.context("the scale must be a constant")?;
        let scale = scale.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        for (channel, scale) in scale.iter().enumerate() {
            ensure!(
                scale.is_finite() && *scale > 0.0,
                "scale {scale} of channel {channel} is not a positive number"
            );
        }
        let mut stored = match self.direction {
            Direction::Quantize => u8::datum_type(),
            Direction::Dequantize => fact.datum_type,
        };
        let mut zero_point = vec![0; scale.len()];
        if self.has_zero_point {
            let tensor = model.outlet_fact(inputs[2])?.konst.clone();
            let tensor = tensor.context("the zero point must be a constant")?;
            stored = tensor.datum_type();
            zero_point = tensor.cast_to::<i32>()?.try_as_plain_ram()?.as_slice::<i32>()?.to_vec();
        }
        ensure!(
            scale.len() == zero_point.len(),
            "{} scales but {} zero points",
            scale.len(),
            zero_point.len()
        );
        let mut axis = 0;
        if scale.len() > 1 {
            let rank = fact.rank() as i64;
            let wanted = if self.axis < 0 { self.axis + rank } else { self.axis };
            ensure!((0..rank).contains(&wanted), "axis {} of a tensor of rank {rank}", self.axis);
            axis = wanted as usize;
            let channels = fact.shape[axis].to_usize();
            ensure!(
                channels.as_ref().is_ok_and(|channels| *channels == scale.len()),
                "{} scales for {} channels on axis {axis}",
                scale.len(),
                fact.shape[axis]
            );
        }
        let parameters = Parameters { scale, zero_point, axis };
        let to = match self.direction {
            Direction::Quantize => {
                ensure!(
                    [u8::datum_type(), i8::datum_type()].contains(&stored),
                    "quantizing to {stored:?} is not supported, only to u8 and i8"
                );
                ensure!(fact.datum_type == f32::datum_type(), "quantizes {:?}", fact.datum_type);
                stored
            }
            Direction::Dequantize => {
                ensure!(
                    [u8::datum_type(), i8::datum_type(), i32::datum_type()].contains(&stored),
                    "dequantizing {stored:?} is not supported, only u8, i8 and i32"
                );
                f32::datum_type()
            }
        };
        model.wire_node(prefix, Linear { parameters, to }, &inputs[..1])
    }
}

/// real = (stored - zero point) * scale, one pair for all or one a channel of `axis`.
#[derive(Clone, Debug, PartialEq)]
struct Parameters {
    scale: Vec<f32>,
    zero_point: Vec<i32>,
    axis: usize,
}

impl Eq for Parameters {}

impl Parameters {
    /// Calls `run(start..end, scale, zero point)` for each run of elements of `shape` that
    /// share a pair.
    fn for_each_run(&self, shape: &[usize], mut run: impl FnMut(std::ops::Range<usize>, f32, i32)) {
        let elements: usize = shape.iter().product();
        if self.scale.len() == 1 {
            return run(0..elements, self.scale[0], self.zero_point[0]);
        }
        let inner: usize = shape[self.axis + 1..].iter().product();
        if inner == 0 {
            return;
        }
        for (index, start) in (0..elements).step_by(inner).enumerate() {
            let channel = index % self.scale.len();
            run(start..start + inner, self.scale[channel], self.zero_point[channel]);
        }
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![match self.scale.len() {
            1 => format!("scale {} zero point {}", self.scale[0], self.zero_point[0]),
            channels => format!("{channels} scales on axis {}", self.axis),
        }])
    }
}

/// The integer nearest to `x`, ties to even, for |x| < 2^22: after adding 1.5 * 2^23 the lowest
/// bits are the integer. Vectorizes where no rounding instruction does.
fn round_half_even(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    ((x + MAGIC).to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32)
}

/// To u8 or i8: saturate(round_half_even(x / scale) + zero point). To f32: (x - zero point) *
/// scale.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Linear {
    parameters: Parameters,
    to: DatumType,
}

impl Op for Linear {
    fn name(&self) -> StaticName {
        let quantizes = self.to != f32::datum_type();
        if quantizes { "QuantizeLinear" } else { "DequantizeLinear" }.into()
    }
    fn info(&self) -> TractResult<Vec<String>> {
        self.parameters.info()
    }
    op_as_typed_op!();
}

impl Linear {
    fn quantize(&self, input: &Tensor) -> TractResult<Tensor> {
        let values = input.try_as_plain_ram()?;
        let values = values.as_slice::<f32>()?;
        let mut output = Tensor::zero_dt(self.to, input.shape())?;
        // Both types through their bytes: what differs are the bounds.
        let bytes = output.as_bytes_mut();
        let bounds = if self.to == i8::datum_type() { (-128, 127) } else { (0, 255) };
        self.parameters.for_each_run(input.shape(), |range, scale, zero| {
            quantize_run(&values[range.clone()], &mut bytes[range], scale, zero, bounds);
        });
        Ok(output)
    }

    fn dequantize<T: Datum + Copy + Into<i32>>(&self, input: &Tensor) -> TractResult<Tensor> {
        let mut output = Tensor::zero::<f32>(input.shape())?;
        let values = input.try_as_plain_ram()?;
        let values = values.as_slice::<T>()?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let out = plain.as_slice_mut::<f32>()?;
        self.parameters.for_each_run(input.shape(), |range, scale, zero| {
            for (y, x) in out[range.clone()].iter_mut().zip(&values[range]) {
                let x: i32 = (*x).into();
                *y = x.wrapping_sub(zero) as f32 * scale;
            }
        });
        Ok(output)
    }
}

/// The lowest byte of each result: u8 and i8 alike.
fn quantize_run(values: &[f32], bytes: &mut [u8], scale: f32, zero: i32, (low, high): (i32, i32)) {
    // Clamping first is the same, since the bounds are integers, and keeps the number in range.
    // The comparisons send NaN to the lower bound.
    let (low, high) = ((low - zero) as f32, (high - zero) as f32);
    for (byte, value) in bytes.iter_mut().zip(values) {
        let x = value / scale;
        let x = if x > low { x } else { low };
        let x = if x < high { x } else { high };
        *byte = round_half_even(x).wrapping_add(zero) as u8;
    }
}

impl EvalOp for Linear {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let output = match input.datum_type() {
            DatumType::F32 => self.quantize(&input)?,
            DatumType::U8 => self.dequantize::<u8>(&input)?,
            DatumType::I8 => self.dequantize::<i8>(&input)?,
            DatumType::I32 => self.dequantize::<i32>(&input)?,
            other => bail!("{} of {other:?}", self.name()),
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Linear {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.to.fact(inputs[0].shape.clone())))
    }

    fn axes_mapping(
        &self,
        inputs: &[&TypedFact],
        outputs: &[&TypedFact],
    ) -> TractResult<AxesMapping> {
        AxesMapping::natural(inputs, outputs)
    }

    /// Axes may move freely only under a single pair of scale and zero point.
    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _io: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        let single = self.parameters.scale.len() == 1;
        Ok(single.then(|| AxisChangeConsequence::new(model, node, None, change)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_takes_ties_to_even_like_the_standard() {
        for quarter in -4000..4000 {
            let x = quarter as f32 / 4.0;
            assert_eq!(round_half_even(x), x.round_ties_even() as i32, "{x}");
        }
    }
}
