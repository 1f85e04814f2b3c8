//! The two passes of resizing: first down the columns, over the bytes as they lie in memory
//! whatever they stand for, then along the row, sample by sample.

use super::Placement;
use super::span::{ONE, Span, WEIGHT_BITS, spans};
use crate::frame::color::{BLOCK, CHROMA_BITS, LUMA_BITS};
use crate::frame::{Frame, Layout, PixelFormat};

/// Bytes of a row filtered at once.
const LANES: usize = 32;
/// As many bytes as add up in 16 bits.
const MAX_INNER: u32 = 257;
/// Values after the end of a row that may be looked at.
const MARGIN: usize = 4 * MAX_TAPS;
/// Up to so many samples a span of columns is a table of weights with so many bits.
const MAX_TAPS: usize = 6;
const TAP_BITS: u32 = 16;
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
    /// One filtered row of each sample, filled up to whole blocks.
    samples: [Vec<[i16; BLOCK]>; 3],
    count: usize,
}

#[derive(Debug, Default)]
struct Columns {
    spans: Vec<Span>,
    /// Samples of the longest span.
    taps: usize,
    /// Up to [`MAX_TAPS`]: so many weights for each span, with [`TAP_BITS`].
    weights: Vec<u32>,
    /// Each span is a single sample.
    single: bool,
}

#[derive(Debug, Default)]
struct Plane {
    /// Of the first byte needed in row 0.
    start: usize,
    stride: usize,
    halved: bool,
    /// Bytes needed of a row.
    bytes: usize,
    /// These filtered down the columns, with [`LUMA_BITS`], and [`MARGIN`] more.
    row: Vec<u16>,
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
            plane.row.resize(plane.bytes + MARGIN, 0);
            let blocks = (target.width as usize).div_ceil(BLOCK);
            self.samples[index].resize(blocks, [0; BLOCK]);
        }
    }

    /// Filters what makes row `y` of the target.
    pub fn row(&mut self, frame: &Frame, y: u32) {
        let span = self.rows[y as usize];
        for plane in &mut self.planes {
            if plane.bytes > 0 {
                let span = if plane.halved { span.halved() } else { span };
                let bytes = &frame.data[plane.start..];
                let row = &mut plane.row[..plane.bytes];
                self.weights.down_columns(bytes, plane.stride, &span, row);
            }
        }
        let samples = &samples_of(frame.layout.format)[..self.count];
        for (Sample(plane, offset, step, pairs), out) in samples.iter().zip(&mut self.samples) {
            let row = &self.planes[*plane].row[*offset..];
            let columns = &self.columns[usize::from(*pairs)];
            let out = out.as_flattened_mut();
            match step {
                1 => columns.along_row::<1>(row, out),
                2 => columns.along_row::<2>(row, out),
                3 => columns.along_row::<3>(row, out),
                _ => columns.along_row::<4>(row, out),
            }
            if *pairs {
                for sample in out {
                    *sample = (*sample - (128 << LUMA_BITS)) << (CHROMA_BITS - LUMA_BITS);
                }
            }
        }
    }

    /// The filtered row: luma, red, green, blue and grey with [`LUMA_BITS`], chroma less 128
    /// with [`CHROMA_BITS`]. Only the first `count` of the plan are filled.
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
        self.shift = (MAX_INNER / span.inner().max(1)).ilog2();
        self.first.fill(rounded(span.first, COLUMN_BITS) as u16);
        self.last.fill(rounded(span.last, COLUMN_BITS) as u16);
        // Outer bytes are shifted by 8.
        self.middle.fill(rounded(span.middle, COLUMN_BITS + 8 - self.shift) as u16);
        self.bias = u16::from(span.inner() > 0);
    }

    /// Filters the bytes of the rows `span`, `stride` apart, into `out`, with [`LUMA_BITS`].
    // Not inlined, like the other two loops: each needs all registers.
    #[inline(never)]
    fn down_columns(&mut self, bytes: &[u8], stride: usize, span: &Span, out: &mut [u16]) {
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
        self.set(span);
        out.fill(0);
        let mut y = span.start + 1;
        while y + 1 < span.end {
            add([row(y), row(y + 1)], out);
            y += 2;
        }
        if y < span.end {
            add([row(y)], out);
        }
        let rows = first.chunks(LANES).zip(row(span.end).chunks(LANES));
        for (out, (first, last)) in out.chunks_mut(LANES).zip(rows) {
            self.combine(first, last, out);
        }
    }

    /// Turns the sum of the inner bytes into the weighted mean of all.
    #[inline(always)]
    fn combine(&self, first: &[u8], last: &[u8], sum: &mut [u16]) {
        let outer = first.iter().zip(&self.first).zip(last.iter().zip(&self.last));
        let inner = sum.iter_mut().zip(&self.middle);
        for ((sum, middle), ((first, first_weight), (last, last_weight))) in inner.zip(outer) {
            *sum = mul_high(u16::from(*first) << 8, *first_weight)
                + mul_high(u16::from(*last) << 8, *last_weight)
                + mul_high(*sum << self.shift, *middle)
                + self.bias;
        }
    }
}

