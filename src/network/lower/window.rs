//! Attributes of operators that slide a window or resize.

use super::{Lowering, Why};
use crate::int8::coordinates::{Coordinates, Nearest, Tap, linear_taps, nearest_indices};
use crate::int8::pool::Window;
use tract_onnx::pb::NodeProto;

/// A list of two attributes, or the default for both.
fn pair(
    lowering: &Lowering,
    node: &NodeProto,
    name: &str,
    default: usize,
) -> Result<[usize; 2], Why> {
    match lowering.list(node, name).as_deref() {
        None | Some([]) => Ok([default; 2]),
        Some(&[a, b]) if a > 0 && b > 0 => Ok([a as usize, b as usize]),
        Some(other) => Err(format!("its {name} {other:?} are not two positive numbers")),
    }
}

/// The window of a Conv, MaxPool or AveragePool from `input` to `output` (batch, channels,
/// height, width).
pub(super) fn window(
    lowering: &Lowering,
    node: &NodeProto,
    input: &[usize],
    output: &[usize],
) -> Result<Window, Why> {
    let (&[_, _, height, width], &[_, _, out_height, out_width]) = (input, output) else {
        return Err("it does not work on pictures".into());
    };
    let kernel = match node.op_type.as_str() {
        "Conv" => {
            let weights = node.input.get(1).and_then(|name| lowering.facts.shape(name));
            match weights {
                Some(&[_, _, rows, columns]) if rows > 0 && columns > 0 => [rows, columns],
                _ => return Err("its weights do not have four axes".into()),
            }
        }
        _ => pair(lowering, node, "kernel_shape", 1)?,
    };
    let stride = pair(lowering, node, "strides", 1)?;
    let dilation = pair(lowering, node, "dilations", 1)?;
    let auto = node.get_attr_opt::<String>("auto_pad").ok().flatten().unwrap_or_default();
    let (mut before, mut after) = ([0; 2], [0; 2]);
    match auto.as_str() {
        "SAME_UPPER" | "SAME_LOWER" => {
            let (from, to) = ([height, width], [out_height, out_width]);
            for axis in 0..2 {
                let reach = dilation[axis].saturating_mul(kernel[axis] - 1) + 1;
                let needed = (to[axis] - 1).saturating_mul(stride[axis]).saturating_add(reach);
                let total = needed.saturating_sub(from[axis]);
                let small = total / 2;
                let upper = auto == "SAME_UPPER";
                before[axis] = if upper { small } else { total - small };
                after[axis] = total - before[axis];
            }
        }
        "VALID" => {}
        _ => match lowering.list(node, "pads").as_deref() {
            None | Some([]) => {}
            Some(&[top, left, bottom, right]) if top.min(left).min(bottom).min(right) >= 0 => {
                before = [top as usize, left as usize];
                after = [bottom as usize, right as usize];
            }
            Some(other) => {
                return Err(format!("its pads {other:?} are not four numbers from 0 on"));
            }
        },
    }
    Ok(Window { kernel, stride, dilation, before, after })
}

/// The mode of a Resize or Upsample.
pub(crate) fn mode(node: &NodeProto) -> String {
    node.get_attr_opt::<String>("mode").ok().flatten().unwrap_or_else(|| "nearest".into())
}

/// A Resize of height and width.
pub(super) struct Resize {
    coordinates: Coordinates,
    nearest: Nearest,
    from: [usize; 2],
    to: [usize; 2],
    scales: [f32; 2],
}

/// The parameters of a Resize or Upsample, from `input` to `output`.
pub(super) fn resize(
    lowering: &Lowering,
    node: &NodeProto,
    input: &[usize],
    output: &[usize],
) -> Result<Resize, Why> {
    let (&[batch, channels, height, width], &[out_batch, out_channels, out_height, out_width]) =
        (input, output)
    else {
        return Err("it does not work on pictures".into());
    };
    if (batch, channels) != (out_batch, out_channels) {
        return Err("it resizes batch or channels".into());
    }
    let text = |name: &str| node.get_attr_opt::<String>(name).ok().flatten();
    let flag = |name: &str| lowering.integer(node, name, 0) != 0;
    if flag("antialias") || flag("exclude_outside") {
        return Err("antialias and exclude_outside run in float".into());
    }
    if text("keep_aspect_ratio_policy").is_some_and(|policy| policy != "stretch") {
        return Err("keep_aspect_ratio_policy runs in float".into());
    }
    if lowering.list(node, "axes").is_some() {
        return Err("axes run in float".into());
    }
    let before =
        if lowering.opset < 11 || node.op_type == "Upsample" { "asymmetric" } else { "half_pixel" };
    let coordinates = match text("coordinate_transformation_mode").as_deref().unwrap_or(before) {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        other => return Err(format!("coordinates {other} run in float")),
    };
    let old = if before == "asymmetric" { "floor" } else { "round_prefer_floor" };
    let nearest = match text("nearest_mode").as_deref().unwrap_or(old) {
        "round_prefer_floor" => Nearest::RoundPreferFloor,
        "round_prefer_ceil" => Nearest::RoundPreferCeil,
        "floor" => Nearest::Floor,
        "ceil" => Nearest::Ceil,
        other => return Err(format!("nearest_mode {other} is not known")),
    };
    let (from, to) = ([height, width], [out_height, out_width]);
    let at = if lowering.opset < 11 || node.op_type == "Upsample" { 1 } else { 2 };
    let given = node.input.get(at).filter(|name| !name.is_empty());
    let given =
        given.and_then(|name| lowering.facts.reals(name)).filter(|scales| scales.len() == 4);
    let scales = match given {
        // A picture that keeps its size is copied.
        _ if from == to => [1.0; 2],
        Some(scales) => [scales[2], scales[3]],
        None => [to[0] as f32 / from[0] as f32, to[1] as f32 / from[1] as f32],
    };
    match scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        true => Ok(Resize { coordinates, nearest, from, to, scales }),
        false => Err("its scales are not positive numbers".into()),
    }
}

impl Resize {
    /// The source of each row (axis 0) or column (axis 1).
    pub fn nearest(&self, axis: usize) -> Vec<u32> {
        let (from, to) = (self.from[axis], self.to[axis]);
        nearest_indices(self.coordinates, self.nearest, from, to, self.scales[axis])
    }

    pub fn taps(&self, axis: usize) -> Vec<Tap> {
        linear_taps(self.coordinates, self.from[axis], self.to[axis], self.scales[axis])
    }
}
