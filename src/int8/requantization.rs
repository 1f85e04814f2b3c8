//! From 32-bit sums back to bytes.

/// One output scale seen from the sums of each column:
/// `y = clamp(round_half_even(sum * multiplier + addend) + zero_point, low, high)`, the product
/// and the sum in single precision with one rounding (fused), as QuantizeLinear after a linear
/// operator has it (ONNX opset 10 to 21).
///
/// Whoever makes one proves that |sum * multiplier + addend| stays below 2^22, so that every way
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
    #[inline(always)]
    pub fn apply(&self, sum: i32, column: usize) -> i8 {
        let real = (sum as f32).mul_add(self.multiplier[column], self.addend[column]);
        let y = round_half_even(real).saturating_add(self.zero_point);
        y.clamp(self.low.into(), self.high.into()) as i8
    }
}

/// The integer nearest to `x`, ties to even, for |x| < 2^22: after adding 1.5 * 2^23 the lowest
/// bits are the integer. Vectorizes where no rounding instruction does.
#[inline(always)]
pub fn round_half_even(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    ((x + MAGIC).to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_takes_ties_to_even_like_the_standard() {
        for quarter in -4000..4000 {
            let x = quarter as f32 / 4.0;
            assert_eq!(round_half_even(x), x.round_ties_even() as i32, "{x}");
        }
    }
}
