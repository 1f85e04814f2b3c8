//! A network's output as tract hands it over, borrowed.

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

    /// Element `start`, `start + step`, … as floats (integers beyond 2^24 rounded).
    #[inline]
    fn load(&self, start: usize, step: usize, out: &mut [f32]) {
        each!(self, slice => {
            let slice = &slice[start..];
            if step == 1 {
                for (out, element) in out.iter_mut().zip(slice) {
                    *out = *element as f32;
                }
            } else {
                for (out, element) in out.iter_mut().zip(slice.iter().step_by(step)) {
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
/// Samples decided at once: their scores and ids stay in registers and the first cache.
const BLOCK: usize = 64;

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

    #[inline]
    fn load(&self, channel: usize, sample: usize, out: &mut [f32]) {
        match self.axes {
            Axes::Nchw => self.elements.load(channel * self.width * self.height + sample, 1, out),
            Axes::Nhwc => self.elements.load(sample * self.channels + channel, self.channels, out),
        }
    }

    fn blocks(&self, winners: &mut Vec<u8>, mut decide: impl FnMut(usize, &mut [u8])) {
        winners.clear();
        winners.resize(self.width * self.height, UNLABELLED);
        for (block, winners) in winners.chunks_mut(BLOCK).enumerate() {
            decide(block * BLOCK, winners);
        }
    }

    /// The class with the largest score at each sample; of equals the lowest, NaN never.
    pub(super) fn argmax(&self, winners: &mut Vec<u8>) {
        let mut scores = [0.0_f32; BLOCK];
        self.blocks(winners, |start, winners| {
            let mut best = [f32::NEG_INFINITY; BLOCK];
            // As wide as the scores, so that both go through the same vector lanes.
            let mut ids = [u32::from(UNLABELLED); BLOCK];
            for channel in 0..self.channels {
                self.load(channel, start, &mut scores[..winners.len()]);
                for ((&score, best), id) in scores.iter().zip(&mut best).zip(&mut ids) {
                    let wins = score > *best;
                    *best = if wins { score } else { *best };
                    *id = if wins { channel as u32 } else { *id };
                }
            }
            for (sample, (winner, id)) in winners.iter_mut().zip(ids).enumerate() {
                *winner = id as u8;
                if *winner == UNLABELLED {
                    *winner = self.lowest_number(start + sample);
                }
            }
        });
    }

    /// The first class that is not NaN, where none is above minus infinity.
    #[cold]
    fn lowest_number(&self, sample: usize) -> u8 {
        let (y, x) = (sample / self.width, sample % self.width);
        let mut channels = 0..self.channels;
        channels.find(|&channel| !self.at(channel, y, x).is_nan()).map_or(UNLABELLED, |id| id as u8)
    }

    /// 1 from the threshold on, else 0.
    pub(super) fn above(&self, threshold: f32, winners: &mut Vec<u8>) {
        let mut scores = [0.0_f32; BLOCK];
        self.blocks(winners, |start, winners| {
            self.load(0, start, &mut scores[..winners.len()]);
            for (winner, score) in winners.iter_mut().zip(scores) {
                *winner = side(score, threshold);
            }
        });
    }

    /// The ids themselves; those that are no class unlabelled.
    pub(super) fn ids(&self, classes: usize, winners: &mut Vec<u8>) {
        self.blocks(winners, |start, winners| {
            for (sample, winner) in winners.iter_mut().enumerate() {
                *winner = self.elements.id(start + sample, classes);
            }
        });
    }
}

/// On which side of the threshold a probability lies.
#[inline]
pub(super) fn side(probability: f32, threshold: f32) -> u8 {
    if probability.is_nan() { UNLABELLED } else { u8::from(probability >= threshold) }
}
