use super::*;
use crate::int8::resize::tests::taps;
use crate::int8::testing::{Owned, bounds, quantization, splits};

fn naive(pixel: &[i8], select_last_index: bool) -> usize {
    let largest = pixel.iter().max().unwrap();
    let mut indices = pixel.iter().enumerate().filter(|(_, x)| *x == largest).map(|(i, _)| i);
    if select_last_index { indices.next_back().unwrap() } else { indices.next().unwrap() }
}

#[test]
fn the_class_is_the_first_or_last_largest_channel() {
    fastrand::seed(5);
    for round in 0..200 {
        let channels = [1, 2, 5, 16, 21, 33, 256, 257, 600][fastrand::usize(..9)];
        let (height, width) = (fastrand::usize(1..5), fastrand::usize(1..80));
        let input = Owned::random(height, width, channels);
        let argmax = ArgMax { select_last_index: round % 2 == 0 };
        let mut classes = vec![-1i64; height * width];
        for rows in splits(height) {
            let out = &mut classes[rows.start * width..rows.end * width];
            argmax.run(&input.view(), rows, out);
        }
        let values = input.values();
        let expected: Vec<i64> = values
            .chunks_exact(channels)
            .map(|pixel| naive(pixel, argmax.select_last_index) as i64)
            .collect();
        assert_eq!(classes, expected);
        let mut ids = vec![0u8; height * width];
        argmax.run(&input.view(), 0..height, &mut ids);
        assert!(ids.iter().zip(&expected).all(|(id, class)| *id == *class as u8));
    }
}

#[test]
fn the_argmax_of_a_resized_picture_is_that_of_the_two_steps() {
    fastrand::seed(6);
    for round in 0..200 {
        let channels = [1, 2, 5, 21, 300, 600][fastrand::usize(..6)];
        let input = Owned::random(fastrand::usize(1..7), fastrand::usize(1..7), channels);
        let (rows, columns) = (taps(input.height), taps(input.width));
        let (height, width) = (rows.len(), columns.len());
        let (qi, mut qo, (low, high)) = (quantization(), quantization(), bounds());
        if fastrand::bool() {
            qo.scale = qi.scale;
        }
        let resize = ResizeLinear::new(rows, columns, qi, qo, low, high);
        let argmax = ArgMax { select_last_index: round % 2 == 0 };
        let mut resized = Owned::random(height, width, channels);
        let mut scratch = vec![0; resize.scratch_bytes(channels)];
        resize.run(&input.view(), 0..height, &mut resized.rows_mut(0..height), &mut scratch);
        let mut expected = vec![-1i64; height * width];
        argmax.run(&resized.view(), 0..height, &mut expected);

        let both = ResizedArgMax::new(resize, argmax);
        let mut scratch = vec![0x55; both.scratch_bytes(channels)];
        let [mut classes, mut plain] = [vec![-1i64; height * width], vec![-1i64; height * width]];
        for rows in splits(height) {
            let out = &mut classes[rows.start * width..rows.end * width];
            both.run(&input.view(), rows, out, &mut scratch);
        }
        assert_eq!(classes, expected);
        both.run_here(&input.view(), 0..height, &mut plain, &mut scratch);
        assert_eq!(plain, expected);
    }
}
