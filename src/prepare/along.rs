//! The second pass of resizing: along the row, eight rows of the target at once, a lane each.

use super::filter::{rounded, weighted};
use super::span::Span;
use crate::simd::widest;
use std::array::from_fn;

/// Rows of the target made at once: along the row each is a lane.
pub const ROWS: usize = 8;
/// A column of them: words of four little-endian lanes.
pub type Column = [[u8; 8]; ROWS / 4];
/// Values after the end of a row that may be looked at.
pub const MARGIN: usize = 4 * MAX_TAPS;
/// Up to so many samples a span of columns is a table of weights with so many bits.
const MAX_TAPS: usize = 6;
const TAP_BITS: u32 = 16;

/// The spans of the target's columns, as the second pass wants them.
#[derive(Debug, Default)]
pub struct Columns {
    pub spans: Vec<Span>,
    /// Samples of the longest span.
    taps: usize,
    /// Up to [`MAX_TAPS`]: so many weights for each span, with [`TAP_BITS`]. One is too much
    /// for them, but what it lacks is lost in rounding.
    weights: Vec<u16>,
    /// Each span is a single sample.
    single: bool,
}

impl Columns {
    pub fn set(&mut self, spans: impl Iterator<Item = Span>) {
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
                (rounded(sum, TAP_BITS) - before).min(u32::from(u16::MAX)) as u16
            }));
        }
    }

    /// Makes one sample of each span from rows whose samples are `STEP` apart, and which go
    /// on for [`MARGIN`] values after the last one.
    pub fn along_rows<const STEP: usize>(&self, row: &[Column], out: &mut [[i16; ROWS]]) {
        match self.taps {
            _ if self.single => {
                for (out, span) in out.iter_mut().zip(&self.spans) {
                    *out = lanes(&row[span.start as usize * STEP]).map(|sample| sample as i16);
                }
            }
            2 => self.few::<STEP, 2>(row, out),
            3 => self.few::<STEP, 3>(row, out),
            4 => self.few::<STEP, 4>(row, out),
            5 => self.few::<STEP, 5>(row, out),
            6 => self.few::<STEP, 6>(row, out),
            _ => {
                for (out, span) in out.iter_mut().zip(&self.spans) {
                    *out = from_fn(|lane| many::<STEP>(row, lane, span));
                }
            }
        }
    }

    /// The same number of taps for each span is some products too many, but no branch, which
    /// would be foretold wrongly too often.
    fn few<const STEP: usize, const TAPS: usize>(&self, row: &[Column], out: &mut [[i16; ROWS]]) {
        let spans = self.spans.iter().zip(self.weights.as_chunks::<TAPS>().0);
        widest(
            #[inline(always)]
            || {
                for (out, (span, weights)) in out.iter_mut().zip(spans) {
                    let samples = &row[span.start as usize * STEP..][..(TAPS - 1) * STEP + 1];
                    let mut sums = [1_u32 << (TAP_BITS - 1); ROWS];
                    for tap in 0..TAPS {
                        let (samples, weight) = (lanes(&samples[tap * STEP]), weights[tap]);
                        for lane in 0..ROWS {
                            sums[lane] += u32::from(samples[lane]) * u32::from(weight);
                        }
                    }
                    for lane in 0..ROWS {
                        out[lane] = (sums[lane] >> TAP_BITS) as i16;
                    }
                }
            },
        );
    }
}

fn many<const STEP: usize>(row: &[Column], lane: usize, span: &Span) -> i16 {
    let sample = |index: u32| u32::from(lanes(&row[index as usize * STEP])[lane]);
    let inner = (span.start + 1..span.end).map(sample).sum();
    weighted(span, sample(span.start), inner, sample(span.end)) as i16
}

/// Turns [`ROWS`] rows into columns: lanes are joined pair by pair, as wider and wider numbers.
#[inline(always)]
pub fn transpose(rows: &[u16], columns: &mut [Column]) {
    const BLOCK: usize = 64;
    let length = rows.len() / ROWS;
    let mut twos = [[0_u32; BLOCK]; ROWS / 2];
    for (block, columns) in columns[..length].chunks_mut(BLOCK).enumerate() {
        let count = columns.len();
        let row = |y: usize| &rows[y * length + block * BLOCK..][..count];
        for (y, twos) in twos.iter_mut().enumerate() {
            for ((two, even), odd) in twos.iter_mut().zip(row(2 * y)).zip(row(2 * y + 1)) {
                *two = u32::from(*even) | u32::from(*odd) << 16;
            }
        }
        let [a, b, c, d] = &twos;
        for ((((column, a), b), c), d) in columns.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let four = |even: u32, odd: u32| (u64::from(even) | u64::from(odd) << 32).to_le_bytes();
            *column = [four(*a, *b), four(*c, *d)];
        }
    }
}

/// The lanes of a column.
#[inline(always)]
fn lanes(column: &Column) -> [u16; ROWS] {
    let mut lanes = [0; ROWS];
    for (lane, bytes) in lanes.iter_mut().zip(column.as_flattened().as_chunks().0) {
        *lane = u16::from_le_bytes(*bytes);
    }
    lanes
}
