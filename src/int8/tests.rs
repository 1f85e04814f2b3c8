//! Every set of kernels against plain definitions, bit for bit.

mod agreement;
mod transposed;
mod winograd;

use super::convolution::{DenseConvolution, Geometry, Placement};
use super::depthwise::DepthwiseConvolution;
use super::kernels::{Kernels, Segment};
use super::requantization::Requantize;
use super::view::Picture;

/// A random picture with gaps between its pixels and rows.
struct Sample {
    data: Vec<i8>,
    height: usize,
    width: usize,
    channels: usize,
    row_pitch: usize,
    pixel_pitch: usize,
    zero_point: i32,
}

impl Sample {
    fn new(rng: &mut fastrand::Rng, [height, width, channels]: [usize; 3]) -> Self {
        let pixel_pitch = channels + if rng.bool() { 0 } else { rng.usize(..9) };
        let row_pitch = width * pixel_pitch + if rng.bool() { 0 } else { rng.usize(..9) };
        let extreme = rng.u8(..4) == 0;
        let data = (0..height * row_pitch)
            .map(|_| if extreme { [-128, 127][rng.usize(..2)] } else { rng.i8(..) })
            .collect();
        let zero_point = [-128, 127, 0, rng.i32(-128..128)][rng.usize(..4)];
        Sample { data, height, width, channels, row_pitch, pixel_pitch, zero_point }
    }

    fn picture(&self) -> Picture<'_> {
        let Sample { height, width, channels, row_pitch, pixel_pitch, .. } = *self;
        Picture { data: &self.data, height, width, channels, row_pitch, pixel_pitch }
    }

    /// x - zero point, 0 outside.
    fn at(&self, y: isize, x: isize, c: usize) -> i32 {
        if y < 0 || x < 0 || y >= self.height as isize || x >= self.width as isize {
            return 0;
        }
        let at = y as usize * self.row_pitch + x as usize * self.pixel_pitch + c;
        i32::from(self.data[at]) - self.zero_point
    }
}

fn weights(rng: &mut fastrand::Rng, count: usize, bits9: bool) -> Vec<i16> {
    let zero_point = if bits9 { rng.i16(0..256) } else { 128 };
    let extreme = rng.u8(..4) == 0;
    let byte =
        |rng: &mut fastrand::Rng| if extreme { [0, 255][rng.usize(..2)] } else { rng.i16(0..256) };
    (0..count).map(|_| byte(rng) - zero_point).collect()
}

/// About full range over `terms` products, with clipping on both sides.
fn requantize(rng: &mut fastrand::Rng, columns: usize, terms: usize) -> Requantize {
    let scale = 1.0 / (100.0 * (terms as f32).sqrt());
    Requantize {
        multiplier: (0..columns).map(|_| scale * (0.5 + rng.f32())).collect(),
        addend: (0..columns).map(|_| if rng.bool() { 0.0 } else { rng.f32() }).collect(),
        zero_point: rng.i32(-128..128),
        low: [-128, -20][rng.usize(..2)],
        high: [127, 90][rng.usize(..2)],
    }
}

fn biases(rng: &mut fastrand::Rng, count: usize) -> Vec<i32> {
    (0..count).map(|_| rng.i32(-9999..9999)).collect()
}

/// Calls `run` on random ranges, multiples of `step`, that cover `0..rows`.
fn in_ranges(
    rng: &mut fastrand::Rng,
    rows: usize,
    step: usize,
    mut run: impl FnMut(std::ops::Range<usize>),
) {
    let mut from = 0;
    while from < rows {
        let to = (from + step * rng.usize(1..=rows.div_ceil(step))).min(rows);
        run(from..to);
        from = to;
    }
}

struct Case {
    geometry: Geometry,
    input: Sample,
    columns: usize,
}

