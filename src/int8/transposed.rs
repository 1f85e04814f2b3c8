//! Transposed convolutions as dense ones.
//!
//! Output rows that leave the same remainder (the phase) by the stride see the same kernel rows,
//! at input offsets that are the same for all of them: a phase is a dense convolution of stride
//! one. Phases that see the same input pixels are columns of one convolution, and each column's
//! segment says where its phase lies in the output.

use std::ops::Range;

use super::convolution::{DenseConvolution, Geometry, Placement};
use super::kernels::{Kernels, Segment};
use super::requantization::Requantize;
use super::view::Picture;

/// Sizes of a ConvTranspose of one group: input (iy, ix) times kernel (ky, kx) is part of output
/// (iy * stride + ky * dilation - pad_top, and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransposedGeometry {
    pub in_height: usize,
    pub in_width: usize,
    pub in_channels: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub pad_top: isize,
    pub pad_left: isize,
    pub out_height: usize,
    pub out_width: usize,
}

/// A transposed convolution with its weights packed for one set of kernels.
#[derive(Clone, Debug)]
pub struct TransposedConvolution {
    stride: usize,
    out_height: usize,
    /// Each with how many rows it has.
    parts: Vec<(DenseConvolution, usize)>,
}

/// One direction of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Phase {
    /// Its first output row or column.
    first: usize,
    window: Window,
    /// The kernel's rows or columns it sees, in the order of the window.
    taps: Vec<usize>,
}

/// What positions of a phase see: position j sees the input at
/// `j + offset`, `j + offset + dilation`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    offset: isize,
    taps: usize,
    dilation: usize,
    /// How many there are in the output.
    positions: usize,
}

impl TransposedConvolution {
    /// `weights` are `[column][ky][kx][c]` (ONNX has `[c][column][ky][kx]`), weight - its zero
    /// point, one bias a column; the input's zero point is that of i8. Column j of output (y, x)
    /// goes to `out[y * row_pitch + x * pixel_pitch + j]`. Panics if lengths disagree.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        kernels: Kernels,
        geometry: TransposedGeometry,
        weights: &[i16],
        bias: &[i32],
        input_zero_point: i32,
        requantize: &Requantize,
        row_pitch: usize,
        pixel_pitch: usize,
    ) -> Self {
        let TransposedGeometry { kernel: [kernel_y, kernel_x], in_channels, stride, .. } = geometry;
        let columns = bias.len();
        assert_eq!(weights.len(), columns * kernel_y * kernel_x * in_channels);
        let direction = |d: usize, pad: isize, size: usize| {
            phases(geometry.kernel[d], stride[d], geometry.dilation[d], pad, size)
        };
        let down = direction(0, geometry.pad_top, geometry.out_height);
        let across = direction(1, geometry.pad_left, geometry.out_width);
        let mut parts = Vec::new();
        for rows in same_windows(&down) {
            for pixels in same_windows(&across) {
                let (vertical, horizontal) = (rows[0].window, pixels[0].window);
                let phases = rows.iter().flat_map(|y| pixels.iter().map(move |x| (*y, *x)));
                let mut part = Part::default();
                for (y, x) in phases {
                    let offset = y.first * row_pitch + x.first * pixel_pitch;
                    part.place(columns, offset);
                    part.bias.extend_from_slice(bias);
                    for column in 0..columns {
                        part.multiplier.push(requantize.multiplier[column]);
                        part.addend.push(requantize.addend[column]);
                        let kernel = &weights[column * kernel_y * kernel_x * in_channels..];
                        for ky in &y.taps {
                            for kx in &x.taps {
                                let tap = (ky * kernel_x + kx) * in_channels;
                                part.weights.extend_from_slice(&kernel[tap..][..in_channels]);
                            }
                        }
                        if y.taps.is_empty() || x.taps.is_empty() {
                            // No input at all, only the bias: one tap of nothing.
                            let taps = vertical.taps.max(1) * horizontal.taps.max(1);
                            part.weights.resize(part.weights.len() + taps * in_channels, 0);
                        }
                    }
                }
                let dense = Geometry {
                    in_height: geometry.in_height,
                    in_width: geometry.in_width,
                    in_channels,
                    kernel: [vertical.taps.max(1), horizontal.taps.max(1)],
                    stride: [1, 1],
                    dilation: [vertical.dilation, horizontal.dilation],
                    pad_top: -vertical.offset,
                    pad_left: -horizontal.offset,
                    out_height: vertical.positions,
                    out_width: horizontal.positions,
                };
                let convolution = DenseConvolution::new(
                    kernels,
                    dense,
                    &part.weights,
                    &part.bias,
                    input_zero_point,
                    Requantize {
                        multiplier: part.multiplier,
                        addend: part.addend,
                        ..requantize.clone()
                    },
                    Placement {
                        row_pitch: stride[0] * row_pitch,
                        pixel_pitch: stride[1] * pixel_pitch,
                        segments: part.segments,
                    },
                );
                parts.push((convolution, vertical.positions));
            }
        }
        TransposedConvolution { stride: stride[0], out_height: geometry.out_height, parts }
    }

    /// The ways of its dense convolutions, the first's if they differ.
    pub fn algorithm(&self) -> &'static str {
        self.parts.first().map_or("direct", |(part, _)| part.algorithm())
    }

    /// Packed weights and biases.
    pub fn weight_bytes(&self) -> usize {
        self.parts.iter().map(|(part, _)| part.weight_bytes()).sum()
    }

    /// What a call of `run` needs.
    pub fn scratch_bytes(&self) -> usize {
        self.parts.iter().map(|(part, _)| part.scratch_bytes()).max().unwrap_or(0)
    }

    /// Output rows a step of [`run`](Self::run)'s range stands for.
    pub fn output_rows(&self) -> usize {
        self.stride
    }

    /// How many steps there are: the last one may have fewer output rows.
    pub fn steps(&self) -> usize {
        self.out_height.div_ceil(self.stride)
    }

    /// Ranges of steps begin at multiples of it.
    pub fn row_step(&self) -> usize {
        self.parts.iter().map(|(part, _)| part.row_step()).max().unwrap_or(1)
    }

    /// Computes the output rows from `steps.start * output_rows()` up to
    /// `steps.end * output_rows()` or the last; `out` begins at the first of them. Panics if a
    /// slice is too short.
    pub fn run(&self, input: &Picture, steps: Range<usize>, out: &mut [i8], scratch: &mut [u8]) {
        for (part, rows) in &self.parts {
            let rows = steps.start.min(*rows)..steps.end.min(*rows);
            if !rows.is_empty() {
                part.run(input, rows, out, scratch);
            }
        }
    }
}

