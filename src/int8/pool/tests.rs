use super::*;
use crate::int8::testing::{Owned, assert_rounds_to, bounds, quantization, splits};

fn window() -> Window {
    let pair = |range: Range<usize>| [fastrand::usize(range.clone()), fastrand::usize(range)];
    let kernel = pair(1..5);
    let dilation = pair(1..3);
    // Less than the kernel, as ONNX Runtime demands.
    let pad = |axis: usize| fastrand::usize(..kernel[axis]);
    let before = [pad(0), pad(1)];
    Window { kernel, stride: pair(1..4), dilation, before, after: [pad(0), pad(1)] }
}

fn out_size(window: &Window, axis: usize, size: usize, ceil: bool) -> Option<usize> {
    let reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
    let room = (size + window.before[axis] + window.after[axis]).checked_sub(reach)?;
    let stride = window.stride[axis];
    let mut out = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
    // A window may not start behind the picture.
    while (out - 1) * stride >= size + window.before[axis] {
        out -= 1;
    }
    Some(out)
}

/// The values of a window inside the picture, and the number of positions inside the padding.
fn inside(window: &Window, picture: &Owned, y: usize, x: usize, c: usize) -> (Vec<i8>, usize) {
    let (mut values, mut padded) = (Vec::new(), 0);
    let sizes = [picture.height, picture.width];
    for i in 0..window.kernel[0] {
        for j in 0..window.kernel[1] {
            let at = |axis: usize, out: usize, tap: usize| {
                (out * window.stride[axis] + tap * window.dilation[axis]) as isize
                    - window.before[axis] as isize
            };
            let position = [at(0, y, i), at(1, x, j)];
            let is_inside =
                |axis: usize, more: usize| position[axis] < (sizes[axis] + more) as isize;
            padded += usize::from(is_inside(0, window.after[0]) && is_inside(1, window.after[1]));
            if position[0] >= 0 && position[1] >= 0 && is_inside(0, 0) && is_inside(1, 0) {
                values.push(picture.at(position[0] as usize, position[1] as usize, c));
            }
        }
    }
    (values, padded)
}

#[test]
fn pooling_is_the_largest_or_the_mean_of_each_window() {
    fastrand::seed(2);
    let mut checked = 0;
    while checked < 300 {
        let window = window();
        let channels = [1, 3, 16, 21, 50][fastrand::usize(..5)];
        let input = Owned::random(fastrand::usize(1..9), fastrand::usize(1..9), channels);
        let ceil = fastrand::bool();
        let Some(height) = out_size(&window, 0, input.height, ceil) else { continue };
        let Some(width) = out_size(&window, 1, input.width, ceil) else { continue };
        checked += 1;
        let count_include_pad = fastrand::bool();
        let (qi, qo, (low, high)) = (quantization(), quantization(), bounds());
        let max = MaxPool::new(window);
        let average = AveragePool::new(window, count_include_pad, qi, qo, low, high).unwrap();
        let before = Owned::random(height, width, channels);
        let [mut largest, mut mean, mut plain] = [before.clone(), before.clone(), before.clone()];
        for rows in splits(height) {
            max.run(&input.view(), rows.clone(), &mut largest.rows_mut(rows.clone()));
            average.run(&input.view(), rows.clone(), &mut mean.rows_mut(rows));
        }
        largest.assert_same_gaps(&before);
        mean.assert_same_gaps(&before);
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    let (values, padded) = inside(&window, &input, y, x, c);
                    assert_eq!(
                        largest.at(y, x, c),
                        values.iter().copied().max().unwrap_or(i8::MIN),
                        "{window:?} {y} {x} {c}"
                    );
                    let terms = values.iter().map(|x| i32::from(*x) - qi.zero_point);
                    let sum = f64::from(terms.sum::<i32>());
                    let divisor = if count_include_pad { padded } else { values.len() };
                    let quanta =
                        sum * f64::from(qi.scale) / f64::from(qo.scale) / divisor.max(1) as f64;
                    assert_rounds_to(mean.at(y, x, c), quanta, qo.zero_point, (low, high));
                }
            }
        }
        max.run_here(&input.view(), 0..height, &mut plain.rows_mut(0..height));
        assert_eq!(plain, largest);
        average.run_here(&input.view(), 0..height, &mut plain.rows_mut(0..height));
        assert_eq!(plain, mean);
    }
}

#[test]
fn a_global_mean_of_many_extremes_is_exact() {
    for (value, height, width) in [(-128, 40, 33), (127, 3, 700), (-128, 1, 255), (127, 1, 256)] {
        let input = Owned {
            height,
            width,
            row_pitch: 35 * width,
            pixel_pitch: 35,
            channels: 35,
            data: vec![value; 35 * height * width],
        };
        let quantization = crate::int8::Quantization { scale: 0.1, zero_point: 5 };
        let window = Window::global(height, width);
        let pool = AveragePool::new(window, false, quantization, quantization, -128, 127).unwrap();
        let mut out = Owned::random(1, 1, 35);
        pool.run(&input.view(), 0..1, &mut out.rows_mut(0..1));
        assert_eq!(out.values(), [value; 35]);
    }
    let too_many = Window::global(1 << 12, 1 << 12);
    let q = quantization();
    assert_eq!(AveragePool::new(too_many, false, q, q, -128, 127), None);
}
