//! What a real tensor of the graph is, seen from the bytes.

use super::located::Located;
use super::{Lowering, Why};
use crate::int8::Quantization;
use crate::int8::draft::Sketch;
use crate::int8::table::Table;
use std::rc::Rc;
use tract_onnx::prelude::Datum;

/// A table of reals for the bytes (index: byte + 128), one for all or one a channel. `axis` is
/// the tensor's axis of the channels.
#[derive(Clone, Debug)]
pub struct Points {
    pub tables: Vec<[f32; 256]>,
    pub axis: usize,
}

#[derive(Clone, Debug)]
pub enum Real<'a> {
    /// (byte - zero point) * scale, exactly.
    View { located: Located, quantization: Quantization },
    /// A function of each byte.
    Points { located: Located, points: Rc<Points> },
    /// Sums, products or means of bytes, which wait for their scale: the node makes them.
    Waiting { node: usize },
    /// A real tensor kept within bounds.
    Clamped { input: &'a str, low: f64, high: f64 },
    /// Real tensors that a node moves: what is quantized behind it can be quantized before it.
    Moved { node: usize, slot: usize },
}

/// The scale to quantize to, with bounds in quanta.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    pub quantization: Quantization,
    pub low: i8,
    pub high: i8,
}

impl Target {
    /// Within further bounds: rounding keeps their order.
    pub fn clamped(self, low: f64, high: f64) -> Target {
        // Clip takes the upper bound where they cross.
        let clamp = |byte: i8| byte.clamp(self.low, self.high);
        let (low, high) = (self.apply(low), self.apply(high));
        Target { low: clamp(low.min(high)), high: clamp(high), ..self }
    }

    fn key(&self) -> [i64; 4] {
        let scale = i64::from(self.quantization.scale.to_bits());
        [scale, self.quantization.zero_point.into(), self.low.into(), self.high.into()]
    }

    /// In single precision, as the graph would have it.
    pub fn apply(&self, real: f64) -> i8 {
        let quanta = (real as f32 / self.quantization.scale).round_ties_even();
        let byte = f64::from(quanta) + f64::from(self.quantization.zero_point);
        // A cast sends what is not a number to zero; QuantizeLinear here has it lowest.
        let byte = if byte.is_nan() { i8::MIN } else { byte as i8 };
        byte.clamp(self.low, self.high)
    }
}

/// Nodes between a real tensor and the bytes it comes from.
const DEEPEST: usize = 64;

impl<'a> Lowering<'a> {
    /// A real tensor as bytes of the target's scale; what only tract can make is loaded.
    pub fn bytes_of(
        &mut self,
        name: &'a str,
        target: Target,
        depth: usize,
    ) -> Result<Located, Why> {
        let key = (name, target.key());
        if let Some(located) = self.made.get(&key) {
            return Ok(located.clone());
        }
        let made = match depth < DEEPEST {
            true => self.make(name, target, depth),
            false => Err("too many operators stand between it and its scale".into()),
        };
        let located = match made {
            Ok(located) => located,
            Err(why) => {
                self.explain(name, why);
                self.load_real(name, target)?
            }
        };
        self.made.insert(key, located.clone());
        Ok(located)
    }

    fn make(&mut self, name: &'a str, target: Target, depth: usize) -> Result<Located, Why> {
        match self.reals.get(name).cloned() {
            Some(Real::View { located, quantization }) => {
                let whole = (target.low, target.high) == (i8::MIN, i8::MAX);
                if quantization == target.quantization && whole {
                    return Ok(located);
                }
                let Quantization { scale, zero_point } = quantization;
                let table = Table::new(|x| {
                    target.apply(f64::from((i32::from(x) - zero_point) as f32 * scale))
                });
                Ok(self.like(Sketch::Table(table), &located))
            }
            Some(Real::Points { located, points }) => {
                self.spend_tables(points.tables.len())?;
                let located = self.with_channels(&located, &points);
                let entry = |channel: usize, x: i8| {
                    let table: &[f32; 256] = &points.tables[channel];
                    target.apply(table[(i16::from(x) + 128) as usize].into())
                };
                let table = match points.tables.len() {
                    1 => Table::new(|x| entry(0, x)),
                    channels => Table::per_channel(channels, entry),
                };
                Ok(self.like(Sketch::Table(table), &located))
            }
            Some(Real::Waiting { node }) => self.compute(node, target),
            Some(Real::Clamped { input, low, high }) => {
                self.bytes_of(input, target.clamped(low, high), depth + 1)
            }
            Some(Real::Moved { node, slot }) => {
                let node = self.node(node);
                let mut inputs = Vec::new();
                for input in super::movement::moved_inputs(node) {
                    inputs.push(self.bytes_of(input, target, depth + 1)?);
                }
                let outputs = self.moved(node, &inputs, &|real| target.apply(real))?;
                outputs.into_iter().nth(slot).ok_or_else(|| "it has no such output".into())
            }
            None => Err(String::new()),
        }
    }

    /// Notes on the node that makes `name` why it stays in tract, unless that is known.
    fn explain(&mut self, name: &str, why: Why) {
        if let Some(node) = self.producers.get(name)
            && !why.is_empty()
        {
            self.why.entry(*node).or_insert(why);
        }
    }

    fn load_real(&mut self, name: &'a str, target: Target) -> Result<Located, Why> {
        if self.facts.is_constant(name) {
            return self.constant(name, target);
        }
        if self.facts.get(name).is_none_or(|fact| fact.element != f32::datum_type()) {
            return Err(format!("\"{name}\" is not a real tensor of known shape"));
        }
        let located = self.load(name, Some(target.quantization))?;
        if (target.low, target.high) == (i8::MIN, i8::MAX) {
            return Ok(located);
        }
        let table = Table::new(|x| x.clamp(target.low, target.high));
        Ok(self.like(Sketch::Table(table), &located))
    }

    /// A constant real tensor as bytes.
    fn constant(&mut self, name: &str, target: Target) -> Result<Located, Why> {
        let shape = self.facts.shape(name).ok_or("its shape is not known")?.to_vec();
        if shape.contains(&0) {
            return Err("its input is empty".into());
        }
        let reals = self.facts.reals(name).ok_or("its input is not real")?;
        let order: Vec<usize> = (0..shape.len()).collect();
        let value = self.draft.add_value(super::located::dims(&shape, &order));
        let bytes = reals.iter().map(|real| target.apply((*real).into())).collect();
        self.draft.values[value].constant = Some(bytes);
        Ok(Located { value, shape, order })
    }

    /// A step from a tensor to another of the same shape and order.
    pub fn like(&mut self, sketch: Sketch, input: &Located) -> Located {
        let dims = self.draft.values[input.value].dims;
        let value = self.emit(sketch, vec![input.value], dims);
        Located { value, shape: input.shape.clone(), order: input.order.clone() }
    }

    /// The tensor with the axis of the tables last in memory, if there is more than one.
    pub fn with_channels(&mut self, located: &Located, points: &Points) -> Located {
        if points.tables.len() == 1 || located.order.last() == Some(&points.axis) {
            return located.clone();
        }
        let mut order: Vec<usize> =
            located.order.iter().copied().filter(|axis| *axis != points.axis).collect();
        order.push(points.axis);
        self.ordered(located, &order)
    }
}
