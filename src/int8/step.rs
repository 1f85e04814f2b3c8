//! One step of a program, made of its sketch: weights packed, memory known. [`run`] runs it.

mod run;

use super::arena::Place;
use super::border::{Stored, Strides};
use super::convolution::{DenseConvolution, Geometry, Placement};
use super::depthwise::DepthwiseConvolution;
use super::draft::{self, Sketch};
use super::kernels::{Kernels, Segment};
use super::movement::Moves;
use super::requantization::{Quantization, Requantize};
use super::transposed::{TransposedConvolution, TransposedGeometry};
use std::ops::Range;

/// A convolution whose sums become reals outside.
#[derive(Clone, Debug)]
pub struct RealConvolution {
    /// One a group.
    groups: Vec<DenseConvolution>,
    requantize: Requantize,
    height: usize,
    /// Width and columns of a row of sums.
    row: (usize, usize),
    tensor: usize,
    batch: usize,
    strides: Strides,
    bounds: (f32, f32),
}

/// What a step does; convolutions come once for each group.
#[derive(Clone, Debug)]
pub enum Operation {
    Load { tensor: usize, batch: usize, strides: Strides, quantization: Option<Quantization> },
    Store { tensor: usize, batch: usize, strides: Strides, stored: Stored },
    Convolution(Vec<DenseConvolution>),
    RealConvolution(Box<RealConvolution>),
    Depthwise(Box<DepthwiseConvolution>),
    Transposed(Vec<TransposedConvolution>),
    Rearrange(Moves),
    Sketch(Sketch),
}

#[derive(Clone, Debug)]
pub struct Step {
    pub name: String,
    /// The graph's node that it belongs to.
    pub node: usize,
    pub operation: Operation,
    pub inputs: Vec<Place>,
    pub output: Option<Place>,
    /// Multiply-accumulates of one run.
    pub macs: u64,
}

impl Step {
    pub fn new(
        kernels: Kernels,
        step: draft::Step,
        inputs: Vec<Place>,
        output: Option<Place>,
    ) -> Step {
        let batch = inputs.first().map_or(1, |place| place.dims[0]) as u64;
        let (operation, macs) = match step.sketch {
            Sketch::Load { tensor, batch, strides, quantization } => {
                (Operation::Load { tensor, batch, strides, quantization }, 0)
            }
            Sketch::Store { tensor, batch, strides, stored } => {
                (Operation::Store { tensor, batch, strides, stored }, 0)
            }
            Sketch::Convolution(convolution) => {
                let macs = macs(&convolution);
                let pitches = output.as_ref().map_or([0; 4], |place| place.pitches);
                (convolutions(kernels, *convolution, pitches), macs)
            }
            Sketch::RealConvolution { convolution, tensor, strides, batch, low, high } => {
                let macs = macs(&convolution);
                let groups = convolution.groups;
                let per_group = convolution.columns / groups;
                let size = convolution.weights.len() / groups;
                let group = |index: usize| {
                    DenseConvolution::sums(
                        kernels,
                        convolution.geometry,
                        &convolution.weights[index * size..][..size],
                        &convolution.bias[index * per_group..][..per_group],
                        convolution.input_zero_point,
                    )
                };
                let real = RealConvolution {
                    groups: (0..groups).map(group).collect(),
                    height: convolution.geometry.out_height,
                    row: (convolution.geometry.out_width, convolution.columns),
                    requantize: convolution.requantize,
                    tensor,
                    batch,
                    strides,
                    bounds: (low, high),
                };
                (Operation::RealConvolution(Box::new(real)), macs)
            }
            Sketch::Transposed(transposed) => {
                let weights = transposed.convolution.weights.len();
                let Geometry { in_height, in_width, .. } = transposed.convolution.geometry;
                let pitches = output.as_ref().map_or([0; 4], |place| place.pitches);
                let macs = (weights * in_height * in_width) as u64;
                (Operation::Transposed(transposed_groups(kernels, *transposed, pitches)), macs)
            }
            Sketch::Rearrange(rearrange) => {
                let pitches = |place: Option<&Place>| place.map_or([0; 4], |place| place.pitches);
                let moves = rearrange.plan(pitches(inputs.first()), pitches(output.as_ref()));
                (Operation::Rearrange(moves), 0)
            }
            other => (Operation::Sketch(other), 0),
        };
        Step { name: step.name, node: step.node, operation, inputs, output, macs: macs * batch }
    }

