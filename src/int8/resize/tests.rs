use super::*;
use crate::int8::coordinates::{Coordinates, linear_taps};
use crate::int8::testing::{Owned, bounds, quantization, splits};

const MODES: [Coordinates; 6] = [
    Coordinates::HalfPixel,
    Coordinates::HalfPixelSymmetric,
    Coordinates::PytorchHalfPixel,
    Coordinates::AlignCorners,
    Coordinates::Asymmetric,
    Coordinates::TfHalfPixelForNn,
];

/// Taps whose weights are multiples of 1/16 often, and often not.
pub fn taps(from: usize) -> Vec<Tap> {
    let mode = MODES[fastrand::usize(..6)];
    let (scale, to) = match fastrand::u8(..3) {
        0 => (2.0, 2 * from),
        1 if from > 1 => {
            return linear_taps(Coordinates::AlignCorners, from, 16 * (from - 1) + 1, 1.5);
        }
        _ => {
            let to = fastrand::usize(1..3 * from + 2);
            (to as f32 / from as f32, to)
        }
    };
    linear_taps(mode, from, to, scale)
}

/// DequantizeLinear, Resize, QuantizeLinear, operator by operator.
pub fn defined(
    input: &Owned,
    rows: &[Tap],
    columns: &[Tap],
    [from, to]: [Quantization; 2],
    (low, high): (i8, i8),
) -> Vec<i8> {
    let real = |y: u32, x: u32, c: usize| {
        let byte = i32::from(input.at(y as usize, x as usize, c));
        (byte - from.zero_point) as f32 * from.scale
    };
    let mut out = Vec::new();
    for row in rows {
        for column in columns {
            for c in 0..input.channels {
                let mut sum =
                    column.weight_first * row.weight_first * real(row.first, column.first, c);
                sum += column.weight_second * row.weight_first * real(row.first, column.second, c);
                sum += column.weight_first * row.weight_second * real(row.second, column.first, c);
                sum +=
                    column.weight_second * row.weight_second * real(row.second, column.second, c);
                let y = f64::from((sum / to.scale).round_ties_even()) + f64::from(to.zero_point);
                out.push(y.clamp(low.into(), high.into()) as i8);
            }
        }
    }
    out
}

/// Scales that are equal, a power of two apart, arbitrary, and absurd.
pub fn quantizations() -> [Quantization; 2] {
    let (from, mut to) = (quantization(), quantization());
    match fastrand::u8(..12) {
        0..5 => to.scale = from.scale,
        5 => to.scale = from.scale * 2.0,
        6 => to.scale = from.scale / 2.0,
        7 => to.scale = from.scale * 1e-4,
        8 => {
            let tiny = |q: Quantization| Quantization { scale: q.scale * 1e-41, ..q };
            return [tiny(from), tiny(to)];
        }
        _ => {}
    }
    [from, to]
}

#[test]
fn resized_values_are_those_of_the_float_operators_bit_for_bit() {
    fastrand::seed(4);
    let mut kinds = [0; 3];
    for _ in 0..600 {
        let channels = [1, 2, 16, 21, 40, 70][fastrand::usize(..6)];
        let input = Owned::random(fastrand::usize(1..7), fastrand::usize(1..7), channels);
        let (rows, columns) = (taps(input.height), taps(input.width));
        let ([qi, qo], (low, high)) = (quantizations(), bounds());
        let resize = ResizeLinear::new(rows.clone(), columns.clone(), qi, qo, low, high);
        kinds[match resize.arithmetic {
            Arithmetic::Exact { .. } => 0,
            Arithmetic::Rescaled { .. } => 1,
            Arithmetic::Real { .. } => 2,
        }] += 1;
        let height = rows.len();
        let before = Owned::random(height, columns.len(), channels);
        let [mut out, mut plain] = [before.clone(), before.clone()];
        let mut scratch = vec![0x55; resize.scratch_bytes(channels)];
        for rows in splits(height) {
            let out = &mut out.rows_mut(rows.clone());
            resize.run(&input.view(), rows, out, &mut scratch);
        }
        out.assert_same_gaps(&before);
        assert_eq!(out.values(), defined(&input, &rows, &columns, [qi, qo], (low, high)));
        let whole = &mut plain.rows_mut(0..height);
        resize.run_here(&input.view(), 0..height, whole, &mut scratch);
        assert_eq!(plain, out);
    }
    assert!(kinds.iter().all(|count| *count > 40), "{kinds:?}");
}

/// All that sums of sixteenths of two neighbours can be.
#[test]
fn away_from_ties_the_float_operators_round_the_exact_sum() {
    let columns: Vec<Tap> = (0..=16)
        .map(|n| n as f32 / 16.0)
        .map(|far| Tap { first: 0, second: 1, weight_first: 1.0 - far, weight_second: far })
        .collect();
    let row = Tap { first: 0, second: 0, weight_first: 0.5, weight_second: 0.5 };
    let input: Vec<i8> = (0..256)
        .flat_map(|y| (0..256).map(move |x| [y, x]))
        .flatten()
        .map(|byte| (byte - 128) as i8)
        .collect();
    for scale in [0.05, 0.1, 0.0371, 1.0 / 3.0, 0.999_999_94, 1.000_000_1, 7.3e9] {
        for zero_point in [-128, 0, 3, 127] {
            let q = Quantization { scale, zero_point };
            let definition = Definition::new(q, q, -128, 127);
            for pair in input.chunks_exact(2) {
                for (far, column) in columns.iter().enumerate() {
                    let [a, b] = [pair[0], pair[1]];
                    let sum = i32::from(a) * (16 - far as i32) + i32::from(b) * far as i32;
                    if sum & 15 != 8 {
                        let y = definition.value([a, b, a, b], &row, column);
                        assert_eq!(i32::from(y), (sum + 8) >> 4, "{a} {b} {far}/16 {q:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_picture_of_the_same_size_is_the_same() {
    let taps = |size| linear_taps(Coordinates::HalfPixel, size, size, 1.0);
    for scale in [0.05, 0.1, 1e-42] {
        let q = Quantization { scale, zero_point: -7 };
        let input = Owned::random(5, 6, 9);
        let resize = ResizeLinear::new(taps(5), taps(6), q, q, -128, 127);
        let mut out = Owned::random(5, 6, 9);
        let mut scratch = vec![0; resize.scratch_bytes(9)];
        resize.run(&input.view(), 0..5, &mut out.rows_mut(0..5), &mut scratch);
        assert_eq!(out.values(), input.values());
    }
}
