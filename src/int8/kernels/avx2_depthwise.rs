//! Depthwise rows with AVX2: 16 channels at a time, two taps an instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{DepthwiseRow, Requantize, avx2, reference};

/// Pairs of taps whose interleaved weights are kept at hand.
const PAIRS: usize = 64;
/// Pixels computed side by side.
const PIXELS: usize = 4;

pub fn depthwise(row: &DepthwiseRow, requantize: &Requantize, out: &mut [i8], pixel_pitch: usize) {
    assert!(avx2::available());
    row.check(requantize, out, pixel_pitch);
    if row.taps.len() > 2 * PAIRS || row.channels < 16 {
        return avx2::vectorize(|| reference::depthwise(row, requantize, out, pixel_pitch));
    }
    for channel in (0..row.channels).step_by(16) {
        // The last block may compute some channels again.
        let channel = channel.min(row.channels - 16);
        // SAFETY: the processor has the features, and the slices were checked.
        unsafe { block(row, requantize, out.as_mut_ptr(), pixel_pitch, channel) }
    }
}

/// What the lanes of 16 channels need, in the order that interleaving leaves them in.
struct Lanes {
    bias: [__m256i; 2],
    multiplier: [__m256; 2],
    addend: [__m256; 2],
}

#[target_feature(enable = "avx2,fma")]
unsafe fn block(
    row: &DepthwiseRow,
    requantize: &Requantize,
    out: *mut i8,
    pixel_pitch: usize,
    channel: usize,
) {
    // SAFETY: there are 16 channels from `channel` on; the caller has checked the rest.
    unsafe {
        let lanes = Lanes {
            bias: interleaved(row.bias.as_ptr().add(channel)),
            multiplier: interleaved(requantize.multiplier.as_ptr().add(channel).cast())
                .map(|x| _mm256_castsi256_ps(x)),
            addend: interleaved(requantize.addend.as_ptr().add(channel).cast())
                .map(|x| _mm256_castsi256_ps(x)),
        };
        let mut weights = [const { MaybeUninit::<[__m256i; 2]>::uninit() }; PAIRS];
        let load = |tap: usize| {
            if tap == row.taps.len() {
                return _mm256_setzero_si256();
            }
            _mm256_loadu_si256(row.weights.as_ptr().add(tap * row.channels + channel).cast())
        };
        let pairs = row.taps.len().div_ceil(2);
        for (pair, weights) in weights[..pairs].iter_mut().enumerate() {
            let (first, second) = (load(2 * pair), load(2 * pair + 1));
            weights.write([
                _mm256_unpacklo_epi16(first, second),
                _mm256_unpackhi_epi16(first, second),
            ]);
        }
        let weights = std::slice::from_raw_parts(weights.as_ptr().cast(), pairs);
        let mut pixel = 0;
        while pixel + PIXELS <= row.pixels {
            pixels::<PIXELS>(row, weights, &lanes, requantize, out, pixel_pitch, channel, pixel);
            pixel += PIXELS;
        }
        while pixel < row.pixels {
            pixels::<1>(row, weights, &lanes, requantize, out, pixel_pitch, channel, pixel);
            pixel += 1;
        }
    }
}

/// 16 numbers of 32 bits in the order of unpacklo and unpackhi of 16-bit lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn interleaved(from: *const i32) -> [__m256i; 2] {
    // SAFETY: the caller has 16 numbers there.
    unsafe {
        let (a, b) = (_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(8).cast()));
        [_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b)]
    }
}

#[allow(clippy::too_many_arguments)]
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn pixels<const P: usize>(
    row: &DepthwiseRow,
    weights: &[[__m256i; 2]],
    lanes: &Lanes,
    requantize: &Requantize,
    out: *mut i8,
    pixel_pitch: usize,
    channel: usize,
    pixel: usize,
) {
    // SAFETY: there are 16 channels from `channel` on; the caller has checked the rest.
    unsafe {
        let mut sums = [lanes.bias; P];
        let panel = row.panel.as_ptr().add(pixel * row.pixel_stride + channel);
        for (taps, [low, high]) in row.taps.chunks(2).zip(weights) {
            let first = panel.wrapping_add(taps[0]);
            // An odd last tap meets itself, with a weight of zero.
            let second = panel.wrapping_add(*taps.last().unwrap_or(&taps[0]));
            for (p, sums) in sums.iter_mut().enumerate() {
                let at = p * row.pixel_stride;
                let a = _mm256_loadu_si256(first.wrapping_add(at).cast());
                let b = _mm256_loadu_si256(second.wrapping_add(at).cast());
                let (l, h) = (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(l, *low));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(h, *high));
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            let mut y = [_mm256_setzero_si256(); 2];
            for (i, y) in y.iter_mut().enumerate() {
                let real = _mm256_cvtepi32_ps(sums[i]);
                *y =
                    _mm256_cvtps_epi32(_mm256_fmadd_ps(real, lanes.multiplier[i], lanes.addend[i]));
            }
            let zero_point = _mm256_set1_epi16(requantize.zero_point as i16);
            let y = _mm256_adds_epi16(_mm256_packs_epi32(y[0], y[1]), zero_point);
            let y = _mm_packs_epi16(_mm256_castsi256_si128(y), _mm256_extracti128_si256::<1>(y));
            let y = _mm_min_epi8(y, _mm_set1_epi8(requantize.high));
            let y = _mm_max_epi8(y, _mm_set1_epi8(requantize.low));
            _mm_storeu_si128(out.add((pixel + p) * pixel_pitch + channel).cast(), y);
        }
    }
}
