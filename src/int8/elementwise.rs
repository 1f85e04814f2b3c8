//! Operators of two activations, value by value.
//!
//! Either operand may be broadcast: with pitches of 0 (one vector of channels for all pixels, one
//! row for all), with a single channel for all, or both. Sizes are the output's.

use std::ops::Range;

use super::requantization::{Quantization, Saturate};
use super::view::{Picture, PictureMut};
use crate::simd::widest;

/// `y = a + b`, or with [`Add::subtract`] `a - b`: in single precision, operation by operation as
/// the graph has it: dequantize both, add, divide by the output's scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    a: Quantization,
    b: Quantization,
    scale: f32,
    saturate: Saturate,
}

impl Add {
    /// `low` and `high` are the bounds of a fused Relu or Clip, else -128 and 127.
    pub fn new(a: Quantization, b: Quantization, out: Quantization, low: i8, high: i8) -> Self {
        let saturate = Saturate::new(out.zero_point, low, high);
        Add { a, b, scale: out.scale, saturate }
    }

    /// `a - b`, bounds as in [`Add::new`].
    pub fn subtract(
        a: Quantization,
        b: Quantization,
        out: Quantization,
        low: i8,
        high: i8,
    ) -> Self {
        Self::new(a, Quantization { scale: -b.scale, ..b }, out, low, high)
    }

    /// Output rows `rows`, the first of which is `out`'s first.
    pub fn run(&self, a: &Picture, b: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        self.dispatch(Some(a), b, rows, out);
    }

    /// The output takes `a`'s place; `a` begins at row `rows.start`.
    pub fn run_in_place(&self, a: &mut PictureMut, b: &Picture, rows: Range<usize>) {
        self.dispatch(None, b, rows, a);
    }

    fn dispatch(&self, a: Option<&Picture>, b: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        widest(
            #[inline(always)]
            || self.run_here(a, b, rows, out),
        );
    }

    #[inline(always)]
    fn run_here(&self, a: Option<&Picture>, b: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        let Add { a: qa, b: qb, scale, saturate } = self.clone();
        let real = |x: i8, of: Quantization| (i32::from(x) - of.zero_point) as f32 * of.scale;
        combine(
            a,
            b,
            rows,
            out,
            #[inline(always)]
            |a, b| saturate.apply((real(a, qa) + real(b, qb)) / scale),
        );
    }
}

/// `y = a * b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mul {
    zero_points: [i32; 2],
    multiplier: f32,
    saturate: Saturate,
}

impl Mul {
    /// `low` and `high` are the bounds of a fused Relu or Clip, else -128 and 127.
    pub fn new(a: Quantization, b: Quantization, out: Quantization, low: i8, high: i8) -> Self {
        let multiplier = a.per(out) * f64::from(b.scale);
        Mul {
            zero_points: [a.zero_point, b.zero_point],
            multiplier: multiplier.min(f64::from(f32::MAX)) as f32,
            saturate: Saturate::new(out.zero_point, low, high),
        }
    }

    /// Output rows `rows`, the first of which is `out`'s first.
    pub fn run(&self, a: &Picture, b: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        self.dispatch(Some(a), b, rows, out);
    }

    /// The output takes `a`'s place; `a` begins at row `rows.start`.
    pub fn run_in_place(&self, a: &mut PictureMut, b: &Picture, rows: Range<usize>) {
        self.dispatch(None, b, rows, a);
    }

    fn dispatch(&self, a: Option<&Picture>, b: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        widest(
            #[inline(always)]
            || self.run_here(a, b, rows, out),
        );
    }

    #[inline(always)]
    fn run_here(&self, a: Option<&Picture>, b: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        let (saturate, multiplier, [za, zb]) = (self.saturate, self.multiplier, self.zero_points);
        combine(
            a,
            b,
            rows,
            out,
            #[inline(always)]
            |a, b| {
                let product = (i32::from(a) - za) * (i32::from(b) - zb);
                saturate.apply(product as f32 * multiplier)
            },
        );
    }
}

/// An operand as a run of the output's values sees it.
#[derive(Clone, Copy)]
enum Values<'a> {
    Each(&'a [i8]),
    All(i8),
}

/// One row of an operand.
#[derive(Clone, Copy)]
struct Row<'a> {
    data: &'a [i8],
    pixel_pitch: usize,
    /// One value stands for all channels of a pixel (and with a pitch of 0 for all pixels).
    single: bool,
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn of(picture: &Picture<'a>, row: usize, channels: usize) -> Self {
        let pixel_pitch = picture.pixel_pitch;
        let single = picture.channels == 1 && (channels > 1 || pixel_pitch == 0);
        Row { data: &picture.data[row * picture.row_pitch..], pixel_pitch, single }
    }

    /// The whole row can be taken as one run of values.
    #[inline(always)]
    fn is_one_run(&self, channels: usize) -> bool {
        self.pixel_pitch == if self.single { 0 } else { channels }
    }

    #[inline(always)]
    fn values(&self, pixel: usize, count: usize) -> Values<'a> {
        let start = pixel * self.pixel_pitch;
        match self.single {
            true => Values::All(self.data[start]),
            false => Values::Each(&self.data[start..start + count]),
        }
    }
}

/// `out = f(a, b)`; without `a`, `out` is `a`.
#[inline(always)]
fn combine(
    a: Option<&Picture>,
    b: &Picture,
    rows: Range<usize>,
    out: &mut PictureMut,
    f: impl Fn(i8, i8) -> i8 + Copy,
) {
    let channels = out.channels;
    if out.width == 0 || channels == 0 {
        return;
    }
    for (index, row) in rows.enumerate() {
        let a = a.map(|a| Row::of(a, row, channels));
        let b = Row::of(b, row, channels);
        let row = &mut out.data[index * out.row_pitch..];
        let one_run = out.pixel_pitch == channels
            && b.is_one_run(channels)
            && a.is_none_or(|a| a.is_one_run(channels));
        let (runs, count) = match one_run {
            true => (1, out.width * channels),
            false => (out.width, channels),
        };
        for run in 0..runs {
            let out = &mut row[run * out.pixel_pitch..][..count];
            each(out, a.map(|a| a.values(run, count)), b.values(run, count), f);
        }
    }
}

#[inline(always)]
fn each(out: &mut [i8], a: Option<Values>, b: Values, f: impl Fn(i8, i8) -> i8 + Copy) {
    use Values::{All, Each};
    match (a, b) {
        (None, All(b)) => {
            map(
                out,
                #[inline(always)]
                |a| f(a, b),
            );
        }
        (None, Each(b)) => zip(out, b, f),
        (Some(All(a)), All(b)) => out.fill(f(a, b)),
        (Some(All(a)), Each(b)) => {
            zip(
                out,
                b,
                #[inline(always)]
                |_, b| f(a, b),
            );
        }
        (Some(Each(a)), All(b)) => {
            zip(
                out,
                a,
                #[inline(always)]
                |_, a| f(a, b),
            );
        }
        (Some(Each(a)), Each(b)) => zip3(out, a, b, f),
    }
}

#[inline(always)]
fn map(out: &mut [i8], f: impl Fn(i8) -> i8) {
    for out in out {
        *out = f(*out);
    }
}

#[inline(always)]
fn zip(out: &mut [i8], a: &[i8], f: impl Fn(i8, i8) -> i8) {
    for (out, a) in out.iter_mut().zip(a) {
        *out = f(*out, *a);
    }
}

#[inline(always)]
fn zip3(out: &mut [i8], a: &[i8], b: &[i8], f: impl Fn(i8, i8) -> i8) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = f(*a, *b);
    }
}

#[cfg(test)]
mod tests;
