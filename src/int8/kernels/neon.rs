//! Cortex-A53, A72: SMULL and SMLAL2 make sixteen products of bytes, SADALP adds them to four
//! sums: 5.3 products an instruction, where 16-bit SMLAL has 4. Four columns times four pixels,
//! each with four partial sums.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::arm::{Scales, Target, add_shift, store_fours};
use super::{Columns, Element, Format, Row, Store, Weights};

pub const FORMAT: Format = Format { element: Element::Signed, group: 16, block: 4 };

pub fn dense(row: &Row, columns: &Columns, store: &mut Store) {
    columns.check(row, store, FORMAT);
    for first in (0..columns.count).step_by(FORMAT.block) {
        let count = (columns.count - first).min(FORMAT.block);
        match store {
            Store::Bytes { requantize, out, pixel_pitch, segments } => {
                let scales = Scales::<1>::new(requantize, first);
                let target = Target::new(segments, first, FORMAT.block);
                let put = |pixel: usize, pixels: usize, sums: [int32x4_t; 4]| {
                    let bytes = scales.pixels(sums);
                    let out = &mut out[pixel * *pixel_pitch..];
                    if let (4, Some(offset)) = (pixels, target.whole) {
                        let mut at = |p| out.as_mut_ptr().wrapping_add(p * *pixel_pitch + offset);
                        // SAFETY: the check saw that the segment lies in `out` at each pixel.
                        unsafe { store_fours(bytes, [at(0), at(1), at(2), at(3)]) };
                    } else {
                        let mut array = [0; 16];
                        // SAFETY: the array takes what is stored.
                        unsafe { vst1q_s8(array.as_mut_ptr(), bytes) };
                        for (p, bytes) in array.chunks_exact(4).enumerate().take(pixels) {
                            target.scatter(bytes, &mut out[p * *pixel_pitch..]);
                        }
                    }
                };
                // SAFETY: the sizes are checked.
                unsafe { pixels(row, columns, first, put) };
            }
            Store::Sums { out, pixel_pitch } => {
                let put = |pixel: usize, pixels: usize, sums: [int32x4_t; 4]| {
                    for (p, sums) in sums.into_iter().enumerate().take(pixels) {
                        let mut four = [0; 4];
                        // SAFETY: `four` takes what is stored.
                        unsafe { vst1q_s32(four.as_mut_ptr(), sums) };
                        let at = (pixel + p) * *pixel_pitch + first;
                        out[at..][..count].copy_from_slice(&four[..count]);
                    }
                };
                // SAFETY: the sizes are checked.
                unsafe { pixels(row, columns, first, put) };
            }
        }
    }
}

/// All pixels of one block of columns, the last four again where their number is no multiple.
#[inline(always)]
unsafe fn pixels(
    row: &Row,
    columns: &Columns,
    first: usize,
    mut put: impl FnMut(usize, usize, [int32x4_t; 4]),
) {
    // SAFETY: the caller has checked the sizes.
    unsafe {
        if row.pixels < 4 {
            for pixel in 0..row.pixels {
                let [sums] = tile::<1, false>(row, columns, first, pixel);
                put(pixel, 1, [sums; 4]);
            }
        } else if columns.pairs_fit {
            for pixel in (0..row.pixels).step_by(4) {
                let pixel = pixel.min(row.pixels - 4);
                put(pixel, 4, tile::<4, true>(row, columns, first, pixel));
            }
        } else {
            for pixel in (0..row.pixels).step_by(4) {
                let pixel = pixel.min(row.pixels - 4);
                put(pixel, 4, tile::<4, false>(row, columns, first, pixel));
            }
        }
    }
}

/// The sums of four columns at P pixels; PAIRS if the columns' `pairs_fit`.
#[inline(always)]
unsafe fn tile<const P: usize, const PAIRS: bool>(
    row: &Row,
    columns: &Columns,
    first: usize,
    pixel: usize,
) -> [int32x4_t; P] {
    let Weights::Bytes(weights) = &columns.weights else { unreachable!("checked") };
    // SAFETY: the caller has checked the sizes.
    unsafe {
        let mut parts = [[vdupq_n_s32(0); 4]; P];
        let mut weights = weights.as_ptr().add(first * columns.depth);
        let window = row.panel.as_ptr().add(pixel * row.pixel_stride).cast::<i8>();
        for run in row.runs {
            let mut at = window.add(*run);
            let end = at.add(row.run);
            while at < end {
                let w = vld1q_s8_x4(weights);
                for (p, parts) in parts.iter_mut().enumerate() {
                    let x = vld1q_s8(at.add(p * row.pixel_stride));
                    parts[0] = add_products::<PAIRS>(parts[0], w.0, x);
                    parts[1] = add_products::<PAIRS>(parts[1], w.1, x);
                    parts[2] = add_products::<PAIRS>(parts[2], w.2, x);
                    parts[3] = add_products::<PAIRS>(parts[3], w.3, x);
                }
                weights = weights.add(64);
                at = at.add(16);
            }
        }
        let start = vld1q_s32(columns.start.as_ptr().add(first));
        let mut sums = parts
            .map(|[a, b, c, d]| [vaddq_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)), start)]);
        add_shift(&mut sums, row, columns, first, pixel);
        sums.map(|[sums]| sums)
    }
}

#[inline(always)]
fn add_products<const PAIRS: bool>(sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        let low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
        if PAIRS {
            vpadalq_s16(sums, vmlal_high_s8(low, w, x))
        } else {
            vpadalq_s16(vpadalq_s16(sums, low), vmull_high_s8(w, x))
        }
    }
}
