//! Resize, mode linear, of height and width.
//!
//! Source rows are stretched to the output's width once each and kept, two at a time, in the
//! scratch memory; an output row is the weighted sum of two of them. So the larger the output,
//! the less the horizontal step counts, and the vertical one runs over contiguous values.

use std::ops::Range;

pub use super::coordinates::Tap;
use super::requantization::{Quantization, Saturate};
use super::view::{Picture, PictureMut};
use crate::simd::widest;

/// Each output value is the weighted sum of four neighbours, requantized.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizeLinear {
    rows: Vec<Tap>,
    pub(super) columns: Vec<Tap>,
    pub(super) arithmetic: Arithmetic,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Arithmetic {
    /// All weights are multiples of 1/16: 16 bits hold the sums exactly, and with the same scale
    /// on both sides the answer too.
    Exact {
        weights: Weights<i16>,
        finish: Shift,
    },
    Rescaled {
        weights: Weights<i16>,
        finish: Rescale,
    },
    Real {
        weights: Weights<f32>,
        finish: RealSum,
    },
}

/// Of the two taps of each row and column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weights<L> {
    pub rows: Vec<[L; 2]>,
    pub columns: Vec<[L; 2]>,
}

impl ResizeLinear {
    /// A tap for each output row and each output column; their indices are the caller's to keep
    /// inside the pictures that `run` gets. `low` and `high` are the bounds of a fused Relu or
    /// Clip, else -128 and 127. Before rounding the answer is exact within 1e-4 quanta as long as
    /// the input's scale is at most twice the output's.
    pub fn new(
        rows: Vec<Tap>,
        columns: Vec<Tap>,
        input: Quantization,
        out: Quantization,
        low: i8,
        high: i8,
    ) -> Self {
        let ratio = input.per(out);
        let saturate = Saturate::new(out.zero_point, low, high);
        let arithmetic = match (in_units(&rows), in_units(&columns)) {
            (Some((rows, row_bits)), Some((columns, column_bits))) => {
                let weights = Weights { rows, columns };
                let bits = row_bits + column_bits;
                if ratio == 1.0 {
                    let finish = Shift::new(bits, input.zero_point, out.zero_point, low, high);
                    Arithmetic::Exact { weights, finish }
                } else {
                    let multiplier = (ratio / f64::from(1 << bits)) as f32;
                    let constant = (-ratio * f64::from(input.zero_point)) as f32;
                    let finish = Rescale { multiplier, constant, saturate };
                    Arithmetic::Rescaled { weights, finish }
                }
            }
            _ => {
                let scaled = |weight: f32| (f64::from(weight) * ratio) as f32;
                let rows = rows.iter().map(|tap| [tap.weight_first, tap.weight_second].map(scaled));
                let columns = columns.iter().map(|tap| [tap.weight_first, tap.weight_second]);
                let weights = Weights { rows: rows.collect(), columns: columns.collect() };
                let constant = (-ratio * f64::from(input.zero_point)) as f32;
                Arithmetic::Real { weights, finish: RealSum { constant, saturate } }
            }
        };
        ResizeLinear { rows, columns, arithmetic }
    }

    /// What `run` needs for pictures of so many channels, for each of those that run at once.
    pub fn scratch_bytes(&self, channels: usize) -> usize {
        2 * self.columns.len() * channels * self.lane_bytes()
    }

    pub(super) fn lane_bytes(&self) -> usize {
        if let Arithmetic::Real { .. } = self.arithmetic { 4 } else { 2 }
    }

