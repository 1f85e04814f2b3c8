use super::*;
use crate::int8::testing::{Owned, splits};

#[test]
fn every_value_becomes_its_entry() {
    fastrand::seed(3);
    for _ in 0..200 {
        let channels = [1, 3, 16, 21, 70][fastrand::usize(..5)];
        let (height, width) = (fastrand::usize(1..5), fastrand::usize(1..40));
        let input = Owned::random(height, width, channels);
        let answers: Vec<i8> = (0..256 * channels).map(|_| fastrand::i8(..)).collect();
        let by_channel = fastrand::bool();
        let answer = |channel: usize, x: i8| {
            let table = if by_channel { channel } else { 0 };
            answers[256 * table + (i32::from(x) + 128) as usize]
        };
        let table = match by_channel {
            true => Table::per_channel(channels, answer),
            false => Table::new(|x| answer(0, x)),
        };
        let before = Owned::random(height, width, channels);
        let mut out = before.clone();
        for rows in splits(height) {
            table.run(&input.view(), rows.clone(), &mut out.rows_mut(rows));
        }
        out.assert_same_gaps(&before);
        let mut in_place = input.clone();
        for rows in splits(height) {
            table.run_in_place(&mut in_place.rows_mut(rows));
        }
        in_place.assert_same_gaps(&input);
        let expected: Vec<i8> =
            input.values().iter().enumerate().map(|(i, x)| answer(i % channels, *x)).collect();
        assert_eq!(out.values(), expected);
        assert_eq!(in_place.values(), expected);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn shuffles_look_up_the_same() {
    let Some(avx2) = Level::new().as_avx2() else { return };
    let table = std::array::from_fn(|_| fastrand::i8(..));
    let values: Vec<i8> = (0..1000).map(|_| fastrand::i8(..)).collect();
    let mut out = values.clone();
    let left = by_shuffles(avx2, &table, &mut out).len();
    let done = out.len() - left;
    let expected = |x: &i8| table[usize::from(*x as u8)];
    assert!(done > 900);
    assert_eq!(out[..done], values[..done].iter().map(expected).collect::<Vec<_>>());
    assert_eq!(out[done..], values[done..]);
}
