//! The class of each pixel: the channel with the largest value.

use std::ops::Range;

use super::resize::{
    Arithmetic, BLOCK, Doubts, Finish, Lane, ResizeLinear, Weights, for_each_doubt,
};
use super::view::Picture;
use crate::simd::widest;

/// What a class index is written as.
pub trait Class: Copy {
    fn from_index(index: usize) -> Self;
}

impl Class for i64 {
    #[inline(always)]
    fn from_index(index: usize) -> Self {
        index as i64
    }
}

/// For at most 256 channels.
impl Class for u8 {
    #[inline(always)]
    fn from_index(index: usize) -> Self {
        index as u8
    }
}

/// The index of the largest of a pixel's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgMax {
    /// Of equal values the last one wins, else the first.
    pub select_last_index: bool,
}

impl ArgMax {
    /// Input rows `rows`; `out` has exactly their pixels.
    pub fn run<C: Class>(&self, input: &Picture, rows: Range<usize>, out: &mut [C]) {
        if input.width == 0 || input.channels == 0 {
            return;
        }
        for (row, out) in rows.zip(out.chunks_exact_mut(input.width)) {
            let row = &input.data[row * input.row_pitch..];
            for (x, out) in out.iter_mut().enumerate() {
                let pixel = &row[x * input.pixel_pitch..][..input.channels];
                *out = C::from_index(self.of(pixel));
            }
        }
    }

    #[inline(always)]
    fn of(&self, pixel: &[i8]) -> usize {
        let mut best = (i8::MIN, 0);
        for (channel, x) in pixel.iter().enumerate() {
            if *x > best.0 || (self.select_last_index && *x == best.0) {
                best = (*x, channel);
            }
        }
        best.1
    }

    /// The first of equal values wins; so the last of them comes first where it shall win.
    #[inline(always)]
    fn in_order(&self, index: usize, channels: usize) -> usize {
        if self.select_last_index { channels - 1 - index } else { index }
    }
}

/// The argmax of a resized picture, without the resized picture: row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizedArgMax {
    resize: ResizeLinear,
    argmax: ArgMax,
}

impl ResizedArgMax {
    pub fn new(resize: ResizeLinear, argmax: ArgMax) -> Self {
        ResizedArgMax { resize, argmax }
    }

    /// What `run` needs for pictures of so many channels, for each of those that run at once.
    pub fn scratch_bytes(&self, channels: usize) -> usize {
        2 * self.resize.width() * (channels * self.resize.lane_bytes() + 2)
    }

    /// Height and width of the output.
    pub fn size(&self) -> (usize, usize) {
        (self.resize.height(), self.resize.width())
    }

    /// Output rows `rows`; `out` has exactly their pixels.
    pub fn run<C: Class>(
        &self,
        input: &Picture,
        rows: Range<usize>,
        out: &mut [C],
        scratch: &mut [u8],
    ) {
        widest(
            #[inline(always)]
            || self.run_here(input, rows, out, scratch),
        );
    }

