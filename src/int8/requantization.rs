//! From 32-bit sums back to bytes.

/// One output scale seen from the sums of each column:
/// `y = clamp(round_half_even(sum * multiplier + addend) + zero_point, low, high)`, the product
/// and the sum in single precision with one rounding (fused), as QuantizeLinear after a linear
/// operator has it (ONNX opset 10 to 21).
///
/// Whoever makes one proves that |sum * multiplier + addend| stays below 2^30, so that every way
/// of converting to an integer gives the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Requantize {
    /// input scale * weight scale / output scale, one a column.
    pub multiplier: Vec<f32>,
    /// What the integer bias could not say, in output quanta, one a column.
    pub addend: Vec<f32>,
    pub zero_point: i32,
    /// Bounds of a fused Relu or Clip, else -128 and 127.
    pub low: i8,
    pub high: i8,
}

impl Requantize {
    /// Adds a column: `real quanta = sum * factor + rest`, for sums up to `largest` on both sides.
    ///
    /// The graph as written adds `bias` to the products and divides by `scale`, the output's, in
    /// single precision, and so decides what lies close to a tie. Those sums are few and known: the multiplier and the
    /// addend are moved by units in the last place until all of them come out the same, where
    /// that is possible; it costs nothing when running.
    pub fn push(&mut self, factor: f64, rest: f64, largest: i64, scale: f32, bias: f32) {
        let close = self.close_to_ties(factor, rest, largest, scale, bias);
        let wrong = |multiplier: f32, addend: f32| {
            let right =
                |(sum, y): &(f32, i32)| round_half_even(sum.mul_add(multiplier, addend)) == *y;
            close.iter().filter(|case| !right(case)).count()
        };
        let nudged = |x: f32, steps: i32| f32::from_bits(x.to_bits().wrapping_add_signed(steps));
        let (plain, addend) = (factor as f32, rest as f32);
        let mut best = (wrong(plain, addend), plain, addend);
        for steps in [0, 1, -1, 2, -2, 3, -3] {
            for shift in [0.0, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0, 8.0, -8.0] {
                if best.0 == 0 {
                    break;
                }
                let candidate = (nudged(plain, steps), (rest + shift * SHIFT) as f32);
                let count = wrong(candidate.0, candidate.1);
                if count < best.0 {
                    best = (count, candidate.0, candidate.1);
                }
            }
        }
        self.multiplier.push(best.1);
        self.addend.push(best.2);
    }

    /// The sums within [`CLOSE`] of a tie between two bytes, and what the graph rounds them to.
    fn close_to_ties(
        &self,
        factor: f64,
        rest: f64,
        largest: i64,
        scale: f32,
        bias: f32,
    ) -> Vec<(f32, i32)> {
        let mut close = Vec::new();
        if !factor.is_normal() {
            return close;
        }
        for below in i32::from(self.low) - 1..=i32::from(self.high) {
            let tie = f64::from(below - self.zero_point) + 0.5;
            let at = ((tie - rest) / factor).floor();
            for sum in [at, at + 1.0] {
                let real = sum.mul_add(factor, rest);
                if (real - tie).abs() < CLOSE && sum.abs() <= largest as f64 {
                    let product = (real * f64::from(scale) - f64::from(bias)) as f32;
                    let written = (product + bias) / scale;
                    close.push((sum as f32, written.round_ties_even() as i32));
                }
            }
        }
        close
    }

    #[inline(always)]
    pub fn apply(&self, sum: i32, column: usize) -> i8 {
        let real = (sum as f32).mul_add(self.multiplier[column], self.addend[column]);
        // Far outside of what bytes hold, and inside of what rounds right.
        const FAR: f32 = 1_048_576.0;
        let y = round_half_even(real.clamp(-FAR, FAR)).saturating_add(self.zero_point);
        y.clamp(self.low.into(), self.high.into()) as i8
    }
}

/// Quanta from a tie within which single precision may err, with all that `push` moves.
const CLOSE: f64 = 2e-4;
/// Quanta by which `push` moves an addend.
const SHIFT: f64 = 1e-6;

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
    fn sums_close_to_ties_round_as_the_graph_has_it() {
        fastrand::seed(11);
        let (mut plain, mut pushed) = (0, 0);
        // Floats are slow where ARM is emulated.
        let rounds = if cfg!(target_arch = "x86_64") { 300 } else { 60 };
        for _ in 0..rounds {
            let (factor, rest) = (fastrand::f64() * 0.01 + 1e-4, fastrand::f64() * 3.0 - 1.5);
            let zero_point = fastrand::i32(-128..128);
            let (multiplier, addend) = (Vec::new(), Vec::new());
            let (low, high) = (i8::MIN, i8::MAX);
            let mut requantize = Requantize { multiplier, addend, zero_point, low, high };
            requantize.push(factor, rest, 1 << 24, 1.0, 0.0);
            for sum in -200_000..200_000 {
                let exact = (f64::from(sum).mul_add(factor, rest) as f32).round_ties_even();
                let exact = f64::from(exact);
                let exact = (exact + f64::from(zero_point)).clamp(-128.0, 127.0) as i8;
                pushed += u32::from(requantize.apply(sum, 0) != exact);
                let real = (sum as f32).mul_add(factor as f32, rest as f32);
                let y = real.round_ties_even() + zero_point as f32;
                plain += u32::from(y.clamp(-128.0, 127.0) as i8 != exact);
            }
        }
        assert!(plain > rounds / 15 && pushed * 10 < plain, "{pushed} wrong of {plain} before");
    }

    #[test]
    fn rounding_takes_ties_to_even_like_the_standard() {
        for quarter in -4000..4000 {
            let x = quarter as f32 / 4.0;
            assert_eq!(round_half_even(x), x.round_ties_even() as i32, "{x}");
        }
    }
}