    pub(super) fn height(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Output rows `rows`, the first of which is `out`'s first.
    pub fn run(
        &self,
        input: &Picture,
        rows: Range<usize>,
        out: &mut PictureMut,
        scratch: &mut [u8],
    ) {
        widest(
            #[inline(always)]
            || self.run_here(input, rows, out, scratch),
        );
    }

    #[inline(always)]
    fn run_here(
        &self,
        input: &Picture,
        rows: Range<usize>,
        out: &mut PictureMut,
        scratch: &mut [u8],
    ) {
        match &self.arithmetic {
            Arithmetic::Exact { weights, finish } => {
                self.run_with(weights, *finish, input, rows, out, scratch);
            }
            Arithmetic::Rescaled { weights, finish } => {
                self.run_with(weights, *finish, input, rows, out, scratch);
            }
            Arithmetic::Real { weights, finish } => {
                self.run_with(weights, *finish, input, rows, out, scratch);
            }
        }
    }

    #[inline(always)]
    fn run_with<L: Lane, F: Finish<L>>(
        &self,
        weights: &Weights<L>,
        finish: F,
        input: &Picture,
        rows: Range<usize>,
        out: &mut PictureMut,
        scratch: &mut [u8],
    ) {
        let channels = out.channels;
        if out.width == 0 || channels == 0 {
            return;
        }
        let first_row = rows.start;
        self.for_each_row(
            weights,
            rows,
            self.width() * channels,
            scratch,
            #[inline(always)]
            |row, stretched| {
                let row = &input.data[row * input.row_pitch..];
                let pixels = stretched.chunks_exact_mut(channels);
                for ((pixel, tap), weights) in pixels.zip(&self.columns).zip(&weights.columns) {
                    let [a, b] = [tap.first, tap.second]
                        .map(|at| &row[at as usize * input.pixel_pitch..][..channels]);
                    stretch(pixel, a, b, *weights);
                }
            },
            #[inline(always)]
            |row, weights, stretched| {
                let out_row = &mut out.data[(row - first_row) * out.row_pitch..];
                if out.pixel_pitch == channels {
                    blend(&mut out_row[..out.width * channels], stretched, weights, finish);
                } else {
                    for pixel in 0..out.width {
                        let at = pixel * channels;
                        let stretched = stretched.map(|row| &row[at..at + channels]);
                        let out = &mut out_row[pixel * out.pixel_pitch..][..channels];
                        blend(out, stretched, weights, finish);
                    }
                }
            },
        );
    }

    /// Calls `write` for each output row with its weights and its two stretched source rows, which
    /// `stretch` makes when they are not there yet.
    #[inline(always)]
    pub(super) fn for_each_row<L: Lane>(
        &self,
        weights: &Weights<L>,
        rows: Range<usize>,
        cells: usize,
        scratch: &mut [u8],
        mut stretch: impl FnMut(usize, &mut [L::Bytes]),
        mut write: impl FnMut(usize, [L; 2], [&[L::Bytes]; 2]),
    ) {
        let (first, rest) = L::cells(scratch).split_at_mut(cells);
        let slots = [first, &mut rest[..cells]];
        let mut held = [None; 2];
        for row in rows {
            let tap = self.rows[row];
            let near = match held.map(|row| row.unwrap_or(u32::MAX)) {
                [row, _] if row == tap.first => 0,
                [_, row] if row == tap.first => 1,
                [row, _] => usize::from(row == tap.second),
            };
            let far = if tap.first == tap.second { near } else { 1 - near };
            for (slot, source) in [(near, tap.first), (far, tap.second)] {
                if held[slot] != Some(source) {
                    stretch(source as usize, slots[slot]);
                    held[slot] = Some(source);
                }
            }
            write(row, weights.rows[row], [&*slots[near], &*slots[far]]);
        }
    }
}

/// The weights as multiples of the largest power of two that divides them all, and its negative
/// exponent, 1 to 4; if there is one.
fn in_units(taps: &[Tap]) -> Option<(Vec<[i16; 2]>, u32)> {
    (1..=4).find_map(|bits| {
        let unit = |weight: f32| {
            let scaled = weight * (1 << bits) as f32;
            (scaled >= 0.0 && scaled.fract() == 0.0).then_some(scaled as i16)
        };
        let weights = |tap: &Tap| {
            let weights = [unit(tap.weight_first)?, unit(tap.weight_second)?];
            (i32::from(weights[0]) + i32::from(weights[1]) == 1 << bits).then_some(weights)
        };
        Some((taps.iter().map(weights).collect::<Option<_>>()?, bits))
    })
}

/// The type of a stretched value; in the scratch memory it lies as bytes.
pub(super) trait Lane: Copy {
    type Bytes: Copy;
    fn cells(scratch: &mut [u8]) -> &mut [Self::Bytes];
    fn to_bytes(self) -> Self::Bytes;
    fn from_bytes(bytes: Self::Bytes) -> Self;
    fn weigh(a: i8, b: i8, weights: [Self; 2]) -> Self;
}

impl Lane for i16 {
    type Bytes = [u8; 2];
    #[inline(always)]
    fn cells(scratch: &mut [u8]) -> &mut [[u8; 2]] {
        scratch.as_chunks_mut().0
    }
    #[inline(always)]
    fn to_bytes(self) -> [u8; 2] {
        self.to_ne_bytes()
    }
    #[inline(always)]
    fn from_bytes(bytes: [u8; 2]) -> i16 {
        i16::from_ne_bytes(bytes)
    }
    #[inline(always)]
    fn weigh(a: i8, b: i8, weights: [i16; 2]) -> i16 {
        i16::from(a).wrapping_mul(weights[0]).wrapping_add(i16::from(b).wrapping_mul(weights[1]))
    }
}

impl Lane for f32 {
    type Bytes = [u8; 4];
    #[inline(always)]
    fn cells(scratch: &mut [u8]) -> &mut [[u8; 4]] {
        scratch.as_chunks_mut().0
    }
    #[inline(always)]
    fn to_bytes(self) -> [u8; 4] {
        self.to_ne_bytes()
    }
    #[inline(always)]
    fn from_bytes(bytes: [u8; 4]) -> f32 {
        f32::from_ne_bytes(bytes)
    }
    #[inline(always)]
    fn weigh(a: i8, b: i8, weights: [f32; 2]) -> f32 {
        f32::from(b).mul_add(weights[1], f32::from(a) * weights[0])
    }
}

/// From two stretched values and their weights to the output's value.
pub(super) trait Finish<L>: Copy {
    /// A byte, as wide as the sums are, which spares the argmax the packing.
    fn value(self, near: L, far: L, weights: [L; 2]) -> i16;
}

/// The sum is the answer, 2^bits times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    bits: u32,
    /// Which sums are odd: the parity that rounding to even sees is of x - zero point.
    parity: i16,
    zero_point: i16,
    low: i16,
    high: i16,
}

