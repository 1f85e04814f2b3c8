//! `synthetic:portrait`: a window that wanders over a photograph and comes nearer and goes.
//!
//! `portrait.jpg` is the portrait of the astronaut Eileen Collins from NASA's Great Images
//! database (GPN-2000-001177), in the public domain without known copyright restrictions as
//! scikit-image states, whose 512x512 `astronaut.png` is saved here as JPEG of quality 90.

use super::synthetic::{Dice, Scene, wave};
use super::{CameraError, files};
use crate::frame::{Frame, Layout, PixelFormat};

const PHOTOGRAPH: &[u8] = include_bytes!("portrait.jpg");

/// Frames of a turn: across, up and down, and of the zoom. Their ratios make the path a
/// Lissajous figure that closes after a few minutes.
const PERIODS: [u64; 3] = [360, 270, 450];
/// The part of the largest window that the smallest is, in 256ths.
const NEAREST: i64 = 150;
/// Where the face is: from left to right and from top to bottom.
const FACE: [[i64; 2]; 2] = [[170, 290], [50, 190]];
/// Pixels and positions have 8 fractional bits.
const ONE: i64 = 256;

/// Four 16-bit lanes a pixel, so that one multiplication weighs all channels.
type Lanes = u64;
const BYTES: Lanes = 0x00ff_00ff_00ff_00ff;
const HALVES: Lanes = 0x0080_0080_0080_0080;

/// Between `a` and `b`, at `weight` 256ths of `b`. No lane exceeds 255·256 + 128.
pub(super) fn blend(a: Lanes, b: Lanes, weight: u64) -> Lanes {
    ((a * (256 - weight) + b * weight + HALVES) >> 8) & BYTES
}

pub struct Portrait {
    pixels: Vec<Lanes>,
    width: i64,
    height: i64,
    /// Of the frames.
    size: [i64; 2],
    phases: [u64; 3],
    /// A row of the photograph between two rows.
    row: Vec<Lanes>,
}

/// The window of a frame in the photograph, in 256ths of a pixel.
struct Window {
    left: i64,
    top: i64,
    width: i64,
    height: i64,
}

impl Portrait {
    pub fn new(seed: u64, width: u32, height: u32) -> Result<Portrait, CameraError> {
        let blank = Layout::packed(PixelFormat::Rgb, 1, 1);
        let mut photograph = Frame::new(blank.map_err(CameraError::layout("portrait.jpg"))?);
        files::decode(PHOTOGRAPH, "portrait.jpg", &mut photograph)?;
        let lanes =
            |rgb: &[u8]| u64::from(rgb[0]) | u64::from(rgb[1]) << 16 | u64::from(rgb[2]) << 32;
        let mut dice = Dice::new(seed);
        Ok(Portrait {
            pixels: photograph.data.chunks_exact(3).map(lanes).collect(),
            width: photograph.width().into(),
            height: photograph.height().into(),
            size: [width.into(), height.into()],
            phases: [0; 3].map(|_| dice.roll(0, 65535) as u64),
            row: Vec::with_capacity(photograph.width() as usize + 1),
        })
    }

    fn window(&self, n: u64) -> Window {
        let turn = |axis: usize| {
            let phase = (n % PERIODS[axis]) * 65536 / PERIODS[axis] + self.phases[axis];
            i64::from(wave(phase))
        };
        let [width, height] = self.size;
        // The largest window of the frame's shape, then nearer.
        let (widest, highest) = if self.width * height < self.height * width {
            (self.width * ONE, self.width * ONE * height / width)
        } else {
            (self.height * ONE * width / height, self.height * ONE)
        };
        let zoom = 256 - (((256 - NEAREST) * (turn(2) + 32768)) >> 16);
        let (w, h) = (((widest * zoom) >> 8).max(1), ((highest * zoom) >> 8).max(1));
        // As far to both sides as leaves the face in the picture, or its middle where the
        // window is smaller.
        let place = |size: i64, window: i64, [from, to]: [i64; 2], turn: i64| {
            let free = size * ONE - window;
            let (low, high) = ((to * ONE - window).max(0), (from * ONE).min(free));
            if low > high {
                return ((from + to) * ONE - window).div_euclid(2).clamp(0, free);
            }
            (low + high + (((high - low) * turn) >> 15)) / 2
        };
        let [across, down] = FACE;
        let left = place(self.width, w, across, turn(0));
        let top = place(self.height, h, down, turn(1));
        Window { left, top, width: w, height: h }
    }
}

