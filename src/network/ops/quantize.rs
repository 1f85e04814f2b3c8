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
        let constant = |index: usize| -> TractResult<Option<Arc<Tensor>>> {
            Ok(model.outlet_fact(inputs[index])?.konst.clone())
        };
        let stored = match (self.direction, self.has_zero_point) {
            (Direction::Dequantize, _) => fact.datum_type,
            (Direction::Quantize, true) => model.outlet_fact(inputs[2])?.datum_type,
            (Direction::Quantize, false) => u8::datum_type(),
        };
        let to = self.target(fact.datum_type, stored)?;
        let zero_point = if self.has_zero_point { constant(2)? } else { None };
        match constant(1)? {
            Some(scale) if zero_point.is_some() || !self.has_zero_point => {
                let parameters = self.parameters(&fact.shape, &scale, zero_point.as_deref())?;
                model.wire_node(prefix, Linear { parameters, to }, &inputs[..1])
            }
            _ => model.wire_node(prefix, Dynamic { written: self.clone(), to }, inputs),
        }
    }
}

impl Written {
    /// The element type of the result.
    fn target(&self, from: DatumType, stored: DatumType) -> TractResult<DatumType> {
        let small = [DatumType::U8, DatumType::I8, DatumType::U16, DatumType::I16];
        match self.direction {
            Direction::Quantize => {
                ensure!(
                    small.contains(&stored),
                    "quantizing to {stored:?} is not supported, only to u8, i8, u16 and i16"
                );
                ensure!(from == f32::datum_type(), "quantizes {from:?}, expected F32");
                Ok(stored)
            }
            Direction::Dequantize => {
                ensure!(
                    small.contains(&stored) || stored == i32::datum_type(),
                    "dequantizing {stored:?} is not supported, only u8, i8, u16, i16 and i32"
                );
                Ok(f32::datum_type())
            }
        }
    }

    /// Scales and zero points for a tensor of a shape.
    fn parameters(
        &self,
        shape: &[impl DimLike],
        scale: &Tensor,
        zero_point: Option<&Tensor>,
    ) -> TractResult<Parameters> {
        let scale = scale.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        for (channel, scale) in scale.iter().enumerate() {
            ensure!(
                scale.is_finite() && *scale > 0.0,
                "scale {scale} of channel {channel} is not a positive number"
            );
        }
        let zero_point = match zero_point {
            Some(tensor) => {
                tensor.cast_to::<i32>()?.try_as_plain_ram()?.as_slice::<i32>()?.to_vec()
            }
            None => vec![0; scale.len()],
        };
        ensure!(
            scale.len() == zero_point.len(),
            "{} scales but {} zero points",
            scale.len(),
            zero_point.len()
        );
        let mut axis = 0;
        if scale.len() != 1 {
            let rank = shape.len() as i64;
            let wanted = if self.axis < 0 { self.axis + rank } else { self.axis };
            ensure!((0..rank).contains(&wanted), "axis {} of a tensor of rank {rank}", self.axis);
            axis = wanted as usize;
            let channels = shape[axis].to_usize();
            ensure!(
                channels.as_ref().is_ok_and(|channels| *channels == scale.len()),
                "{} scales for {} channels on axis {axis}",
                scale.len(),
                shape[axis]
            );
        }
        Ok(Parameters { scale, zero_point, axis })
    }
}

/// With a scale or zero point that the network computes itself.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Dynamic {
    written: Written,
    to: DatumType,
}

impl Op for Dynamic {
    fn name(&self) -> StaticName {
        self.written.name()
    }
    op_as_typed_op!();
}

impl EvalOp for Dynamic {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let zero_point = inputs.get(2).map(|value| &**value);
        let parameters = self.written.parameters(inputs[0].shape(), &inputs[1], zero_point)?;
        let value = inputs.into_iter().take(1).collect();
        Linear { parameters, to: self.to }.eval(ctx, value)
    }
}

impl TypedOp for Dynamic {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.to.fact(inputs[0].shape.clone())))
    }

    as_op!();
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

/// To u8, i8, u16 or i16: saturate(round_half_even(x / scale) + zero point). To f32: (x - zero point) *
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
    fn quantize<T: Datum + Copy>(
        &self,
        input: &Tensor,
        bounds: (i32, i32),
        cast: impl Fn(i32) -> T,
    ) -> TractResult<Tensor> {
        let values = input.try_as_plain_ram()?;
        let values = values.as_slice::<f32>()?;
        let mut output = Tensor::zero_dt(T::datum_type(), input.shape())?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let out = plain.as_slice_mut::<T>()?;
        self.parameters.for_each_run(input.shape(), |range, scale, zero| {
            quantize_run(&values[range.clone()], &mut out[range], scale, zero, bounds, &cast);
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

fn quantize_run<T>(
    values: &[f32],
    out: &mut [T],
    scale: f32,
    zero: i32,
    (low, high): (i32, i32),
    cast: impl Fn(i32) -> T,
) {
    // Clamping first is the same, since the bounds are integers, and keeps the number in range.
    // The comparisons send NaN to the lower bound.
    let (low, high) = ((low - zero) as f32, (high - zero) as f32);
    for (y, value) in out.iter_mut().zip(values) {
        let x = value / scale;
        let x = if x > low { x } else { low };
        let x = if x < high { x } else { high };
        *y = cast(round_half_even(x).wrapping_add(zero));
    }
}

impl EvalOp for Linear {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let output = match (input.datum_type(), self.to) {
            (DatumType::F32, DatumType::U8) => self.quantize(&input, (0, 255), |y| y as u8)?,
            (DatumType::F32, DatumType::I8) => self.quantize(&input, (-128, 127), |y| y as i8)?,
            (DatumType::F32, DatumType::U16) => self.quantize(&input, (0, 65535), |y| y as u16)?,
            (DatumType::F32, _) => self.quantize(&input, (-32768, 32767), |y| y as i16)?,
            (DatumType::U8, _) => self.dequantize::<u8>(&input)?,
            (DatumType::I8, _) => self.dequantize::<i8>(&input)?,
            (DatumType::U16, _) => self.dequantize::<u16>(&input)?,
            (DatumType::I16, _) => self.dequantize::<i16>(&input)?,
            (DatumType::I32, _) => self.dequantize::<i32>(&input)?,
            (other, _) => bail!("{} of {other:?}", self.name()),
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
