//! The class of each pixel: the channel with the largest value.

use std::ops::Range;

use super::resize::{Arithmetic, Finish, Lane, ResizeLinear, Weights};
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
        if input.width == 0 {
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

    /// Of neighbouring pixels; `plane` gives one channel of them all.
    #[inline(always)]
    fn of_planes<const N: usize>(
        &self,
        channels: usize,
        plane: impl Fn(usize) -> [i8; N],
    ) -> [u32; N] {
        let mut best = [i8::MIN; N];
        // Each step's classes fit a byte; the first step's start wins what nobody exceeds.
        let mut classes = [self.in_order(0, channels) as u32; N];
        let mut seen = 0;
        while seen < channels {
            let step = (channels - seen).min(255);
            let mut nth = [u8::MAX; N];
            for index in 0..step {
                let values = plane(self.in_order(seen + index, channels));
                for ((best, nth), value) in best.iter_mut().zip(&mut nth).zip(values) {
                    let wins = value > *best;
                    *best = if wins { value } else { *best };
                    *nth = if wins { index as u8 } else { *nth };
                }
            }
            for (class, nth) in classes.iter_mut().zip(nth) {
                if nth != u8::MAX {
                    *class = self.in_order(seen + usize::from(nth), channels) as u32;
                }
            }
            seen += step;
        }
        classes
    }

    /// The first of equal values wins; so the last of them comes first where it shall win.
    #[inline(always)]
    fn in_order(&self, index: usize, channels: usize) -> usize {
        if self.select_last_index { channels - 1 - index } else { index }
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
}

/// The argmax of a resized picture, without the resized picture: row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizedArgMax {
    resize: ResizeLinear,
    argmax: ArgMax,
}

/// Pixels that are compared side by side.
const BLOCK: usize = 32;

impl ResizedArgMax {
    pub fn new(resize: ResizeLinear, argmax: ArgMax) -> Self {
        ResizedArgMax { resize, argmax }
    }

    /// What `run` needs for pictures of so many channels, for each of those that run at once.
    pub fn scratch_bytes(&self, channels: usize) -> usize {
        2 * self.padded_width() * channels * self.resize.lane_bytes()
    }

    /// Height and width of the output.
    pub fn size(&self) -> (usize, usize) {
        (self.resize.height(), self.resize.width())
    }

    fn padded_width(&self) -> usize {
        self.resize.width().next_multiple_of(BLOCK)
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
        let (width, padded, channels) = (self.resize.width(), self.padded_width(), input.channels);
        if width == 0 || channels == 0 {
            return;
        }
        let first_row = rows.start;
        self.resize.for_each_row(
            weights,
            rows,
            padded * channels,
            scratch,
            #[inline(always)]
            |row, stretched| {
                let row = &input.data[row * input.row_pitch..];
                for (channel, plane) in stretched.chunks_exact_mut(padded).enumerate() {
                    let taps = self.resize.columns.iter().zip(&weights.columns);
                    for (cell, (tap, weights)) in plane.iter_mut().zip(taps) {
                        let [a, b] = [tap.first, tap.second]
                            .map(|at| row[at as usize * input.pixel_pitch + channel]);
                        *cell = L::weigh(a, b, *weights).to_bytes();
                    }
                }
            },
            #[inline(always)]
            |row, weights, stretched| {
                let out = &mut out[(row - first_row) * width..][..width];
                for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                    let classes = self.argmax.of_planes(
                        channels,
                        #[inline(always)]
                        |channel| {
                            let at = channel * padded + block * BLOCK;
                            let [near, far] = stretched.map(|row| &row[at..at + BLOCK]);
                            let mut bytes = [i8::MIN; BLOCK];
                            for ((byte, near), far) in bytes.iter_mut().zip(near).zip(far) {
                                let [near, far] = [near, far].map(|cell| L::from_bytes(*cell));
                                *byte = finish.byte(near, far, weights);
                            }
                            bytes
                        },
                    );
                    for (out, class) in out.iter_mut().zip(classes) {
                        *out = C::from_index(class as usize);
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests;
