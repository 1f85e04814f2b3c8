//! Functions of one real number: over bytes they are tables of 256 entries, also when several
//! follow each other or meet again (as in x * sigmoid(x)).

use super::real::{Points, Real};
use super::{Located, Lowering, Why};
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

/// Channels with tables of their own.
const MOST_CHANNELS: usize = 4096;

/// Whether a node is a function of one real number, given what its inputs are.
pub(super) fn applies(lowering: &Lowering, node: &NodeProto) -> bool {
    if unary(&node.op_type) {
        return true;
    }
    if binary(&node.op_type).is_none() {
        return false;
    }
    let [a, b] = &node.input[..] else { return false };
    let point = |name: &str| match lowering.reals.get(name) {
        Some(Real::View { located, .. } | Real::Points { located, .. }) => Some(located),
        _ => None,
    };
    match (point(a), point(b)) {
        (Some(a), Some(b)) => a == b,
        (Some(x), None) => lowering.channel_axis(b, x).is_some(),
        (None, Some(x)) => lowering.channel_axis(a, x).is_some(),
        (None, None) => false,
    }
}

/// The functions of one number by their operators.
pub(crate) fn unary(operator: &str) -> bool {
    matches!(
        operator,
        "Relu"
            | "Clip"
            | "LeakyRelu"
            | "PRelu"
            | "HardSwish"
            | "HardSigmoid"
            | "Sigmoid"
            | "Tanh"
            | "Elu"
            | "Selu"
            | "Celu"
            | "Softplus"
            | "Softsign"
            | "Mish"
            | "Gelu"
            | "ThresholdedRelu"
            | "Exp"
            | "Log"
            | "Sqrt"
            | "Abs"
            | "Neg"
            | "Reciprocal"
            | "Floor"
            | "Ceil"
            | "Round"
            | "Sign"
    )
}

fn binary(operator: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match operator {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Min" => f64::min,
        "Max" => f64::max,
        "Pow" => f64::powf,
        _ => return None,
    })
}

impl<'a> Lowering<'a> {
    pub(super) fn pointwise(&mut self, node: &'a NodeProto) -> Result<(), Why> {
        let name = node.input[0].as_str();
        let output = node.output[0].as_str();
        let points = match unary(&node.op_type) {
            true => {
                self.spend_tables(self.channels(name))?;
                let Some((located, points)) = self.points(name) else {
                    let (low, high) = self
                        .bounds(node)
                        .ok_or_else(|| format!("its input \"{name}\" is not quantized"))?;
                    if !self.reals.contains_key(name) {
                        return Err(format!("its input \"{name}\" is not quantized"));
                    }
                    self.reals.insert(output, Real::Clamped { input: name, low, high });
                    return Ok(());
                };
                let slopes = match node.op_type == "PRelu" {
                    true => {
                        let slopes = node.input.get(1);
                        slopes.and_then(|name| self.per_channel(name, &located))
                    }
                    false => None,
                };
                let function = self.function(node, slopes.is_some())?;
                let points = match slopes {
                    Some(slopes) => {
                        combine(&points, &slopes, |x, slope| if x < 0.0 { x * slope } else { x })?
                    }
                    None => map(&points, function),
                };
                (located, points)
            }
            false => self.binary(node)?,
        };
        let (located, points) = points;
        let points = Rc::new(points);
        self.reals.insert(output, Real::Points { located, points });
        Ok(())
    }

    /// The tables of a real tensor.
    fn channels(&self, name: &str) -> usize {
        match self.reals.get(name) {
            Some(Real::Points { points, .. }) => points.tables.len(),
            _ => 1,
        }
    }

    /// A real tensor as a function of bytes.
    pub(super) fn points(&self, name: &str) -> Option<(Located, Points)> {
        match self.reals.get(name)? {
            Real::View { located, quantization } => {
                let real = |index: usize| {
                    (index as i32 - 128 - quantization.zero_point) as f32 * quantization.scale
                };
                let tables = vec![std::array::from_fn(real)];
                Some((located.clone(), Points { tables, axis: 0 }))
            }
            Real::Points { located, points } => Some((located.clone(), Points::clone(points))),
            _ => None,
        }
    }

