//! Splits an operator's output rows over the threads.

use super::view::PictureMut;
use std::ops::Range;

/// Computes all `rows` of an operator: `work(rows, their output, scratch)`, one part for each
/// scratch buffer, in the current thread pool. Parts begin at multiples of `step` rows, and a row
/// stands for `scale` rows of `out`.
pub fn split<W>(
    rows: Range<usize>,
    step: usize,
    scale: usize,
    out: PictureMut,
    scratch: &mut [Vec<u8>],
    work: &W,
) where
    W: Fn(Range<usize>, PictureMut, &mut [u8]) + Sync,
{
    let steps = rows.len().div_ceil(step);
    if scratch.len() < 2 || steps < 2 {
        if let Some(scratch) = scratch.first_mut() {
            work(rows, out, scratch);
        }
        return;
    }
    let half = scratch.len() / 2;
    let (left, right) = scratch.split_at_mut(half);
    let (parts, before) = (left.len() + right.len(), left.len());
    let middle = rows.start + steps * before / parts * step;
    let above = ((middle - rows.start) * scale).min(out.height);
    let (first, second) = cut(out, above);
    rayon::join(
        || split(rows.start..middle, step, scale, first, left, work),
        || split(middle..rows.end, step, scale, second, right, work),
    );
}

/// The first `height` rows, and the others.
fn cut(picture: PictureMut, height: usize) -> (PictureMut, PictureMut) {
    let at = (height * picture.row_pitch).min(picture.data.len());
    let (above, below) = picture.data.split_at_mut(at);
    let first = PictureMut { data: above, height, ..picture };
    let second = PictureMut { data: below, height: picture.height - height, ..picture };
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_computed_once_whatever_the_number_of_threads() {
        for (parts, rows, step, scale) in [(1, 5, 1, 1), (2, 9, 4, 1), (3, 7, 1, 2), (4, 2, 1, 3)] {
            let (height, row_pitch) = (rows * scale, 6);
            let mut data = vec![0i8; height * row_pitch];
            let out = PictureMut {
                data: &mut data,
                height,
                width: 3,
                channels: 2,
                row_pitch,
                pixel_pitch: 2,
            };
            let mut scratch = vec![vec![0u8; 1]; parts];
            split(0..rows, step, scale, out, &mut scratch, &|rows: Range<usize>, out, _| {
                assert_eq!(rows.start % step, 0);
                assert_eq!(out.height, rows.len() * scale);
                for (row, y) in out.data.chunks_mut(row_pitch).zip(rows.start * scale..) {
                    row.iter_mut().for_each(|x| *x += y as i8 + 1);
                }
            });
            for (y, row) in data.chunks(row_pitch).enumerate() {
                assert!(row.iter().all(|x| *x == y as i8 + 1), "{parts} parts, row {y}: {row:?}");
            }
        }
    }
}
