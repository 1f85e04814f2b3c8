//! One step of a program, ready to run.

use super::arena::Place;
use super::border::{self, Stored, Strides, TensorMut, TensorRef};
use super::convolution::{DenseConvolution, Geometry, Placement};
use super::depthwise::DepthwiseConvolution;
use super::draft::{self, Sketch};
use super::kernels::{Kernels, Segment};
use super::movement::Moves;
use super::requantization::{Quantization, Requantize};
use super::rows::split;
use super::transposed::{TransposedConvolution, TransposedGeometry};
use super::view::{Picture, PictureMut};
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

    pub fn run(
        &self,
        arena: &mut [i8],
        scratch: &mut [Vec<u8>],
        sums: &mut [i32],
        tensors: &[TensorRef],
        results: &mut [TensorMut],
    ) {
        let batch = self.inputs.first().or(self.output.as_ref()).map_or(1, |place| place.dims[0]);
        for n in 0..batch {
            self.run_one(n, arena, scratch, sums, tensors, results);
        }
    }

    /// Picture `n` of the batch.
    fn run_one(
        &self,
        n: usize,
        arena: &mut [i8],
        scratch: &mut [Vec<u8>],
        sums: &mut [i32],
        tensors: &[TensorRef],
        results: &mut [TensorMut],
    ) {
        let Some(output) = &self.output else {
            let place = &self.inputs[0];
            let input = place.picture(&arena[place.slot.clone()], n);
            return self.run_out(n, &input, scratch, sums, results);
        };
        // Slots are apart, or the very same of two inputs.
        let mut slots: [Range<usize>; 3] = Default::default();
        slots[0] = output.slot.clone();
        let mut count = 1;
        let mut at = [0; 2];
        for (place, at) in self.inputs.iter().zip(&mut at) {
            *at = match slots[1..count].iter().position(|slot| *slot == place.slot) {
                Some(known) => 1 + known,
                None => {
                    slots[count] = place.slot.clone();
                    count += 1;
                    count - 1
                }
            };
        }
        let [a, b, c] = slots;
        let parts = match count {
            1 => arena.get_disjoint_mut([a]).map(|[a]| (a, [&[][..], &[]])),
            2 => arena.get_disjoint_mut([a, b]).map(|[a, b]| (a, [&*b, &[]])),
            _ => arena.get_disjoint_mut([a, b, c]).map(|[a, b, c]| (a, [&*b, &*c])),
        };
        // The plan keeps what a step reads apart from what it writes.
        let Ok((out, inputs)) = parts else { return };
        let picture = |index: usize| {
            let place = &self.inputs[index];
            let n = if place.dims[0] == 1 { 0 } else { n };
            place.picture(inputs[at[index] - 1], n)
        };
        if let Operation::Rearrange(moves) = &self.operation {
            // It walks the batch itself.
            if n == 0 {
                let (from, to) = (&self.inputs[0], output);
                let input = &inputs[0][from.offset - from.slot.start..];
                let out = &mut out[to.offset - to.slot.start..];
                moves.run(input, out);
            }
            return;
        }
        let out = output.picture_mut(out, n);
        let rows = 0..out.height;
        match &self.operation {
            Operation::Load { tensor, batch, strides, quantization } => {
                let Some(tensor) = tensors.get(*tensor) else { return };
                split(rows, 1, 1, out, scratch, &|rows, mut out, _| {
                    let start = n * batch + rows.start * strides[0];
                    border::load(*tensor, start, *strides, *quantization, &mut out);
                });
            }
            Operation::Convolution(groups) => {
                let input = picture(0);
                let step = groups.iter().map(|group| group.row_step()).max().unwrap_or(1);
                split(rows, step, 1, out, scratch, &|rows, out, scratch| {
                    for (index, group) in groups.iter().enumerate() {
                        let input = input.group(index, groups.len());
                        group.run(&input, rows.clone(), out.data, scratch);
                    }
                });
            }
            Operation::Depthwise(depthwise) => {
                let input = picture(0);
                split(rows, depthwise.row_step(), 1, out, scratch, &|rows, out, scratch| {
                    depthwise.run(&input, rows, out.data, scratch);
                });
            }
            Operation::Transposed(groups) => {
                let Some(first) = groups.first() else { return };
                let input = picture(0);
                let steps = 0..first.steps();
                let step = first.row_step();
                split(steps, step, first.output_rows(), out, scratch, &|steps, out, scratch| {
                    for (index, group) in groups.iter().enumerate() {
                        let start = index * (out.channels / groups.len());
                        let input = input.group(index, groups.len());
                        group.run(&input, steps.clone(), &mut out.data[start..], scratch);
                    }
                });
            }
            Operation::Sketch(sketch) => match sketch {
                Sketch::MaxPool(pool) => {
                    let input = picture(0);
                    split(rows, 1, 1, out, scratch, &|rows, mut out, _| {
                        pool.run(&input, rows, &mut out)
                    });
                }
                Sketch::AveragePool(pool) => {
                    let input = picture(0);
                    split(rows, 1, 1, out, scratch, &|rows, mut out, _| {
                        pool.run(&input, rows, &mut out)
                    });
                }
                Sketch::Add(add) => {
                    let (a, b) = (picture(0), picture(1).broadcast());
                    split(rows, 1, 1, out, scratch, &|rows, mut out, _| {
                        add.run(&a, &b, rows, &mut out)
                    });
                }
                Sketch::Mul(mul) => {
                    let (a, b) = (picture(0), picture(1).broadcast());
                    split(rows, 1, 1, out, scratch, &|rows, mut out, _| {
                        mul.run(&a, &b, rows, &mut out)
                    });
                }
                Sketch::Table(table) => {
                    let input = picture(0);
                    split(rows, 1, 1, out, scratch, &|rows, mut out, _| {
                        table.run(&input, rows, &mut out)
                    });
                }
                Sketch::Resize(resize) => {
                    let input = picture(0);
                    split(rows, 1, 1, out, scratch, &|rows, mut out, scratch| {
                        resize.run(&input, rows, &mut out, scratch);
                    });
                }
                Sketch::Gather(gather) => {
                    let input = picture(0);
                    split(rows, 1, 1, out, scratch, &|rows, mut out, _| {
                        gather.run(&input, rows, &mut out)
                    });
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Steps whose result leaves the program.
    fn run_out(
        &self,
        n: usize,
        input: &Picture,
        scratch: &mut [Vec<u8>],
        sums: &mut [i32],
        results: &mut [TensorMut],
    ) {
        let pixels = input.height * input.width;
        let Some(scratch) = scratch.first_mut() else { return };
        match &self.operation {
            Operation::Store { tensor, batch, strides, stored } => {
                let Some(result) = results.get_mut(*tensor) else { return };
                border::store(input, stored, result, n * batch, *strides);
            }
            Operation::RealConvolution(real) => {
                if let Some(TensorMut::F32(result)) = results.get_mut(real.tensor) {
                    real.run(n, input, scratch, sums, result);
                }
            }
            Operation::Sketch(Sketch::ArgMax { argmax, tensor }) => {
                if let Some(TensorMut::I64(result)) = results.get_mut(*tensor) {
                    argmax.run(input, 0..input.height, &mut result[n * pixels..][..pixels]);
                }
            }
            Operation::Sketch(Sketch::ResizedArgMax { argmax, tensor }) => {
                if let Some(TensorMut::I64(result)) = results.get_mut(*tensor) {
                    let (height, width) = argmax.size();
                    let result = &mut result[n * height * width..][..height * width];
                    argmax.run(input, 0..height, result, scratch);
                }
            }
            _ => {}
        }
    }
}

impl RealConvolution {
    fn run(
        &self,
        n: usize,
        input: &Picture,
        scratch: &mut [u8],
        sums: &mut [i32],
        result: &mut [f32],
    ) {
        let (width, columns) = self.row;
        let [row, pixel, channel] = self.strides;
        let (low, high) = self.bounds;
        let Requantize { multiplier, addend, .. } = &self.requantize;
        for y in 0..self.height {
            let sums = &mut sums[..width * columns];
            let per_group = columns / self.groups.len();
            for (index, group) in self.groups.iter().enumerate() {
                let input = input.group(index, self.groups.len());
                let sums = &mut sums[index * per_group..];
                group.run_sums(&input, y..y + 1, sums, width * columns, columns, scratch);
            }
            for (x, sums) in sums.chunks(columns).enumerate() {
                let start = n * self.batch + y * row + x * pixel;
                for (c, sum) in sums.iter().enumerate() {
                    let real = (*sum as f32).mul_add(multiplier[c], addend[c]);
                    result[start + c * channel] = real.max(low).min(high);
                }
            }
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

impl Place {
    fn start(&self, n: usize) -> usize {
        self.offset - self.slot.start + n * self.pitches[0]
    }

    /// Picture `n` in the memory of the slot.
    pub fn picture<'a>(&self, slot: &'a [i8], n: usize) -> Picture<'a> {
        let [_, height, width, channels] = self.dims;
        let [_, row_pitch, pixel_pitch, _] = self.pitches;
        Picture { data: &slot[self.start(n)..], height, width, channels, row_pitch, pixel_pitch }
    }

    pub fn picture_mut<'a>(&self, slot: &'a mut [i8], n: usize) -> PictureMut<'a> {
        let [_, height, width, channels] = self.dims;
        let [_, row_pitch, pixel_pitch, _] = self.pitches;
        PictureMut {
            data: &mut slot[self.start(n)..],
            height,
            width,
            channels,
            row_pitch,
            pixel_pitch,
        }
    }
}

impl<'a> Picture<'a> {
    /// The channels of one group.
    fn group(self, index: usize, groups: usize) -> Picture<'a> {
        let channels = self.channels / groups;
        Picture { data: &self.data[index * channels..], channels, ..self }
    }

    /// One row or one pixel stands for all.
    fn broadcast(self) -> Picture<'a> {
        let row_pitch = if self.height == 1 { 0 } else { self.row_pitch };
        let pixel_pitch = if self.width == 1 { 0 } else { self.pixel_pitch };
        Picture { row_pitch, pixel_pitch, ..self }
    }
}
