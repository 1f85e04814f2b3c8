//! An image of any size as overlapping tiles.
//!
//! The overlap-tile strategy of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks
//! for Biomedical Image Segmentation", 2015, section 1: every tile sees more of the image than
//! it labels, and what lies beyond the image is its mirror image.

use super::Mapping;
use crate::frame::MAX_SIDE;
use crate::prepare::{Placement, Rect};
use thiserror::Error;

/// More tiles a frame would take too long for an answer.
pub const MAX_TILES: u64 = 1 << 16;

/// The network's side of the matter; sizes are `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    pub input: [u32; 2],
    /// Samples of the output.
    pub output: [u32; 2],
    /// The part of the input that the output covers, in input pixels; the whole input but for
    /// networks with unpadded convolutions.
    pub window: Rect,
    /// Pixels at each side of the input whose labels are not used: at least the radius of the
    /// receptive field for an answer without seams, 0 for unpadded networks.
    pub overlap: u32,
    /// Tiles begin at multiples of this many pixels: the product of the network's strides, so
    /// that every tile pools the same groups of pixels.
    pub stride: u32,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum TileError {
    #[error("{what} is {found}: 1 to {MAX_SIDE} pixels are expected")]
    Size { what: &'static str, found: u32 },
    #[error(
        "the network's output covers pixels {start} to {end} of an input of {input}: it must lie inside"
    )]
    Window { start: i64, end: i64, input: u32 },
    #[error(
        "tiles of {input} pixels with an overlap of {overlap} on each side leave {inner}, but steps are multiples of {stride}; lower [input] overlap or take a larger [input] size"
    )]
    Overlap { input: u32, overlap: u32, inner: i64, stride: u32 },
    #[error(
        "{found} tiles are needed, at most {MAX_TILES} are made; lower [input] overlap or take a larger [input] size"
    )]
    Count { found: u64 },
}

/// The tiles along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Steps {
    first: i64,
    step: i64,
    last: i64,
    count: u64,
    /// The input pixels whose labels are used begin here.
    inner: i64,
    frame: i64,
}

impl Steps {
    /// `window` is start and length.
    fn new(
        frame: u32,
        [input, output, overlap, stride]: [u32; 4],
        window: (i32, u32),
    ) -> Result<Steps, TileError> {
        let sizes = [("the frame's side", frame), ("the input's side", input)];
        let sizes =
            sizes.into_iter().chain([("the output's side", output), ("the stride", stride)]);
        for (what, found) in sizes {
            if !(1..=MAX_SIDE).contains(&found) {
                return Err(TileError::Size { what, found });
            }
        }
        let (start, length) = (i64::from(window.0), i64::from(window.1));
        let end = start + length;
        if start < 0 || length == 0 || end > i64::from(input) {
            return Err(TileError::Window { start, end, input });
        }
        // Beside the window's edge one of two samples to interpolate between is missing: up
        // to half the distance of two samples.
        let distance = i64::from(window.1.div_ceil(output));
        let edge = if distance > 1 { (distance + 1) / 2 } else { 0 };
        let inner = (start + edge).max(i64::from(overlap));
        let inner_end = (end - edge).min(i64::from(input) - i64::from(overlap));
        let (stride, frame) = (i64::from(stride), i64::from(frame));
        let step = (inner_end - inner).div_euclid(stride) * stride;
        if step <= 0 {
            let stride = stride as u32;
            return Err(TileError::Overlap { input, overlap, inner: inner_end - inner, stride });
        }
        // The first tile labels pixel 0; the last one is the first that reaches the end.
        let first = (-inner).div_euclid(stride) * stride;
        let last = (-(inner_end - frame).div_euclid(stride) * stride).max(first);
        let count = 1 + ((last - first) as u64).div_ceil(step as u64);
        Ok(Steps { first, step, last, count, inner, frame })
    }

    /// Where tile `index` begins, and the frame pixels that it labels.
    fn tile(&self, index: u64) -> (i64, i64, i64) {
        let origin = |index: u64| (self.first + index as i64 * self.step).min(self.last);
        // Each tile labels up to where the next one's regular step begins.
        let border = |index: u64| match index {
            0 => 0,
            _ if index == self.count => self.frame,
            _ => self.first + index as i64 * self.step + self.inner,
        };
        (origin(index), border(index), border(index + 1))
    }
}

/// The tiles of one frame size. Their `write` rectangles are disjoint and cover the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePlan {
    tiling: Tiling,
    columns: Steps,
    rows: Steps,
}

impl TilePlan {
    pub fn new(width: u32, height: u32, tiling: Tiling) -> Result<TilePlan, TileError> {
        let Tiling { input, output, window, overlap, stride } = tiling;
        let along = |axis: usize| [input[axis], output[axis], overlap, stride];
        let columns = Steps::new(width, along(1), (window.x, window.width))?;
        let rows = Steps::new(height, along(0), (window.y, window.height))?;
        match columns.count * rows.count {
            found if found > MAX_TILES => Err(TileError::Count { found }),
            _ => Ok(TilePlan { tiling, columns, rows }),
        }
    }

    /// How many tiles there are: at least one.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        (self.columns.count * self.rows.count) as usize
    }

    /// The tiles, row by row.
    pub fn tiles(&self) -> impl Iterator<Item = Mapping> + '_ {
        let rows = (0..self.rows.count).map(|index| self.rows.tile(index));
        rows.flat_map(move |row| {
            let columns = (0..self.columns.count).map(|index| self.columns.tile(index));
            columns.map(move |column| self.mapping(column, row))
        })
    }

    fn mapping(
        &self,
        (x, left, right): (i64, i64, i64),
        (y, top, bottom): (i64, i64, i64),
    ) -> Mapping {
        let [height, width] = self.tiling.input;
        Mapping {
            placement: Placement {
                source: Rect { x: x as i32, y: y as i32, width, height },
                target: Rect { x: 0, y: 0, width, height },
                input: self.tiling.input,
            },
            window: self.tiling.window,
            write: Rect {
                x: left as i32,
                y: top as i32,
                width: (right - left) as u32,
                height: (bottom - top) as u32,
            },
        }
    }
}

#[cfg(test)]
mod tests;
