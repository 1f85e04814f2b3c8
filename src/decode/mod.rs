//! Scores -> [`LabelMap`].
//!
//! [`Scores`] borrow what the network gave, a [`Mapping`] says which frame pixels they speak
//! of, and a [`Decoder`] writes those pixels' class ids. [`TilePlan`] covers a frame of any
//! size with such mappings.

mod axis;
mod decoder;
mod scores;
#[cfg(test)]
pub(crate) mod speed;
#[cfg(test)]
mod tests;
mod tile;

pub(crate) use axis::{Axis, mix};
pub use decoder::Decoder;
pub use scores::{Elements, Scores};
pub use tile::{TileError, TilePlan, Tiling};

use crate::config::card::MAX_CLASSES;
use crate::prepare::{Placement, Rect};
use crate::simd::widest;
use thiserror::Error;

/// Not labelled: outside of what the network saw.
pub const UNLABELLED: u8 = 255;

/// The most samples a side of a network's output may have.
pub const MAX_SCORE_SIDE: usize = 1 << 16;

/// A class id for each pixel of the frame it was computed from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMap {
    pub width: u32,
    pub height: u32,
    /// `width * height` ids, row by row; [`UNLABELLED`] where the network saw nothing.
    pub ids: Vec<u8>,
}

impl LabelMap {
    /// Takes a size, keeping the allocation, with all pixels unlabelled.
    pub fn reset(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        self.ids.clear();
        self.ids.resize(width as usize * height as usize, UNLABELLED);
    }

    pub fn row(&self, y: u32) -> &[u8] {
        let width = self.width as usize;
        &self.ids[y as usize * width..][..width]
    }
}

/// Writes each class's share of the labelled pixels, 0 to 1, into `shares`, one a class, and
/// returns the number of labelled pixels. All shares are 0 when there is none.
pub fn shares(map: &LabelMap, shares: &mut [f32]) -> u64 {
    let counts = widest(
        #[inline(always)]
        || count(&map.ids),
    );
    let labelled = counts[..MAX_CLASSES].iter().sum::<u64>();
    for (class, share) in shares.iter_mut().enumerate() {
        let count = counts[..MAX_CLASSES].get(class).copied().unwrap_or(0);
        *share = if labelled == 0 { 0.0 } else { (count as f64 / labelled as f64) as f32 };
    }
    labelled
}

/// How often each id occurs.
#[inline(always)]
fn count(ids: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    // Masks are made of long runs: 64 equal pixels cost one comparison.
    let (blocks, rest) = ids.as_chunks::<64>();
    let (mut id, mut run) = (UNLABELLED, 0);
    for block in blocks {
        if block.iter().fold(0, |differ, pixel| differ | (pixel ^ id)) == 0 {
            run += 64;
            continue;
        }
        counts[usize::from(id)] += run;
        let (first, last) = (block[0], block[63]);
        (id, run) = (last, 0);
        // Mostly one boundary crosses it.
        let [before, after] =
            [first, last].map(|id| block.iter().map(|pixel| u8::from(*pixel == id)).sum::<u8>());
        if first != last && before + after == 64 {
            counts[usize::from(first)] += u64::from(before);
            counts[usize::from(last)] += u64::from(after);
            continue;
        }
        for &pixel in block {
            counts[usize::from(pixel)] += 1;
        }
    }
    counts[usize::from(id)] += run;
    for &pixel in rest {
        counts[usize::from(pixel)] += 1;
    }
    counts
}

/// Which frame pixels a network's output speaks of, and where in the output they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub placement: Placement,
    /// The part of the input that the output covers, in input pixels. It is smaller than the
    /// input where convolutions are not padded.
    pub window: Rect,
    /// The frame pixels to write; those outside of `placement.source` stay as they are.
    pub write: Rect,
}

impl Mapping {
    /// The output covers the whole input, and all of the frame is written.
    pub fn whole(placement: Placement, width: u32, height: u32) -> Mapping {
        let [input_height, input_width] = placement.input;
        Mapping {
            placement,
            window: Rect { x: 0, y: 0, width: input_width, height: input_height },
            write: Rect { x: 0, y: 0, width, height },
        }
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error(
        "the network's output of {channels} channels, height {height}, width {width} cannot be decoded: 1 to {MAX_SCORE_SIDE} samples a side and 1 to {MAX_CLASSES} channels can; check [output] index"
    )]
    Shape { channels: usize, height: usize, width: usize },
    #[error(
        "the network's output has {found} elements, but its shape needs {expected}; check the model with `segcam inspect`"
    )]
    Length { found: usize, expected: usize },
    #[error(
        "the network's output has {found} channels, but kind = \"{kind}\" needs {expected}; mend [output] kind or the [[class]] list"
    )]
    Channels { kind: &'static str, found: usize, expected: String },
    #[error(
        "a rectangle has {found}: 1 to {MAX_SCORE_SIDE} pixels a side no further than 2^20 from the origin are expected"
    )]
    Rect { found: String },
}
