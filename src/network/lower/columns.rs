//! The constants of linear operators: weights, biases, and what their sums mean.

use super::real::Target;
use super::{Lowering, Why};
use crate::int8::{Quantization, Requantize};
use tract_onnx::prelude::*;

/// Weights of a linear operator: weight - zero point, as the file orders them.
pub(super) struct Weights {
    pub shape: Vec<usize>,
    pub values: Vec<i16>,
    /// One, or one an output channel.
    pub scales: Vec<f32>,
}

/// What the sums of a column mean: `real = sum * scale + rest`, bias included.
pub(super) struct Column {
    scale: f64,
    bias: i32,
    rest: f64,
    /// The whole bias, as the graph adds it.
    real: f64,
}

/// Beyond this a requantized sum could not be told from its neighbours any more.
const FARTHEST: f64 = (1 << 30) as f64;

impl<'a> Lowering<'a> {
    /// The weights that a DequantizeLinear of a constant gives; `axis` is that of the outputs.
    pub(super) fn weights(&mut self, name: &str, axis: usize) -> Result<Weights, Why> {
        let dequantized = self.dequantized(name);
        let (node, name) = dequantized.ok_or("its weights are no quantized constant")?;
        let elements = self.facts.elements(name);
        let left = self.weights.checked_sub(elements);
        self.weights = left.ok_or("the network reads too many weights")?;
        if node.input.iter().skip(1).any(|name| self.facts.elements(name) > elements) {
            return Err("its weights have more scales or zero points than values".into());
        }
        let constant = self.facts.constant(name).ok_or("its weights cannot be read")?;
        let element = constant.datum_type();
        if element != u8::datum_type() && element != i8::datum_type() {
            return Err(format!("its weights are {element:?}"));
        }
        let scales = node.input.get(1).and_then(|name| self.facts.reals(name));
        let scales = scales.ok_or("the scale of its weights is not constant")?;
        if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return Err(format!("a scale of its weights is {scale}"));
        }
        let zero_points = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => {
                self.facts.integers(name).ok_or("the zero point of its weights is not constant")?
            }
            None => vec![0; scales.len()],
        };
        let shape = constant.shape().to_vec();
        if shape.contains(&0) || scales.is_empty() {
            return Err("its weights are empty".into());
        }
        if scales.len() > 1 {
            let rank = shape.len() as i64;
            let at = self.integer(node, "axis", 1);
            let at = if at < 0 { at + rank } else { at };
            if at != axis as i64 || shape.get(axis) != Some(&scales.len()) {
                return Err(format!("its weights have {} scales along axis {at}", scales.len()));
            }
        }
        if zero_points.len() != scales.len() {
            return Err("its weights have other numbers of scales and zero points".into());
        }
        let inner: usize = shape.iter().skip(axis + 1).product();
        let value = |(index, byte): (usize, i16)| {
            let channel = if scales.len() == 1 { 0 } else { index / inner % scales.len() };
            byte - zero_points[channel] as i16
        };
        let plain = constant.try_as_plain_ram().map_err(|error| error.to_string())?;
        let values = match (plain.as_slice::<i8>(), plain.as_slice::<u8>()) {
            (Ok(bytes), _) => {
                bytes.iter().map(|byte| (*byte).into()).enumerate().map(value).collect()
            }
            (_, Ok(bytes)) => {
                bytes.iter().map(|byte| (*byte).into()).enumerate().map(value).collect()
            }
            _ => return Err(format!("its weights are {element:?}")),
        };
        Ok(Weights { shape, values, scales })
    }

    /// What each column's sums mean, with its bias as far as it is a whole number of them.
    pub(super) fn columns(
        &self,
        bias: Option<&String>,
        columns: usize,
        input: Quantization,
        scales: &dyn Fn(usize) -> f32,
        alpha: f64,
        beta: f64,
    ) -> Result<Vec<Column>, Why> {
        let bias = match bias.filter(|name| !name.is_empty()) {
            Some(name) => {
                let count = self.facts.elements(name);
                if count != columns && count != 1 {
                    return Err(format!("its bias has {count} values for {columns} columns"));
                }
                self.bias(name).ok_or("its bias is not constant")?
            }
            None => vec![0.0],
        };
        let column = |index: usize| {
            let scale = f64::from(input.scale) * f64::from(scales(index)) * alpha;
            let real = bias[if bias.len() == 1 { 0 } else { index }] * beta;
            if !scale.is_normal() {
                return Err(format!("its sums have scale {scale}"));
            }
            // Where the sums are nothing beside the bias, it is all in the rest.
            let whole = (real / scale).round();
            let whole = if whole.abs() < f64::from(i32::MAX / 2) { whole } else { 0.0 };
            Ok(Column { scale, bias: whole as i32, rest: real - whole * scale, real })
        };
        (0..columns).map(column).collect()
    }

    /// A constant bias, dequantized exactly where it is integers.
    fn bias(&self, name: &str) -> Option<Vec<f64>> {
        let Some((node, constant)) = self.dequantized(name) else {
            let reals = self.facts.reals(name)?;
            return Some(reals.iter().map(|real| f64::from(*real)).collect());
        };
        let parameters = node.input.iter().skip(1);
        if parameters.clone().any(|name| self.facts.elements(name) > self.facts.elements(constant))
        {
            return None;
        }
        let integers = self.facts.integers(constant)?;
        let scales = self.facts.reals(node.input.get(1)?)?;
        let zero_points = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.facts.integers(name)?,
            None => vec![0],
        };
        let of = |list: usize, index: usize| if list == 1 { 0 } else { index };
        if scales.len() > 1 && scales.len() != integers.len()
            || scales.is_empty()
            || zero_points.is_empty()
        {
            return None;
        }
        if zero_points.len() > 1 && zero_points.len() != integers.len() {
            return None;
        }
        let real = |(index, value): (usize, &i64)| {
            let zero_point = zero_points[of(zero_points.len(), index)];
            (value - zero_point) as f64 * f64::from(scales[of(scales.len(), index)])
        };
        Some(integers.iter().enumerate().map(real).collect())
    }
}

