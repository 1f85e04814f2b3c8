//! Transposed convolutions against ONNX's definition: every input adds to its outputs.

use super::{Sample, biases, in_ranges, requantize, weights};
use crate::int8::kernels::Kernels;
use crate::int8::transposed::{TransposedConvolution, TransposedGeometry};

#[test]
fn transposed_convolutions_are_exact() {
    let rng = &mut fastrand::Rng::with_seed(4);
    for _ in 0..200 {
        let geometry = TransposedGeometry {
            in_height: rng.usize(1..7),
            in_width: rng.usize(1..12),
            in_channels: rng.usize(1..20),
            kernel: [rng.usize(1..6), rng.usize(1..6)],
            stride: [rng.usize(1..5), rng.usize(1..5)],
            dilation: if rng.bool() { [1, 1] } else { [rng.usize(1..4), rng.usize(1..4)] },
            pad_top: rng.isize(-1..4),
            pad_left: rng.isize(-1..4),
            out_height: rng.usize(1..25),
            out_width: rng.usize(1..40),
        };
        let TransposedGeometry { kernel, stride, dilation, in_channels, .. } = geometry;
        let TransposedGeometry { out_height, out_width, .. } = geometry;
        let columns = rng.usize(1..20);
        let input = Sample::new(rng, [geometry.in_height, geometry.in_width, in_channels]);
        let terms = kernel[0] * kernel[1] * in_channels;
        let bits9 = rng.bool();
        let weights = weights(rng, columns * terms, bits9);
        let bias = biases(rng, columns);
        let requantize = requantize(rng, columns, terms);
        let pixel_pitch = columns + rng.usize(..5);
        let row_pitch = out_width * pixel_pitch + rng.usize(..5);
        let mut sums = vec![0; out_height * out_width * columns];
        for iy in 0..geometry.in_height {
            for ix in 0..geometry.in_width {
                for ky in 0..kernel[0] {
                    for kx in 0..kernel[1] {
                        let y = (iy * stride[0] + ky * dilation[0]) as isize - geometry.pad_top;
                        let x = (ix * stride[1] + kx * dilation[1]) as isize - geometry.pad_left;
                        if y < 0 || x < 0 || y >= out_height as isize || x >= out_width as isize {
                            continue;
                        }
                        for column in 0..columns {
                            for c in 0..in_channels {
                                let at =
                                    ((column * kernel[0] + ky) * kernel[1] + kx) * in_channels + c;
                                sums[(y as usize * out_width + x as usize) * columns + column] +=
                                    input.at(iy as isize, ix as isize, c) * i32::from(weights[at]);
                            }
                        }
                    }
                }
            }
        }
        let mut expected = vec![55; out_height * row_pitch];
        for (index, sum) in sums.into_iter().enumerate() {
            let (pixel, column) = (index / columns, index % columns);
            let (y, x) = (pixel / out_width, pixel % out_width);
            expected[y * row_pitch + x * pixel_pitch + column] =
                requantize.apply(sum + bias[column], column);
        }
        for kernels in Kernels::all_available() {
            let convolution = TransposedConvolution::new(
                kernels,
                geometry,
                &weights,
                &bias,
                input.zero_point,
                &requantize,
                row_pitch,
                pixel_pitch,
            );
            let mut out = vec![55; out_height * row_pitch];
            let mut scratch = vec![0xAA; convolution.scratch_bytes()];
            in_ranges(rng, convolution.steps(), convolution.row_step(), |steps| {
                let rows = convolution.output_rows();
                let end = (steps.end * rows).min(out_height);
                let out = &mut out[steps.start * rows * row_pitch..end * row_pitch];
                convolution.run(&input.picture(), steps, out, &mut scratch);
            });
            assert!(out == expected, "{kernels:?} {geometry:?}");
        }
    }
}
