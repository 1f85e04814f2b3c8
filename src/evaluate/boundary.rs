//! Whether boundaries lie where they should, which IoU hardly sees on large objects.

use super::{IGNORED, mean, ratio};
use crate::decode::LabelMap;

/// The boundary F1 (BF) of Csurka et al., picture by picture.
///
/// A boundary pixel of a class is one of the class that has a pixel which is not among its four
/// neighbours. It is found in the other map when a boundary pixel of the same class lies nearer
/// than 0.75 % of the picture's diagonal, from centre to centre. Precision is the found share
/// of the predicted boundary, recall of the true one, F1 = 2 P R / (P + R); 0 where only one of
/// the maps has the boundary.
///
/// A class's measure is the mean over the pictures where one of the maps has its boundary. The
/// measure over all is the mean over the pictures of the mean over the classes, as in the paper.
///
/// Pixels without a truth ([`IGNORED`]) are no boundary and make their neighbours none; a pixel
/// without a label is a neighbour of another class. The picture's border is no boundary.
///
/// The distances are exact: by columns for all pixels, then along the row for boundary pixels
/// alone, as far as the tolerance goes. A class costs two passes over the box around its
/// boundaries for each map, and a boundary pixel at most twice the tolerance in pixels; a picture
/// needs four bytes a pixel.
#[derive(Clone, Debug)]
pub struct Boundaries {
    /// Of each class: the sum over its pictures, and how many these are.
    classes: Vec<(f64, u64)>,
    /// Of the pictures' means.
    all: (f64, u64),
    /// Boundary pixels hold their class, all others [`NONE`].
    edges: [Vec<u8>; 2],
    /// Rows to the next boundary pixel in the same column.
    nearest: Vec<u16>,
}

/// Not on a boundary.
const NONE: u8 = 255;
/// No boundary pixel in this column.
const FAR: u16 = u16::MAX;

impl Boundaries {
    pub fn new(classes: usize) -> Boundaries {
        let none = (0.0, 0);
        Boundaries {
            classes: vec![none; classes],
            all: none,
            edges: [Vec::new(), Vec::new()],
            nearest: Vec::new(),
        }
    }

    pub fn class(&self, class: usize) -> Option<f64> {
        let &(sum, pictures) = self.classes.get(class)?;
        (pictures > 0).then(|| sum / pictures as f64)
    }

    pub fn mean(&self) -> Option<f64> {
        let (sum, pictures) = self.all;
        (pictures > 0).then(|| sum / pictures as f64)
    }

    /// Adds a picture. Maps of different sizes have nothing in common and are left out.
    pub fn add(&mut self, truth: &LabelMap, predicted: &LabelMap) {
        if truth.ids.len() != predicted.ids.len() || truth.width != predicted.width {
            return;
        }
        let count = self.classes.len();
        for (map, edges) in [truth, predicted].into_iter().zip(&mut self.edges) {
            trace(map, truth, count, edges);
        }
        let width = truth.width as usize;
        let reach = reach(truth.width, truth.height);
        let boxes = boxes(&self.edges, width, count);
        let scores = boxes.iter().enumerate().map(|(class, area)| {
            let area = area.as_ref()?;
            let [truth, predicted] = &self.edges;
            let recall = area.found(class as u8, [predicted, truth], &reach, &mut self.nearest);
            let precision = area.found(class as u8, [truth, predicted], &reach, &mut self.nearest);
            let (Some(recall), Some(precision)) = (recall, precision) else { return Some(0.0) };
            let sum = precision + recall;
            Some(if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 })
        });
        let scores: Vec<Option<f64>> = scores.collect();
        let add = |(sum, pictures): &mut (f64, u64), score: Option<f64>| {
            *sum += score.unwrap_or(0.0);
            *pictures += u64::from(score.is_some());
        };
        for (class, score) in self.classes.iter_mut().zip(&scores) {
            add(class, *score);
        }
        add(&mut self.all, mean(scores));
    }
}

