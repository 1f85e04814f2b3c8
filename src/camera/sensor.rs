//! What lens and sensor do to a generated picture: a little softness, then noise.

use super::synthetic::{Dice, mix};

/// Values of noise that are kept; a row begins at a random one of the first [`STARTS`].
const VALUES: usize = 3 * 4096 + STARTS;
const STARTS: usize = 4096;

pub struct Sensor {
    noise: Vec<i8>,
    /// The row above as it was, and a row that is soft up and down.
    rows: [Vec<u8>; 2],
}

impl Sensor {
    /// Noise of 1 to 9 levels, triangular.
    pub fn new(dice: &mut Dice) -> Sensor {
        let loud = dice.roll(1, 9);
        let noise = (0..VALUES).map(|_| (dice.roll(-loud, loud) + dice.roll(-loud, loud)) as i8);
        Sensor { noise: noise.collect(), rows: [Vec::new(), Vec::new()] }
    }

    /// Takes packed RGB of up to 4096 pixels a row; `seed` is the frame's.
    pub fn expose(&mut self, seed: u64, width: usize, rgb: &mut [u8]) {
        let stride = 3 * width;
        let height = rgb.len() / stride;
        let [before, soft] = &mut self.rows;
        before.clear();
        before.extend_from_slice(&rgb[..stride]);
        soft.resize(stride, 0);
        // A quarter, a half, a quarter.
        let smooth =
            |a: u8, b: u8, c: u8| (u16::from(a) + 2 * u16::from(b) + u16::from(c) + 2) >> 2;
        for y in 0..height {
            let (this, below) = rgb[y * stride..].split_at_mut(stride);
            let below = if y + 1 < height { &below[..stride] } else { &*before };
            let column = before.iter().zip(&*this).zip(below);
            for (soft, ((above, here), below)) in soft.iter_mut().zip(column) {
                *soft = smooth(*above, *here, *below) as u8;
            }
            before.copy_from_slice(this);
            // The borders have no neighbour on one side.
            for at in [0, stride - 3] {
                this[at..at + 3].copy_from_slice(&soft[at..at + 3]);
            }
            let noise = &self.noise[(mix(seed ^ y as u64) % STARTS as u64) as usize..];
            let row = soft.iter().zip(&soft[3..]).zip(soft.iter().skip(6));
            for ((to, ((left, here), right)), noise) in this[3..].iter_mut().zip(row).zip(noise) {
                let level = smooth(*left, *here, *right) as i16;
                *to = (level + i16::from(*noise)).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_soften_and_noise_keeps_the_mean() {
        let mut sensor = Sensor::new(&mut Dice::new(5));
        let (width, height) = (64, 64);
        let dark_left = |at: usize| if at / 3 % width < width / 2 { 60 } else { 180 };
        let mut rgb: Vec<u8> = (0..3 * width * height).map(dark_left).collect();
        sensor.expose(1, width, &mut rgb);
        let mean = |x: usize| {
            let column = (0..height).map(|y| u32::from(rgb[3 * (y * width + x)]));
            column.sum::<u32>() / height as u32
        };
        for (x, level) in [(8, 60), (31, 90), (32, 150), (56, 180)] {
            assert!(mean(x).abs_diff(level) <= 3, "column {x}: {}", mean(x));
        }
        let same = rgb.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(same < rgb.len() / 2, "no noise");
    }
}
