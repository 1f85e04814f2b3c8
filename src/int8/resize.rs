//! Resize, mode linear, of height and width.
//!
//! Source rows are stretched to the output's width once each and kept, two at a time, in the
//! scratch memory; an output row is the weighted sum of two of them. So the larger the output,
//! the less the horizontal step counts, and the vertical one runs over contiguous values.
//!
//! Bit for bit the answer is that of its [`definition`] in floating point.

mod definition;
mod lanes;

use std::ops::Range;

pub use super::coordinates::Tap;
use super::requantization::{Quantization, Saturate};
use super::view::{Picture, PictureMut};
use crate::simd::widest;
pub(super) use definition::{BLOCK, Doubts, for_each_doubt};
use definition::{DefinedRow, Definition, doubt};
pub(super) use lanes::{Finish, Lane};
use lanes::{RealSum, Rescale, Shift};

/// Each output value is the weighted sum of four neighbours, requantized.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizeLinear {
    rows: Vec<Tap>,
    pub(super) columns: Vec<Tap>,
    pub(super) arithmetic: Arithmetic,
    definition: Definition,
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
    /// Clip, else -128 and 127.
    pub fn new(
        rows: Vec<Tap>,
        columns: Vec<Tap>,
        input: Quantization,
        out: Quantization,
        low: i8,
        high: i8,
    ) -> Self {
        let ratio = input.per(out);
        let sure = 0.5 - doubt(input, out);
        // Where nothing is sure, the fast arithmetic says the most.
        let (least, most) = if sure > 0.0 { (low, high) } else { (127, 127) };
        let saturate = Saturate::new(out.zero_point, least, most);
        let arithmetic = match (in_units(&rows), in_units(&columns)) {
            (Some((rows, row_bits)), Some((columns, column_bits))) => {
                let weights = Weights { rows, columns };
                let bits = row_bits + column_bits;
                if ratio == 1.0 && sure > 0.0 {
                    let finish = Shift::new(bits, input.zero_point, out.zero_point, low, high);
                    Arithmetic::Exact { weights, finish }
                } else {
                    let multiplier = (ratio / f64::from(1 << bits)) as f32;
                    let constant = (-ratio * f64::from(input.zero_point)) as f32;
                    let finish = Rescale { multiplier, constant, saturate, sure };
                    Arithmetic::Rescaled { weights, finish }
                }
            }
            _ => {
                let scaled = |weight: f32| (f64::from(weight) * ratio) as f32;
                let rows = rows.iter().map(|tap| [tap.weight_first, tap.weight_second].map(scaled));
                let columns = columns.iter().map(|tap| [tap.weight_first, tap.weight_second]);
                let weights = Weights { rows: rows.collect(), columns: columns.collect() };
                let constant = (-ratio * f64::from(input.zero_point)) as f32;
                Arithmetic::Real { weights, finish: RealSum { constant, saturate, sure } }
            }
        };
        let definition = Definition::new(input, out, low, high);
        ResizeLinear { rows, columns, arithmetic, definition }
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
                let defined = self.defined(input, row);
                let again = |at| defined.value(at / channels, at % channels);
                if out.pixel_pitch == channels {
                    blend(&mut out_row[..out.width * channels], stretched, weights, finish, again);
                } else {
                    for pixel in 0..out.width {
                        let at = pixel * channels;
                        let stretched = stretched.map(|row| &row[at..at + channels]);
                        let out = &mut out_row[pixel * out.pixel_pitch..][..channels];
                        blend(out, stretched, weights, finish, |channel| again(at + channel));
                    }
                }
            },
        );
    }

    /// An output row's values from their definition.
    #[inline(always)]
    pub(super) fn defined<'a>(&'a self, input: &Picture<'a>, row: usize) -> DefinedRow<'a> {
        let tap = &self.rows[row];
        let [near, far] =
            [tap.first, tap.second].map(|y| &input.data[y as usize * input.row_pitch..]);
        let pitch = input.pixel_pitch;
        DefinedRow { near, far, pitch, tap: *tap, columns: &self.columns, is: self.definition }
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

#[inline(always)]
fn stretch<L: Lane>(out: &mut [L::Bytes], a: &[i8], b: &[i8], weights: [L; 2]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = L::weigh(*a, *b, weights).to_bytes();
    }
}

/// `again` computes the value of a cell anew.
#[inline(always)]
fn blend<L: Lane>(
    out: &mut [i8],
    [near, far]: [&[L::Bytes]; 2],
    weights: [L; 2],
    finish: impl Finish<L>,
    again: impl Fn(usize) -> i8,
) {
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let (near, near_rest) = near.as_chunks::<BLOCK>();
    let (far, far_rest) = far.as_chunks::<BLOCK>();
    let start = blocks.len() * BLOCK;
    for (block, ((out, near), far)) in blocks.iter_mut().zip(near).zip(far).enumerate() {
        blend_block(out, [near, far], weights, finish, |at| again(block * BLOCK + at));
    }
    blend_block(rest, [near_rest, far_rest], weights, finish, |at| again(start + at));
}

/// At most [`BLOCK`] cells; whole blocks are faster, since their length is known.
#[inline(always)]
fn blend_block<L: Lane>(
    out: &mut [i8],
    [near, far]: [&[L::Bytes]; 2],
    weights: [L; 2],
    finish: impl Finish<L>,
    again: impl Fn(usize) -> i8,
) {
    let mut doubts: Doubts = [0; BLOCK];
    let mut any = 0;
    for (((out, doubt), near), far) in out.iter_mut().zip(&mut doubts).zip(near).zip(far) {
        let near = L::from_bytes(*near);
        let (value, doubtful) = finish.value(near, L::from_bytes(*far), weights);
        (*out, *doubt) = (value as i8, doubtful.into());
        any |= i16::from(doubtful);
    }
    if any != 0 {
        for_each_doubt(&doubts, |at| out[at] = again(at));
    }
}

#[cfg(test)]
pub(super) mod tests;