    fn binary(&mut self, node: &'a NodeProto) -> Result<(Located, Points), Why> {
        let function = binary(&node.op_type).ok_or("it has no such function")?;
        let (a, b) = (node.input[0].as_str(), node.input[1].as_str());
        self.spend_tables(self.channels(a).max(self.channels(b)))?;
        match (self.points(a), self.points(b)) {
            (Some((located, x)), Some((_, y))) => Ok((located, combine(&x, &y, function)?)),
            (Some((located, x)), None) => {
                let y = self.per_channel(b, &located).ok_or("its operand is no constant")?;
                Ok((located, combine(&x, &y, function)?))
            }
            (None, Some((located, y))) => {
                let x = self.per_channel(a, &located).ok_or("its operand is no constant")?;
                Ok((located, combine(&x, &y, function)?))
            }
            (None, None) => Err("its inputs are not quantized".into()),
        }
    }

    /// A constant that is one number, or one a channel of a single axis of `over`, as tables.
    fn per_channel(&mut self, name: &str, over: &Located) -> Option<Points> {
        let axis = self.channel_axis(name, over)?;
        self.spend_tables(self.facts.elements(name)).ok()?;
        let tables = self.constant_reals(name)?.iter().map(|real| [*real; 256]).collect();
        Some(Points { tables, axis })
    }

    /// The axis of `over` along which a constant has one number a channel.
    fn channel_axis(&self, name: &str, over: &Located) -> Option<usize> {
        if !self.facts.is_constant(name) && self.dequantized(name).is_none() {
            return None;
        }
        let shape = self.facts.shape(name)?;
        let rank = over.shape.len();
        if shape.len() > rank || !(1..=MOST_CHANNELS).contains(&self.facts.elements(name)) {
            return None;
        }
        let fill = rank - shape.len();
        let mut long = shape.iter().enumerate().filter(|(_, extent)| **extent != 1);
        match (long.next(), long.next()) {
            (None, _) => Some(0),
            (Some((axis, extent)), None) if over.shape[fill + axis] == *extent => Some(fill + axis),
            _ => None,
        }
    }

    /// The values of a constant, also of one that is dequantized.
    fn constant_reals(&self, name: &str) -> Option<Vec<f32>> {
        if self.facts.is_constant(name) {
            return self.facts.reals(name);
        }
        let (node, constant) = self.dequantized(name)?;
        let (quantization, unsigned) = self.quantization(node).ok()?;
        let offset = quantization.zero_point + if unsigned { 128 } else { 0 };
        let bytes = self.facts.integers(constant)?;
        let real = |byte: &i64| (*byte as i32 - offset) as f32 * quantization.scale;
        Some(bytes.iter().map(real).collect())
    }

    /// What Relu and Clip keep a number within; None for other operators.
    fn bounds(&self, node: &NodeProto) -> Option<(f64, f64)> {
        match node.op_type.as_str() {
            "Relu" => Some((0.0, f64::INFINITY)),
            "Clip" => {
                let bound = |name: &str, input: usize, default: f64| -> Option<f64> {
                    if let Some(input) = node.input.get(input).filter(|name| !name.is_empty()) {
                        return self.facts.reals(input)?.first().map(|bound| f64::from(*bound));
                    }
                    let attribute = node.get_attr_opt::<f32>(name).ok().flatten();
                    Some(attribute.map_or(default, f64::from))
                };
                let low = bound("min", 1, f64::NEG_INFINITY)?;
                Some((low, bound("max", 2, f64::INFINITY)?))
            }
            _ => None,
        }
    }

