//! The fast arithmetic of a resized value: in 16 bits or in single precision.

use crate::int8::requantization::Saturate;

/// The type of a stretched value; in the scratch memory it lies as bytes.
pub(in crate::int8) trait Lane: Copy {
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
pub(in crate::int8) trait Finish<L>: Copy {
    /// A byte, as wide as the sums are, which spares the argmax the packing; and whether it lies
    /// so near to a rounding tie that the definition has to say.
    fn value(self, near: L, far: L, weights: [L; 2]) -> (i16, bool);
}

/// The sum is the answer, 2^bits times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::int8) struct Shift {
    bits: u32,
    half: i16,
    /// From the input's to the output's.
    zero_point: i16,
    low: i16,
    high: i16,
}

impl Shift {
    pub fn new(bits: u32, from: i32, to: i32, low: i8, high: i8) -> Self {
        let zero_point = (to - from) as i16;
        Shift { bits, half: 1 << (bits - 1), zero_point, low: low.into(), high: high.into() }
    }
}

impl Finish<i16> for Shift {
    #[inline(always)]
    fn value(self, near: i16, far: i16, weights: [i16; 2]) -> (i16, bool) {
        let sum = near.wrapping_mul(weights[0]).wrapping_add(far.wrapping_mul(weights[1]));
        // Less than a half more, so that nothing overflows; ties are in doubt anyway.
        let y = (sum.wrapping_add(self.half - 1) >> self.bits).wrapping_add(self.zero_point);
        let fraction = sum & (self.half | (self.half - 1));
        (y.max(self.low).min(self.high), fraction == self.half)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::int8) struct Rescale {
    pub multiplier: f32,
    pub constant: f32,
    pub saturate: Saturate,
    /// How far from an integer a sum rounds to it for sure.
    pub sure: f32,
}

impl Finish<i16> for Rescale {
    #[inline(always)]
    fn value(self, near: i16, far: i16, weights: [i16; 2]) -> (i16, bool) {
        let sum = near.wrapping_mul(weights[0]).wrapping_add(far.wrapping_mul(weights[1]));
        let quanta = f32::from(sum).mul_add(self.multiplier, self.constant);
        rounded(quanta, self.saturate, self.sure)
    }
}

/// The rows' weights hold the ratio of the scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::int8) struct RealSum {
    pub constant: f32,
    pub saturate: Saturate,
    /// How far from an integer a sum rounds to it for sure.
    pub sure: f32,
}

impl Finish<f32> for RealSum {
    #[inline(always)]
    fn value(self, near: f32, far: f32, weights: [f32; 2]) -> (i16, bool) {
        let near = near.mul_add(weights[0], self.constant);
        rounded(far.mul_add(weights[1], near), self.saturate, self.sure)
    }
}

#[inline(always)]
fn rounded(quanta: f32, saturate: Saturate, sure: f32) -> (i16, bool) {
    let (byte, error) = saturate.apply_with_error(quanta);
    // What is not a number is not sure either.
    #[allow(clippy::neg_cmp_op_on_partial_ord)]
    let unsure = !(error.abs() < sure);
    (byte.into(), unsure)
}
