//! The integer part of a network as the graph passes write it down, before memory is planned
//! and weights are packed.

use super::argmax::{ArgMax, ResizedArgMax};
use super::border::{Stored, Strides};
use super::convolution::Geometry;
use super::elementwise::{Add, Mul};
use super::movement::{Gather, Rearrange};
use super::pool::{AveragePool, MaxPool};
use super::requantization::{Quantization, Requantize};
use super::resize::ResizeLinear;
use super::table::Table;

/// An activation's number in its draft.
pub type Value = usize;

/// An activation of i8.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Batch, rows, columns, channels, as they lie in memory. Tensors of another rank fill up
    /// with ones in front.
    pub dims: [usize; 4],
    /// A box inside another value: a Slice of it, or what a Concat wrote into it.
    pub part: Option<Part>,
    /// It is read with other dimensions than these, so it must lie without gaps.
    pub contiguous: bool,
    pub constant: Option<Vec<i8>>,
    /// It is the memory of this other value, without gaps, under other dimensions.
    pub reshaped: Option<Value>,
}

/// A box inside another value.
#[derive(Clone, Debug)]
pub struct Part {
    pub whole: Value,
    pub start: [usize; 4],
}

/// A convolution before its weights are packed.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Of one group.
    pub geometry: Geometry,
    pub groups: usize,
    /// Output channels of all groups.
    pub columns: usize,
    /// `[column][ky][kx][channel of the group]`: weight - zero point.
    pub weights: Vec<i16>,
    /// One a column, or none.
    pub bias: Vec<i32>,
    pub input_zero_point: i32,
    pub requantize: Requantize,
}

/// A transposed convolution before its weights are packed.
#[derive(Clone, Debug)]
pub struct TransposedConvolution {
    pub convolution: Convolution,
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub pad: [usize; 2],
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Sketch {
    /// A tensor from outside becomes the output.
    Load {
        tensor: usize,
        strides: Strides,
        batch: usize,
        quantization: Option<Quantization>,
    },
    /// The input becomes a tensor outside.
    Store {
        tensor: usize,
        strides: Strides,
        batch: usize,
        stored: Stored,
    },
    Convolution(Box<Convolution>),
    /// Its sums become reals in a tensor outside: `sum * multiplier + addend`, clamped.
    RealConvolution {
        convolution: Box<Convolution>,
        tensor: usize,
        strides: Strides,
        batch: usize,
        low: f32,
        high: f32,
    },
    Transposed(Box<TransposedConvolution>),
    MaxPool(MaxPool),
    AveragePool(AveragePool),
    Add(Add),
    Mul(Mul),
    Table(Table),
    Resize(ResizeLinear),
    Gather(Gather),
    Rearrange(Rearrange),
    /// Joins its inputs along an axis of the memory; nothing is left to do for those that were
    /// written in place.
    Concat {
        axis: usize,
    },
    ArgMax {
        argmax: ArgMax,
        tensor: usize,
    },
    ResizedArgMax {
        argmax: Box<ResizedArgMax>,
        tensor: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Step {
    /// Of the graph's node.
    pub name: String,
    /// That node's number.
    pub node: usize,
    pub sketch: Sketch,
    pub inputs: Vec<Value>,
    pub output: Option<Value>,
}

#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub values: Vec<Spec>,
    pub steps: Vec<Step>,
}

impl Draft {
    pub fn add_value(&mut self, dims: [usize; 4]) -> Value {
        self.values.push(Spec {
            dims,
            part: None,
            contiguous: false,
            constant: None,
            reshaped: None,
        });
        self.values.len() - 1
    }
}
