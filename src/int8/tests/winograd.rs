//! Winograd's algorithm against the definition.

use super::{Case, biases, in_ranges, requantize, weights};
use crate::int8::convolution::{Geometry, Out, Placement};
use crate::int8::kernels::Kernels;
use crate::int8::winograd::Winograd;

#[test]
fn winograd_is_exact() {
    let rng = &mut fastrand::Rng::with_seed(5);
    for round in 0..150 {
        let (channels, columns) = (rng.usize(1..80), rng.usize(1..80));
        let geometry = Geometry {
            in_height: rng.usize(1..20),
            in_width: rng.usize(1..90),
            in_channels: channels,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            pad_top: rng.isize(-1..3),
            pad_left: rng.isize(-1..3),
            out_height: rng.usize(1..18),
            out_width: rng.usize(1..80),
        };
        let mut case = Case::of(rng, geometry, columns);
        let Geometry { out_height, out_width, .. } = geometry;
        let mut weights = weights(rng, columns * 9 * channels, false);
        if round % 8 == 0 {
            // The largest sums there are.
            case.input.data.fill(127);
            case.input.zero_point = -128;
            weights.fill([-128, 128][rng.usize(..2)]);
        }
        let bias = biases(rng, columns);
        let requantize = requantize(rng, columns, 9 * channels);
        let pixel_pitch = columns + rng.usize(..5);
        let row_pitch = out_width * pixel_pitch + rng.usize(..5);
        let placement = Placement::plain(row_pitch, pixel_pitch, columns);
        assert!(Winograd::applies(&geometry, &weights, &bias, case.input.zero_point, &placement));
        let mut expected = vec![55; out_height * row_pitch];
        for y in 0..out_height {
            for x in 0..out_width {
                for (column, bias) in bias.iter().enumerate() {
                    let sum = case.sum(&weights, y, x, column) + bias;
                    expected[y * row_pitch + x * pixel_pitch + column] =
                        requantize.apply(sum, column);
                }
            }
        }
        for kernels in Kernels::all_available() {
            let winograd = Winograd::new(kernels, geometry, &weights, &bias, case.input.zero_point);
            let mut out = vec![55; out_height * row_pitch];
            let mut scratch = vec![0xAA; winograd.scratch_bytes()];
            in_ranges(rng, out_height, 4, |rows| {
                let out = &mut out[rows.start * row_pitch..rows.end * row_pitch];
                let out = Out::Bytes { out, requantize: &requantize, placement: &placement };
                winograd.run(&case.input.picture(), rows, out, &mut scratch);
            });
            assert!(out == expected, "{kernels:?} {geometry:?}");
        }
    }
}

#[test]
fn winograd_knows_its_bounds() {
    let geometry = Geometry {
        in_height: 8,
        in_width: 8,
        in_channels: 128,
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad_top: 1,
        pad_left: 1,
        out_height: 8,
        out_width: 8,
    };
    let placement = Placement::plain(8, 1, 1);
    let mut weights = vec![114; 9 * 128];
    assert!(Winograd::applies(&geometry, &weights, &[0], -128, &placement));
    weights.fill(115);
    assert!(!Winograd::applies(&geometry, &weights, &[0], -128, &placement), "sums reach 2^25");
    assert!(Winograd::applies(&geometry, &weights, &[0], 0, &placement));
    weights[7] = 129;
    assert!(
        !Winograd::applies(&geometry, &weights, &[0], 0, &placement),
        "transforms pass 16 bits"
    );
    let strided = Geometry { stride: [1, 2], ..geometry };
    assert!(!Winograd::applies(&strided, &[0; 9 * 128], &[0], 0, &placement));
}
