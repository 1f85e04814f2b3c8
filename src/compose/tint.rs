//! Labels -> colours, over the video or alone.

use crate::config::card::Class;
use crate::simd::widest;

/// What each class id does to a pixel. Classes without a colour, ids without a class and
/// [`crate::decode::UNLABELLED`] leave it as it is.
pub struct Tints {
    /// Of 256, how much of the video stays under a colour.
    keep: u16,
    /// Blue, green, red of each id, times what `keep` leaves of 256.
    add: [Option<[u16; 4]>; 256],
    /// Blue, green, red of each id; black without a colour.
    solid: [[u8; 4]; 256],
}

impl Default for Tints {
    fn default() -> Tints {
        Tints { keep: 256, add: [None; 256], solid: [BLACK; 256] }
    }
}

/// Bytes tinted at once.
const BLOCK: usize = 128;
const BLACK: [u8; 4] = [0, 0, 0, 255];

/// Blue, green, red, unused.
pub fn bgrx([red, green, blue]: [u8; 3]) -> [u8; 4] {
    [blue, green, red, 255]
}

impl Tints {
    /// Takes the colours of `classes`, or of class `only` alone; `alpha` 255 covers the video.
    pub fn set(&mut self, classes: &[Class], alpha: u8, only: Option<u8>) {
        // 255 becomes 256, so that full is full.
        let alpha = u16::from(alpha) + u16::from(alpha >> 7);
        self.keep = 256 - alpha;
        for id in 0..256 {
            let shown = id < 255 && only.is_none_or(|only| usize::from(only) == id);
            let class = if shown { classes.get(id) } else { None };
            let color = class.and_then(|class| class.color).map(bgrx);
            self.solid[id] = color.unwrap_or(BLACK);
            self.add[id] = color.map(|color| color.map(|channel| u16::from(channel) * alpha));
        }
    }

    /// Tints the pixels of `row`, one for each id.
    pub fn blend(&self, ids: &[u8], row: &mut [u8]) {
        widest(
            #[inline(always)]
            || self.blend_runs(ids, row),
        );
    }

    #[inline(always)]
    fn blend_runs(&self, ids: &[u8], row: &mut [u8]) {
        let mut done = 0;
        while done < ids.len() {
            let run = run_length(&ids[done..]);
            if let Some(add) = self.add[usize::from(ids[done])] {
                blend_run(&mut row[4 * done..4 * (done + run)], self.keep, add);
            }
            done += run;
        }
    }

    /// Paints the pixels of `row`, one for each id.
    pub fn paint(&self, ids: &[u8], row: &mut [u8]) {
        for (id, pixel) in ids.iter().zip(row.chunks_exact_mut(4)) {
            pixel.copy_from_slice(&self.solid[usize::from(*id)]);
        }
    }
}

/// How many ids at the beginning are the same.
#[inline(always)]
fn run_length(ids: &[u8]) -> usize {
    let first = ids[0];
    let same = [first; 32];
    let whole = 32 * ids.as_chunks().0.iter().take_while(|chunk| **chunk == same).count();
    whole + ids[whole..].iter().take_while(|id| **id == first).count()
}

/// (pixel * keep + add) / 256, block by block: of smaller ones the compiler would take several
/// at once, byte by byte.
#[inline(always)]
fn blend_run(row: &mut [u8], keep: u16, add: [u16; 4]) {
    let adds = [add; BLOCK / 4];
    let adds: &[u16; BLOCK] = adds.as_flattened().first_chunk().unwrap_or(&[0; BLOCK]);
    let blend = |byte: u8, add: u16| ((u16::from(byte) * keep + add) >> 8) as u8;
    let (blocks, rest) = row.as_chunks_mut::<BLOCK>();
    for block in blocks {
        for (byte, add) in block.iter_mut().zip(adds) {
            *byte = blend(*byte, *add);
        }
    }
    for (byte, add) in rest.iter_mut().zip(adds) {
        *byte = blend(*byte, *add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<Class> {
        let class = |color| Class { name: "c".into(), color };
        vec![class(None), class(Some([200, 100, 50])), class(Some([0, 255, 0]))]
    }

    /// Ids from pictures: '.' 0, '#' 1, 'o' 2, ' ' unlabelled.
    fn ids(picture: &str) -> Vec<u8> {
        let id = |c| match c {
            '.' => 0,
            '#' => 1,
            'o' => 2,
            'x' => 77,
            _ => 255,
        };
        picture.chars().map(id).collect()
    }

    #[test]
    fn every_run_is_tinted_as_pixel_by_pixel() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut tints = Tints::default();
        for alpha in [0, 1, 100, 127, 128, 254, 255] {
            tints.set(&classes(), alpha, None);
            for width in [1, 7, 16, 31, 100, 333] {
                let mut ids: Vec<u8> = Vec::new();
                while ids.len() < width {
                    let id = [0, 1, 2, 77, 255][random.usize(0..5)];
                    ids.resize((ids.len() + random.usize(1..40)).min(width), id);
                }
                let before: Vec<u8> = (0..4 * width).map(|_| random.u8(..)).collect();
                let mut row = before.clone();
                tints.blend(&ids, &mut row);
                let a = u16::from(alpha) + u16::from(alpha >> 7);
                for (x, id) in ids.iter().enumerate() {
                    let color = classes().get(usize::from(*id)).and_then(|class| class.color);
                    for channel in 0..3 {
                        let old = before[4 * x + channel];
                        let expected = match color {
                            None => old,
                            Some(rgb) => {
                                let new = u16::from(rgb[2 - channel]);
                                ((u16::from(old) * (256 - a) + new * a) >> 8) as u8
                            }
                        };
                        assert_eq!(row[4 * x + channel], expected, "alpha {alpha}, {x} of {width}");
                    }
                }
            }
        }
    }

    #[test]
    fn full_alpha_covers_and_none_leaves() {
        let mut tints = Tints::default();
        let mut row = [10; 16];
        tints.set(&classes(), 255, None);
        tints.blend(&ids("#.o "), &mut row);
        assert_eq!(row[..3], [50, 100, 200]);
        assert_eq!(row[4..7], [10, 10, 10]);
        assert_eq!(row[8..11], [0, 255, 0]);
        assert_eq!(row[12..15], [10, 10, 10]);
        tints.set(&classes(), 0, None);
        tints.blend(&ids("####"), &mut row);
        assert_eq!(row[4..7], [10, 10, 10]);
    }

    #[test]
    fn one_class_alone() {
        let mut tints = Tints::default();
        tints.set(&classes(), 255, Some(2));
        let mut row = [9; 20];
        tints.paint(&ids("#.ox "), &mut row);
        let red_green_blue: Vec<[u8; 3]> = row.chunks(4).map(|p| [p[2], p[1], p[0]]).collect();
        assert_eq!(red_green_blue, [[0; 3], [0; 3], [0, 255, 0], [0; 3], [0; 3]]);
        tints.set(&classes(), 255, Some(255));
        tints.paint(&ids(" "), &mut row);
        assert_eq!(row[..3], [0; 3]);
    }

    #[test]
    fn runs_are_counted_whole() {
        for length in 1..70 {
            let mut ids = vec![3; length];
            assert_eq!(run_length(&ids), length);
            ids.extend([4; 20]);
            assert_eq!(run_length(&ids), length);
        }
    }
}
