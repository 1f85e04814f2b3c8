//! Winograd's transforms with NEON.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::array::from_fn;
use std::hint::black_box;
use std::mem::MaybeUninit;

use super::Requantize;
use super::arm::{Scales, array};
use super::winograd::{InputTiles, NINTH, OutputTiles, TILES};

/// Input pixels that one direction of a run of tiles sees.
const PIXELS: usize = 4 * TILES + 2;

pub fn input(tiles: &InputTiles, out: &mut [i16], position_pitch: usize) {
    tiles.check(out, position_pitch);
    for channel in (0..tiles.channels).step_by(8) {
        // SAFETY: checked above.
        unsafe { channels(tiles, channel, out.as_mut_ptr().add(channel), position_pitch) }
    }
}

/// Eight channels from `channel` on.
///
/// # Safety
/// The sizes are checked.
unsafe fn channels(tiles: &InputTiles, channel: usize, out: *mut i16, pitch: usize) {
    // SAFETY: all tiles and rows lie inside; only columns that are written are read.
    unsafe {
        // The zero point reaches one of the six: what the points' coefficients sum up to is 0
        // but for the second, where it is -6.
        let zero_point = vdupq_n_s16(6 * tiles.zero_point as i16);
        let mut columns = [[MaybeUninit::<int16x8_t>::uninit(); PIXELS]; 6];
        let data = tiles.data.as_ptr().add(channel);
        let rows: [_; 6] = from_fn(|y| data.add(y * tiles.row_pitch));
        for x in 0..4 * tiles.tiles + 2 {
            let d = rows.map(|row| vld1_s8(row.add(x * tiles.pixel_pitch)));
            let mut u =
                forward(|i, j| vsubl_s8(d[i], d[j]), |from, i| vmlsl_s8(from, d[i], vdup_n_s8(3)));
            u[1] = vaddq_s16(u[1], zero_point);
            for (column, u) in columns.iter_mut().zip(u) {
                column[x].write(u);
            }
        }
        let pitches: [_; 6] = from_fn(|j| j * pitch);
        for (i, columns) in columns.iter().enumerate() {
            let mut out = out.add(6 * i * pitch);
            let (mut d0, mut d1) = (columns[0].assume_init(), columns[1].assume_init());
            for tile in 0..tiles.tiles {
                let next = |x: usize| columns.get_unchecked(4 * tile + x).assume_init();
                let d = [d0, d1, next(2), next(3), next(4), next(5)];
                let u = forward(
                    |i, j| vsubq_s16(d[i], d[j]),
                    |from, i| vmlsq_s16(from, d[i], vdupq_n_s16(3)),
                );
                for (pitch, u) in pitches.into_iter().zip(u) {
                    vst1q_s16(out.add(pitch), u);
                }
                (d0, d1) = (d[4], d[5]);
                out = out.add(tiles.channels);
            }
        }
    }
}

/// One direction of the input's transform: `minus(i, j)` is d\[i\] - d\[j\], and
/// `minus_3(from, i)` is from - 3 d\[i\].
#[inline(always)]
fn forward(
    minus: impl Fn(usize, usize) -> int16x8_t,
    minus_3: impl Fn(int16x8_t, usize) -> int16x8_t,
) -> [int16x8_t; 6] {
    // SAFETY: NEON is always there.
    unsafe {
        let (c, e) = (minus(4, 2), minus(3, 1));
        let (a, b) = (minus_3(c, 2), minus_3(e, 1));
        let twice = vshlq_n_s16::<1>(e);
        [
            vaddq_s16(c, vshlq_n_s16::<2>(minus(0, 2))),
            vaddq_s16(a, b),
            vsubq_s16(a, b),
            vaddq_s16(c, twice),
            vsubq_s16(c, twice),
            vsubq_s16(minus(5, 3), vshlq_n_s16::<1>(twice)),
        ]
    }
}

