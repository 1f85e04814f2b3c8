use super::*;
use crate::int8::testing::{Owned, assert_rounds_to, bounds, quantization, splits};

/// An operand for an output of that size: whole, or broadcast in any of the ways there are.
fn operand(height: usize, width: usize, channels: usize) -> (Owned, [usize; 3]) {
    // What the coordinates are multiplied with: 0 where the operand is broadcast.
    let steps = match fastrand::u8(..5) {
        0 | 1 => [1, 1, 1],
        2 => [0, 0, 1],
        3 => [1, 1, 0],
        _ => [fastrand::usize(..2), fastrand::usize(..2), fastrand::usize(..2)],
    };
    let size = |axis: usize, size: usize| if steps[axis] == 1 { size } else { 1 };
    let mut owned = Owned::random(size(0, height), size(1, width), size(2, channels));
    owned.height = height;
    owned.width = width;
    owned.row_pitch *= steps[0];
    owned.pixel_pitch *= steps[1];
    (owned, steps)
}

fn value(operand: &(Owned, [usize; 3]), zero_point: i32, [y, x, c]: [usize; 3]) -> f64 {
    f64::from(i32::from(operand.0.at(y, x, c * operand.1[2])) - zero_point)
}

#[test]
fn sums_differences_and_products_are_those_of_the_real_numbers() {
    fastrand::seed(1);
    for round in 0..1000 {
        let (height, width) = (fastrand::usize(1..5), fastrand::usize(1..7));
        let channels = [1, 2, 3, 16, 17, 40][fastrand::usize(..6)];
        let (a, b) = (operand(height, width, channels), operand(height, width, channels));
        let (qa, qb, qo) = (quantization(), quantization(), quantization());
        let (low, high) = bounds();
        let kind = round % 3;
        let add = match kind {
            0 => Add::new(qa, qb, qo, low, high),
            _ => Add::subtract(qa, qb, qo, low, high),
        };
        let mul = Mul::new(qa, qb, qo, low, high);
        let run = |a: Option<&Picture>, rows: Range<usize>, out: &mut PictureMut| match (a, kind) {
            (Some(a), 0 | 1) => add.run(a, &b.0.view(), rows, out),
            (Some(a), _) => mul.run(a, &b.0.view(), rows, out),
            (None, 0 | 1) => add.run_in_place(out, &b.0.view(), rows),
            (None, _) => mul.run_in_place(out, &b.0.view(), rows),
        };

        let before = Owned::random(height, width, channels);
        let mut out = before.clone();
        for rows in splits(height) {
            run(Some(&a.0.view()), rows.clone(), &mut out.rows_mut(rows));
        }
        out.assert_same_gaps(&before);
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    let va = value(&a, qa.zero_point, [y, x, c]);
                    let vb = value(&b, qb.zero_point, [y, x, c]);
                    let (sa, sb) = (f64::from(qa.scale), f64::from(qb.scale));
                    let real = match kind {
                        0 => va * sa + vb * sb,
                        1 => va * sa - vb * sb,
                        _ => va * sa * vb * sb,
                    };
                    let quanta = real / f64::from(qo.scale);
                    assert_rounds_to(out.at(y, x, c), quanta, qo.zero_point, (low, high));
                }
            }
        }

        let mut plain = before.clone();
        let (a_view, b_view) = (a.0.view(), b.0.view());
        match kind {
            0 | 1 => {
                add.run_here(Some(&a_view), &b_view, 0..height, &mut plain.rows_mut(0..height))
            }
            _ => mul.run_here(Some(&a_view), &b_view, 0..height, &mut plain.rows_mut(0..height)),
        }
        assert_eq!(plain, out);

        if a.1 == [1, 1, 1] {
            let mut in_place = a.0.clone();
            for rows in splits(height) {
                run(None, rows.clone(), &mut in_place.rows_mut(rows));
            }
            in_place.assert_same_gaps(&a.0);
            assert_eq!(in_place.values(), out.values());
        }
    }
}

#[test]
fn exact_ties_go_to_even() {
    let [half, one] = [0.5, 1.0].map(|scale| Quantization { scale, zero_point: 1 });
    let add = Add::new(half, half, one, -128, 127);
    let mul = Mul::new(half, one, one, -128, 127);
    let zero = Owned { data: vec![1], ..Owned::random(1, 1, 1) };
    let two = Owned { data: vec![2], ..Owned::random(1, 1, 1) };
    for x in -128..=127i8 {
        let a = Owned { data: vec![x], ..Owned::random(1, 1, 1) };
        let expected = ((f64::from(x) - 1.0) / 2.0).round_ties_even() as i8 + 1;
        let mut out = zero.clone();
        add.run(&a.view(), &zero.view(), 0..1, &mut out.rows_mut(0..1));
        assert_eq!(out.data, [expected]);
        mul.run(&a.view(), &two.view(), 0..1, &mut out.rows_mut(0..1));
        assert_eq!(out.data, [expected]);
    }
}
