//! What both ARM sets share: the way from sums to bytes, and the loops in which 16-bit products
//! are the best that NEON has.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::array::from_fn;

use super::{Columns, DepthwiseRow, Products, ProductsFormat, Requantize, Row, Segment};

/// The scales of 4 × V columns, and the bounds of their bytes.
#[derive(Clone, Copy)]
pub struct Scales<const V: usize> {
    multiplier: [float32x4_t; V],
    addend: [float32x4_t; V],
    zero_point: int16x8_t,
    low: int8x16_t,
    high: int8x16_t,
}

impl<const V: usize> Scales<V> {
    /// Those of `column` and what follows it, zeroes behind the last.
    pub fn new(requantize: &Requantize, column: usize) -> Self {
        // A zero point beyond 16 bits decides every byte alone, as does the nearest within.
        let zero_point = requantize.zero_point.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        // SAFETY: NEON is always there.
        let (zero_point, low, high) = unsafe {
            let bounds = (vdupq_n_s8(requantize.low), vdupq_n_s8(requantize.high));
            (vdupq_n_s16(zero_point), bounds.0, bounds.1)
        };
        Scales {
            multiplier: floats(&requantize.multiplier, column),
            addend: floats(&requantize.addend, column),
            zero_point,
            low,
            high,
        }
    }

    /// The multiply-add is fused and FCVTNS rounds ties to even. Narrowing saturates before the
    /// zero point is added: what that changes lies far outside of a byte on the same side.
    #[inline(always)]
    fn bytes(&self, sums: [int32x4_t; 4], vector: impl Fn(usize) -> usize) -> int8x16_t {
        // SAFETY: NEON is always there.
        unsafe {
            let quanta = |i: usize| {
                let (multiplier, addend) = (self.multiplier[vector(i)], self.addend[vector(i)]);
                vcvtnq_s32_f32(vfmaq_f32(addend, vcvtq_f32_s32(sums[i]), multiplier))
            };
            let pair = |i: usize| {
                let words = vqmovn_high_s32(vqmovn_s32(quanta(i)), quanta(i + 1));
                vqaddq_s16(words, self.zero_point)
            };
            let bytes = vqmovn_high_s16(vqmovn_s16(pair(0)), pair(2));
            vminq_s8(vmaxq_s8(bytes, self.low), self.high)
        }
    }
}

impl Scales<4> {
    /// Sixteen columns of one pixel.
    #[inline(always)]
    pub fn columns(&self, sums: [int32x4_t; 4]) -> int8x16_t {
        self.bytes(sums, |i| i)
    }
}

impl Scales<1> {
    /// Four columns of four pixels.
    #[inline(always)]
    pub fn pixels(&self, sums: [int32x4_t; 4]) -> int8x16_t {
        self.bytes(sums, |_| 0)
    }
}

fn floats<const V: usize>(values: &[f32], from: usize) -> [float32x4_t; V] {
    from_fn(|v| {
        let mut four = [0.0; 4];
        let rest = values.get(from + 4 * v..).unwrap_or_default();
        let count = rest.len().min(4);
        four[..count].copy_from_slice(&rest[..count]);
        // SAFETY: `four` holds what is loaded.
        unsafe { vld1q_f32(four.as_ptr()) }
    })
}

/// Where a block of `size` columns from `first` on goes in a pixel's output.
pub struct Target<'a> {
    segments: &'a [Segment],
    first: usize,
    size: usize,
    /// Its offset, if it goes there in one piece.
    pub whole: Option<usize>,
    /// The offsets of its fours, if each goes there in one piece.
    pub fours: Option<[usize; 4]>,
}

impl<'a> Target<'a> {
    pub fn new(segments: &'a [Segment], first: usize, size: usize) -> Self {
        let piece = |first: usize, size: usize| {
            let reaches = |segment: &&Segment| {
                segment.column < first + size && first < segment.column + segment.columns
            };
            let mut owners = segments.iter().filter(reaches);
            let (Some(owner), None) = (owners.next(), owners.next()) else { return None };
            let inside = owner.column <= first && first + size <= owner.column + owner.columns;
            inside.then(|| owner.offset + first - owner.column)
        };
        let fours: [_; 4] = from_fn(|v| piece(first + 4 * v, 4));
        let fours = fours.iter().all(Option::is_some).then(|| fours.map(Option::unwrap_or_default));
        Target { segments, first, size, whole: piece(first, size), fours }
    }

