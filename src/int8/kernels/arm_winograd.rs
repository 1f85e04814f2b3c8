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

/// The compiler shall not know them: it would make shifts and additions of each.
const FACTORS: [i16; 8] = [0, 0, 4, 3, 0, 0, 0, 0];

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
        let factors = vld1q_s16(black_box(&FACTORS).as_ptr());
        let mut columns = [[MaybeUninit::<int16x8_t>::uninit(); PIXELS]; 6];
        let data = tiles.data.as_ptr().add(channel);
        let rows: [_; 6] = from_fn(|y| data.add(y * tiles.row_pitch));
        for x in 0..4 * tiles.tiles + 2 {
            let d = rows.map(|row| vld1_s8(row.add(x * tiles.pixel_pitch)));
            let mut u = forward(
                |i, j| vsubl_s8(d[i], d[j]),
                |from, i| vmlsl_s8(from, d[i], vdup_n_s8(3)),
                factors,
            );
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
                    |from, i| vmlsq_laneq_s16::<3>(from, d[i], factors),
                    factors,
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
/// `minus_3(from, i)` is from - 3 d\[i\]. The third of the factors is 4.
#[inline(always)]
fn forward(
    minus: impl Fn(usize, usize) -> int16x8_t,
    minus_3: impl Fn(int16x8_t, usize) -> int16x8_t,
    factors: int16x8_t,
) -> [int16x8_t; 6] {
    // SAFETY: NEON is always there.
    unsafe {
        let (c, e) = (minus(4, 2), minus(3, 1));
        let (a, b) = (minus_3(c, 2), minus_3(e, 1));
        let twice = vshlq_n_s16::<1>(e);
        [
            vmlaq_laneq_s16::<2>(c, minus(0, 2), factors),
            vaddq_s16(a, b),
            vsubq_s16(a, b),
            vaddq_s16(c, twice),
            vsubq_s16(c, twice),
            vmlsq_laneq_s16::<2>(minus(5, 3), e, factors),
        ]
    }
}

pub fn output(tiles: &OutputTiles, requantize: &Requantize, out: &mut [i8]) {
    tiles.check(requantize, out);
    for column in (0..tiles.valid).step_by(8) {
        // SAFETY: checked above.
        unsafe { columns(tiles, column, requantize, out.as_mut_ptr().add(column)) }
    }
}

/// Eight columns from `column` on.
///
/// # Safety
/// The sizes are checked.
unsafe fn columns(tiles: &OutputTiles, column: usize, requantize: &Requantize, out: *mut i8) {
    // SAFETY: all tiles, rows and columns that exist lie inside.
    unsafe {
        let scales = Scales::<2>::new(requantize, tiles.column + column);
        let valid = (tiles.valid - column).min(8);
        let factors = vld1q_s32(black_box(&[2, 4, 8, NINTH]).as_ptr());
        let bias = tiles.bias.as_ptr().add(column);
        let bias = [vld1q_s32(bias), vld1q_s32(bias.add(4))];
        let pitches: [_; 6] = from_fn(|j| j * tiles.position_pitch);
        let mut sums = tiles.sums.as_ptr().add(column);
        let mut out = out;
        let mut pixels = tiles.pixels;
        for _ in 0..tiles.tiles {
            let half = |v: usize| {
                let rows: [_; 6] = from_fn(|i| sums.add(4 * v).add(6 * pitches[i]));
                let half: [_; 6] = from_fn(|j| {
                    let mut m: [_; 6] = from_fn(|i| vld1q_s32(rows[i].add(pitches[j])));
                    if j == 1 {
                        // The product at point (1, 1) is part of each pixel's sum.
                        m[1] = vaddq_s32(m[1], bias[v]);
                    }
                    backward(m, factors)
                });
                let row = |row: [int32x4_t; 6]| {
                    // 64 times the sums, whose size the weights and biases prove.
                    let sums = backward(row, factors).map(|m| vmulq_laneq_s32::<3>(m, factors));
                    scales.bytes_of(|x| vcvtq_n_f32_s32::<6>(sums[x]), |_| v)
                };
                let row = |y: usize| vreinterpretq_s32_s8(row(half.map(|half| half[y])));
                [row(0), row(1), row(2), row(3)]
            };
            let (a, b) = (half(0), half(1));
            let row = |y: usize| [vzip1q_s32(a[y], b[y]), vzip2q_s32(a[y], b[y])];
            let rows = [row(0), row(1), row(2), row(3)];
            if valid == 8 && pixels >= 4 && tiles.rows == 4 {
                for (y, row) in rows.into_iter().enumerate() {
                    let out = out.add(y * tiles.row_pitch);
                    let row = row.map(|pixels| vreinterpretq_s8_s32(pixels));
                    vst1_s8(out, vget_low_s8(row[0]));
                    vst1_s8(out.add(tiles.pixel_pitch), vget_high_s8(row[0]));
                    vst1_s8(out.add(2 * tiles.pixel_pitch), vget_low_s8(row[1]));
                    vst1_s8(out.add(3 * tiles.pixel_pitch), vget_high_s8(row[1]));
                }
            } else {
                for (y, row) in rows.into_iter().enumerate().take(tiles.rows) {
                    let out = out.add(y * tiles.row_pitch);
                    let row = row.map(|pixels| array(vreinterpretq_s8_s32(pixels)));
                    for (x, bytes) in row.as_flattened().chunks_exact(8).enumerate().take(pixels) {
                        let out = out.add(x * tiles.pixel_pitch);
                        out.copy_from_nonoverlapping(bytes.as_ptr(), valid);
                    }
                }
            }
            sums = sums.add(tiles.columns);
            out = out.wrapping_add(4 * tiles.pixel_pitch);
            pixels = pixels.saturating_sub(4);
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
