//! MaxUnpool (ONNX opset 9, 11): values back to where MaxPool found them, zeros elsewhere.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Pad, PadMode};
use tract_onnx::tract_core::ops::cnn::MaxPool;
use tract_onnx::tract_hir::internal::*;

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("MaxUnpool", max_unpool);
}

fn max_unpool(
    _ctx: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let kernel: TVec<usize> = node.get_attr_tvec("kernel_shape")?;
    let rank = kernel.len();
    let strides = node.get_attr_opt_tvec("strides")?.unwrap_or_else(|| tvec![1; rank]);
    let pads = node.get_attr_opt_tvec("pads")?.unwrap_or_else(|| tvec![0; 2 * rank]);
    node.expect_attr("strides", strides.len() == rank, "one stride a kernel axis")?;
    node.expect_attr("pads", pads.len() == 2 * rank, "two pads a kernel axis")?;
    let has_shape = node.input.len() == 3 && !node.input[2].is_empty();
    Ok((expand(MaxUnpool { kernel, strides, pads, has_shape }), vec![]))
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct MaxUnpool {
    kernel: TVec<usize>,
    strides: TVec<usize>,
    pads: TVec<usize>,
    has_shape: bool,
}

impl Expansion for MaxUnpool {
    fn name(&self) -> StaticName {
        "MaxUnpool".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.has_shape))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[1].datum_type, i64::datum_type())?;
        s.equals(&inputs[0].shape, &inputs[1].shape)?;
        if self.has_shape {
            s.given(&inputs[2].value, move |s, shape| {
                let shape = shape.cast_to::<TDim>()?;
                let dims = shape.try_as_plain_ram()?.as_slice::<TDim>()?;
                s.equals(&outputs[0].shape, ShapeFactoid::from(dims))
            })
        } else {
            s.given(&inputs[0].shape, move |s, shape| {
                s.equals(&outputs[0].shape, ShapeFactoid::from(&*self.output_shape(&shape)?))
            })
        }
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        // Where the indices come of a MaxPool, they count in the tensor that it pooled.
        let node = model.node(inputs[1].node);
        let pooled = match node.op_is::<MaxPool>() {
            true => Some(model.outlet_fact(node.inputs[0])?.shape.to_tvec()),
            false => None,
        };
        let input: TVec<TDim> = model.outlet_fact(inputs[0])?.shape.iter().cloned().collect();
        let inferred = self.output_shape(&input)?;
        let shape = if self.has_shape {
            let shape = model.outlet_fact(inputs[2])?.konst.clone();
            let shape = shape.context("output_shape must be a constant")?;
            let shape = shape.cast_to::<TDim>()?;
            shape.try_as_plain_ram()?.as_slice::<TDim>()?.into()
        } else {
            inferred.clone()
        };
        // Else in what the attributes say, which may be a corner of the shape given.
        let scattered = pooled.filter(|pooled| *pooled == shape).unwrap_or(inferred);
        ensure!(scattered.len() == shape.len(), "output_shape of {} axes", shape.len());
        if scattered == shape {
            return model.wire_node(prefix, Scatter { shape }, &inputs[..2]);
        }
        let mut pads = vec![];
        for (from, to) in scattered.iter().zip(&shape) {
            let (from, to) = (from.to_usize()?, to.to_usize()?);
            ensure!(from <= to, "output_shape {shape:?} is smaller than {scattered:?}");
            pads.push((0, to - from));
        }
        let name = format!("{prefix}.scatter");
        let corner = model.wire_node(name, Scatter { shape: scattered }, &inputs[..2])?;
        let zero = Tensor::zero_scalar_dt(model.outlet_fact(inputs[0])?.datum_type)?;
        let mode = PadMode::Constant(Arc::new(zero));
        model.wire_node(prefix, Pad { pads, mode }, &corner)
    }
}

impl MaxUnpool {
    fn output_shape(&self, input: &[TDim]) -> TractResult<TVec<TDim>> {
        let axes = self.kernel.len();
        ensure!(input.len() == axes + 2, "MaxUnpool: input of rank {}", input.len());
        let mut shape: TVec<TDim> = input.into();
        for axis in 0..axes {
            let pads = (self.pads[axis] + self.pads[axis + axes]) as i64;
            let dim = (input[axis + 2].clone() - 1) * self.strides[axis] as i64;
            shape[axis + 2] = dim + self.kernel[axis] as i64 - pads;
        }
        Ok(shape)
    }
}

/// Writes each value at its flat index of a tensor of zeros.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Scatter {
    shape: TVec<TDim>,
}

impl Op for Scatter {
    fn name(&self) -> StaticName {
        "MaxUnpool".into()
    }
    op_as_typed_op!();
}

impl EvalOp for Scatter {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (values, indices) = args_2!(inputs);
        let shape: TVec<usize> = self
            .shape
            .iter()
            .map(|dim| dim.eval(ctx.symbols).to_usize())
            .collect::<Result<_, _>>()?;
        let mut output = Tensor::zero_dt(values.datum_type(), &shape)?;
        let indices = indices.to_plain_array_view::<i64>()?;
        fn scatter<T: Datum + Copy>(
            values: &Tensor,
            indices: tract_ndarray::ArrayViewD<i64>,
            output: &mut Tensor,
        ) -> TractResult<()> {
            let mut output = output.try_as_plain_ram_mut()?;
            let output = output.as_slice_mut::<T>()?;
            for (value, index) in values.to_plain_array_view::<T>()?.iter().zip(indices.iter()) {
                let place = usize::try_from(*index).ok().and_then(|index| output.get_mut(index));
                *place.with_context(|| format!("MaxUnpool: index {index} is out of range"))? =
                    *value;
            }
            Ok(())
        }
        dispatch_numbers!(scatter(values.datum_type())(&values, indices, &mut output))?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Scatter {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(&*self.shape)))
    }

    as_op!();
}
