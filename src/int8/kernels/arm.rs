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
    /// `vector` says which of the V scales the four vectors of sums.
    pub fn bytes(&self, sums: [int32x4_t; 4], vector: impl Fn(usize) -> usize) -> int8x16_t {
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

/// The pixels of the tile of P that begins at `pixel`: the last tile moves back into the row, and
/// in a row of less than P the last pixel is computed again.
#[inline(always)]
pub fn pixels_of_tile<const P: usize>(pixels: usize, pixel: usize) -> [usize; P] {
    let first = pixel.min(pixels.saturating_sub(P));
    from_fn(|p| (first + p).min(pixels - 1))
}

/// Where a block of `4 * V` columns goes in a pixel's output.
pub struct Target<'a, const V: usize> {
    segments: &'a [Segment],
    first: usize,
    way: Way<V>,
}

enum Way<const V: usize> {
    /// To one offset.
    Whole(usize),
    /// Each four to its own, if it is there at all.
    Fours([Option<usize>; V]),
    Scattered,
}

impl<'a, const V: usize> Target<'a, V> {
    /// That of the columns from `first` on.
    pub fn new(segments: &'a [Segment], first: usize) -> Self {
        let owners = |first: usize, size: usize| {
            segments.iter().filter(move |segment| {
                segment.column < first + size && first < segment.column + segment.columns
            })
        };
        let piece = |first: usize, size: usize| {
            let (Some(owner), None) = (owners(first, size).next(), owners(first, size).nth(1))
            else {
                return None;
            };
            let inside = owner.column <= first && first + size <= owner.column + owner.columns;
            inside.then(|| owner.offset + first - owner.column)
        };
        let four = |v: usize| first + 4 * v;
        let way = if let Some(offset) = piece(first, 4 * V) {
            Way::Whole(offset)
        } else if (0..V).all(|v| piece(four(v), 4).is_some() || owners(four(v), 4).count() == 0) {
            Way::Fours(from_fn(|v| piece(four(v), 4)))
        } else {
            Way::Scattered
        };
        Target { segments, first, way }
    }

    /// The way of a block in pieces: `bytes` are its columns.
    ///
    /// # Safety
    /// All segments of the pixel that begins at `out` may be written.
    #[inline(never)]
    unsafe fn scatter(&self, bytes: &[i8], out: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Way::Fours(offsets) = &self.way {
                for (four, offset) in bytes.as_chunks::<4>().0.iter().zip(offsets) {
                    if let Some(offset) = offset {
                        out.add(*offset).cast::<[i8; 4]>().write_unaligned(*four);
                    }
                }
                return;
            }
            for segment in self.segments {
                let from = segment.column.max(self.first);
                let to = (segment.column + segment.columns).min(self.first + 4 * V);
                for column in from..to {
                    let offset = segment.offset + column - segment.column;
                    out.add(offset).write(bytes[column - self.first]);
                }
            }
        }
    }
}

impl Target<'_, 4> {
    /// Sixteen columns of a pixel.
    ///
    /// # Safety
    /// All segments of the pixel that begins at `out` may be written.
    #[inline(always)]
    pub unsafe fn store(&self, bytes: int8x16_t, out: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Way::Whole(offset) = self.way {
                vst1q_s8(out.add(offset), bytes);
            } else {
                self.scatter(&array(bytes), out);
            }
        }
    }
}

impl Target<'_, 2> {
    /// Eight columns of two pixels.
    ///
    /// # Safety
    /// All segments of the pixels that begin at `out` may be written.
    #[inline(always)]
    pub unsafe fn store(&self, bytes: int8x16_t, out: [*mut i8; 2]) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Way::Whole(offset) = self.way {
                vst1_s8(out[0].add(offset), vget_low_s8(bytes));
                vst1_s8(out[1].add(offset), vget_high_s8(bytes));
            } else {
                let bytes = array(bytes);
                self.scatter(&bytes[..8], out[0]);
                self.scatter(&bytes[8..], out[1]);
            }
        }
    }
}

fn array(bytes: int8x16_t) -> [i8; 16] {
    let mut array = [0; 16];
    // SAFETY: the array takes what is stored.
    unsafe { vst1q_s8(array.as_mut_ptr(), bytes) };
    array
}

/// As many of a pixel's sums as `out` takes.
#[inline(always)]
pub fn store_sums<const V: usize>(sums: [int32x4_t; V], out: &mut [i32]) {
    for (out, sums) in out.chunks_mut(4).zip(sums) {
        let mut four = [0; 4];
        // SAFETY: `four` takes what is stored.
        unsafe { vst1q_s32(four.as_mut_ptr(), sums) };
        out.copy_from_slice(&four[..out.len()]);
    }
}

/// What a shift of the weights adds to the sums of the columns from `first` on.
#[inline(always)]
pub fn add_shift<const P: usize, const V: usize>(
    sums: &mut [[int32x4_t; V]; P],
    row: &Row,
    columns: &Columns,
    first: usize,
    pixels: [usize; P],
) {
    let (Some(shift), Some(windows)) = (&columns.shift, row.window_sums) else { return };
    let shift = &shift[first..][..4 * V];
    for (sums, pixel) in sums.iter_mut().zip(pixels) {
        for (v, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the slice holds what is loaded.
            let shift = unsafe { vld1q_s32(shift[4 * v..][..4].as_ptr()) };
            // SAFETY: NEON is always there.
            *sums = unsafe { vmlaq_n_s32(*sums, shift, windows[pixel]) };
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
