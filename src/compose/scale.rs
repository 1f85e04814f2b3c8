//! Frames and labels at another size, row by row, in integers.

use crate::decode::{LabelMap, UNLABELLED};
use crate::frame::Frame;
use crate::frame::color::row_to_bgrx;
use std::ops::Range;

/// Width and height.
type Extent = (u32, u32);

/// Brings a frame to a size: 1:1 without a copy, by the mean of all pixels when it shrinks to
/// half or less, else bilinear. Rows must be asked for from the top.
#[derive(Default)]
pub struct Scaler {
    source: Extent,
    target: Extent,
    columns: Vec<Tap>,
    /// Where the columns that are summed up end.
    ends: Vec<u32>,
    /// A row of the frame in BGRX; bilinear: and its last pixel once more.
    raw: Vec<u8>,
    /// Two rows brought to the target's width, and which of the frame's they are.
    lines: [(Option<u32>, Vec<u8>); 2],
    sums: Vec<u32>,
}

/// A place between two neighbours: `index`, and of 256 how much of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tap {
    index: u32,
    next: u16,
}

/// Where the middle of target pixel `at` lies among the source's pixels.
fn tap(at: u32, source: u32, target: u32) -> Tap {
    let middle = (2 * i64::from(at) + 1) * i64::from(source) * 256 / (2 * i64::from(target)) - 128;
    let place = middle.clamp(0, (i64::from(source) - 1) * 256);
    Tap { index: (place >> 8) as u32, next: (place & 255) as u16 }
}

/// The source pixels that target pixel `at` covers.
fn span(at: u32, source: u32, target: u32) -> Range<u32> {
    let edge = |at: u64| (at * u64::from(source) / u64::from(target)) as u32;
    edge(u64::from(at))..edge(u64::from(at) + 1)
}

fn mix(first: u8, second: u8, next: u16) -> u8 {
    ((u16::from(first) * (256 - next) + u16::from(second) * next + 128) >> 8) as u8
}

/// [`mix`] on the four bytes of a pixel, two at a time: each has 16 bits to grow into.
fn mix_pixels(first: u32, second: u32, next: u16) -> u32 {
    const EVEN: u32 = 0x00ff_00ff;
    let mix = |first: u32, second: u32| {
        (first & EVEN) * (256 - u32::from(next)) + (second & EVEN) * u32::from(next) + 0x0080_0080
    };
    (mix(first, second) >> 8) & EVEN | mix(first >> 8, second >> 8) & !EVEN
}

