//! Runs a step.

use super::{Operation, RealConvolution, Step};
use crate::int8::arena::Place;
use crate::int8::border::{self, TensorMut, TensorRef};
use crate::int8::draft::Sketch;
use crate::int8::requantization::Requantize;
use crate::int8::rows::split;
use crate::int8::view::{Picture, PictureMut};
use std::ops::Range;

impl Step {
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
