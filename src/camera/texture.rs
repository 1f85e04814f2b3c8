//! Noise that repeats without a seam, for the surfaces of a generated scene.

use super::synthetic::mix;

/// Texels a side.
pub const SIDE: usize = 256;

/// [`SIDE`]² values from 0 to 255, 128 in the mean.
pub struct Texture {
    texels: Vec<u8>,
}

impl Texture {
    /// The sum of value noise on grids of the given cell sizes (powers of two), each with the
    /// weight that stands beside it; the sum of all weights should be 256.
    pub fn new(seed: u64, octaves: &[(usize, i64)]) -> Texture {
        let value = |octave: usize, x: usize, y: usize| {
            let place = (octave as u64) << 32 | (y as u64) << 16 | x as u64;
            (mix(seed ^ place) >> 56) as i64 - 128
        };
        let texel = |at: usize| {
            let (x, y) = (at % SIDE, at / SIDE);
            let mut sum = 0;
            for (octave, &(cell, weight)) in octaves.iter().enumerate() {
                let (left, top) = (x / cell, y / cell);
                let (right, bottom) = ((left + 1) % (SIDE / cell), (top + 1) % (SIDE / cell));
                let (fx, fy) = (ease(x % cell, cell), ease(y % cell, cell));
                let between = |a: i64, b: i64, at: i64| a * (256 - at) + b * at;
                let above = between(value(octave, left, top), value(octave, right, top), fx);
                let below = between(value(octave, left, bottom), value(octave, right, bottom), fx);
                sum += (between(above, below, fy) * weight) >> 16;
            }
            // Sums of noise crowd around the middle: spread them.
            (128 + ((sum * 3) >> 9)).clamp(0, 255) as u8
        };
        Texture { texels: (0..SIDE * SIDE).map(texel).collect() }
    }

    /// The row at a coordinate, which wraps around.
    pub fn row(&self, y: i32) -> &[u8; SIDE] {
        let start = (y as u8 as usize) * SIDE;
        self.texels[start..].first_chunk().unwrap_or(&[128; SIDE])
    }

    pub fn at(&self, x: i32, y: i32) -> u8 {
        self.row(y)[x as u8 as usize]
    }
}

/// From 0 to 256 over a cell, slow at both ends.
fn ease(at: usize, cell: usize) -> i64 {
    let t = (at * 256 / cell) as i64;
    (t * t * (768 - 2 * t)) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_varied_centred_and_without_a_seam() {
        let texture = Texture::new(3, &[(32, 160), (16, 96)]);
        let mean = texture.texels.iter().map(|&texel| u64::from(texel)).sum::<u64>() >> 16;
        assert!((108..148).contains(&mean), "{mean}");
        let spread = texture.texels.iter().max().unwrap() - texture.texels.iter().min().unwrap();
        assert!(spread > 100, "{spread}");
        for y in 0..256 {
            for x in 0..256 {
                let step = texture.at(x, y).abs_diff(texture.at(x + 1, y));
                assert!(step < 48, "a step of {step} at {x}, {y}");
            }
        }
        assert_ne!(texture.texels, Texture::new(4, &[(32, 160), (16, 96)]).texels);
    }
}