pub fn output(tiles: &OutputTiles, requantize: &Requantize, out: &mut [i8]) {
    tiles.check(requantize, out);
    for column in (0..tiles.valid).step_by(4) {
        // SAFETY: checked above.
        unsafe { columns(tiles, column, requantize, out.as_mut_ptr().add(column)) }
    }
}

/// Four columns from `column` on.
///
/// # Safety
/// The sizes are checked.
unsafe fn columns(tiles: &OutputTiles, column: usize, requantize: &Requantize, out: *mut i8) {
    // SAFETY: all tiles, rows and columns that exist lie inside.
    unsafe {
        let scales = Scales::<1>::new(requantize, tiles.column + column);
        let valid = (tiles.valid - column).min(4);
        // Factors that the compiler does not know: it would make shifts and additions of them.
        let factors = vld1q_s32(black_box(&[2, 4, 8, NINTH]).as_ptr());
        // At the middle of the 36 it is part of each pixel's sum.
        let bias = vmulq_n_s32(vld1q_s32(tiles.bias.as_ptr().add(column)), 576);
        let mut sums = tiles.sums.as_ptr().add(column);
        let pitches: [_; 6] = from_fn(|j| j * tiles.position_pitch);
        for tile in 0..tiles.tiles {
            let rows: [_; 6] = from_fn(|i| sums.add(6 * pitches[i]));
            let half: [_; 6] = from_fn(|j| {
                let mut m: [_; 6] = from_fn(|i| vld1q_s32(rows[i].add(pitches[j])));
                if j == 1 {
                    m[1] = vaddq_s32(m[1], bias);
                }
                backward(m, factors)
            });
            let pixels = (tiles.pixels - 4 * tile).min(4);
            let out = out.add(4 * tile * tiles.pixel_pitch);
            for y in 0..4 {
                if y == tiles.rows {
                    break;
                }
                let out = out.add(y * tiles.row_pitch);
                let sums = backward(half.map(|half| half[y]), factors);
                // 64 times the sum, whose size the weights and biases prove.
                let sums = sums.map(|sum| vmulq_laneq_s32::<3>(sum, factors));
                let bytes = scales.bytes_of(|i| vcvtq_n_f32_s32::<6>(sums[i]), |_| 0);
                if (valid, pixels) == (4, 4) {
                    let words = vreinterpretq_s32_s8(bytes);
                    let at = |x: usize| out.add(x * tiles.pixel_pitch).cast::<i32>();
                    at(0).write_unaligned(vgetq_lane_s32::<0>(words));
                    at(1).write_unaligned(vgetq_lane_s32::<1>(words));
                    at(2).write_unaligned(vgetq_lane_s32::<2>(words));
                    at(3).write_unaligned(vgetq_lane_s32::<3>(words));
                } else {
                    for (x, four) in array(bytes).chunks_exact(4).enumerate().take(pixels) {
                        let out = out.add(x * tiles.pixel_pitch);
                        out.copy_from_nonoverlapping(four.as_ptr(), valid);
                    }
                }
            }
            sums = sums.add(tiles.columns);
        }
    }
}

/// One direction of the output's transform; the factors are 2, 4 and 8.
#[inline(always)]
fn backward(m: [int32x4_t; 6], factors: int32x4_t) -> [int32x4_t; 4] {
    // SAFETY: NEON is always there.
    unsafe {
        let (s, d) = (vaddq_s32(m[1], m[2]), vsubq_s32(m[1], m[2]));
        let (t, e) = (vaddq_s32(m[3], m[4]), vsubq_s32(m[3], m[4]));
        let last = vmlaq_laneq_s32::<2>(d, e, factors);
        [
            vaddq_s32(vaddq_s32(m[0], s), t),
            vmlaq_laneq_s32::<0>(d, e, factors),
            vmlaq_laneq_s32::<1>(s, t, factors),
            vmlaq_laneq_s32::<1>(last, m[5], factors),
        ]
    }
}
