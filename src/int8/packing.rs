//! Weights as the kernels want them, once, and activations as they want them, row by row.

use super::kernels::{Columns, Element, Format, Kernels, Weights};
use super::view::Picture;

/// Packs `weights`, `[column][run][element]` with `runs` runs of `elements` elements, each run
/// filled with zeroes to a multiple of the group. `zero_point` is the input's.
pub fn columns(
    format: Format,
    weights: &[i16],
    bias: &[i32],
    [runs, elements]: [usize; 2],
    zero_point: i32,
) -> Columns {
    let count = bias.len();
    let run = elements.next_multiple_of(format.group);
    let depth = runs * run;
    let filled = count.next_multiple_of(format.block);
    let shift: Vec<i32> = match format.element {
        Element::Difference => vec![0; filled],
        _ => weights.chunks_exact(runs * elements).map(shift_into_i8).collect(),
    };
    let offset = match format.element {
        Element::Difference => 0,
        Element::Unsigned => zero_point + 128,
        Element::Signed => zero_point,
    };
    let mut packed = vec![0; filled * depth];
    let mut start = vec![0; filled];
    for (column, (weights, bias)) in weights.chunks_exact(runs * elements).zip(bias).enumerate() {
        let (block, lane) = (column / format.block, column % format.block);
        let packed = &mut packed[block * format.block * depth..][..format.block * depth];
        let mut sum = 0i32;
        for (index, weight) in weights.iter().enumerate() {
            let weight = weight - shift[column] as i16;
            sum += i32::from(weight);
            let k = index / elements * run + index % elements;
            let group = (k / format.group * format.block + lane) * format.group;
            packed[group + k % format.group] = weight;
        }
        start[column] = bias.wrapping_sub(offset.wrapping_mul(sum));
    }
    let shifted = shift.iter().any(|shift| *shift != 0).then(|| {
        let mut shift = shift;
        shift.resize(filled, 0);
        shift
    });
    let weights = match format.element {
        Element::Difference => Weights::Words(packed),
        _ => Weights::Bytes(packed.iter().map(|weight| *weight as i8).collect()),
    };
    let pairs_fit = match &weights {
        Weights::Words(_) => false,
        Weights::Bytes(weights) => weights.chunks_exact(format.group).all(|group| {
            let (low, high) = group.split_at(format.group / 2);
            low.iter().zip(high).all(|(a, b)| *a != i8::MIN || *b != i8::MIN)
        }),
    };
    Columns { weights, count, depth, start, shift: shifted, pairs_fit }
}

/// What to take off a column's weights so that they fit eight bits.
fn shift_into_i8(weights: &[i16]) -> i32 {
    let low = weights.iter().copied().min().unwrap_or(0).min(0);
    let high = weights.iter().copied().max().unwrap_or(0).max(0);
    debug_assert!(high - low <= 255, "weights of eight bits span at most 255");
    i32::from((high - 127).max(0) + (low + 128).min(0) * i16::from(high <= 127))
}

/// Which columns of a picture a row of a panel shows: `pixels` from `left` on, what lies outside
/// being padding.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub left: isize,
    pub pixels: usize,
}

/// Turns activations into elements of a panel.
#[derive(Clone, Copy, Debug)]
pub struct Packer {
    pub kernels: Kernels,
    pub zero_point: i32,
}

impl Packer {
    /// Bytes of an element.
    pub fn size(&self) -> usize {
        if self.kernels.format().element == Element::Difference { 2 } else { 1 }
    }

    /// Row `y` of `input` (all padding if there is none) into `panel`, which holds exactly the
    /// span's pixels, channels side by side.
    pub fn row(&self, input: &Picture, y: isize, span: Span, panel: &mut [u8]) {
        let pixel = input.channels * self.size();
        let Some(y) = usize::try_from(y).ok().filter(|y| *y < input.height) else {
            return self.padding(panel);
        };
        let (from, to) = span.inside(input.width);
        let (left, rest) = panel.split_at_mut(from.pad * pixel);
        let (inside, right) = rest.split_at_mut(to * pixel);
        self.padding(left);
        self.padding(right);
        let row = &input.data[y * input.row_pitch..];
        if input.pixel_pitch == input.channels {
            self.copy(&row[from.x * input.channels..][..to * input.channels], inside);
        } else {
            for (x, panel) in (from.x..).zip(inside.chunks_exact_mut(pixel)) {
                self.copy(&row[x * input.pixel_pitch..][..input.channels], panel);
            }
        }
    }