/// Bias and requantization of columns of `depth` weights each; without a target the multiplier
/// gives reals. Proves that no sum overflows.
pub(super) fn finish(
    columns: &[Column],
    weights: &[i16],
    depth: usize,
    target: Option<Target>,
) -> Result<(Vec<i32>, Requantize), Why> {
    let (scale, zero_point, low, high) = match target {
        Some(Target { quantization, low, high }) => {
            (f64::from(quantization.scale), quantization.zero_point, low, high)
        }
        None => (1.0, 0, i8::MIN, i8::MAX),
    };
    let (multiplier, addend) = (Vec::new(), Vec::new());
    let mut requantize = Requantize { multiplier, addend, zero_point, low, high };
    let mut bias = Vec::new();
    for (column, weights) in columns.iter().zip(weights.chunks(depth.max(1))) {
        let sum: i64 = weights.iter().map(|weight| 255 * i64::from(weight.unsigned_abs())).sum();
        let largest = sum + i64::from(column.bias.unsigned_abs());
        if largest >= i64::from(i32::MAX) {
            return Err(format!("its sums reach {largest}, more than 32 bits hold"));
        }
        let factor = column.scale / scale;
        let farthest = largest as f64 * factor.abs() + (column.rest / scale).abs();
        if target.is_some() && (farthest >= FARTHEST || farthest.is_nan()) {
            return Err(format!("its sums reach {farthest:.0} quanta of the output"));
        }
        match target {
            Some(_) => {
                let bias = column.real as f32;
                requantize.push(factor, column.rest / scale, largest, scale as f32, bias);
            }
            None => {
                requantize.multiplier.push(factor as f32);
                requantize.addend.push(column.rest as f32);
            }
        }
        bias.push(column.bias);
    }
    Ok((bias, requantize))
}