impl Scene for Portrait {
    fn draw(&mut self, n: u64, rgb: &mut [u8], _truth: &mut Vec<u8>) {
        let window = self.window(n);
        let [width, height] = self.size;
        let stride = self.width as usize;
        // Steps have 8 more fractional bits; the middles of pixels are sampled.
        let (step_x, step_y) = ((window.width << 8) / width, (window.height << 8) / height);
        let first_x = (window.left << 8) + step_x / 2 - (ONE << 8) / 2;
        let first_y = (window.top << 8) + step_y / 2 - (ONE << 8) / 2;
        let (last_x, last_y) = (self.width * ONE - ONE, self.height * ONE - ONE);
        let from = (window.left / ONE - 1).max(0) as usize;
        let to = ((window.left + window.width) / ONE + 2).min(self.width) as usize;
        for (y, out) in rgb.chunks_exact_mut(3 * width as usize).enumerate() {
            let at = ((first_y + y as i64 * step_y) >> 8).clamp(0, last_y);
            let above = (at >> 8) as usize;
            let below = (above + 1).min(self.height as usize - 1);
            let (above, below) = (&self.pixels[above * stride..], &self.pixels[below * stride..]);
            self.row.clear();
            let pairs = above[from..to].iter().zip(&below[from..to]);
            self.row.extend(pairs.map(|(a, b)| blend(*a, *b, (at & 255) as u64)));
            // The right neighbour of the last.
            self.row.extend(self.row.last().copied());
            let origin = (from as i64) << 8;
            let mut x = first_x;
            for out in out.chunks_exact_mut(3) {
                let at = (x >> 8).clamp(origin, last_x) - origin;
                let near = (at >> 8) as usize;
                let pixel = blend(self.row[near], self.row[near + 1], (at & 255) as u64);
                out.copy_from_slice(&[pixel as u8, (pixel >> 16) as u8, (pixel >> 32) as u8]);
                x += step_x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_keeps_inside_moves_smoothly_and_shows_the_face() {
        for (width, height) in [(640, 480), (480, 640), (1280, 720), (64, 64)] {
            for seed in 0..5 {
                let scene = Portrait::new(seed, width, height).unwrap();
                let mut before = scene.window(0);
                for n in 1..3000 {
                    let w = scene.window(n);
                    assert!(w.left >= 0 && w.top >= 0);
                    assert!(w.left + w.width <= 512 * ONE && w.top + w.height <= 512 * ONE);
                    let spans = [(w.left, w.width), (w.top, w.height)];
                    for ((start, length), [from, to]) in spans.into_iter().zip(FACE) {
                        let inside = start <= from * ONE && to * ONE <= start + length;
                        assert!(inside, "frame {n}, seed {seed}: the face is cut");
                    }
                    let moved = (w.left - before.left).abs() + (w.top - before.top).abs();
                    assert!(moved < 8 * ONE, "frame {n} jumps by {moved}");
                    before = w;
                }
            }
        }
    }

    #[test]
    fn a_whole_window_is_the_photograph() {
        let mut scene = Portrait::new(0, 512, 512).unwrap();
        let n = (0..3000).find(|n| scene.window(*n).width == 512 * ONE);
        let mut rgb = vec![0; 3 * 512 * 512];
        scene.draw(n.expect("the zoom reaches its end"), &mut rgb, &mut Vec::new());
        let lanes =
            |rgb: &[u8]| u64::from(rgb[0]) | u64::from(rgb[1]) << 16 | u64::from(rgb[2]) << 32;
        assert!(rgb.chunks_exact(3).map(lanes).eq(scene.pixels.iter().copied()));
    }
}