fn pixel(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// More pixels than this are not summed up in 32 bits.
const MAX_MEAN: u64 = 1 << 24;

impl Scaler {
    /// Begins a new frame; both sizes must be above zero.
    pub fn begin(&mut self, source: Extent, target: Extent) {
        self.lines[0].0 = None;
        self.lines[1].0 = None;
        if (self.source, self.target) != (source, target) {
            (self.source, self.target) = (source, target);
            self.columns.clear();
            self.columns.extend((0..target.0).map(|x| tap(x, source.0, target.0)));
            self.ends.clear();
            self.ends.extend((0..target.0).map(|x| span(x, source.0, target.0).end));
            self.raw.resize(4 * (source.0 as usize + 1), 0);
            self.sums.resize(4 * target.0 as usize, 0);
            for (_, line) in &mut self.lines {
                line.resize(4 * target.0 as usize, 0);
            }
        }
    }

    /// Row `y` of the target: 4 bytes for each pixel.
    pub fn row(&mut self, frame: &Frame, y: u32, out: &mut [u8]) {
        let (source, target) = (self.source, self.target);
        let span = span(y, source.1, target.1);
        let covered = (u64::from(source.0 / target.0) + 1) * (span.len() as u64 + 1);
        if source == target {
            row_to_bgrx(frame, y, out);
        } else if source.0 >= 2 * target.0 && source.1 >= 2 * target.1 && covered < MAX_MEAN {
            self.mean_row(frame, span, out);
        } else {
            self.bilinear_row(frame, y, out);
        }
    }

    fn mean_row(&mut self, frame: &Frame, rows: Range<u32>, out: &mut [u8]) {
        let raw = &mut self.raw[..4 * self.source.0 as usize];
        self.sums.fill(0);
        for y in rows.clone() {
            row_to_bgrx(frame, y, raw);
            let mut start = 0;
            for (end, sum) in self.ends.iter().zip(self.sums.chunks_exact_mut(4)) {
                let end = 4 * *end as usize;
                let mut mine = [0; 4];
                for pixel in raw[start..end].chunks_exact(4) {
                    for channel in 0..4 {
                        mine[channel] += u32::from(pixel[channel]);
                    }
                }
                for (sum, mine) in sum.iter_mut().zip(mine) {
                    *sum += mine;
                }
                start = end;
            }
        }
        let mut start = 0;
        let sums = self.sums.chunks_exact(4).zip(out.chunks_exact_mut(4));
        for (end, (sum, out)) in self.ends.iter().zip(sums) {
            let count = (end - start) * rows.len() as u32;
            for (sum, out) in sum.iter().zip(out) {
                *out = ((sum + count / 2) / count) as u8;
            }
            start = *end;
        }
    }

    fn bilinear_row(&mut self, frame: &Frame, y: u32, out: &mut [u8]) {
        let Tap { index, next } = tap(y, self.source.1, self.target.1);
        let below = (index + 1).min(self.source.1 - 1);
        self.fill_line(frame, index);
        self.fill_line(frame, below);
        let line = |y: u32| &self.lines[y as usize % 2].1;
        for ((out, first), second) in out.iter_mut().zip(line(index)).zip(line(below)) {
            *out = mix(*first, *second, next);
        }
    }

    /// Has row `y` of the frame in its line; neighbours lie in different ones.
    fn fill_line(&mut self, frame: &Frame, y: u32) {
        let (held, line) = &mut self.lines[y as usize % 2];
        if *held == Some(y) {
            return;
        }
        *held = Some(y);
        let length = 4 * self.source.0 as usize;
        row_to_bgrx(frame, y, &mut self.raw[..length]);
        self.raw.copy_within(length - 4..length, length);
        for (tap, out) in self.columns.iter().zip(line.chunks_exact_mut(4)) {
            let pixels = &self.raw[4 * tap.index as usize..][..8];
            let mixed = mix_pixels(pixel(pixels), pixel(&pixels[4..]), tap.next);
            out.copy_from_slice(&mixed.to_le_bytes());
        }
    }
}

/// Brings labels to a size: the id in the middle of each pixel.
#[derive(Default)]
pub struct LabelScaler {
    source: Extent,
    target: Extent,
    columns: Vec<u32>,
    held: Option<u32>,
    ids: Vec<u8>,
}

impl LabelScaler {
    /// Begins a new label map; the target must be above zero.
    pub fn begin(&mut self, labels: &LabelMap, target: Extent) {
        let source = (labels.width, labels.height);
        self.held = None;
        if (self.source, self.target) != (source, target) {
            (self.source, self.target) = (source, target);
            self.columns.clear();
            self.columns.extend((0..target.0).map(|x| middle(x, source.0, target.0)));
            self.ids.clear();
            self.ids.resize(target.0 as usize, UNLABELLED);
        }
    }

    /// Row `y` of the target; unlabelled when there are no labels.
    pub fn row<'a>(&'a mut self, labels: &'a LabelMap, y: u32) -> &'a [u8] {
        if self.source == self.target {
            return labels.row(y);
        }
        let y = middle(y, self.source.1, self.target.1);
        if self.source.0 > 0 && self.source.1 > 0 && self.held != Some(y) {
            self.held = Some(y);
            let row = labels.row(y);
            for (column, id) in self.columns.iter().zip(&mut self.ids) {
                *id = row[*column as usize];
            }
        }
        &self.ids
    }
}

fn middle(at: u32, source: u32, target: u32) -> u32 {
    ((2 * u64::from(at) + 1) * u64::from(source) / (2 * u64::from(target))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Layout, PixelFormat};

    const SHADES: &[u8] = b" .:-=+*#%@";

    /// A grey frame from a picture of shades.
    fn frame(picture: &[&str]) -> Frame {
        let (width, height) = (picture[0].len() as u32, picture.len() as u32);
        let mut frame = Frame::new(Layout::packed(PixelFormat::Grey, width, height).unwrap());
        let shade = |c| SHADES.iter().position(|shade| *shade == c).unwrap() * 255 / 9;
        let shades = picture.iter().flat_map(|row| row.bytes()).map(|c| shade(c) as u8);
        frame.data = shades.collect::<Vec<u8>>().into();
        frame
    }

    fn scaled(frame: &Frame, width: u32, height: u32) -> Vec<Vec<u8>> {
        let mut scaler = Scaler::default();
        scaler.begin((frame.width(), frame.height()), (width, height));
        let mut row = vec![0; 4 * width as usize];
        let mut rows = Vec::new();
        for y in 0..height {
            scaler.row(frame, y, &mut row);
            rows.push(row.chunks(4).map(|pixel| pixel[0]).collect());
        }
        rows
    }

    fn picture(rows: &[Vec<u8>]) -> Vec<String> {
        let shade = |value: &u8| SHADES[(usize::from(*value) * 9 + 127) / 255] as char;
        rows.iter().map(|row| row.iter().map(shade).collect()).collect()
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let shown = ["@  @", " %# ", "+--+"];
        assert_eq!(picture(&scaled(&frame(&shown), 4, 3)), shown);
    }

    #[test]
    fn enlarged_it_is_smooth() {
        let rows = scaled(&frame(&["  @@", "  @@"]), 12, 4);
        assert_eq!(picture(&rows), ["     -*@@@@@"; 4]);
        assert_eq!(rows[0][..8], [0, 0, 0, 0, 0, 85, 169, 255]);
    }

    #[test]
    fn pixels_are_mixed_as_their_bytes() {
        let mut random = fastrand::Rng::with_seed(2);
        for next in 0..=256 {
            let (first, second) = (random.u32(..).to_le_bytes(), random.u32(..).to_le_bytes());
            let bytes = [0, 1, 2, 3].map(|at| mix(first[at], second[at], next));
            assert_eq!(mix_pixels(pixel(&first), pixel(&second), next), pixel(&bytes));
        }
    }

    #[test]
    fn shrunk_it_is_the_mean() {
        let shown = frame(&["@ @ @@@@    ", " @ @@@@@    ", "@@@@@ @ @ @@", "@@@@@@@@ @@@"]);
        assert_eq!(picture(&scaled(&shown, 3, 1)), ["#%-"]);
        assert_eq!(
            scaled(&shown, 6, 2),
            [[128, 128, 255, 255, 0, 0].to_vec(), [255, 255, 191, 191, 128, 255].to_vec()]
        );
    }

    #[test]
    fn every_size_stays_inside_the_source() {
        let sizes = [1, 2, 3, 5, 16, 33];
        for (sw, sh) in sizes.iter().flat_map(|w| sizes.map(|h| (*w, h))) {
            let mut source = Frame::new(Layout::packed(PixelFormat::Grey, sw, sh).unwrap());
            source.data.fill(77);
            let mut labels = LabelMap::default();
            labels.reset(sw, sh);
            labels.ids.fill(3);
            for (width, height) in sizes.iter().flat_map(|w| sizes.map(|h| (*w, h))) {
                assert!(scaled(&source, width, height).iter().flatten().all(|v| *v == 77));
                let mut scaler = LabelScaler::default();
                scaler.begin(&labels, (width, height));
                for y in 0..height {
                    assert_eq!(scaler.row(&labels, y), vec![3; width as usize]);
                }
            }
        }
    }

    #[test]
    fn labels_keep_their_ids() {
        let mut labels = LabelMap::default();
        labels.reset(4, 2);
        labels.ids = b"....abcd".to_vec();
        let rows = |labels: &LabelMap, width, height| {
            let mut scaler = LabelScaler::default();
            scaler.begin(labels, (width, height));
            let row = |y| String::from_utf8(scaler.row(labels, y).to_vec()).unwrap();
            (0..height).map(row).collect::<Vec<_>>()
        };
        assert_eq!(rows(&labels, 8, 3), ["........", "aabbccdd", "aabbccdd"]);
        assert_eq!(rows(&labels, 2, 2), ["..", "bd"]);
        labels.reset(0, 0);
        let mut scaler = LabelScaler::default();
        scaler.begin(&labels, (3, 1));
        assert_eq!(scaler.row(&labels, 0), [UNLABELLED; 3]);
    }
}
