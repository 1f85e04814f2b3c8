//! A network's output as tract hands it over, borrowed.

// `each!` writes one expression for all types; for one of them its cast is none.
#![allow(clippy::unnecessary_cast)]

use super::{DecodeError, MAX_SCORE_SIDE, UNLABELLED};
use crate::config::card::{Axes, MAX_CLASSES};

/// The numbers of an output in memory order. Integers are scores in quantized steps: one scale
/// for all channels changes neither their order nor where they cross.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    F32(&'a [f32]),
    U8(&'a [u8]),
    I8(&'a [i8]),
    I32(&'a [i32]),
    I64(&'a [i64]),
}

/// Evaluates an expression over the slice inside, whatever its type.
macro_rules! each {
    ($elements:expr, $slice:ident => $body:expr) => {
        match $elements {
            Elements::F32($slice) => $body,
            Elements::U8($slice) => $body,
            Elements::I8($slice) => $body,
            Elements::I32($slice) => $body,
            Elements::I64($slice) => $body,
        }
    };
}

impl Elements<'_> {
    pub fn len(&self) -> usize {
        each!(self, slice => slice.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements `start`, `start + step`, … as floats (integers beyond 2^24 rounded), as far as
    /// there are any.
    #[inline]
    fn load(&self, start: usize, step: usize, out: &mut [f32; BLOCK]) {
        each!(self, slice => match slice[start..].first_chunk::<BLOCK>() {
            // A known length makes vector code.
            Some(chunk) if step == 1 => *out = chunk.map(|element| element as f32),
            _ => {
                for (out, element) in out.iter_mut().zip(slice[start..].iter().step_by(step)) {
                    *out = *element as f32;
                }
            }
        })
    }

    fn id(&self, index: usize, classes: usize) -> u8 {
        let id = match self {
            Elements::F32(slice) if slice[index].fract() != 0.0 => return UNLABELLED,
            Elements::F32(slice) if slice[index].is_nan() => return UNLABELLED,
            elements => each!(elements, slice => slice[index] as i64),
        };
        if (0..classes as i64).contains(&id) { id as u8 } else { UNLABELLED }
    }
}

/// A network's output: `channels` planes of `height` times `width` samples.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    elements: Elements<'a>,
    axes: Axes,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// Scores beyond are cut, so that infinite ones can be interpolated.
const LIMIT: f32 = f32::MAX / 4.0;
/// Samples decided at once: their best scores and ids stay in registers.
const BLOCK: usize = 16;

impl<'a> Scores<'a> {
    /// `shape` is channels, height, width, whichever `axes` has first in memory.
    pub fn new(
        elements: Elements<'a>,
        axes: Axes,
        shape: [usize; 3],
    ) -> Result<Scores<'a>, DecodeError> {
        let [channels, height, width] = shape;
        let sides = 1..=MAX_SCORE_SIDE;
        if !sides.contains(&height)
            || !sides.contains(&width)
            || !(1..=MAX_CLASSES).contains(&channels)
        {
            return Err(DecodeError::Shape { channels, height, width });
        }
        let expected = channels as u64 * height as u64 * width as u64;
        if elements.len() as u64 != expected {
            let expected = expected as usize;
            return Err(DecodeError::Length { found: elements.len(), expected });
        }
        Ok(Scores { elements, axes, channels, height, width })
    }

    /// The score of a class at a sample, within the range that can be interpolated.
    #[inline]
    pub(crate) fn at(&self, channel: usize, y: usize, x: usize) -> f32 {
        let sample = y * self.width + x;
        let index = match self.axes {
            Axes::Nchw => channel * self.width * self.height + sample,
            Axes::Nhwc => sample * self.channels + channel,
        };
        let score = each!(self.elements, slice => slice[index] as f32);
        score.clamp(-LIMIT, LIMIT)
    }

    /// The scores of a class from a sample on; those past the plane's end mean nothing.
    #[inline]
    fn load(&self, channel: usize, sample: usize, out: &mut [f32; BLOCK]) {
        let (start, step) = match self.axes {
            Axes::Nchw => (channel * self.width * self.height + sample, 1),
            Axes::Nhwc => (sample * self.channels + channel, self.channels),
        };
        self.elements.load(start, step, out);
    }

    /// Lets `decide` give the ids of `BLOCK` samples from the one given on.
    fn blocks(&self, winners: &mut Vec<u8>, mut decide: impl FnMut(usize) -> [u32; BLOCK]) {
        winners.clear();
        winners.resize(self.width * self.height, UNLABELLED);
        for (block, winners) in winners.chunks_mut(BLOCK).enumerate() {
            let ids = decide(block * BLOCK).map(|id| id as u8);
            match winners.first_chunk_mut() {
                Some(winners) => *winners = ids,
                None => winners.copy_from_slice(&ids[..winners.len()]),
            }
        }
    }

    /// The class with the largest score at each sample; of equals the lowest, NaN never.
    pub(super) fn argmax(&self, winners: &mut Vec<u8>) {
        let mut scores = [0.0; BLOCK];
        self.blocks(winners, |start| {
            let mut best = [f32::NEG_INFINITY; BLOCK];
            // As wide as the scores, so that both go through the same vector lanes.
            let mut ids = [u32::from(UNLABELLED); BLOCK];
            for channel in 0..self.channels {
                self.load(channel, start, &mut scores);
                for ((&score, best), id) in scores.iter().zip(&mut best).zip(&mut ids) {
                    let wins = score > *best;
                    *best = if wins { score } else { *best };
                    *id = if wins { channel as u32 } else { *id };
                }
            }
            if ids.contains(&u32::from(UNLABELLED)) {
                self.resolve(start, &mut ids);
            }
            ids
        });
    }

    /// Where none is above minus infinity, the first class that is not NaN wins.
    #[cold]
    fn resolve(&self, start: usize, ids: &mut [u32; BLOCK]) {
        for (sample, id) in (start..self.width * self.height).zip(ids) {
            if *id == u32::from(UNLABELLED) {
                let score =
                    |class: &usize| self.at(*class, sample / self.width, sample % self.width);
                let number = (0..self.channels).find(|class| !score(class).is_nan());
                *id = number.map_or(u32::from(UNLABELLED), |class| class as u32);
            }
        }
    }

    /// 1 from the threshold on, else 0.
    pub(super) fn above(&self, threshold: f32, winners: &mut Vec<u8>) {
        let mut scores = [0.0; BLOCK];
        self.blocks(winners, |start| {
            self.load(0, start, &mut scores);
            scores.map(|score| side(score, threshold))
        });
    }

    /// The ids themselves; those that are no class unlabelled.
    pub(super) fn ids(&self, classes: usize, winners: &mut Vec<u8>) {
        winners.clear();
        let samples = 0..self.width * self.height;
        winners.extend(samples.map(|sample| self.elements.id(sample, classes)));
    }
}

/// On which side of the threshold a probability lies.
#[inline]
pub(super) fn side(probability: f32, threshold: f32) -> u32 {
    let above = u32::from(probability >= threshold);
    if probability.is_nan() { u32::from(UNLABELLED) } else { above }
}
