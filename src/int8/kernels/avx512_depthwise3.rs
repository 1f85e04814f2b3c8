//! Depthwise rows of 3×3 taps with AVX-512, whose pixels share what they load.
//!
//! Columns of the panel go by one after the other: rows 0 and 1 of a column are interleaved once
//! for the up to three pixels that see them, and so is row 2 with its neighbour to the right.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::DepthwiseRow;
use super::avx512::dot_wide;

/// Pixels computed side by side.
pub const PIXELS: usize = 4;

/// Sums of 32 channels, in the order that interleaving leaves them in.
type Sums = [__m512i; 2];

/// The nine weights of 32 channels, interleaved in pairs: rows 0 and 1 of each tap, then row 2's
/// first two taps, then its third with nothing.
#[derive(Clone, Copy)]
pub struct Weights {
    rows01: [Sums; 3],
    row2: [Sums; 2],
}

/// Pixels whose taps these are: `S` panel columns from one to the next.
#[derive(Clone, Copy)]
struct Tile {
    /// Row 0, 1 and 2 of the first pixel.
    rows: [*const i16; 3],
    channels: usize,
    mask: __mmask32,
}

/// From one pixel to the next, in panel columns, if the taps are 3×3 neighbours and that is 1
/// or 2.
pub fn stride(row: &DepthwiseRow) -> Option<usize> {
    let rows = row.taps.as_chunks::<3>();
    let neighbours = row.taps.len() == 9
        && rows.0.iter().all(|[a, b, c]| a + row.channels == *b && b + row.channels == *c);
    [1, 2].into_iter().find(|stride| neighbours && row.pixel_stride == stride * row.channels)
}

/// Whoever calls has checked the row and that channels from `channel` on are those of the mask.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
pub unsafe fn weights(row: &DepthwiseRow, channel: usize, mask: __mmask32) -> Weights {
    // SAFETY: masks keep every access within the channels.
    unsafe {
        let first = row.weights.as_ptr().add(channel);
        let load = |tap: usize| _mm512_maskz_loadu_epi16(mask, first.add(tap * row.channels));
        let zero = _mm512_setzero_si512();
        Weights {
            rows01: [
                interleave(load(0), load(3)),
                interleave(load(1), load(4)),
                interleave(load(2), load(5)),
            ],
            row2: [interleave(load(6), load(7)), interleave(load(8), zero)],
        }
    }
}

/// The sums of [`PIXELS`] pixels from `pixel` on. Whoever calls has checked the row and its
/// stride S.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
pub unsafe fn sums<const S: usize>(
    row: &DepthwiseRow,
    weights: &Weights,
    bias: Sums,
    channel: usize,
    mask: __mmask32,
    pixel: usize,
) -> [Sums; PIXELS] {
    // SAFETY: the caller has checked all taps of all pixels, and masks the channels.
    unsafe {
        let first = row.panel.as_ptr().add(pixel * row.pixel_stride + channel);
        let rows = [first.add(row.taps[0]), first.add(row.taps[3]), first.add(row.taps[6])];
        let tile = Tile { rows, channels: row.channels, mask };
        let mut sums = [bias; PIXELS];
        column::<S, 0>(&tile, weights, &mut sums);
        column::<S, 1>(&tile, weights, &mut sums);
        column::<S, 2>(&tile, weights, &mut sums);
        column::<S, 3>(&tile, weights, &mut sums);
        column::<S, 4>(&tile, weights, &mut sums);
        column::<S, 5>(&tile, weights, &mut sums);
        column::<S, 6>(&tile, weights, &mut sums);
        column::<S, 7>(&tile, weights, &mut sums);
        column::<S, 8>(&tile, weights, &mut sums);
        sums
    }
}

/// What panel column X adds to the pixels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn column<const S: usize, const X: usize>(
    tile: &Tile,
    weights: &Weights,
    sums: &mut [Sums; PIXELS],
) {
    let last = S * (PIXELS - 1) + 2;
    if X > last {
        return;
    }
    // SAFETY: a pixel of the tile sees column X, and its right neighbour unless it is the last.
    unsafe {
        let load = |row: usize, x: usize| {
            _mm512_maskz_loadu_epi16(tile.mask, tile.rows[row].add(x * tile.channels))
        };
        let rows01 = interleave(load(0, X), load(1, X));
        let row2 = interleave(load(2, X), load(2, if X < last { X + 1 } else { X }));
        for (pixel, sums) in sums.iter_mut().enumerate() {
            match X.wrapping_sub(S * pixel) {
                0 => {
                    add(sums, rows01, weights.rows01[0]);
                    add(sums, row2, weights.row2[0]);
                }
                1 => add(sums, rows01, weights.rows01[1]),
                2 => {
                    add(sums, rows01, weights.rows01[2]);
                    add(sums, row2, weights.row2[1]);
                }
                _ => {}
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
fn interleave(a: __m512i, b: __m512i) -> Sums {
    [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
fn add(sums: &mut Sums, x: Sums, weights: Sums) {
    sums[0] = dot_wide(sums[0], x[0], weights[0]);
    sums[1] = dot_wide(sums[1], x[1], weights[1]);
}
