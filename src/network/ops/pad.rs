//! Pad (ONNX opset 2 to 21): negative pads cut, and mode `wrap` repeats; tract has neither.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice, TypedConcat};
use tract_onnx::tract_hir::internal::*;

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("Pad", pad);
}

fn pad(ctx: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mode = match node.get_attr_opt("mode")?.unwrap_or("constant") {
        "constant" => Mode::Constant,
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" => Mode::Wrap,
        other => bail!("mode: found {other}, expected constant, reflect, edge or wrap"),
    };
    if ctx.onnx_operator_set_version < 11 {
        let pads = node.get_attr_tvec("pads")?;
        let value: f32 = node.get_attr_opt("value")?.unwrap_or(0.0);
        let value = Some(Arc::new(Tensor::from(value)));
        let written =
            Written { mode, pads: Some(pads), value, value_input: None, axes_input: None };
        return Ok((expand(written), vec![]));
    }
    // Inputs that are left out by an empty name take no place.
    let mut place = 1;
    let mut optional = |index: usize| {
        let there = node.input.get(index).is_some_and(|name| !name.is_empty());
        place += usize::from(there);
        there.then_some(place)
    };
    let (value_input, axes_input) = (optional(2), optional(3));
    Ok((expand(Written { mode, pads: None, value: None, value_input, axes_input }), vec![]))
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Mode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

/// The operator as the file has it: before opset 11 with attributes, since then with inputs.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Written {
    mode: Mode,
    pads: Option<TVec<i64>>,
    value: Option<Arc<Tensor>>,
    value_input: Option<usize>,
    axes_input: Option<usize>,
}

impl Written {
    /// Before and after each of `rank` axes.
    fn pads(
        &self,
        rank: usize,
        pads: &[i64],
        axes: Option<&[i64]>,
    ) -> TractResult<TVec<(i64, i64)>> {
        let all: TVec<i64> = (0..rank as i64).collect();
        let axes = axes.unwrap_or(&all);
        ensure!(
            pads.len() == 2 * axes.len(),
            "pads: found {} values, expected {} for {} axes",
            pads.len(),
            2 * axes.len(),
            axes.len()
        );
        let mut resolved = tvec!((0, 0); rank);
        for (index, axis) in axes.iter().enumerate() {
            let axis = if *axis < 0 { axis + rank as i64 } else { *axis };
            let place = usize::try_from(axis).ok().and_then(|axis| resolved.get_mut(axis));
            *place.with_context(|| format!("axis {axis} of a tensor of rank {rank}"))? =
                (pads[index], pads[index + axes.len()]);
        }
        Ok(resolved)
    }
}

fn numbers(tensor: &Tensor) -> TractResult<TVec<i64>> {
    Ok(tensor.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.into())
}

impl Expansion for Written {
    fn name(&self) -> StaticName {
        "Pad".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let optional =
            usize::from(self.value_input.is_some()) + usize::from(self.axes_input.is_some());
        check_input_arity(inputs, 1 + usize::from(self.pads.is_none()) + optional)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        if let Some(value) = self.value_input {
            s.equals(&inputs[0].datum_type, &inputs[value].datum_type)?;
        }
        let shape = move |s: &mut Solver<'r>, pads: TVec<(i64, i64)>| -> InferenceResult {
            for (axis, (before, after)) in pads.iter().enumerate() {
                let output = inputs[0].shape[axis].bex() + before.to_dim() + after.to_dim();
                s.equals(&outputs[0].shape[axis], output)?;
            }
            Ok(())
        };
        s.given(&inputs[0].rank, move |s, rank| {
            let rank = rank as usize;
            match (&self.pads, self.axes_input) {
                (Some(pads), _) => shape(s, self.pads(rank, pads, None)?),
                (None, None) => s.given(&inputs[1].value, move |s, pads| {
                    shape(s, self.pads(rank, &numbers(&pads)?, None)?)
                }),
                (None, Some(axes)) => {
                    s.given_2(&inputs[1].value, &inputs[axes].value, move |s, pads, axes| {
                        shape(s, self.pads(rank, &numbers(&pads)?, Some(&numbers(&axes)?))?)
                    })
                }
            }
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let constant = |index: usize, what: &str| -> TractResult<Arc<Tensor>> {
            let constant = model.outlet_fact(inputs[index])?.konst.clone();
            constant.with_context(|| format!("{what} must be a constant"))
        };
        let fact = model.outlet_fact(inputs[0])?.clone();
        let pads = match &self.pads {
            Some(pads) => pads.clone(),
            None => numbers(&*constant(1, "pads")?)?,
        };
        let axes = self.axes_input.map(|input| numbers(&*constant(input, "axes")?)).transpose()?;
        let pads = self.pads(fact.rank(), &pads, axes.as_deref())?;
        let value = match self.value_input {
            Some(input) => Some(constant(input, "the padding value")?),
            None => self.value.clone(),
        };
        let value = match value {
            Some(value) if value.len() == 1 => value.into_tensor().into_shape(&[])?,
            Some(value) => bail!("the padding value: found {} values, expected 1", value.len()),
            None => Tensor::zero_scalar_dt(fact.datum_type)?,
        };
        let mut wire = inputs[0];
        let mut last = 0;
        let mut name = |what: &str| {
            last += 1;
            format!("{prefix}.{what}_{last}")
        };
        let mut lengths: TVec<usize> = tvec!();
        for (axis, (before, after)) in pads.iter().enumerate() {
            let length = fact.shape[axis].to_i64()?;
            let (start, end) = (
                before.saturating_neg().max(0),
                length.saturating_sub(after.saturating_neg().max(0)),
            );
            ensure!(
                start <= end,
                "axis {axis}: pads {before} and {after} leave nothing of {length}"
            );
            if (start, end) != (0, length) {
                wire = model.wire_node(name("cut"), Slice::new(axis, start, end), &[wire])?[0];
            }
            lengths.push((end - start) as usize);
        }
        let pads: Vec<(usize, usize)> =
            pads.iter().map(|(a, b)| ((*a).max(0) as usize, (*b).max(0) as usize)).collect();
        for (axis, ((before, after), length)) in pads.iter().zip(&lengths).enumerate() {
            let most = match self.mode {
                Mode::Reflect => length.saturating_sub(1),
                Mode::Wrap => *length,
                Mode::Edge if *length == 0 => 0,
                Mode::Constant | Mode::Edge => usize::MAX,
            };
            let wanted = *before.max(after);
            ensure!(wanted <= most, "axis {axis}: pads by {wanted}, at most {most} are possible");
        }
        let mode = match self.mode {
            Mode::Constant => PadMode::Constant(Arc::new(value)),
            Mode::Reflect => PadMode::Reflect,
            Mode::Edge => PadMode::Edge,
            Mode::Wrap => {
                for (axis, ((before, after), length)) in pads.iter().zip(&lengths).enumerate() {
                    let mut parts = tvec!(wire);
                    if *before > 0 {
                        let end = Slice::new(axis, length - before, *length);
                        parts.insert(0, model.wire_node(name("end"), end, &[wire])?[0]);
                    }
                    if *after > 0 {
                        let start = Slice::new(axis, 0, *after);
                        parts.push(model.wire_node(name("start"), start, &[wire])?[0]);
                    }
                    if parts.len() > 1 {
                        wire = model.wire_node(name("wrap"), TypedConcat::new(axis), &parts)?[0];
                    }
                }
                return model.wire_node(
                    prefix,
                    tract_onnx::tract_core::ops::identity::Identity,
                    &[wire],
                );
            }
        };
        model.wire_node(prefix, Pad { pads, mode }, &[wire])
    }
}