impl Shift {
    fn new(bits: u32, from: i32, to: i32, low: i8, high: i8) -> Self {
        let zero_point = (to - from) as i16;
        Shift { bits, parity: (from & 1) as i16, zero_point, low: low.into(), high: high.into() }
    }
}

impl Finish<i16> for Shift {
    #[inline(always)]
    fn value(self, near: i16, far: i16, weights: [i16; 2]) -> i16 {
        let sum = near.wrapping_mul(weights[0]).wrapping_add(far.wrapping_mul(weights[1]));
        let odd = ((sum >> self.bits) ^ self.parity) & 1;
        let half = (1 << (self.bits - 1)) - 1;
        let y = (sum.wrapping_add(half + odd) >> self.bits).wrapping_add(self.zero_point);
        y.max(self.low).min(self.high)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rescale {
    multiplier: f32,
    constant: f32,
    saturate: Saturate,
}

impl Finish<i16> for Rescale {
    #[inline(always)]
    fn value(self, near: i16, far: i16, weights: [i16; 2]) -> i16 {
        let sum = near.wrapping_mul(weights[0]).wrapping_add(far.wrapping_mul(weights[1]));
        self.saturate.apply(f32::from(sum).mul_add(self.multiplier, self.constant)).into()
    }
}

/// The rows' weights hold the ratio of the scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RealSum {
    constant: f32,
    saturate: Saturate,
}

impl Finish<f32> for RealSum {
    #[inline(always)]
    fn value(self, near: f32, far: f32, weights: [f32; 2]) -> i16 {
        let near = near.mul_add(weights[0], self.constant);
        self.saturate.apply(far.mul_add(weights[1], near)).into()
    }
}

#[inline(always)]
fn stretch<L: Lane>(out: &mut [L::Bytes], a: &[i8], b: &[i8], weights: [L; 2]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = L::weigh(*a, *b, weights).to_bytes();
    }
}

#[inline(always)]
fn blend<L: Lane>(
    out: &mut [i8],
    [near, far]: [&[L::Bytes]; 2],
    weights: [L; 2],
    finish: impl Finish<L>,
) {
    for ((out, near), far) in out.iter_mut().zip(near).zip(far) {
        *out = finish.value(L::from_bytes(*near), L::from_bytes(*far), weights) as i8;
    }
}

#[cfg(test)]
pub(super) mod tests;