    /// The way of a block in pieces.
    pub fn scatter(&self, bytes: &[i8], out: &mut [i8]) {
        for segment in self.segments {
            let from = segment.column.max(self.first);
            let to = (segment.column + segment.columns).min(self.first + self.size);
            for column in from..to {
                out[segment.offset + column - segment.column] = bytes[column - self.first];
            }
        }
    }
}

/// Stores the four fours of `bytes`. Safe if each may be written.
#[inline(always)]
pub unsafe fn store_fours(bytes: int8x16_t, at: [*mut i8; 4]) {
    // SAFETY: the caller's promise.
    unsafe {
        let words = vreinterpretq_s32_s8(bytes);
        at[0].cast::<i32>().write_unaligned(vgetq_lane_s32::<0>(words));
        at[1].cast::<i32>().write_unaligned(vgetq_lane_s32::<1>(words));
        at[2].cast::<i32>().write_unaligned(vgetq_lane_s32::<2>(words));
        at[3].cast::<i32>().write_unaligned(vgetq_lane_s32::<3>(words));
    }
}

/// What a shift of the weights adds to the sums of some columns at some pixels.
#[inline(always)]
pub fn add_shift<const P: usize, const V: usize>(
    sums: &mut [[int32x4_t; V]; P],
    row: &Row,
    columns: &Columns,
    column: usize,
    pixel: usize,
) {
    let (Some(shift), Some(windows)) = (&columns.shift, row.window_sums) else { return };
    let shift = &shift[column..][..4 * V];
    for (sums, window) in sums.iter_mut().zip(&windows[pixel..]) {
        for (sums, shift) in sums.iter_mut().zip(shift.as_chunks::<4>().0) {
            // SAFETY: the array holds what is loaded.
            *sums = unsafe { vmlaq_n_s32(*sums, vld1q_s32(shift.as_ptr()), *window) };
        }
    }
}

/// Eight channels at a time, two pixels side by side, the kernel in registers where it is 3×3.
pub fn depthwise(row: &DepthwiseRow, requantize: &Requantize, out: &mut [i8], pixel_pitch: usize) {
    row.check(requantize, out, pixel_pitch);
    if row.channels < 8 {
        return super::reference::depthwise(row, requantize, out, pixel_pitch);
    }
    let Some(last) = row.pixels.checked_sub(1) else { return };
    let nine: Result<&[usize; 9], _> = row.taps.try_into();
    for channel in (0..row.channels).step_by(8) {
        let channel = channel.min(row.channels - 8);
        let scales = Scales::<2>::new(requantize, channel);
        // SAFETY: the sizes are checked: eight channels from `channel` on are in everything.
        unsafe {
            let weight = |tap| vld1q_s16(row.weights.as_ptr().add(tap * row.channels + channel));
            let bias = row.bias.as_ptr().add(channel);
            let bias = [vld1q_s32(bias), vld1q_s32(bias.add(4))];
            let panel = row.panel.as_ptr().add(channel);
            let put = |pixels: [usize; 2], [a, b]: [[int32x4_t; 2]; 2]| {
                let bytes = scales.bytes([a[0], a[1], b[0], b[1]], |i| i % 2);
                let at = |p: usize| out.as_ptr().add(p * pixel_pitch + channel) as *mut i8;
                vst1_s8(at(pixels[0]), vget_low_s8(bytes));
                vst1_s8(at(pixels[1]), vget_high_s8(bytes));
            };
            let pairs = (0..row.pixels).step_by(2).map(|pixel| [pixel, (pixel + 1).min(last)]);
            if let Ok(taps) = nine {
                let weights: [_; 9] = from_fn(weight);
                for pixels in pairs {
                    put(
                        pixels,
                        pixels.map(|pixel| {
                            let panel = panel.add(pixel * row.pixel_stride);
                            let mut sums = bias;
                            for (tap, weight) in taps.iter().zip(weights) {
                                add_long(&mut sums, vld1q_s16(panel.add(*tap)), weight);
                            }
                            sums
                        }),
                    );
                }
            } else {
                for pixels in pairs {
                    let mut sums = [bias; 2];
                    for (tap, start) in row.taps.iter().enumerate() {
                        let weight = weight(tap);
                        for (sums, pixel) in sums.iter_mut().zip(pixels) {
                            let x = vld1q_s16(panel.add(pixel * row.pixel_stride + start));
                            add_long(sums, x, weight);
                        }
                    }
                    put(pixels, sums);
                }
            }
        }
    }
}

