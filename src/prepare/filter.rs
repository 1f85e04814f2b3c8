//! The two passes of resizing: first down the columns, over the bytes as they lie in memory
//! whatever they stand for, then along the row, sample by sample ([`super::along`]).

use super::Placement;
use super::along::{Column, Columns, MARGIN, ROWS, transpose};
use super::span::{ONE, Span, WEIGHT_BITS, spans};
use crate::frame::color::{BLOCK, CHROMA_BITS, LUMA_BITS};
use crate::frame::{Frame, Layout, PixelFormat};
use crate::simd::widest;

/// Bytes of a row filtered at once.
const LANES: usize = 16;
/// As many bytes as add up in 16 bits.
const MAX_INNER: u32 = 257;
/// Bits of the weights down the columns.
const COLUMN_BITS: u32 = 15;

/// Where a sample lies: in which plane, at which byte, with how many bytes to the next one,
/// and whether it belongs to a pair of pixels.
struct Sample(usize, usize, usize, bool);

fn samples_of(format: PixelFormat) -> &'static [Sample] {
    const Y: Sample = Sample(0, 0, 1, false);
    match format {
        PixelFormat::Yuyv => {
            &[Sample(0, 0, 2, false), Sample(0, 1, 4, true), Sample(0, 3, 4, true)]
        }
        PixelFormat::Uyvy => {
            &[Sample(0, 1, 2, false), Sample(0, 0, 4, true), Sample(0, 2, 4, true)]
        }
        PixelFormat::Nv12 => &[Y, Sample(1, 0, 2, true), Sample(1, 1, 2, true)],
        PixelFormat::I420 => &[Y, Sample(1, 0, 1, true), Sample(2, 0, 1, true)],
        PixelFormat::Rgb => {
            &[Sample(0, 0, 3, false), Sample(0, 1, 3, false), Sample(0, 2, 3, false)]
        }
        PixelFormat::Bgr => {
            &[Sample(0, 2, 3, false), Sample(0, 1, 3, false), Sample(0, 0, 3, false)]
        }
        PixelFormat::Grey => &[Y],
    }
}

/// Tables and row buffers for one layout and placement.
#[derive(Debug, Default)]
pub struct Filter {
    rows: Vec<Span>,
    /// For samples of single pixels and of pairs, counted from `Plane::start`.
    columns: [Columns; 2],
    planes: [Plane; 3],
    weights: Weights,
    /// The filtered rows of each sample, column by column, filled up to whole blocks.
    samples: [Vec<[i16; BLOCK]>; 3],
    count: usize,
}

#[derive(Debug, Default)]
struct Plane {
    /// Of the first byte needed in row 0.
    start: usize,
    stride: usize,
    halved: bool,
    /// Bytes needed of a row.
    bytes: usize,
    /// These filtered down the columns, with [`LUMA_BITS`], row by row.
    rows: Vec<u16>,
    /// The same column by column, and [`MARGIN`] more.
    columns: Vec<Column>,
}

impl Filter {
    /// Makes the tables for the first `count` samples (at most what the format has).
    pub fn plan(&mut self, layout: &Layout, placement: &Placement, count: usize) {
        let Placement { source, target, .. } = placement;
        self.rows.clear();
        self.rows.extend(spans(source.y, source.height, target.height, layout.height));
        let columns = || spans(source.x, source.width, target.width, layout.width);
        let (first, end) = columns()
            .fold((u32::MAX, 0), |(first, end), span| (first.min(span.start), end.max(span.end)));
        // Even, so that pairs stay pairs.
        let first = first / 2 * 2;
        let shifted =
            |span: Span| Span { start: span.start - first, end: span.end - first, ..span };
        let [single, halved] = &mut self.columns;
        single.set(columns().map(shifted));
        halved.set(single.spans.iter().map(Span::halved));

        let starts = plane_starts(layout);
        for (index, plane) in self.planes.iter_mut().enumerate() {
            plane.stride = if index == 0 { layout.stride } else { layout.chroma_stride() };
            plane.halved = index > 0;
            plane.bytes = 0;
            plane.start = starts[index];
        }
        let samples = samples_of(layout.format);
        self.count = count.min(samples.len());
        for (index, Sample(plane, _, step, pairs)) in samples[..self.count].iter().enumerate() {
            let divisor = if *pairs { 2 } else { 1 };
            let plane = &mut self.planes[*plane];
            plane.start = starts[samples[index].0] + first as usize / divisor * step;
            let bytes = ((end - first) as usize / divisor + 1) * step;
            plane.bytes = plane.bytes.max(bytes);
            plane.rows.resize(plane.bytes * ROWS, 0);
            plane.columns.resize(plane.bytes + MARGIN, Column::default());
            let blocks = (target.width as usize * ROWS).div_ceil(BLOCK);
            self.samples[index].resize(blocks, [0; BLOCK]);
        }
    }

