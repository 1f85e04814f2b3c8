//! What a resized value is: DequantizeLinear, Resize and QuantizeLinear in single precision, each
//! operation rounded, in ONNX Runtime's order.
//!
//! Weights that are multiples of 1/16 put sums on rounding ties everywhere, and there the error of
//! these operations decides. So the fast arithmetic marks what lies on a tie, or near one, and
//! that is computed again like this. Elsewhere both give the same:
//!
//! With u = 2^-24 and r = input scale / output scale, a value is at most 255 r. The seven roundings
//! here (dequantized value, weight, product, three sums, quotient) are off by at most
//! 7 * 255 r * u, and the at most seven of the fast arithmetic, whose terms with the zero point
//! apart are at most 383 r, by 7 * 383 r * u; together below r * 2^-11.8. That is less than
//! [`doubt`] and far less than the 1/256 between a tie and the next exact sum.

use std::array::from_fn;

use super::Tap;
use crate::int8::requantization::{Quantization, Saturate};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::int8) struct Definition {
    input: Quantization,
    out_scale: f32,
    saturate: Saturate,
}

impl Definition {
    pub fn new(input: Quantization, out: Quantization, low: i8, high: i8) -> Self {
        let saturate = Saturate::new(out.zero_point, low, high);
        Definition { input, out_scale: out.scale, saturate }
    }

    /// `corners`: first row's first and second column, then the second row's.
    #[inline(always)]
    pub fn value(&self, corners: [i8; 4], row: &Tap, column: &Tap) -> i8 {
        let weights = [
            column.weight_first * row.weight_first,
            column.weight_second * row.weight_first,
            column.weight_first * row.weight_second,
            column.weight_second * row.weight_second,
        ];
        let real = |x: i8| (i32::from(x) - self.input.zero_point) as f32 * self.input.scale;
        let [a, b, c, d] = from_fn(|at| weights[at] * real(corners[at]));
        self.saturate.apply((a + b + c + d) / self.out_scale)
    }
}

/// The source rows of an output row.
pub(in crate::int8) struct DefinedRow<'a> {
    pub near: &'a [i8],
    pub far: &'a [i8],
    pub pitch: usize,
    pub tap: Tap,
    pub columns: &'a [Tap],
    pub is: Definition,
}

impl DefinedRow<'_> {
    #[inline(always)]
    pub fn value(&self, column: usize, channel: usize) -> i8 {
        let column = &self.columns[column];
        let [a, b] = [column.first, column.second].map(|x| x as usize * self.pitch + channel);
        let corners = [self.near[a], self.near[b], self.far[a], self.far[b]];
        self.is.value(corners, &self.tap, column)
    }
}

/// How near to a tie, in quanta, the fast arithmetic is in doubt. Infinite where a scale's powers
/// of two could leave the normal numbers.
pub(super) fn doubt(input: Quantization, out: Quantization) -> f32 {
    let plain = |scale: f32| (1e-25..1e25).contains(&scale);
    match plain(input.scale) && plain(out.scale) {
        true => input.per(out) as f32 / 2048.0,
        false => f32::INFINITY,
    }
}

/// How many values are computed before those in doubt are computed again.
pub(in crate::int8) const BLOCK: usize = 64;

/// One for each value in doubt, else zero.
pub(in crate::int8) type Doubts = [u8; BLOCK];

/// Calls `again` with the number of each value in doubt.
#[inline(always)]
pub(in crate::int8) fn for_each_doubt(doubts: &Doubts, mut again: impl FnMut(usize)) {
    // Only the lowest bit of a byte is used: the eighths go side by side.
    let mut set = 0u64;
    for (at, eight) in doubts.as_chunks().0.iter().enumerate() {
        set |= u64::from_le_bytes(*eight) << at;
    }
    while set != 0 {
        let bit = set.trailing_zeros() as usize;
        again(bit % 8 * 8 + bit / 8);
        set &= set - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubt_is_met_once() {
        fastrand::seed(7);
        for _ in 0..1000 {
            let one_in = fastrand::u8(1..20);
            let doubts: Doubts = from_fn(|_| (fastrand::u8(..one_in) == 0).into());
            let mut met = [0; BLOCK];
            for_each_doubt(&doubts, |at| met[at] += 1);
            assert_eq!(met, doubts);
        }
    }
}