    fn padding(&self, panel: &mut [u8]) {
        match self.kernels.format().element {
            Element::Difference => panel.fill(0),
            Element::Unsigned => panel.fill((self.zero_point + 128) as u8),
            Element::Signed => panel.fill(self.zero_point as u8),
        }
    }

    #[inline(always)]
    fn copy(&self, input: &[i8], panel: &mut [u8]) {
        let zero_point = self.zero_point as i16;
        match self.kernels.format().element {
            Element::Difference => self.kernels.vectorize(|| {
                for (panel, x) in panel.as_chunks_mut::<2>().0.iter_mut().zip(input) {
                    *panel = (i16::from(*x) - zero_point).to_ne_bytes();
                }
            }),
            Element::Unsigned => self.kernels.vectorize(|| {
                for (panel, x) in panel.iter_mut().zip(input) {
                    *panel = *x as u8 ^ 0x80;
                }
            }),
            Element::Signed => {
                for (panel, x) in panel.iter_mut().zip(input) {
                    *panel = *x as u8;
                }
            }
        }
    }

    /// The sum of x - zero point over the channels of each pixel of a panel of bytes.
    pub fn channel_sums(&self, panel: &[u8], channels: usize, sums: &mut [i32]) {
        let pixels = || panel.chunks_exact(channels).zip(sums);
        let zero = self.zero_point * channels as i32;
        match self.kernels.format().element {
            Element::Difference => {}
            Element::Unsigned => self.kernels.vectorize(|| {
                for (pixel, sum) in pixels() {
                    let total: u32 = pixel.iter().map(|x| u32::from(*x)).sum();
                    *sum = total as i32 - zero - 128 * channels as i32;
                }
            }),
            Element::Signed => self.kernels.vectorize(|| {
                for (pixel, sum) in pixels() {
                    let total: i32 = pixel.iter().map(|x| i32::from(*x as i8)).sum();
                    *sum = total - zero;
                }
            }),
        }
    }
}

/// The first pixel of a span that lies inside the picture.
pub struct First {
    /// Padding before it.
    pub pad: usize,
    /// Where it is in the picture.
    pub x: usize,
}

impl Span {
    /// Where the picture begins in the span, and how many pixels of it are there.
    pub fn inside(self, width: usize) -> (First, usize) {
        let pad = self.left.min(0).unsigned_abs().min(self.pixels);
        let x = self.left.max(0).unsigned_abs().min(width);
        (First { pad, x }, (width - x).min(self.pixels - pad))
    }
}

/// Row `y` of `input` as x - zero point (zeroes if there is none) into `panel`, which holds
/// exactly the span's pixels.
pub fn differences(
    kernels: Kernels,
    input: &Picture,
    y: isize,
    span: Span,
    zero_point: i32,
    panel: &mut [i16],
) {
    let Some(y) = usize::try_from(y).ok().filter(|y| *y < input.height) else {
        return panel.fill(0);
    };
    let channels = input.channels;
    let (from, pixels) = span.inside(input.width);
    let (left, rest) = panel.split_at_mut(from.pad * channels);
    let (inside, right) = rest.split_at_mut(pixels * channels);
    left.fill(0);
    right.fill(0);
    let row = &input.data[y * input.row_pitch..];
    let zero_point = zero_point as i16;
    let subtract = |input: &[i8], panel: &mut [i16]| {
        kernels.vectorize(|| {
            for (panel, x) in panel.iter_mut().zip(input) {
                *panel = i16::from(*x) - zero_point;
            }
        })
    };
    if input.pixel_pitch == channels {
        subtract(&row[from.x * channels..][..pixels * channels], inside);
    } else {
        for (x, panel) in (from.x..).zip(inside.chunks_exact_mut(channels)) {
            subtract(&row[x * input.pixel_pitch..][..channels], panel);
        }
    }
}