    /// Filters what makes the target's rows from `y` on: [`ROWS`], or as many as there are.
    pub fn rows(&mut self, frame: &Frame, y: u32) {
        let spans = &self.rows[y as usize..];
        for plane in self.planes.iter_mut().filter(|plane| plane.bytes > 0) {
            let bytes = &frame.data[plane.start..];
            for (span, row) in spans.iter().zip(plane.rows.chunks_exact_mut(plane.bytes)) {
                let span = if plane.halved { span.halved() } else { *span };
                self.weights.set(&span);
                let weights = &self.weights;
                widest(
                    #[inline(always)]
                    || weights.down_columns(bytes, plane.stride, &span, row),
                );
            }
            widest(
                #[inline(always)]
                || transpose(&plane.rows, &mut plane.columns),
            );
        }
        let samples = &samples_of(frame.layout.format)[..self.count];
        for (Sample(plane, offset, step, pairs), out) in samples.iter().zip(&mut self.samples) {
            let row = &self.planes[*plane].columns[*offset..];
            let columns = &self.columns[usize::from(*pairs)];
            // The last block may have room for a column more.
            let lanes = &mut out.as_flattened_mut().as_chunks_mut().0[..columns.spans.len()];
            match step {
                1 => columns.along_rows::<1>(row, lanes),
                2 => columns.along_rows::<2>(row, lanes),
                3 => columns.along_rows::<3>(row, lanes),
                _ => columns.along_rows::<4>(row, lanes),
            }
            if *pairs {
                for sample in lanes.as_flattened_mut() {
                    *sample = (*sample - (128 << LUMA_BITS)) << (CHROMA_BITS - LUMA_BITS);
                }
            }
        }
    }

    /// The filtered rows: luma, red, green, blue and grey with [`LUMA_BITS`], chroma less 128
    /// with [`CHROMA_BITS`]; [`ROWS`] samples of a column, then those of the next. Only the
    /// first `count` of the plan are filled.
    pub fn samples(&self) -> [&[[i16; BLOCK]]; 3] {
        self.samples.each_ref().map(Vec::as_slice)
    }
}

/// Where each plane begins.
fn plane_starts(layout: &Layout) -> [usize; 3] {
    let second = layout.stride * layout.height as usize;
    [0, second, second + layout.chroma_stride() * (layout.height as usize).div_ceil(2)]
}

/// The weights of one span down the columns, in 16-bit lanes. They stand in memory, lane by
/// lane, because only so the compiler sees that a product of 16-bit lanes is meant.
#[derive(Debug, Default)]
struct Weights {
    first: [u16; LANES],
    middle: [u16; LANES],
    last: [u16; LANES],
    /// Brings the sum of the inner bytes to nearly 16 bits.
    shift: u32,
    /// Half of what the products lose by rounding down.
    bias: u16,
}

impl Weights {
    // Not inlined, lest the lanes be known to be equal.
    #[inline(never)]
    fn set(&mut self, span: &Span) {
        self.shift = (MAX_INNER / span.inner().clamp(1, MAX_INNER)).ilog2();
        self.first.fill(rounded(span.first, COLUMN_BITS) as u16);
        self.last.fill(rounded(span.last, COLUMN_BITS) as u16);
        // Outer bytes are shifted by 8.
        self.middle.fill(rounded(span.middle, COLUMN_BITS + 8 - self.shift) as u16);
        self.bias = u16::from(span.inner() > 0);
    }

