use super::*;
use crate::int8::coordinates::{Coordinates, linear_taps};
use crate::int8::testing::{Owned, assert_rounds_to, bounds, quantization, splits};

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

/// What the resized picture is at a pixel, in quanta of the output.
pub fn real(input: &Owned, row: &Tap, column: &Tap, c: usize, ratio: f64, zero: i32) -> f64 {
    let value = |y: u32, x: u32| f64::from(i32::from(input.at(y as usize, x as usize, c)) - zero);
    let line = |y: u32| {
        f64::from(column.weight_first) * value(y, column.first)
            + f64::from(column.weight_second) * value(y, column.second)
    };
    let (first, second) = (f64::from(row.weight_first), f64::from(row.weight_second));
    (first * line(row.first) + second * line(row.second)) * ratio
}

#[test]
fn resized_values_are_the_weighted_sums_of_four_neighbours() {
    fastrand::seed(4);
    let mut kinds = [0; 3];
    for _ in 0..400 {
        let channels = [1, 2, 16, 21, 40][fastrand::usize(..5)];
        let input = Owned::random(fastrand::usize(1..7), fastrand::usize(1..7), channels);
        let (rows, columns) = (taps(input.height), taps(input.width));
        let (qi, mut qo, (low, high)) = (quantization(), quantization(), bounds());
        if fastrand::bool() {
            qo.scale = qi.scale;
        }
        if qi.scale > 2.0 * qo.scale {
            qo.scale = qi.scale / 2.0;
        }
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
        let ratio = f64::from(qi.scale) / f64::from(qo.scale);
        for (y, row) in rows.iter().enumerate() {
            for (x, column) in columns.iter().enumerate() {
                for c in 0..channels {
                    let quanta = real(&input, row, column, c, ratio, qi.zero_point);
                    assert_rounds_to(out.at(y, x, c), quanta, qo.zero_point, (low, high));
                }
            }
        }
        let whole = &mut plain.rows_mut(0..height);
        resize.run_here(&input.view(), 0..height, whole, &mut scratch);
        assert_eq!(plain, out);
    }
    assert!(kinds.iter().all(|count| *count > 40), "{kinds:?}");
}

#[test]
fn exact_ties_go_to_even_before_the_zero_point() {
    let taps = |from| linear_taps(Coordinates::HalfPixel, from, 2 * from, 2.0);
    for zero_point in [-128, -1, 0, 3] {
        for other in [zero_point, 7] {
            let qi = Quantization { scale: 0.3, zero_point };
            let qo = Quantization { scale: 0.3, zero_point: other };
            let resize = ResizeLinear::new(taps(4), taps(5), qi, qo, -128, 127);
            assert!(matches!(resize.arithmetic, Arithmetic::Exact { .. }));
            let input = Owned::random(4, 5, 3);
            let mut out = Owned::random(8, 10, 3);
            let mut scratch = vec![0; resize.scratch_bytes(3)];
            resize.run(&input.view(), 0..8, &mut out.rows_mut(0..8), &mut scratch);
            for (y, row) in taps(4).iter().enumerate() {
                for (x, column) in taps(5).iter().enumerate() {
                    let quanta = real(&input, row, column, 1, 1.0, zero_point);
                    let expected = quanta.round_ties_even() + f64::from(other);
                    assert_eq!(out.at(y, x, 1), expected.clamp(-128.0, 127.0) as i8);
                }
            }
        }
    }
}
