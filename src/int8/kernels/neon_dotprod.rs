//! Cortex-A76, A78AE: SDOT adds four products of bytes to each of four sums. Sixteen columns
//! times four pixels, the pixels' bytes loaded once for four groups.
#![allow(unsafe_code)]

use std::arch::{aarch64::*, asm};
use std::array::from_fn;

use super::arm::{Scales, Target, add_shift, store_fours};
use super::{Columns, Element, Format, Row, Store, Weights};

pub const FORMAT: Format = Format { element: Element::Signed, group: 4, block: 16 };

pub fn available() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

pub fn dense(row: &Row, columns: &Columns, store: &mut Store) {
    columns.check(row, store, FORMAT);
    // SAFETY: the sizes are checked, and this set is only made where `available`.
    unsafe { blocks(row, columns, store) }
}

#[target_feature(enable = "dotprod")]
unsafe fn blocks(row: &Row, columns: &Columns, store: &mut Store) {
    for first in (0..columns.count).step_by(FORMAT.block) {
        match store {
            Store::Bytes { requantize, out, pixel_pitch, segments } => {
                let scales = Scales::<4>::new(requantize, first);
                let target = Target::new(segments, first, FORMAT.block);
                let put = |pixel: usize, sums: [int32x4_t; 4]| {
                    let bytes = scales.columns(sums);
                    let out = &mut out[pixel * *pixel_pitch..];
                    if let Some(offset) = target.whole {
                        // SAFETY: the check saw that the segment lies in `out`.
                        unsafe { vst1q_s8(out.as_mut_ptr().add(offset), bytes) };
                    } else if let Some(offsets) = target.fours {
                        let at = offsets.map(|offset| out.as_mut_ptr().wrapping_add(offset));
                        // SAFETY: as above.
                        unsafe { store_fours(bytes, at) };
                    } else {
                        target.scatter(&array(bytes), out);
                    }
                };
                // SAFETY: the caller has checked the sizes.
                unsafe { pixels(row, columns, first, put) };
            }
            Store::Sums { out, pixel_pitch } => {
                let count = (columns.count - first).min(FORMAT.block);
                let put = |pixel: usize, sums: [int32x4_t; 4]| {
                    let out = &mut out[pixel * *pixel_pitch + first..][..count];
                    for (out, sums) in out.chunks_mut(4).zip(sums) {
                        let mut four = [0; 4];
                        // SAFETY: `four` takes what is stored.
                        unsafe { vst1q_s32(four.as_mut_ptr(), sums) };
                        out.copy_from_slice(&four[..out.len()]);
                    }
                };
                // SAFETY: the caller has checked the sizes.
                unsafe { pixels(row, columns, first, put) };
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

/// All pixels of one block of columns, the last four again where their number is no multiple.
#[target_feature(enable = "dotprod")]
#[inline]
unsafe fn pixels(
    row: &Row,
    columns: &Columns,
    first: usize,
    mut put: impl FnMut(usize, [int32x4_t; 4]),
) {
    // SAFETY: the caller has checked the sizes.
    unsafe {
        if row.pixels < 4 {
            for pixel in 0..row.pixels {
                let [sums] = tile::<1>(row, columns, first, pixel);
                put(pixel, sums);
            }
            return;
        }
        for pixel in (0..row.pixels).step_by(4) {
            let pixel = pixel.min(row.pixels - 4);
            let tile = tile::<4>(row, columns, first, pixel);
            for (p, sums) in tile.into_iter().enumerate() {
                put(pixel + p, sums);
            }
        }
    }
}

/// The sums of sixteen columns at P pixels.
#[inline(always)]
unsafe fn tile<const P: usize>(
    row: &Row,
    columns: &Columns,
    first: usize,
    pixel: usize,
) -> [[int32x4_t; 4]; P] {
    let Weights::Bytes(weights) = &columns.weights else { unreachable!("checked") };
    // SAFETY: the caller has checked the sizes.
    unsafe {
        let start = columns.start.as_ptr().add(first);
        let mut sums = [from_fn(|v| vld1q_s32(start.add(4 * v))); P];
        let mut weights = weights.as_ptr().add(first * columns.depth);
        let window = row.panel.as_ptr().add(pixel * row.pixel_stride).cast::<i8>();
        for run in row.runs {
            let mut at = window.add(*run);
            let end = at.add(row.run);
            while end.offset_from(at) >= 16 {
                let x: [_; P] = from_fn(|p| vld1q_s8(at.add(p * row.pixel_stride)));
                group::<0, P>(&mut sums, vld1q_s8_x4(weights), x);
                group::<1, P>(&mut sums, vld1q_s8_x4(weights.add(64)), x);
                group::<2, P>(&mut sums, vld1q_s8_x4(weights.add(128)), x);
                group::<3, P>(&mut sums, vld1q_s8_x4(weights.add(192)), x);
                weights = weights.add(256);
                at = at.add(16);
            }
            while at < end {
                let x: [_; P] = from_fn(|p| {
                    let four = at.add(p * row.pixel_stride).cast::<i32>().read_unaligned();
                    vreinterpretq_s8_s32(vdupq_n_s32(four))
                });
                group::<0, P>(&mut sums, vld1q_s8_x4(weights), x);
                weights = weights.add(64);
                at = at.add(4);
            }
        }
        add_shift(&mut sums, row, columns, first, pixel);
        sums
    }
}

/// Group LANE of each pixel's sixteen bytes, times sixteen columns.
#[inline(always)]
fn group<const LANE: usize, const P: usize>(
    sums: &mut [[int32x4_t; 4]; P],
    weights: int8x16x4_t,
    x: [int8x16_t; P],
) {
    for (sums, x) in sums.iter_mut().zip(x) {
        sums[0] = sdot::<LANE>(sums[0], weights.0, x);
        sums[1] = sdot::<LANE>(sums[1], weights.1, x);
        sums[2] = sdot::<LANE>(sums[2], weights.2, x);
        sums[3] = sdot::<LANE>(sums[3], weights.3, x);
    }
}

/// The intrinsic is not stable. Inlined into functions that may use the instruction.
#[inline(always)]
fn sdot<const LANE: usize>(mut sum: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: it reads and writes these registers only.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {x:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            x = in(vreg) x,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
