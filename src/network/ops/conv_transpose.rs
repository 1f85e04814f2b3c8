//! ConvTranspose (ONNX opset 1 to 21): `auto_pad` and `output_shape` become pads here, once the
//! input's shape is known. tract knows neither together with pads, nor a kernel smaller than the
//! stride.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cnn::{Deconv, KernelFormat, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_hir::internal::*;

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("ConvTranspose", conv_transpose);
}

fn conv_transpose(
    _ctx: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let auto = node.get_attr_opt("auto_pad")?.unwrap_or("NOTSET");
    let known = ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"].contains(&auto);
    node.expect_attr("auto_pad", known, "NOTSET, VALID, SAME_UPPER or SAME_LOWER")?;
    let group: usize = node.get_attr_opt("group")?.unwrap_or(1);
    node.expect_attr("group", group > 0, "at least 1")?;
    Ok((
        expand(ConvTranspose {
            strides: node.get_attr_opt_tvec("strides")?,
            dilations: node.get_attr_opt_tvec("dilations")?,
            output_padding: node.get_attr_opt_tvec("output_padding")?,
            pads: if auto == "NOTSET" { node.get_attr_opt_tvec("pads")? } else { None },
            output_shape: node.get_attr_opt_tvec("output_shape")?,
            same: auto.starts_with("SAME"),
            upper: auto == "SAME_UPPER",
            group,
            has_bias: node.input.len() == 3 && !node.input[2].is_empty(),
        }),
        vec![],
    ))
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct ConvTranspose {
    strides: Option<TVec<usize>>,
    dilations: Option<TVec<usize>>,
    output_padding: Option<TVec<usize>>,
    pads: Option<TVec<usize>>,
    output_shape: Option<TVec<usize>>,
    same: bool,
    /// Of an odd number of pads the larger half goes to the end.
    upper: bool,
    group: usize,
    has_bias: bool,
}

/// One axis with its pads resolved.
struct Axis {
    before: usize,
    after: usize,
    /// What the output has at its end beyond the reach of the kernel.
    more: usize,
    output: usize,
}

impl ConvTranspose {
    fn attribute(values: &Option<TVec<usize>>, axis: usize, default: usize) -> usize {
        values.as_ref().and_then(|values| values.get(axis)).copied().unwrap_or(default)
    }

    /// The spatial axes for an input and a kernel (all axes of each).
    fn axes(&self, input: &[usize], kernel: &[usize]) -> TractResult<TVec<Axis>> {
        let rank = input.len() - 2;
        for (name, values, count) in [
            ("strides", &self.strides, rank),
            ("dilations", &self.dilations, rank),
            ("output_padding", &self.output_padding, rank),
            ("pads", &self.pads, 2 * rank),
        ] {
            let found = values.as_ref().map_or(count, |values| values.len());
            ensure!(found == count, "{name}: found {found} values, expected {count}");
        }
        // PyTorch and others give all axes, some only the spatial ones.
        let given =
            self.output_shape.as_ref().map(|shape| &shape[shape.len() - rank.min(shape.len())..]);
        (0..rank)
            .map(|axis| self.axis(axis, rank, input[axis + 2], kernel[axis + 2], given))
            .collect()
    }

    fn axis(
        &self,
        axis: usize,
        rank: usize,
        input: usize,
        kernel: usize,
        given: Option<&[usize]>,
    ) -> TractResult<Axis> {
        let stride = Self::attribute(&self.strides, axis, 1);
        let dilation = Self::attribute(&self.dilations, axis, 1);
        let more = Self::attribute(&self.output_padding, axis, 0);
        ensure!(
            input > 0 && kernel > 0 && stride > 0 && dilation > 0,
            "axis {axis}: input, kernel, stride and dilation must be at least 1"
        );
        let length = (input - 1)
            .checked_mul(stride)
            .and_then(|length| length.checked_add((kernel - 1).checked_mul(dilation)?))
            .and_then(|length| length.checked_add(more)?.checked_add(1))
            .with_context(|| format!("axis {axis}: the output is too large"))?;
        let wanted = match given {
            Some(shape) => Some(*shape.get(axis).context("output_shape is too short")?),
            None => self.same.then(|| input.saturating_mul(stride)),
        };
        let (before, after, missing) = match wanted {
            None => {
                let pad = |axis| Self::attribute(&self.pads, axis, 0);
                (pad(axis), pad(axis + rank), 0)
            }
            Some(wanted) => {
                let total = length.saturating_sub(wanted);
                let (less, rest) = (total / 2, total - total / 2);
                let (before, after) = if self.upper { (less, rest) } else { (rest, less) };
                // Only a given shape may reach beyond the kernel.
                let missing = if given.is_some() { wanted.saturating_sub(length) } else { 0 };
                (before, after, missing)
            }
        };
        let output = before.checked_add(after).and_then(|pads| length.checked_sub(pads));
        let output = output.filter(|output| *output > 0).with_context(|| {
            format!("axis {axis}: pads {before} and {after} leave nothing of {length}")
        })?;
        Ok(Axis { before, after, more: more + missing, output: output + missing })
    }
}

impl Expansion for ConvTranspose {
    fn name(&self) -> StaticName {
        "ConvTranspose".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.has_bias))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].datum_type, &inputs[1].datum_type)?;
        s.equals(&inputs[0].rank, &inputs[1].rank)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        s.equals(&inputs[0].shape[1], &inputs[1].shape[0])?;
        s.equals(&outputs[0].shape[1], (self.group as i64) * inputs[1].shape[1].bex())?;
        s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, input, kernel| {
            let concrete = |shape: &[TDim]| -> TractResult<TVec<usize>> {
                Ok(shape.iter().map(|dim| dim.to_usize()).collect::<Result<_, _>>()?)
            };
            let (input, kernel) = (concrete(&input)?, concrete(&kernel)?);
            ensure!(input.len() > 2, "input of rank {}, expected 3 or more", input.len());
            for (axis, resolved) in self.axes(&input, &kernel)?.iter().enumerate() {
                s.equals(&outputs[0].shape[axis + 2], resolved.output.to_dim())?;
            }
            Ok(())
        })?;
        if self.has_bias {
            s.equals(&inputs[2].datum_type, &inputs[0].datum_type)?;
            s.equals(&inputs[2].rank, 1)?;
            s.equals(&inputs[2].shape[0], &outputs[0].shape[1])?;
        }
        Ok(())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let concrete = |model: &TypedModel, outlet: OutletId| -> TractResult<TVec<usize>> {
            let shape = &model.outlet_fact(outlet)?.shape;
            Ok(shape.as_concrete().context("expects known shapes")?.into())
        };
        let input = concrete(model, inputs[0])?;
        let kernel = concrete(model, inputs[1])?;
        let (ci, co) = (kernel[0], kernel[1] * self.group);
        ensure!(ci % self.group == 0, "{ci} channels do not divide into {} groups", self.group);
        let axes = self.axes(&input, &kernel)?;
        // ONNX stores group, input, output; tract wants output first.
        let name = format!("{prefix}.kernel_split_group");
        let mut weights = AxisOp::wire_split_axis(model, name, inputs[1], 0, self.group)?;
        let name = format!("{prefix}.kernel_reorder");
        weights = model.wire_node(name, AxisOp::Move(1, 2), &weights)?;
        let name = format!("{prefix}.kernel_merge_group");
        weights = AxisOp::wire_collapse_axis(model, name, weights[0], 0)?;
        let bias = match self.has_bias {
            true => inputs[2],
            false => {
                let element = model.outlet_fact(inputs[0])?.datum_type;
                model.add_const(format!("{prefix}.bias"), Tensor::zero_scalar_dt(element)?)?
            }
        };
        let padding = PaddingSpec::Explicit(
            axes.iter().map(|axis| axis.before).collect(),
            axes.iter().map(|axis| axis.after).collect(),
        );
        let spec = PoolSpec::new(
            DataFormat::NCHW,
            kernel[2..].into(),
            padding,
            self.dilations.clone(),
            self.strides.clone(),
            ci,
            co,
        );
        let more = axes.iter().map(|axis| axis.more).collect();
        let op = Deconv::new(spec, KernelFormat::OIHW, more, self.group);
        model.wire_node(prefix, op, &[inputs[0], weights[0], bias])
    }
}