/// What the phases that share their windows have together.
#[derive(Default)]
struct Part {
    weights: Vec<i16>,
    bias: Vec<i32>,
    multiplier: Vec<f32>,
    addend: Vec<f32>,
    segments: Vec<Segment>,
}

impl Part {
    /// The next columns go to `offset`.
    fn place(&mut self, columns: usize, offset: usize) {
        match self.segments.last_mut() {
            // Neighbouring pixels without a gap are one segment: larger stores.
            Some(last) if last.offset + last.columns == offset => last.columns += columns,
            _ => self.segments.push(Segment { column: self.bias.len(), columns, offset }),
        }
    }
}

/// The phases of one direction: output `first + j * stride` sees tap k at input
/// `j + (first + pad - k * dilation) / stride` where that divides.
fn phases(kernel: usize, stride: usize, dilation: usize, pad: isize, size: usize) -> Vec<Phase> {
    (0..stride.min(size))
        .map(|first| {
            let at = |k: usize| first as isize + pad - (k * dilation) as isize;
            let mut taps: Vec<usize> =
                (0..kernel).filter(|k| at(*k).rem_euclid(stride as isize) == 0).collect();
            taps.reverse();
            let offsets: Vec<isize> = taps.iter().map(|k| at(*k) / stride as isize).collect();
            let window = Window {
                offset: offsets.first().copied().unwrap_or(0),
                taps: taps.len(),
                dilation: offsets.get(1).map_or(1, |second| (second - offsets[0]) as usize),
                positions: (size - first).div_ceil(stride),
            };
            Phase { first, window, taps }
        })
        .collect()
}

/// Groups phases that see the same.
fn same_windows(phases: &[Phase]) -> Vec<Vec<&Phase>> {
    let mut groups: Vec<Vec<&Phase>> = Vec::new();
    for phase in phases {
        match groups.iter_mut().find(|group| group[0].window == phase.window) {
            Some(group) => group.push(phase),
            None => groups.push(vec![phase]),
        }
    }
    groups
}
