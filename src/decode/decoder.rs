//! Upsampling and argmax in one, without the upsampled scores.
//!
//! Bilinear interpolation is a convex combination of a cell's four corner samples, with the
//! same weights for every class. If class k has the largest score at all four corners, then
//! sum(w * score_k) >= sum(w * score_j) for every j: k wins in the whole cell. So classes are
//! decided once for each sample, cells with equal corners are filled as runs, and only the
//! cells that a boundary crosses are interpolated. The same holds for the sign of
//! p - threshold. [`mix`] rounds monotonically, so it holds for the computed numbers too; only
//! where rounding makes classes equal does the corners' class win over the lowest one.

use super::axis::{Cell, LANES};
use super::scores::side;
use super::{Axis, DecodeError, LabelMap, Mapping, Scores, UNLABELLED, mix};
use crate::config::card::{Kind, MAX_CLASSES};
use std::ops::Range;

/// Corners that differ, or hold NaN: looked at pixel by pixel.
const MIXED: u8 = UNLABELLED;

/// Turns a network's output into class ids, keeping its buffers from frame to frame.
#[derive(Debug)]
pub struct Decoder {
    kind: Kind,
    threshold: f32,
    classes: usize,
    /// The class of each sample.
    winners: Vec<u8>,
    /// The classes of two rows of samples, [`MIXED`] where they differ.
    merged: Vec<u8>,
    candidates: Vec<Candidate>,
    columns: Axis,
    rows: Axis,
}

/// A class that may win somewhere in a cell.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    class: u8,
    /// Scores at top left, top right, bottom left, bottom right.
    corners: [f32; 4],
    /// Between the corners, at the row in work.
    left: f32,
    right: f32,
}

impl Decoder {
    /// `threshold` is in the output's own units and serves `probability` alone. `classes` is
    /// the number that the card has; 0: as many as the network.
    pub fn new(kind: Kind, threshold: f32, classes: usize) -> Decoder {
        Decoder {
            kind,
            threshold,
            classes,
            winners: Vec::new(),
            merged: Vec::new(),
            candidates: Vec::new(),
            columns: Axis::default(),
            rows: Axis::default(),
        }
    }

    /// Writes the ids of the frame pixels in `mapping.write` and `mapping.placement.source`
    /// into `out`, which has the frame's size. Other pixels stay as they are.
    ///
    /// A pixel where no class has a number (NaN) becomes [`UNLABELLED`], and so does an id
    /// that is no class.
    pub fn decode(
        &mut self,
        scores: &Scores,
        mapping: &Mapping,
        out: &mut LabelMap,
    ) -> Result<(), DecodeError> {
        self.check(scores.channels)?;
        let frame = [out.height, out.width];
        let samples = [scores.height, scores.width];
        Axis::map(&mut self.columns, &mut self.rows, mapping, frame, samples)?;
        match self.kind {
            Kind::Scores => scores.argmax(&mut self.winners),
            Kind::Probability => scores.above(self.threshold, &mut self.winners),
            Kind::Labels => {
                let classes = if self.classes == 0 { MAX_CLASSES } else { self.classes };
                scores.ids(classes, &mut self.winners);
                self.nearest(scores.width, out);
                return Ok(());
            }
        }
        self.upsample(scores, out);
        Ok(())
    }

    /// Whether an output of so many channels is what the card says.
    pub fn check(&self, channels: usize) -> Result<(), DecodeError> {
        let (kind, expected) = match self.kind {
            Kind::Labels if channels != 1 => ("labels", "1".to_owned()),
            Kind::Probability if channels != 1 => ("probability", "1".to_owned()),
            Kind::Scores if channels == 1 => ("scores", "one a class, at least 2".to_owned()),
            Kind::Scores if self.classes != 0 && channels != self.classes => {
                ("scores", format!("one for each of the card's {} classes", self.classes))
            }
            _ => return Ok(()),
        };
        Err(DecodeError::Channels { kind, found: channels, expected })
    }

    fn nearest(&self, width: usize, out: &mut LabelMap) {
        let stride = out.width as usize;
        for row in &self.rows.cells {
            let mut previous = None;
            for (y, weight) in self.rows.pixels(*row) {
                let sample = if weight < 0.5 { row.low } else { row.high };
                let line = y * stride;
                if previous == Some(sample)
                    && let (Some(first), Some(last)) =
                        (self.columns.cells.first(), self.columns.cells.last())
                {
                    let above = line - stride;
                    out.ids.copy_within(above + first.start..above + last.end, line + first.start);
                    continue;
                }
                previous = Some(sample);
                let ids = &self.winners[sample * width..][..width];
                let line = &mut out.ids[line..][..stride];
                for column in &self.columns.cells {
                    let (low, high) = (ids[column.low], ids[column.high]);
                    for (x, weight) in self.columns.pixels(*column) {
                        line[x] = if weight < 0.5 { low } else { high };
                    }
                }
            }
        }
    }