    /// How it computes, in a word.
    pub fn algorithm(&self) -> &'static str {
        match &self.operation {
            Operation::Load { quantization: Some(_), .. } => "quantize",
            Operation::Load { .. } => "load",
            Operation::Store { stored: Stored::Reals(_), .. } => "dequantize",
            Operation::Store { .. } => "store",
            Operation::Rearrange(_) => "rearrange",
            Operation::Convolution(groups) => groups.first().map_or("", |group| group.algorithm()),
            Operation::RealConvolution(real) => {
                real.groups.first().map_or("", |group| group.algorithm())
            }
            Operation::Depthwise(depthwise) => depthwise.algorithm(),
            Operation::Transposed(_) => "transposed",
            Operation::Sketch(sketch) => match sketch {
                Sketch::MaxPool(_) => "max pool",
                Sketch::AveragePool(_) => "average pool",
                Sketch::Add(_) => "add",
                Sketch::Mul(_) => "multiply",
                Sketch::Table(_) => "table",
                Sketch::Resize(_) => "resize",
                Sketch::Gather(_) => "gather",
                Sketch::Concat { .. } => "concat",
                Sketch::ArgMax { .. } => "argmax",
                Sketch::ResizedArgMax { .. } => "resize+argmax",
                _ => "",
            },
        }
    }

    pub fn weight_bytes(&self) -> usize {
        match &self.operation {
            Operation::Convolution(groups) => groups.iter().map(|group| group.weight_bytes()).sum(),
            Operation::RealConvolution(real) => {
                real.groups.iter().map(|group| group.weight_bytes()).sum()
            }
            Operation::Depthwise(depthwise) => depthwise.weight_bytes(),
            Operation::Transposed(groups) => groups.iter().map(|group| group.weight_bytes()).sum(),
            _ => 0,
        }
    }

    /// What each thread needs beside.
    pub fn scratch_bytes(&self) -> usize {
        let channels = |places: &[Place]| places.first().map_or(0, |place| place.dims[3]);
        match &self.operation {
            Operation::Convolution(groups) => {
                groups.iter().map(|group| group.scratch_bytes()).max().unwrap_or(0)
            }
            Operation::RealConvolution(real) => {
                real.groups.iter().map(|group| group.scratch_bytes()).max().unwrap_or(0)
            }
            Operation::Depthwise(depthwise) => depthwise.scratch_bytes(),
            Operation::Transposed(groups) => {
                groups.iter().map(|group| group.scratch_bytes()).max().unwrap_or(0)
            }
            Operation::Sketch(Sketch::Resize(resize)) => {
                resize.scratch_bytes(channels(&self.inputs))
            }
            Operation::Sketch(Sketch::ResizedArgMax { argmax, .. }) => {
                argmax.scratch_bytes(channels(&self.inputs))
            }
            _ => 0,
        }
    }

    /// Sums that a step needs beside, in elements.
    pub fn sums(&self) -> usize {
        match &self.operation {
            Operation::RealConvolution(real) => real.row.0 * real.row.1,
            _ => 0,
        }
    }
}

fn macs(convolution: &draft::Convolution) -> u64 {
    let Geometry { out_height, out_width, .. } = convolution.geometry;
    (convolution.weights.len() * out_height * out_width) as u64
}

fn part(requantize: &Requantize, columns: Range<usize>) -> Requantize {
    Requantize {
        multiplier: requantize.multiplier[columns.clone()].to_vec(),
        addend: requantize.addend[columns].to_vec(),
        ..*requantize
    }
}

fn convolutions(kernels: Kernels, draft: draft::Convolution, pitches: [usize; 4]) -> Operation {
    let draft::Convolution {
        geometry,
        groups,
        columns,
        weights,
        bias,
        input_zero_point,
        requantize,
    } = draft;
    let [row_pitch, pixel_pitch] = [pitches[1], pitches[2]];
    if groups > 1 && groups == columns && geometry.in_channels == 1 {
        let taps = weights.len() / columns;
        let by_tap: Vec<i16> =
            (0..weights.len()).map(|i| weights[i % columns * taps + i / columns]).collect();
        return Operation::Depthwise(Box::new(DepthwiseConvolution::new(
            kernels,
            Geometry { in_channels: columns, ..geometry },
            &by_tap,
            &bias,
            input_zero_point,
            requantize,
            row_pitch,
            pixel_pitch,
        )));
    }
    let (per_group, size) = (columns / groups, weights.len() / groups);
    let group = |index: usize| {
        let range = index * per_group..(index + 1) * per_group;
        let segments = vec![Segment { column: 0, columns: per_group, offset: range.start }];
        DenseConvolution::new(
            kernels,
            geometry,
            &weights[index * size..][..size],
            &bias[range.clone()],
            input_zero_point,
            part(&requantize, range),
            Placement { row_pitch, pixel_pitch, segments },
        )
    };
    Operation::Convolution((0..groups).map(group).collect())
}

fn transposed_groups(
    kernels: Kernels,
    draft: draft::TransposedConvolution,
    pitches: [usize; 4],
) -> Vec<TransposedConvolution> {
    let draft::TransposedConvolution { convolution, stride, dilation, pad } = draft;
    let Geometry { in_height, in_width, in_channels, kernel, out_height, out_width, .. } =
        convolution.geometry;
    let geometry = TransposedGeometry {
        in_height,
        in_width,
        in_channels,
        kernel,
        stride,
        dilation,
        pad_top: pad[0] as isize,
        pad_left: pad[1] as isize,
        out_height,
        out_width,
    };
    let groups = convolution.groups;
    let (per_group, size) = (convolution.columns / groups, convolution.weights.len() / groups);
    let group = |index: usize| {
        let range = index * per_group..(index + 1) * per_group;
        TransposedConvolution::new(
            kernels,
            geometry,
            &convolution.weights[index * size..][..size],
            &convolution.bias[range.clone()],
            convolution.input_zero_point,
            &part(&convolution.requantize, range),
            pitches[1],
            pitches[2],
        )
    };
    (0..groups).map(group).collect()
}