    fn function(&self, node: &NodeProto, sloped: bool) -> Result<Box<dyn Fn(f64) -> f64>, Why> {
        if let Some((low, high)) = self.bounds(node) {
            return Ok(Box::new(move |x| x.max(low).min(high)));
        }
        let attribute = |name: &str, default: f32| {
            f64::from(node.get_attr_opt::<f32>(name).ok().flatten().unwrap_or(default))
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        Ok(match node.op_type.as_str() {
            "PRelu" if sloped => Box::new(|x| x),
            "LeakyRelu" => {
                let alpha = attribute("alpha", 0.01);
                Box::new(move |x| if x < 0.0 { alpha * x } else { x })
            }
            "HardSwish" => Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
            "HardSigmoid" => {
                let (alpha, beta) = (attribute("alpha", 0.2), attribute("beta", 0.5));
                Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
            }
            "Sigmoid" => Box::new(sigmoid),
            "Tanh" => Box::new(f64::tanh),
            "Elu" => {
                let alpha = attribute("alpha", 1.0);
                Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
            }
            "Celu" => {
                let alpha = attribute("alpha", 1.0);
                Box::new(move |x| x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0))
            }
            "Selu" => {
                let (alpha, gamma) =
                    (attribute("alpha", 1.673_263_2), attribute("gamma", 1.050_701));
                Box::new(move |x| gamma * if x > 0.0 { x } else { alpha * x.exp_m1() })
            }
            "Softplus" => Box::new(softplus),
            "Softsign" => Box::new(|x| x / (1.0 + x.abs())),
            "Mish" => Box::new(move |x| x * softplus(x).tanh()),
            "Gelu" => match node.get_attr_opt::<String>("approximate").ok().flatten().as_deref() {
                Some("tanh") => Box::new(|x| {
                    0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
                }),
                _ => Box::new(|x| 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))),
            },
            "ThresholdedRelu" => {
                let alpha = attribute("alpha", 1.0);
                Box::new(move |x| if x > alpha { x } else { 0.0 })
            }
            "Exp" => Box::new(f64::exp),
            "Log" => Box::new(f64::ln),
            "Sqrt" => Box::new(f64::sqrt),
            "Abs" => Box::new(f64::abs),
            "Neg" => Box::new(|x| -x),
            "Reciprocal" => Box::new(|x| 1.0 / x),
            "Floor" => Box::new(f64::floor),
            "Ceil" => Box::new(f64::ceil),
            "Round" => Box::new(f64::round_ties_even),
            "Sign" => Box::new(|x| if x == 0.0 { 0.0 } else { x.signum() }),
            _ => return Err("its parameters are not constant".into()),
        })
    }
}

/// The error function by its series, and its continued fraction further out (Abramowitz and
/// Stegun 7.1.6 and 7.1.14), to about 1e-14.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 3.0 {
        let mut term = a;
        let mut sum = a;
        for n in 1..80 {
            term *= 2.0 * a * a / (2.0 * f64::from(n) + 1.0);
            sum += term;
        }
        return x.signum() * 2.0 / PI.sqrt() * (-a * a).exp() * sum;
    }
    let fraction = (1..60).rev().fold(a, |fraction, n| a + f64::from(n) / 2.0 / fraction);
    x.signum() * (1.0 - (-a * a).exp() / (PI.sqrt() * fraction))
}

fn map(points: &Points, function: impl Fn(f64) -> f64) -> Points {
    let tables = points.tables.iter().map(|table| table.map(|x| function(x.into()) as f32));
    Points { tables: tables.collect(), axis: points.axis }
}

fn combine(x: &Points, y: &Points, function: impl Fn(f64, f64) -> f64) -> Result<Points, Why> {
    let channels = x.tables.len().max(y.tables.len());
    if x.tables.len() > 1 && y.tables.len() > 1 && x.axis != y.axis {
        return Err("its operands differ along two axes".into());
    }
    let axis = if x.tables.len() > 1 { x.axis } else { y.axis };
    let of = |points: &Points, channel: usize| {
        points.tables[if points.tables.len() > 1 { channel } else { 0 }]
    };
    let table = |channel: usize| {
        let (x, y) = (of(x, channel), of(y, channel));
        std::array::from_fn(|i| function(x[i].into(), y[i].into()) as f32)
    };
    Ok(Points { tables: (0..channels).map(table).collect(), axis })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_is_as_in_the_tables() {
        for (x, y) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.5, 0.999_593_048_0),
            (3.5, 0.999_999_256_9),
        ] {
            assert!((erf(x) - y).abs() < 1e-9, "{x}: {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
    }
}
