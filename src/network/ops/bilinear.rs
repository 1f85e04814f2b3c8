//! Resize, linear mode, over two neighbouring axes (ONNX opset 10 to 19) in one pass.
//!
//! tract resamples one axis after the other. The rounding differs from the weighted sum of
//! four neighbours that ONNX Runtime computes, and quantized values that are upsampled by two
//! lie on rounding ties everywhere.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::resize::{CoordTransformer, Interpolator, Resize};

/// Puts [`Bilinear`] in place of tract's linear Resize where it covers the case.
pub fn replace(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let Some(bilinear) = covered(model, id)? else { continue };
        let mut patch = TypedModelPatch::default();
        let node = model.node(id);
        let input = patch.tap_model(model, node.inputs[0])?;
        let output = patch.wire_node(&node.name, bilinear, &[input])?;
        patch.shunt_outside(model, id.into(), output[0])?;
        patch.apply(model)?;
    }
    Ok(())
}

fn covered(model: &TypedModel, id: usize) -> TractResult<Option<Bilinear>> {
    let node = model.node(id);
    let Some(resize) = node.op_as::<Resize>() else { return Ok(None) };
    let facts = model.node_input_facts(id)?;
    let input = facts[0];
    let output = &node.outputs[0].fact;
    if resize.interpolator != Interpolator::Linear || input.datum_type != f32::datum_type() {
        return Ok(None);
    }
    let (Some(from), Some(to)) = (input.shape.as_concrete(), output.shape.as_concrete()) else {
        return Ok(None);
    };
    let changed: Vec<usize> = (0..from.len()).filter(|axis| from[*axis] != to[*axis]).collect();
    let first = match changed[..] {
        [first, second] if second == first + 1 => first,
        [last] if last + 1 == from.len() && last > 0 => last - 1,
        [first] if first + 1 < from.len() => first,
        _ => return Ok(None),
    };
    let given = match resize.optional_scales_input.and_then(|index| facts.get(index)) {
        Some(fact) => fact.konst.clone(),
        None => None,
    };
    let scale = |axis: usize| -> TractResult<f32> {
        let ratio = to[axis] as f32 / from[axis] as f32;
        let Some(scales) = &given else { return Ok(ratio) };
        let scales = scales.cast_to::<f32>()?;
        let scales = scales.try_as_plain_ram()?;
        Ok(scales.as_slice::<f32>()?.get(axis).copied().unwrap_or(ratio))
    };
    let axis = |axis: usize| -> TractResult<Vec<Tap>> {
        Ok(taps(&resize.coord_transformer, scale(axis)?, from[axis], to[axis]))
    };
    Ok(Some(Bilinear { first, rows: axis(first)?, columns: axis(first + 1)? }))
}

/// The two neighbours of an output position and their weights.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    near: usize,
    far: usize,
    near_weight: f32,
    far_weight: f32,
}

fn taps(transform: &CoordTransformer, scale: f32, from: usize, to: usize) -> Vec<Tap> {
    (0..to)
        .map(|index| {
            let at = transform.transform(index, scale, from, to).clamp(0.0, (from - 1) as f32);
            let near = at as usize;
            let far = (near + 1).min(from - 1);
            let (far_weight, near_weight) = match near == far {
                true => (0.5, 0.5),
                false => (at - near as f32, far as f32 - at),
            };
            Tap { near, far, near_weight, far_weight }
        })
        .collect()
}

/// Resamples axes `first` and `first + 1`.
#[derive(Clone, Debug, PartialEq)]
struct Bilinear {
    first: usize,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Eq for Bilinear {}

impl Op for Bilinear {
    fn name(&self) -> StaticName {
        "Resize".into()
    }
    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("linear to {}x{}", self.rows.len(), self.columns.len())])
    }
    op_as_typed_op!();
}

impl Bilinear {
    fn output_shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = input.into();
        shape[self.first] = self.rows.len().into();
        shape[self.first + 1] = self.columns.len().into();
        shape
    }
}

impl EvalOp for Bilinear {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let shape = input.shape();
        let (height, width) = (shape[self.first], shape[self.first + 1]);
        let inner: usize = shape[self.first + 2..].iter().product();
        let mut output = Tensor::zero::<f32>(&self.output_shape(shape))?;
        let values = input.try_as_plain_ram()?;
        let values = values.as_slice::<f32>()?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let out = plain.as_slice_mut::<f32>()?;
        let (from, to) = (height * width * inner, self.rows.len() * self.columns.len() * inner);
        for (image, out) in values.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
            let lines = out.chunks_exact_mut(self.columns.len() * inner);
            for (row, line) in self.rows.iter().zip(lines) {
                let near = &image[row.near * width * inner..][..width * inner];
                let far = &image[row.far * width * inner..][..width * inner];
                for (column, pixel) in self.columns.iter().zip(line.chunks_exact_mut(inner)) {
                    blend(pixel, near, far, row, column);
                }
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

fn blend(pixel: &mut [f32], near: &[f32], far: &[f32], row: &Tap, column: &Tap) {
    let inner = pixel.len();
    let weights = [
        column.near_weight * row.near_weight,
        column.far_weight * row.near_weight,
        column.near_weight * row.far_weight,
        column.far_weight * row.far_weight,
    ];
    let corners = [
        &near[column.near * inner..][..inner],
        &near[column.far * inner..][..inner],
        &far[column.near * inner..][..inner],
        &far[column.far * inner..][..inner],
    ];
    for (index, value) in pixel.iter_mut().enumerate() {
        *value = weights[0] * corners[0][index]
            + weights[1] * corners[1][index]
            + weights[2] * corners[2][index]
            + weights[3] * corners[3][index];
    }
}

impl TypedOp for Bilinear {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.output_shape(&inputs[0].shape.to_tvec()))))
    }

    as_op!();
}