impl Case {
    fn random(rng: &mut fastrand::Rng, channels: usize, columns: usize) -> Self {
        let kernel = [rng.usize(1..5), rng.usize(1..5)];
        let stride = [rng.usize(1..4), rng.usize(1..4)];
        let dilation = if rng.bool() { [1, 1] } else { [rng.usize(1..4), rng.usize(1..4)] };
        let geometry = Geometry {
            in_height: rng.usize(1..14),
            in_width: rng.usize(1..40),
            in_channels: channels,
            kernel,
            stride,
            dilation,
            pad_top: rng.isize(-2..5),
            pad_left: rng.isize(-2..5),
            out_height: rng.usize(1..12),
            out_width: rng.usize(1..30),
        };
        Self::of(rng, geometry, columns)
    }

    fn of(rng: &mut fastrand::Rng, geometry: Geometry, columns: usize) -> Self {
        let Geometry { in_height, in_width, in_channels, .. } = geometry;
        Case { geometry, input: Sample::new(rng, [in_height, in_width, in_channels]), columns }
    }

    /// The definition.
    fn sum(&self, weights: &[i16], y: usize, x: usize, column: usize) -> i32 {
        let Geometry { kernel, stride, dilation, pad_top, pad_left, in_channels, .. } =
            self.geometry;
        let mut sum = 0;
        for ky in 0..kernel[0] {
            for kx in 0..kernel[1] {
                let iy = (y * stride[0] + ky * dilation[0]) as isize - pad_top;
                let ix = (x * stride[1] + kx * dilation[1]) as isize - pad_left;
                for c in 0..in_channels {
                    let at = ((column * kernel[0] + ky) * kernel[1] + kx) * in_channels + c;
                    sum += self.input.at(iy, ix, c) * i32::from(weights[at]);
                }
            }
        }
        sum
    }

    fn check(&self, rng: &mut fastrand::Rng, bits9: bool) -> Vec<&'static str> {
        let Geometry { kernel: [kernel_y, kernel_x], in_channels, out_height, out_width, .. } =
            self.geometry;
        let columns = self.columns;
        let terms = kernel_y * kernel_x * in_channels;
        let weights = weights(rng, columns * terms, bits9);
        let bias = biases(rng, columns);
        let requantize = requantize(rng, columns, terms);
        // Two segments, the second first, with gaps.
        let cut = rng.usize(..=columns);
        let pixel_pitch = columns + rng.usize(..5);
        let row_pitch = out_width * pixel_pitch + rng.usize(..5);
        let segments = vec![
            Segment { column: 0, columns: cut, offset: columns - cut },
            Segment { column: cut, columns: columns - cut, offset: 0 },
        ];
        let placement = Placement { row_pitch, pixel_pitch, segments };
        let mut expected = vec![55; out_height * row_pitch];
        let mut expected_sums = vec![55; out_height * row_pitch];
        for y in 0..out_height {
            for x in 0..out_width {
                for column in 0..columns {
                    let sum = self.sum(&weights, y, x, column) + bias[column];
                    let at = y * row_pitch + x * pixel_pitch;
                    expected_sums[at + column] = sum;
                    let place = if column < cut { columns - cut + column } else { column - cut };
                    expected[at + place] = requantize.apply(sum, column);
                }
            }
        }
        let mut algorithms = Vec::new();
        for kernels in Kernels::all_available() {
            let zero_point = self.input.zero_point;
            let convolution = DenseConvolution::new(
                kernels,
                self.geometry,
                &weights,
                &bias,
                zero_point,
                requantize.clone(),
                placement.clone(),
            );
            algorithms.push(convolution.algorithm());
            let mut out = vec![55; out_height * row_pitch];
            let mut scratch = vec![0xAA; convolution.scratch_bytes()];
            in_ranges(rng, out_height, convolution.row_step(), |rows| {
                let out = &mut out[rows.start * row_pitch..rows.end * row_pitch];
                convolution.run(&self.input.picture(), rows, out, &mut scratch);
            });
            assert!(out == expected, "{kernels:?} {} {:?}", convolution.algorithm(), self.geometry);
            let convolution =
                DenseConvolution::sums(kernels, self.geometry, &weights, &bias, zero_point);
            let mut out = vec![55; out_height * row_pitch];
            let mut scratch = vec![0xAA; convolution.scratch_bytes()];
            in_ranges(rng, out_height, convolution.row_step(), |rows| {
                let out = &mut out[rows.start * row_pitch..rows.end * row_pitch];
                convolution.run_sums(
                    &self.input.picture(),
                    rows,
                    out,
                    row_pitch,
                    pixel_pitch,
                    &mut scratch,
                );
            });
            assert!(out == expected_sums, "{kernels:?} sums {:?}", self.geometry);
        }
        algorithms
    }
}