    fn upsample(&mut self, scores: &Scores, out: &mut LabelMap) {
        let width = scores.width;
        for index in 0..self.rows.cells.len() {
            let row = self.rows.cells[index];
            let low = &self.winners[row.low * width..][..width];
            let high = &self.winners[row.high * width..][..width];
            self.merged.clear();
            let pairs = low.iter().zip(high);
            self.merged.extend(pairs.map(|(low, high)| if low == high { *low } else { MIXED }));

            let mut index = 0;
            while let Some(&column) = self.columns.cells.get(index) {
                let last = column.low + run(&self.merged[column.low..]) - 1;
                let class = self.merged[last];
                match self.columns.cells_within(index, last) {
                    uniform @ [.., end] if class != MIXED => {
                        index += uniform.len();
                        fill(out, row, column.start..end.end, class);
                    }
                    _ => {
                        index += 1;
                        match self.kind {
                            Kind::Probability => self.compare(scores, row, column, out),
                            _ => self.interpolate(scores, row, column, out),
                        }
                    }
                }
            }
        }
    }

    /// Compares each pixel of a cell whose corners differ with the threshold.
    fn compare(&self, scores: &Scores, row: Cell, column: Cell, out: &mut LabelMap) {
        let [a, b] = [column.low, column.high].map(|x| scores.at(0, row.low, x));
        let [c, d] = [column.low, column.high].map(|x| scores.at(0, row.high, x));
        let weights = self.columns.weights(column);
        for (y, down) in self.rows.pixels(row) {
            let (left, right) = (mix(a, c, down), mix(b, d, down));
            let line = &mut out.ids[y * out.width as usize..][column.start..column.end];
            for (id, weight) in line.iter_mut().zip(weights) {
                *id = side(mix(left, right, *weight), self.threshold) as u8;
            }
        }
    }

    /// Decides each pixel of a cell whose corners differ.
    fn interpolate(&mut self, scores: &Scores, row: Cell, column: Cell, out: &mut LabelMap) {
        let at_row = |y: usize| [(y, column.low), (y, column.high)];
        let ([first, second], [third, fourth]) = (at_row(row.low), at_row(row.high));
        let places = [first, second, third, fourth];
        self.candidates.clear();
        // Some class is nowhere in the cell below this score.
        let mut floor = f32::NEG_INFINITY;
        for class in 0..scores.channels {
            let corners = places.map(|(y, x)| scores.at(class, y, x));
            let [a, b, c, d] = corners;
            if !(a + b + c + d).is_nan() {
                floor = floor.max(a.min(b).min(c.min(d)));
            }
            self.candidates.push(Candidate { class: class as u8, corners, left: 0.0, right: 0.0 });
        }
        self.candidates.retain(|candidate| candidate.corners.iter().any(|score| *score >= floor));

        for (y, down) in self.rows.pixels(row) {
            for candidate in &mut self.candidates {
                let [a, b, c, d] = candidate.corners;
                (candidate.left, candidate.right) = (mix(a, c, down), mix(b, d, down));
            }
            let line = &mut out.ids[y * out.width as usize..][column.start..column.end];
            let starts = (column.start..).step_by(LANES);
            for (ids, start) in line.chunks_mut(LANES).zip(starts) {
                let weights = self.columns.weights_from(start);
                for (id, winner) in ids.iter_mut().zip(winners(&self.candidates, weights)) {
                    *id = winner as u8;
                }
            }
        }
    }
}

/// The best class at each weight; [`UNLABELLED`] where all are NaN.
#[inline]
fn winners(candidates: &[Candidate], weights: &[f32; LANES]) -> [u32; LANES] {
    let mut ids = [u32::from(UNLABELLED); LANES];
    let mut best = [f32::NEG_INFINITY; LANES];
    for candidate in candidates {
        for ((&weight, best), id) in weights.iter().zip(&mut best).zip(&mut ids) {
            let score = mix(candidate.left, candidate.right, weight);
            let wins = score > *best;
            *best = if wins { score } else { *best };
            *id = if wins { u32::from(candidate.class) } else { *id };
        }
    }
    ids
}

fn fill(out: &mut LabelMap, row: Cell, columns: Range<usize>, class: u8) {
    let stride = out.width as usize;
    for y in row.start..row.end {
        out.ids[y * stride..][columns.clone()].fill(class);
    }
}

/// How many classes at the beginning are equal.
fn run(classes: &[u8]) -> usize {
    let Some(&class) = classes.first() else { return 0 };
    let (words, _) = classes.as_chunks::<8>();
    let equal = 8 * words.iter().take_while(|word| **word == [class; 8]).count();
    equal + classes[equal..].iter().take_while(|next| **next == class).count()
}
