//! Random pictures for the tests of the operators.

use super::requantization::Quantization;
use super::view::{Picture, PictureMut};

/// A picture that owns its values, with gaps between pixels and rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    pub data: Vec<i8>,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub row_pitch: usize,
    pub pixel_pitch: usize,
}

impl Owned {
    /// Random bytes, the extremes among them; gaps with even odds, random bytes too. It ends with
    /// its last value.
    pub fn random(height: usize, width: usize, channels: usize) -> Self {
        let gap = |most: usize| if fastrand::bool() { 0 } else { fastrand::usize(..most) };
        let pixel_pitch = channels + gap(5);
        let row_pitch = width * pixel_pitch + gap(9);
        let size = (height.max(1) - 1) * row_pitch + (width.max(1) - 1) * pixel_pitch + channels;
        let extreme = fastrand::bool();
        let byte = |_| match extreme {
            true => [-128, 127, -127, 0][fastrand::usize(..4)],
            false => fastrand::i8(..),
        };
        Owned {
            data: (0..size).map(byte).collect(),
            height,
            width,
            channels,
            row_pitch,
            pixel_pitch,
        }
    }

    pub fn view(&self) -> Picture<'_> {
        let &Owned { ref data, height, width, channels, row_pitch, pixel_pitch } = self;
        Picture { data, height, width, channels, row_pitch, pixel_pitch }
    }

    /// Rows from `first` on.
    pub fn rows_mut(&mut self, rows: std::ops::Range<usize>) -> PictureMut<'_> {
        let &mut Owned { ref mut data, width, channels, row_pitch, pixel_pitch, .. } = self;
        let data = &mut data[rows.start * row_pitch..];
        PictureMut { data, height: rows.len(), width, channels, row_pitch, pixel_pitch }
    }

    pub fn at(&self, y: usize, x: usize, c: usize) -> i8 {
        self.data[y * self.row_pitch + x * self.pixel_pitch + c]
    }

    /// The same without what lies in the gaps.
    pub fn values(&self) -> Vec<i8> {
        let pixels = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (y, x)));
        pixels.flat_map(|(y, x)| (0..self.channels).map(move |c| self.at(y, x, c))).collect()
    }

    /// What lies in the gaps stays as it was.
    pub fn assert_same_gaps(&self, before: &Owned) {
        let mut patched = before.clone();
        for y in 0..self.height {
            for x in 0..self.width {
                for c in 0..self.channels {
                    let at = y * self.row_pitch + x * self.pixel_pitch + c;
                    patched.data[at] = self.data[at];
                }
            }
        }
        assert_eq!(self.data, patched.data, "something wrote into the gaps");
    }
}

/// Random scale around 1 (often a power of two, so that ties happen) and zero point.
pub fn quantization() -> Quantization {
    let scale = match fastrand::u8(..3) {
        0 => [0.25, 0.5, 1.0, 2.0][fastrand::usize(..4)],
        1 => 0.0371,
        _ => 0.02 + fastrand::f32(),
    };
    let zero_point = [0, -128, 127, fastrand::i32(-128..128)][fastrand::usize(..4)];
    Quantization { scale, zero_point }
}

pub fn bounds() -> (i8, i8) {
    match fastrand::bool() {
        true => (-128, 127),
        false => {
            let (a, b) = (fastrand::i8(..), fastrand::i8(..));
            (a.min(b), a.max(b))
        }
    }
}

/// Row ranges that make up `0..rows`.
pub fn splits(rows: usize) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < rows {
        let end = fastrand::usize(start + 1..=rows);
        ranges.push(start..end);
        start = end;
    }
    ranges
}

/// That `byte` is `quanta`, rounded and with the zero point; either neighbour will do within 1e-4
/// of a tie.
#[track_caller]
pub fn assert_rounds_to(byte: i8, quanta: f64, zero_point: i32, (low, high): (i8, i8)) {
    let round = |quanta: f64| {
        let y = quanta.round_ties_even() + f64::from(zero_point);
        y.clamp(f64::from(low), f64::from(high)) as i8
    };
    let near = [round(quanta - 1e-4), round(quanta), round(quanta + 1e-4)];
    assert!(near.contains(&byte), "{byte} instead of {quanta} + {zero_point} in {low}..={high}");
}
