//! From 32-bit sums back to bytes.

/// One output scale seen from the sums of each column:
/// `real = fma(sum, multiplier, fma(sum, remainder, addend))` in single precision, then
/// `y = clamp(round_half_even(real) + zero_point, low, high)`, as QuantizeLinear after a linear
/// operator has it (ONNX opset 10 to 21).
///
/// Whoever makes one proves that |real| stays below 2^30, so that every way of converting it to
/// an integer gives the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Requantize {
    /// input scale * weight scale / output scale, one a column.
    pub multiplier: Vec<f32>,
    /// What single precision leaves of the multiplier.
    pub remainder: Vec<f32>,
    /// What the integer bias could not say, in output quanta, one a column.
    pub addend: Vec<f32>,
    pub zero_point: i32,
    /// Bounds of a fused Relu or Clip, else -128 and 127.
    pub low: i8,
    pub high: i8,
}

impl Requantize {
    #[inline(always)]
    pub fn apply(&self, sum: i32, column: usize) -> i8 {
        let inner = (sum as f32).mul_add(self.remainder[column], self.addend[column]);
        self.byte((sum as f32).mul_add(self.multiplier[column], inner))
    }

    /// From a real number of output quanta to the byte.
    #[inline(always)]
    pub(super) fn byte(&self, real: f32) -> i8 {
        // Far outside of what bytes hold, and inside of what rounds right.
        const FAR: f32 = 1_048_576.0;
        let y = round_half_even(real.clamp(-FAR, FAR)).saturating_add(self.zero_point);
        y.clamp(self.low.into(), self.high.into()) as i8
    }

    /// Panics unless there are so many columns.
    pub(super) fn check(&self, columns: usize) {
        assert!(self.multiplier.len() >= columns);
        assert!(self.remainder.len() >= columns);
        assert!(self.addend.len() >= columns);
    }
}

/// What some columns are requantized with, in vectors `F`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale<F> {
    pub multiplier: F,
    pub remainder: F,
    pub addend: F,
}

impl<F> Scale<F> {
    /// From the columns from `column` on.
    #[inline(always)]
    pub fn new(of: &Requantize, column: usize, load: impl Fn(*const f32) -> F) -> Self {
        let load = |from: &[f32]| load(from[column..].as_ptr());
        Scale {
            multiplier: load(&of.multiplier),
            remainder: load(&of.remainder),
            addend: load(&of.addend),
        }
    }

    /// For sums 64 times too large: powers of two scale both parts of the multiplier exactly.
    #[inline(always)]
    pub fn of_64ths(self, times: impl Fn(F) -> F) -> Self {
        Scale {
            multiplier: times(self.multiplier),
            remainder: times(self.remainder),
            addend: self.addend,
        }
    }
}

impl<F: Copy, const N: usize> Scale<[F; N]> {
    /// One vector of several.
    #[inline(always)]
    pub fn part(self, index: usize) -> Scale<F> {
        Scale {
            multiplier: self.multiplier[index],
            remainder: self.remainder[index],
            addend: self.addend[index],
        }
    }
}

/// The integer nearest to `x`, ties to even, for |x| < 2^22: after adding 1.5 * 2^23 the lowest
/// bits are the integer. Vectorizes where no rounding instruction does.
#[inline(always)]
pub fn round_half_even(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    ((x + MAGIC).to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32)
}

/// What an activation's bytes stand for: `real = scale * (x - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    pub scale: f32,
    /// Of the bytes as i8.
    pub zero_point: i32,
}

impl Quantization {
    /// As QuantizeLinear: round half to even, add the zero point, saturate. What is not a number
    /// becomes the lowest.
    pub fn quantize(self, real: f64) -> i8 {
        let y = (real / f64::from(self.scale)).round_ties_even() + f64::from(self.zero_point);
        if y.is_nan() { i8::MIN } else { y.clamp(-128.0, 127.0) as i8 }
    }

    /// How many quanta of `output` one quantum of this is.
    pub(super) fn per(self, output: Quantization) -> f64 {
        f64::from(self.scale) / f64::from(output.scale)
    }
}

/// From a real number of output quanta, zero point not yet added, to the byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Saturate {
    low: f32,
    high: f32,
    zero_point: i32,
}

impl Saturate {
    pub fn new(zero_point: i32, low: i8, high: i8) -> Self {
        let bound = |byte: i8| (i32::from(byte) - zero_point) as f32;
        Saturate { low: bound(low), high: bound(high), zero_point }
    }

    /// The bounds are integers, so clamping before rounding is the same as after it, and keeps
    /// the rounding in its range.
    #[inline(always)]
    pub fn apply(self, quanta: f32) -> i8 {
        self.apply_with_error(quanta).0
    }

    /// Also how far rounding moved what was in bounds, downwards.
    #[inline(always)]
    pub fn apply_with_error(self, quanta: f32) -> (i8, f32) {
        let x = if quanta > self.low { quanta } else { self.low };
        let x = if x < self.high { x } else { self.high };
        let whole = round_half_even(x);
        (whole.wrapping_add(self.zero_point) as i8, x - whole as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantization_rounds_half_to_even_before_the_zero_point() {
        let by_half = Quantization { scale: 0.5, zero_point: 3 };
        let cases = [(0.25, 3), (0.75, 5), (1.25, 5), (-0.25, 3), (-0.75, 1), (1e9, 127)];
        for (real, byte) in cases {
            assert_eq!(by_half.quantize(real), byte, "{real}");
            let saturate = Saturate::new(3, -128, 127);
            assert_eq!(saturate.apply(real as f32 * 2.0), byte, "{real}");
        }
        assert_eq!(by_half.quantize(f64::NEG_INFINITY), -128);
        assert_eq!(by_half.quantize(f64::NAN), -128);
        let bounded = Saturate::new(3, 3, 20);
        assert_eq!([f32::NAN, -9.0, 17.5, 16.5].map(|x| bounded.apply(x)), [3, 3, 20, 19]);
    }

    #[test]
    fn rounding_takes_ties_to_even_like_the_standard() {
        for quarter in -4000..4000 {
            let x = quarter as f32 / 4.0;
            assert_eq!(round_half_even(x), x.round_ties_even() as i32, "{x}");
        }
    }
}