/// Writes the class of each boundary pixel of `map`.
fn trace(map: &LabelMap, truth: &LabelMap, classes: usize, edges: &mut Vec<u8>) {
    let width = map.width as usize;
    edges.clear();
    edges.resize(map.ids.len(), 0);
    // 1 where the neighbour is known and another.
    let mark = |edges: &mut [u8], ids: &[u8], others: &[u8], truths: &[u8]| {
        for (((edge, id), other), truth) in edges.iter_mut().zip(ids).zip(others).zip(truths) {
            *edge |= u8::from(id != other) & u8::from(*truth != IGNORED);
        }
    };
    for y in 0..map.height {
        let edges = &mut edges[y as usize * width..][..width];
        let (ids, truths) = (map.row(y), truth.row(y));
        if y > 0 {
            mark(edges, ids, map.row(y - 1), truth.row(y - 1));
        }
        if y + 1 < map.height {
            mark(edges, ids, map.row(y + 1), truth.row(y + 1));
        }
        mark(&mut edges[1..], &ids[1..], ids, truths);
        mark(edges, ids, &ids[1..], &truths[1..]);
        for ((edge, id), truth) in edges.iter_mut().zip(ids).zip(truths) {
            let counts = *edge != 0 && *truth != IGNORED && usize::from(*id) < classes;
            *edge = if counts { *id } else { NONE };
        }
    }
}

/// For each number of columns within the tolerance, how many rows further still are.
fn reach(width: u32, height: u32) -> Vec<u16> {
    // d < 3/400 sqrt(w² + h²), in whole numbers: d² 160000 < 9 (w² + h²).
    let square = |side: u32| u64::from(side) * u64::from(side);
    let most = (9 * (square(width) + square(height))).saturating_sub(1) / 160_000;
    (0..=most.isqrt()).map(|columns| (most - columns * columns).isqrt() as u16).collect()
}

/// The rectangle around a class's boundaries in both maps.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
    /// Of the maps.
    width: usize,
}

fn boxes(edges: &[Vec<u8>; 2], width: usize, classes: usize) -> Vec<Option<Area>> {
    let mut boxes: Vec<Option<Area>> = vec![None; classes];
    for edges in edges {
        for (y, row) in edges.chunks_exact(width.max(1)).enumerate() {
            for (x, &class) in row.iter().enumerate().filter(|(_, class)| **class != NONE) {
                let one = Area { left: x, right: x + 1, top: y, bottom: y + 1, width };
                let area = boxes[usize::from(class)].get_or_insert(one);
                area.left = area.left.min(x);
                area.right = area.right.max(x + 1);
                area.top = area.top.min(y);
                area.bottom = area.bottom.max(y + 1);
            }
        }
    }
    boxes
}

impl Area {
    fn row<'a>(&self, edges: &'a [u8], y: usize) -> &'a [u8] {
        &edges[y * self.width..][self.left..self.right]
    }

    /// The share of the second map's boundary that is near the first map's; None where the
    /// second has none.
    fn found(
        &self,
        class: u8,
        [seeds, asked]: [&[u8]; 2],
        reach: &[u16],
        nearest: &mut Vec<u16>,
    ) -> Option<f64> {
        let width = self.right - self.left;
        nearest.clear();
        nearest.resize(width * (self.bottom - self.top), FAR);
        // Rows to the next one above.
        let mut above: &mut [u16] = &mut vec![FAR; width];
        for (y, row) in (self.top..).zip(nearest.chunks_exact_mut(width)) {
            let seeds = self.row(seeds, y);
            for ((near, above), seed) in row.iter_mut().zip(above.iter()).zip(seeds) {
                *near = if *seed == class { 0 } else { above.saturating_add(1) };
            }
            above = row;
        }
        // With those below, from the bottom up; a row is done with once it is asked.
        let mut below = vec![FAR; width];
        let (mut found, mut all) = (0, 0);
        for (y, row) in (self.top..self.bottom).zip(nearest.chunks_exact(width)).rev() {
            for (below, near) in below.iter_mut().zip(row) {
                *below = (*near).min(below.saturating_add(1));
            }
            for x in positions(self.row(asked, y), class) {
                let near = |(across, rows): (usize, &u16)| {
                    let left = x.checked_sub(across).map(|x| below[x]);
                    let right = below.get(x + across).copied();
                    left.is_some_and(|found| found <= *rows)
                        || right.is_some_and(|found| found <= *rows)
                };
                found += u64::from(reach.iter().enumerate().any(near));
                all += 1;
            }
        }
        ratio(found, all)
    }
}

/// Where a class is in a row, most of which is something else.
fn positions(row: &[u8], class: u8) -> impl Iterator<Item = usize> {
    const BLOCK: usize = 64;
    let blocks = row.chunks(BLOCK).zip((0..).step_by(BLOCK));
    blocks.filter(move |(block, _)| block.contains(&class)).flat_map(move |(block, start)| {
        let found = block.iter().zip(start..).filter(move |(id, _)| **id == class);
        found.map(|(_, x)| x)
    })
}

#[cfg(test)]
mod tests;
