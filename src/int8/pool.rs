//! Pooling: the largest or the mean of a window. A global pooling's window is the whole picture.

use std::ops::Range;

use super::requantization::{Quantization, Saturate};
use super::view::{Picture, PictureMut};
use crate::simd::widest;

/// The window of a pooling, vertical then horizontal; kernel, stride and dilation at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Padding at the top and at the left.
    pub before: [usize; 2],
    /// Padding at the bottom and at the right.
    pub after: [usize; 2],
}

/// The positions of a window on one axis that lie inside the picture.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    count: usize,
    /// Those that lie inside the padded picture.
    padded: usize,
}

impl Window {
    /// The window of a global pooling.
    pub fn global(height: usize, width: usize) -> Self {
        let ones = [1, 1];
        Window {
            kernel: [height, width],
            stride: ones,
            dilation: ones,
            before: [0, 0],
            after: [0, 0],
        }
    }

    #[inline(always)]
    fn span(&self, axis: usize, index: usize, size: usize) -> Span {
        let (kernel, dilation) = (self.kernel[axis], self.dilation[axis]);
        // Positions count from the start of the padding.
        let start = index * self.stride[axis];
        let before = |end: usize| {
            let reach = end.saturating_sub(start);
            // A division takes longer than the rest.
            let taps = if dilation == 1 { reach } else { reach.div_ceil(dilation) };
            taps.min(kernel)
        };
        let outside = before(self.before[axis]);
        Span {
            first: (start + outside * dilation).saturating_sub(self.before[axis]),
            count: before(self.before[axis] + size) - outside,
            padded: before(self.before[axis] + size + self.after[axis]),
        }
    }

    /// The output columns, of `out`, whose horizontal tap `tap` lies inside the picture.
    #[inline(always)]
    fn reached(&self, tap: usize, width: usize, out: usize) -> Range<usize> {
        let (stride, before) = (self.stride[1], self.before[1]);
        let offset = tap * self.dilation[1];
        let behind = |end: usize| end.saturating_sub(offset).div_ceil(stride).min(out);
        behind(before)..behind(before + width)
    }
}

/// The part of a window that lies inside the picture, at one pixel.
#[derive(Clone, Copy)]
struct Inside<'a> {
    data: &'a [i8],
    start: usize,
    rows: usize,
    row_step: usize,
    columns: usize,
    column_step: usize,
    /// Positions inside the padded picture.
    padded: usize,
}

impl Inside<'_> {
    /// Calls `f` with N channels, from `channel` on, of each position.
    #[inline(always)]
    fn for_each<const N: usize>(&self, channel: usize, mut f: impl FnMut(&[i8; N])) {
        for row in 0..self.rows {
            let start = self.start + row * self.row_step + channel;
            for column in 0..self.columns {
                let at = start + column * self.column_step;
                if let Some(values) = self.data.get(at..).and_then(|rest| rest.first_chunk()) {
                    f(values);
                }
            }
        }
    }
}

/// Calls `f` with what each output pixel sees of the input, and where the pixel is in `out`.
#[inline(always)]
fn for_each_pixel(
    window: &Window,
    input: &Picture,
    rows: Range<usize>,
    out: &mut PictureMut,
    mut f: impl FnMut(Inside, &mut [i8]),
) {
    for (index, row) in rows.enumerate() {
        let vertical = window.span(0, row, input.height);
        for column in 0..out.width {
            let horizontal = window.span(1, column, input.width);
            let inside = Inside {
                data: input.data,
                start: vertical.first * input.row_pitch + horizontal.first * input.pixel_pitch,
                rows: vertical.count,
                row_step: window.dilation[0] * input.row_pitch,
                columns: horizontal.count,
                column_step: window.dilation[1] * input.pixel_pitch,
                padded: vertical.padded * horizontal.padded,
            };
            let at = index * out.row_pitch + column * out.pixel_pitch;
            f(inside, &mut out.data[at..at + out.channels]);
        }
    }
}

/// The largest of each window; padding never wins. Scale and zero point stay.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool {
    window: Window,
}

impl MaxPool {
    pub fn new(window: Window) -> Self {
        MaxPool { window }
    }

    /// Output rows `rows`, the first of which is `out`'s first.
    pub fn run(&self, input: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        widest(
            #[inline(always)]
            || self.run_here(input, rows, out),
        );
    }

    /// Tap after tap over a whole output row: few long loops.
    #[inline(always)]
    fn run_here(&self, input: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        let window = &self.window;
        let (channels, width) = (out.channels, out.width);
        if channels == 0 || width == 0 {
            return;
        }
        // Those further right lie outside for every pixel.
        let inside = (window.before[1] + input.width).div_ceil(window.dilation[1]);
        let taps = window.kernel[1].min(inside);
        for (index, row) in rows.enumerate() {
            let out_row = &mut out.data[index * out.row_pitch..];
            if out.pixel_pitch == channels {
                out_row[..width * channels].fill(i8::MIN);
            } else {
                for x in 0..width {
                    out_row[x * out.pixel_pitch..][..channels].fill(i8::MIN);
                }
            }
            let vertical = window.span(0, row, input.height);
            for tap in 0..vertical.count {
                let y = vertical.first + tap * window.dilation[0];
                let input_row = &input.data[y * input.row_pitch..];
                for tap in 0..taps {
                    let Range { start, end } = window.reached(tap, input.width, width);
                    if start < end {
                        let x = start * window.stride[1] + tap * window.dilation[1];
                        raise(
                            &mut out_row[start * out.pixel_pitch..],
                            out.pixel_pitch,
                            &input_row[(x - window.before[1]) * input.pixel_pitch..],
                            window.stride[1] * input.pixel_pitch,
                            end - start,
                            channels,
                        );
                    }
                }
            }
        }
    }
}