/// Adds rows of bytes up.
#[inline(never)]
fn add<const N: usize>(rows: [&[u8]; N], sums: &mut [u16]) {
    let rows = rows.map(|row| &row[..sums.len()]);
    for (x, sum) in sums.iter_mut().enumerate() {
        for row in rows {
            *sum += u16::from(row[x]);
        }
    }
}

/// A weight with fewer bits.
fn rounded(weight: u32, bits: u32) -> u32 {
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
fn weighted(span: &Span, first: u32, inner: u32, last: u32) -> u16 {
    let product = |value: u32, weight: u32| u64::from(value) * u64::from(weight);
    let sum = product(first, span.first) + product(inner, span.middle) + product(last, span.last);
    ((sum + u64::from(ONE / 2)) >> WEIGHT_BITS) as u16
}

impl Columns {
    fn set(&mut self, spans: impl Iterator<Item = Span>) {
        self.spans.clear();
        self.spans.extend(spans);
        self.single = self.spans.iter().all(|span| span.start == span.end);
        let most = self.spans.iter().map(|span| span.end - span.start).max().unwrap_or(0);
        self.taps = most as usize + 1;
        self.weights.clear();
        if self.single || self.taps > MAX_TAPS {
            return;
        }
        for span in &self.spans {
            // Rounds the running sum, so that the weights still add up to one.
            let mut sum = 0;
            self.weights.extend((span.start..=span.start + most).map(|index| {
                let before = rounded(sum, TAP_BITS);
                sum += span.weight(index);
                rounded(sum, TAP_BITS) - before
            }));
        }
    }

    /// Makes one sample of each span from a row whose samples are `STEP` apart, and which
    /// goes on for [`MARGIN`] values after the last one.
    #[inline(never)]
    fn along_row<const STEP: usize>(&self, row: &[u16], out: &mut [i16]) {
        match self.taps {
            _ if self.single => {
                for (out, span) in out.iter_mut().zip(&self.spans) {
                    *out = row[span.start as usize * STEP] as i16;
                }
            }
            2 => self.few::<STEP, 2>(row, out),
            3 => self.few::<STEP, 3>(row, out),
            4 => self.few::<STEP, 4>(row, out),
            5 => self.few::<STEP, 5>(row, out),
            6 => self.few::<STEP, 6>(row, out),
            _ => {
                for (out, span) in out.iter_mut().zip(&self.spans) {
                    *out = many::<STEP>(row, span);
                }
            }
        }
    }

    /// The same number of taps for each span is some products too many, but no branch, which
    /// would be foretold wrongly too often.
    fn few<const STEP: usize, const TAPS: usize>(&self, row: &[u16], out: &mut [i16]) {
        let spans = self.spans.iter().zip(self.weights.as_chunks::<TAPS>().0);
        for (out, (span, weights)) in out.iter_mut().zip(spans) {
            let samples = &row[span.start as usize * STEP..][..(TAPS - 1) * STEP + 1];
            let mut sum = 1 << (TAP_BITS - 1);
            for tap in 0..TAPS {
                sum += u32::from(samples[tap * STEP]) * weights[tap];
            }
            *out = (sum >> TAP_BITS) as i16;
        }
    }
}

fn many<const STEP: usize>(row: &[u16], span: &Span) -> i16 {
    let sample = |index: u32| u32::from(row[index as usize * STEP]);
    let inner = (span.start + 1..span.end).map(sample).sum();
    weighted(span, sample(span.start), inner, sample(span.end)) as i16
}