#[inline(always)]
fn add_long(sums: &mut [int32x4_t; 2], x: int16x8_t, weights: int16x8_t) {
    // SAFETY: NEON is always there.
    unsafe {
        sums[0] = vmlal_s16(sums[0], vget_low_s16(x), vget_low_s16(weights));
        sums[1] = vmlal_high_s16(sums[1], x, weights);
    }
}

pub const PRODUCTS_FORMAT: ProductsFormat = ProductsFormat { group: 1, block: 16 };

/// SMLAL by element, sixteen columns times four tiles.
pub fn products(products: &Products, out: &mut [i32]) {
    products.check(out, PRODUCTS_FORMAT);
    // SAFETY: the sizes are checked.
    unsafe {
        for column in (0..products.columns).step_by(16) {
            let wide = column + 16 <= products.columns;
            let mut tile = 0;
            while tile < products.tiles {
                if products.tiles < 4 {
                    if wide {
                        product::<1, 2>(products, out, tile, column);
                    } else {
                        product::<1, 1>(products, out, tile, column);
                    }
                    tile += 1;
                    continue;
                }
                let first = tile.min(products.tiles - 4);
                if wide {
                    product::<4, 2>(products, out, first, column);
                } else {
                    product::<4, 1>(products, out, first, column);
                }
                tile += 4;
            }
        }
    }
}

/// V × 8 columns of T tiles.
#[inline(always)]
unsafe fn product<const T: usize, const V: usize>(
    products: &Products,
    out: &mut [i32],
    tile: usize,
    column: usize,
) {
    let Products { depth, columns, .. } = *products;
    // SAFETY: the caller has checked the sizes.
    unsafe {
        let mut sums = [[[vdupq_n_s32(0); 2]; V]; T];
        let panel = products.panel.as_ptr().add(tile * depth);
        let mut weights = products.weights.as_ptr().add(column);
        let mut k = 0;
        while k + 8 <= depth {
            let x: [_; T] = from_fn(|t| vld1q_s16(panel.add(t * depth + k)));
            macro_rules! lanes {
                ($($lane:literal)*) => { $(
                    for v in 0..V {
                        let w = vld1q_s16(weights.add(8 * v));
                        for t in 0..T {
                            let [low, high] = &mut sums[t][v];
                            *low = vmlal_laneq_s16::<$lane>(*low, vget_low_s16(w), x[t]);
                            *high = vmlal_high_laneq_s16::<$lane>(*high, w, x[t]);
                        }
                    }
                    weights = weights.add(columns);
                )* };
            }
            lanes!(0 1 2 3 4 5 6 7);
            k += 8;
        }
        while k < depth {
            for v in 0..V {
                let w = vld1q_s16(weights.add(8 * v));
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = *panel.add(t * depth + k);
                    let [low, high] = &mut sums[v];
                    *low = vmlal_n_s16(*low, vget_low_s16(w), x);
                    *high = vmlal_high_n_s16(*high, w, x);
                }
            }
            weights = weights.add(columns);
            k += 1;
        }
        for (t, sums) in sums.iter().enumerate() {
            for (v, [low, high]) in sums.iter().enumerate() {
                let out = out.as_mut_ptr().add((tile + t) * columns + column + 8 * v);
                vst1q_s32(out, *low);
                vst1q_s32(out.add(4), *high);
            }
        }
    }
}