    /// Filters the bytes of the rows `span`, `stride` apart, into `out`, with [`LUMA_BITS`].
    #[inline(always)]
    fn down_columns(&self, bytes: &[u8], stride: usize, span: &Span, out: &mut [u16]) {
        let length = out.len();
        let row = |y: u32| &bytes[y as usize * stride..][..length];
        let first = row(span.start);
        if span.start == span.end {
            for (out, byte) in out.iter_mut().zip(first) {
                *out = u16::from(*byte) << LUMA_BITS;
            }
            return;
        }
        if span.inner() > MAX_INNER {
            for (x, out) in out.iter_mut().enumerate() {
                *out = column(&bytes[x..], stride, span);
            }
            return;
        }
        out.fill(0);
        let mut y = span.start + 1;
        while y + 3 < span.end {
            add([row(y), row(y + 1), row(y + 2)], out);
            y += 3;
        }
        match span.end - y {
            0 => {}
            1 => add([row(y)], out),
            2 => add([row(y), row(y + 1)], out),
            _ => add([row(y), row(y + 1), row(y + 2)], out),
        }
        let (blocks, rest) = out.as_chunks_mut();
        let outer = first.as_chunks().0.iter().zip(row(span.end).as_chunks().0);
        for (out, (first, last)) in blocks.iter_mut().zip(outer) {
            self.combine(first, last, out);
        }
        if !rest.is_empty() {
            let mut block = [0; LANES];
            block[..rest.len()].copy_from_slice(rest);
            let [first, last] = [span.start, span.end].map(|y| {
                let mut bytes = [0; LANES];
                bytes[..rest.len()].copy_from_slice(&row(y)[length - rest.len()..]);
                bytes
            });
            self.combine(&first, &last, &mut block);
            rest.copy_from_slice(&block[..rest.len()]);
        }
    }

    /// Turns the sum of the inner bytes into the weighted mean of all.
    #[inline(always)]
    fn combine(&self, first: &[u8; LANES], last: &[u8; LANES], sum: &mut [u16; LANES]) {
        let mut mean = [0; LANES];
        for x in 0..LANES {
            mean[x] = mul_high(u16::from(first[x]) << 8, self.first[x])
                + mul_high(u16::from(last[x]) << 8, self.last[x])
                + mul_high(sum[x] << self.shift, self.middle[x])
                + self.bias;
        }
        *sum = mean;
    }
}

/// Adds rows of bytes up.
#[inline(always)]
fn add<const N: usize>(rows: [&[u8]; N], sums: &mut [u16]) {
    let rows = rows.map(|row| &row[..sums.len()]);
    for (x, sum) in sums.iter_mut().enumerate() {
        *sum += rows.iter().map(|row| u16::from(row[x])).sum::<u16>();
    }
}

/// A weight with fewer bits.
pub fn rounded(weight: u32, bits: u32) -> u32 {
    let shift = WEIGHT_BITS - bits;
    (weight + (1 << (shift - 1))) >> shift
}

#[inline(always)]
fn mul_high(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

/// One column of more rows than 16 bits can add up.
fn column(bytes: &[u8], stride: usize, span: &Span) -> u16 {
    let byte = |y: u32| u32::from(bytes[y as usize * stride]);
    let inner: u32 = (span.start + 1..span.end).map(byte).sum();
    weighted(span, byte(span.start) << LUMA_BITS, inner << LUMA_BITS, byte(span.end) << LUMA_BITS)
}

#[inline(always)]
pub fn weighted(span: &Span, first: u32, inner: u32, last: u32) -> u16 {
    let product = |value: u32, weight: u32| u64::from(value) * u64::from(weight);
    let sum = product(first, span.first) + product(inner, span.middle) + product(last, span.last);
    ((sum + u64::from(ONE / 2)) >> WEIGHT_BITS) as u16
}