#[test]
fn dense_convolutions_are_exact() {
    let rng = &mut fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let (channels, columns) = (rng.usize(1..40), rng.usize(1..70));
        let bits9 = rng.bool();
        Case::random(rng, channels, columns).check(rng, bits9);
    }
}

#[test]
fn pointwise_convolutions_are_exact() {
    let rng = &mut fastrand::Rng::with_seed(2);
    for _ in 0..200 {
        let (channels, columns) = (rng.usize(1..200), rng.usize(1..70));
        let (height, width) = (rng.usize(1..10), rng.usize(1..60));
        let geometry = Geometry {
            in_height: height,
            in_width: width,
            in_channels: channels,
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad_top: 0,
            pad_left: 0,
            out_height: height,
            out_width: width,
        };
        let mut case = Case::of(rng, geometry, columns);
        case.input.data.truncate(height * case.input.row_pitch);
        let bits9 = rng.u8(..4) == 0;
        case.check(rng, bits9);
    }
}

#[test]
fn depthwise_convolutions_are_exact() {
    let rng = &mut fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let channels = rng.usize(1..150);
        let mut case = Case::random(rng, channels, channels);
        if rng.bool() {
            // The common kernel, which sets know by heart.
            case.geometry.kernel = [3, 3];
            case.geometry.dilation = [rng.usize(1..3), 1];
        }
        let Geometry {
            kernel: [kernel_y, kernel_x],
            out_height,
            out_width,
            stride,
            dilation,
            pad_top,
            pad_left,
            ..
        } = case.geometry;
        let bits9 = rng.bool();
        let weights = weights(rng, kernel_y * kernel_x * channels, bits9);
        let bias = biases(rng, channels);
        let requantize = requantize(rng, channels, kernel_y * kernel_x);
        let pixel_pitch = channels + rng.usize(..5);
        let row_pitch = out_width * pixel_pitch + rng.usize(..5);
        let mut expected = vec![55; out_height * row_pitch];
        for y in 0..out_height {
            for x in 0..out_width {
                for c in 0..channels {
                    let mut sum = bias[c];
                    for ky in 0..kernel_y {
                        for kx in 0..kernel_x {
                            let iy = (y * stride[0] + ky * dilation[0]) as isize - pad_top;
                            let ix = (x * stride[1] + kx * dilation[1]) as isize - pad_left;
                            let weight = weights[(ky * kernel_x + kx) * channels + c];
                            sum += case.input.at(iy, ix, c) * i32::from(weight);
                        }
                    }
                    expected[y * row_pitch + x * pixel_pitch + c] = requantize.apply(sum, c);
                }
            }
        }
        for kernels in Kernels::all_available() {
            let convolution = DepthwiseConvolution::new(
                kernels,
                case.geometry,
                &weights,
                &bias,
                case.input.zero_point,
                requantize.clone(),
                row_pitch,
                pixel_pitch,
            );
            let mut out = vec![55; out_height * row_pitch];
            let mut scratch = vec![0xAA; convolution.scratch_bytes()];
            in_ranges(rng, out_height, convolution.row_step(), |rows| {
                let out = &mut out[rows.start * row_pitch..rows.end * row_pitch];
                convolution.run(&case.input.picture(), rows, out, &mut scratch);
            });
            assert!(out == expected, "{kernels:?} {:?}", case.geometry);
        }
    }
}