    #[inline(always)]
    fn run_here<C: Class>(
        &self,
        input: &Picture,
        rows: Range<usize>,
        out: &mut [C],
        scratch: &mut [u8],
    ) {
        match &self.resize.arithmetic {
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

    /// Stretched rows lie channel after channel, so that neighbouring pixels are compared side by
    /// side.
    #[inline(always)]
    fn run_with<C: Class, L: Lane>(
        &self,
        weights: &Weights<L>,
        finish: impl Finish<L>,
        input: &Picture,
        rows: Range<usize>,
        out: &mut [C],
        scratch: &mut [u8],
    ) {
        let (width, channels) = (self.resize.width(), input.channels);
        if width == 0 || channels == 0 {
            return;
        }
        let first_row = rows.start;
        let (best, scratch) = scratch.split_at_mut(2 * width);
        let (nth, scratch) = scratch.split_at_mut(2 * width);
        let (best, nth) = (best.as_chunks_mut().0, nth.as_chunks_mut().0);
        self.resize.for_each_row(
            weights,
            rows,
            width * channels,
            scratch,
            #[inline(always)]
            |row, stretched| {
                let row = &input.data[row * input.row_pitch..];
                let taps = self.resize.columns.iter().zip(&weights.columns);
                for (x, (tap, weights)) in taps.enumerate() {
                    let [a, b] = [tap.first, tap.second]
                        .map(|at| &row[at as usize * input.pixel_pitch..][..channels]);
                    let cells = stretched[x..].iter_mut().step_by(width);
                    for ((cell, a), b) in cells.zip(a).zip(b) {
                        *cell = L::weigh(*a, *b, *weights).to_bytes();
                    }
                }
            },
            #[inline(always)]
            |row, weights, stretched| {
                let out = &mut out[(row - first_row) * width..][..width];
                let defined = self.resize.defined(input, row);
                best.fill(i16::from(i8::MIN).to_ne_bytes());
                // The number of a channel within its step fits 16 bits.
                for start in (0..channels).step_by(STEP) {
                    nth.fill(if start == 0 { [0; 2] } else { NONE.to_ne_bytes() });
                    for index in start..channels.min(start + STEP) {
                        let channel = self.argmax.in_order(index, channels);
                        let at = channel * width;
                        let planes = stretched.map(|row| &row[at..at + width]);
                        let again = |x| defined.value(x, channel);
                        let number = (index - start) as u16;
                        challenge(best, nth, number, planes, weights, finish, again);
                    }
                    for (out, nth) in out.iter_mut().zip(&*nth) {
                        let nth = u16::from_ne_bytes(*nth);
                        if nth != NONE {
                            let index = start + usize::from(nth);
                            *out = C::from_index(self.argmax.in_order(index, channels));
                        }
                    }
                }
            },
        );
    }
}

const STEP: usize = 65_535;
const NONE: u16 = 65_535;

/// Where a channel, the `number`th, exceeds the best so far, it takes its place. `again` computes
/// the channel's value at a place anew.
#[inline(always)]
fn challenge<L: Lane>(
    best: &mut [[u8; 2]],
    nth: &mut [[u8; 2]],
    number: u16,
    [near, far]: [&[L::Bytes]; 2],
    weights: [L; 2],
    finish: impl Finish<L>,
    again: impl Fn(usize) -> i8,
) {
    let (best, best_rest) = best.as_chunks_mut::<BLOCK>();
    let (nth, nth_rest) = nth.as_chunks_mut::<BLOCK>();
    let (near, near_rest) = near.as_chunks::<BLOCK>();
    let (far, far_rest) = far.as_chunks::<BLOCK>();
    let start = best.len() * BLOCK;
    let blocks = best.iter_mut().zip(nth).zip(near).zip(far);
    for (block, (((best, nth), near), far)) in blocks.enumerate() {
        let again = |at| again(block * BLOCK + at);
        challenge_block(best, nth, number, [near, far], weights, finish, again);
    }
    let again = |at| again(start + at);
    challenge_block(best_rest, nth_rest, number, [near_rest, far_rest], weights, finish, again);
}

/// At most [`BLOCK`] places; whole blocks are faster, since their length is known.
#[inline(always)]
fn challenge_block<L: Lane>(
    best: &mut [[u8; 2]],
    nth: &mut [[u8; 2]],
    number: u16,
    [near, far]: [&[L::Bytes]; 2],
    weights: [L; 2],
    finish: impl Finish<L>,
    again: impl Fn(usize) -> i8,
) {
    let mut values = [0; BLOCK];
    let mut doubts: Doubts = [0; BLOCK];
    let mut any = 0;
    let cells = values.iter_mut().zip(&mut doubts);
    for ((((value, doubt), near), far), best) in cells.zip(near).zip(far).zip(&*best) {
        let near = L::from_bytes(*near);
        let (nearly, doubtful) = finish.value(near, L::from_bytes(*far), weights);
        // Where in doubt, the value is one more at most.
        let matters = doubtful & (nearly >= i16::from_ne_bytes(*best));
        (*value, *doubt) = (nearly, matters.into());
        any |= i16::from(matters);
    }
    if any != 0 {
        for_each_doubt(&doubts, |at| values[at] = again(at).into());
    }
    for ((best, nth), value) in best.iter_mut().zip(nth).zip(&values) {
        let before = i16::from_ne_bytes(*best);
        // Masks, since a store under a condition does not vectorize.
        let wins = u16::from(*value > before).wrapping_neg();
        *best = (*value).max(before).to_ne_bytes();
        *nth = ((u16::from_ne_bytes(*nth) & !wins) | (number & wins)).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests;
