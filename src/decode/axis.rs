//! Where the pixels of one frame axis lie among the samples of the network's output.

use super::{DecodeError, MAX_SCORE_SIDE, Mapping};
use crate::prepare::Rect;

/// Positions between two samples are multiples of 2^-22: exact as `f32`, and so is 1 - weight.
const WEIGHT_BITS: u32 = 22;
/// How far from the origin a rectangle may begin.
const MAX_OFFSET: i32 = 1 << 20;
/// Pixels interpolated at once.
pub(super) const LANES: usize = 8;

/// Pixels that lie between the same two samples, or all on one (`low == high`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub low: usize,
    pub high: usize,
    /// Frame pixels `start..end`.
    pub start: usize,
    pub end: usize,
}

/// What one axis of a [`Mapping`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// Start and length.
    source: (i32, u32),
    target: (i32, u32),
    window: (i32, u32),
    write: (i32, u32),
}

/// The cells that hold pixels, in pixel order, and the pixels' weights.
#[derive(Debug, Default)]
pub(crate) struct Axis {
    made_for: Option<(Span, usize, u32)>,
    pub cells: Vec<Cell>,
    /// How far each written pixel is from its low (0) to its high sample (1), and [`LANES`]
    /// zeros.
    weights: Vec<f32>,
    /// For each sample, how many cells end on it or before.
    ended: Vec<usize>,
    first: usize,
}

impl Axis {
    /// Prepares both axes (columns, rows) for a frame and an output of `[height, width]`.
    pub fn map(
        columns: &mut Axis,
        rows: &mut Axis,
        mapping: &Mapping,
        frame: [u32; 2],
        samples: [usize; 2],
    ) -> Result<(), DecodeError> {
        let Mapping { placement, window, write } = mapping;
        for rect in [&placement.source, &placement.target, window] {
            check(rect)?;
        }
        let x = |rect: &Rect| (rect.x, rect.width);
        let y = |rect: &Rect| (rect.y, rect.height);
        let span = |side: fn(&Rect) -> (i32, u32)| Span {
            source: side(&placement.source),
            target: side(&placement.target),
            window: side(window),
            write: side(write),
        };
        columns.fill(span(x), samples[1], frame[1]);
        rows.fill(span(y), samples[0], frame[0]);
        Ok(())
    }

    fn fill(&mut self, span: Span, samples: usize, frame: u32) {
        if self.made_for == Some((span, samples, frame)) {
            return;
        }
        self.made_for = Some((span, samples, frame));
        self.cells.clear();
        self.weights.clear();
        let wide = |(start, length): (i32, u32)| (i64::from(start), i64::from(length));
        let ((source, source_length), (target, target_length)) =
            (wide(span.source), wide(span.target));
        let ((window, window_length), (write, write_length)) =
            (wide(span.window), wide(span.write));
        let start = source.max(write).max(0);
        let end = (source + source_length).min(write + write_length).min(i64::from(frame));
        self.first = start as usize;

        // The centre of pixel x, in samples whose own centres are whole numbers:
        //   u = target + (x + 1/2 - source) * target_length / source_length    (input pixels)
        //   p = (u - window) * samples / window_length - 1/2
        // as a fraction of whole numbers below 2^56, so it is the same on every machine and in
        // every tile.
        let count = samples as i64;
        let denominator = 2 * source_length * window_length;
        for x in start..end {
            let input =
                2 * source_length * (target - window) + (2 * (x - source) + 1) * target_length;
            let position = input * count - source_length * window_length;
            let low = position.div_euclid(denominator).clamp(0, count - 1);
            let rest = (position - low * denominator).clamp(0, denominator);
            let weight = if low == count - 1 { 0 } else { (rest << WEIGHT_BITS) / denominator };
            self.weights.push(weight as f32 / (1 << WEIGHT_BITS) as f32);
            let (low, x) = (low as usize, x as usize);
            let high = if weight == 0 { low } else { low + 1 };
            match self.cells.last_mut() {
                Some(cell) if (cell.low, cell.high) == (low, high) => cell.end = x + 1,
                _ => self.cells.push(Cell { low, high, start: x, end: x + 1 }),
            }
        }
        self.weights.resize(self.weights.len() + LANES, 0.0);
        self.ended.clear();
        self.ended.resize(samples, 0);
        for (index, cell) in self.cells.iter().enumerate() {
            self.ended[cell.high] = index + 1;
        }
        let mut ended = 0;
        for count in &mut self.ended {
            ended = ended.max(*count);
            *count = ended;
        }
    }

    /// The cells from `index` on that need no sample past `last`.
    #[inline]
    pub fn cells_within(&self, index: usize, last: usize) -> &[Cell] {
        self.cells.get(index..self.ended[last]).unwrap_or_default()
    }

    /// The weights of a cell's pixels.
    #[inline]
    pub fn weights(&self, cell: Cell) -> &[f32] {
        &self.weights[cell.start - self.first..cell.end - self.first]
    }

    /// The weights of [`LANES`] pixels from `start` on, which may go past a cell's end.
    #[inline]
    pub(super) fn weights_from(&self, start: usize) -> &[f32; LANES] {
        self.weights[start - self.first..].first_chunk().unwrap_or(&[0.0; LANES])
    }

    /// The pixels of a cell with their weights.
    #[inline]
    pub fn pixels(&self, cell: Cell) -> impl Iterator<Item = (usize, f32)> + '_ {
        (cell.start..cell.end).zip(self.weights(cell).iter().copied())
    }
}

fn check(rect: &Rect) -> Result<(), DecodeError> {
    let sides = 1..=MAX_SCORE_SIDE as u32;
    let offsets = -MAX_OFFSET..=MAX_OFFSET;
    let inside = sides.contains(&rect.width) && sides.contains(&rect.height);
    if inside && offsets.contains(&rect.x) && offsets.contains(&rect.y) {
        return Ok(());
    }
    let Rect { x, y, width, height } = rect;
    Err(DecodeError::Rect { found: format!("{width}x{height} pixels at ({x}, {y})") })
}

/// Linear interpolation. Each rounding keeps order, so `a <= c` and `b <= d` give
/// `mix(a, b, w) <= mix(c, d, w)`; `a + (b - a) * w` would not.
#[inline]
pub(crate) fn mix(low: f32, high: f32, weight: f32) -> f32 {
    low * (1.0 - weight) + high * weight
}