/// Each of `pixels` output pixels, `out_step` apart, becomes the larger of itself and its input.
#[inline(always)]
fn raise(
    out: &mut [i8],
    out_step: usize,
    input: &[i8],
    input_step: usize,
    pixels: usize,
    channels: usize,
) {
    if out_step == channels && input_step == channels {
        let values = pixels * channels;
        out[..values]
            .iter_mut()
            .zip(&input[..values])
            .for_each(|(out, input)| *out = (*out).max(*input));
        return;
    }
    for pixel in 0..pixels {
        let out = &mut out[pixel * out_step..][..channels];
        let input = &input[pixel * input_step..][..channels];
        let (out_blocks, out_rest) = out.as_chunks_mut::<16>();
        let (input_blocks, input_rest) = input.as_chunks::<16>();
        for (out, input) in out_blocks.iter_mut().zip(input_blocks) {
            *out = std::array::from_fn(|lane| out[lane].max(input[lane]));
        }
        out_rest.iter_mut().zip(input_rest).for_each(|(out, input)| *out = (*out).max(*input));
    }
}

/// The mean of each window.
#[derive(Clone, Debug, PartialEq)]
pub struct AveragePool {
    window: Window,
    count_include_pad: bool,
    zero_point: i32,
    ratio: f64,
    saturate: Saturate,
}

impl AveragePool {
    /// Padding counts as zeroes with `count_include_pad`, else it is left out; what a rounded up
    /// output size adds behind the padding is always left out. `low` and `high` are the bounds
    /// of a fused Relu or Clip, else -128 and 127.
    ///
    /// There is none for windows whose sums do not fit 32 bits (more than 2^23 positions).
    pub fn new(
        window: Window,
        count_include_pad: bool,
        input: Quantization,
        out: Quantization,
        low: i8,
        high: i8,
    ) -> Option<Self> {
        let positions = window.kernel[0].checked_mul(window.kernel[1])?;
        (positions <= 1 << 23).then(|| AveragePool {
            window,
            count_include_pad,
            zero_point: input.zero_point,
            ratio: input.per(out),
            saturate: Saturate::new(out.zero_point, low, high),
        })
    }

    /// Output rows `rows`, the first of which is `out`'s first.
    pub fn run(&self, input: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        widest(
            #[inline(always)]
            || self.run_here(input, rows, out),
        );
    }

    #[inline(always)]
    fn run_here(&self, input: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        for_each_pixel(
            &self.window,
            input,
            rows,
            out,
            #[inline(always)]
            |inside, out| {
                let mean = self.mean(&inside);
                let (blocks, rest) = out.as_chunks_mut::<32>();
                let mut channel = 0;
                for out in blocks {
                    *out = mean.of(sums(&inside, channel));
                    channel += 32;
                }
                let (blocks, rest) = rest.as_chunks_mut::<16>();
                for out in blocks {
                    *out = mean.of(sums(&inside, channel));
                    channel += 16;
                }
                for out in rest {
                    [*out] = mean.of(sums(&inside, channel));
                    channel += 1;
                }
            },
        );
    }

    #[inline(always)]
    fn mean(&self, inside: &Inside) -> Mean {
        let positions = inside.rows * inside.columns;
        let divisor = if self.count_include_pad { inside.padded } else { positions };
        Mean {
            multiplier: (self.ratio / divisor.max(1) as f64) as f32,
            zero: self.zero_point * positions as i32,
            saturate: self.saturate,
        }
    }
}

/// From the sum of a window to its mean.
#[derive(Clone, Copy)]
struct Mean {
    multiplier: f32,
    /// The sum of the zero points.
    zero: i32,
    saturate: Saturate,
}

impl Mean {
    #[inline(always)]
    fn of<const N: usize>(&self, sums: [i32; N]) -> [i8; N] {
        let mut means = [0; N];
        for (mean, sum) in means.iter_mut().zip(sums) {
            *mean = self.saturate.apply((sum - self.zero) as f32 * self.multiplier);
        }
        means
    }
}

/// Sums of bytes, in 16 bits as long as they fit.
#[inline(always)]
fn sums<const N: usize>(inside: &Inside, channel: usize) -> [i32; N] {
    const FIT: u32 = 255;
    let mut sums = [0i32; N];
    let mut short = [0i16; N];
    let mut added = 0;
    inside.for_each(
        channel,
        #[inline(always)]
        |values: &[i8; N]| {
            if added == FIT {
                for (sum, short) in sums.iter_mut().zip(&mut short) {
                    *sum += i32::from(*short);
                    *short = 0;
                }
                added = 0;
            }
            for (short, value) in short.iter_mut().zip(values) {
                *short += i16::from(*value);
            }
            added += 1;
        },
    );
    for (sum, short) in sums.iter_mut().zip(short) {
        *sum += i32::from(short);
    }
    sums
}

#[cfg(test)]
mod tests;
