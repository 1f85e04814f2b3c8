//! Depthwise rows with AVX-512: 32 channels at a time, two taps an instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{DepthwiseRow, Requantize, avx512, avx512_depthwise3, reference};

/// Pairs of taps whose interleaved weights are kept at hand.
const PAIRS: usize = 64;
/// Pixels computed side by side.
const PIXELS: usize = avx512_depthwise3::PIXELS;

pub fn depthwise(row: &DepthwiseRow, requantize: &Requantize, out: &mut [i8], pixel_pitch: usize) {
    assert!(avx512::available());
    row.check(requantize, out, pixel_pitch);
    if row.taps.len() > 2 * PAIRS {
        return avx512::vectorize(|| reference::depthwise(row, requantize, out, pixel_pitch));
    }
    for channel in (0..row.channels).step_by(32) {
        // SAFETY: the processor has the features, and the slices were checked.
        unsafe { block(row, requantize, out.as_mut_ptr(), pixel_pitch, channel) }
    }
}

/// What the lanes of 32 channels need, in the order that interleaving leaves them in.
struct Lanes {
    channels: __mmask32,
    bias: [__m512i; 2],
    multiplier: [__m512; 2],
    addend: [__m512; 2],
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn block(
    row: &DepthwiseRow,
    requantize: &Requantize,
    out: *mut i8,
    pixel_pitch: usize,
    channel: usize,
) {
    // SAFETY: masks keep every access within the channels; the caller has checked the rest.
    unsafe {
        let valid = (row.channels - channel).min(32);
        let channels = ((1u64 << valid) - 1) as u32;
        let lanes = Lanes {
            channels,
            bias: interleaved(row.bias.as_ptr().add(channel), channels),
            multiplier: interleaved(requantize.multiplier.as_ptr().add(channel).cast(), channels)
                .map(|x| _mm512_castsi512_ps(x)),
            addend: interleaved(requantize.addend.as_ptr().add(channel).cast(), channels)
                .map(|x| _mm512_castsi512_ps(x)),
        };
        let mut weights = [const { MaybeUninit::<[__m512i; 2]>::uninit() }; PAIRS];
        let load = |tap: usize| {
            let weights = row.weights.as_ptr().wrapping_add(tap * row.channels + channel);
            _mm512_maskz_loadu_epi16(if tap < row.taps.len() { channels } else { 0 }, weights)
        };
        let pairs = row.taps.len().div_ceil(2);
        for (pair, weights) in weights[..pairs].iter_mut().enumerate() {
            let (first, second) = (load(2 * pair), load(2 * pair + 1));
            weights.write([
                _mm512_unpacklo_epi16(first, second),
                _mm512_unpackhi_epi16(first, second),
            ]);
        }
        let weights = std::slice::from_raw_parts(weights.as_ptr().cast(), pairs);
        let store = |pixel: usize| out.add(pixel * pixel_pitch + channel);
        let mut pixel = 0;
        if let Some(stride) = avx512_depthwise3::stride(row) {
            let weights = avx512_depthwise3::weights(row, channel, channels);
            while pixel + PIXELS <= row.pixels {
                let sums = if stride == 1 {
                    avx512_depthwise3::sums::<1>(
                        row, &weights, lanes.bias, channel, channels, pixel,
                    )
                } else {
                    avx512_depthwise3::sums::<2>(
                        row, &weights, lanes.bias, channel, channels, pixel,
                    )
                };
                requantized(sums, &lanes, requantize, store(pixel), pixel_pitch);
                pixel += PIXELS;
            }
        }
        while pixel + PIXELS <= row.pixels {
            let sums = sums::<PIXELS>(row, weights, &lanes, channel, pixel);
            requantized(sums, &lanes, requantize, store(pixel), pixel_pitch);
            pixel += PIXELS;
        }
        while pixel < row.pixels {
            let sums = sums::<1>(row, weights, &lanes, channel, pixel);
            requantized(sums, &lanes, requantize, store(pixel), pixel_pitch);
            pixel += 1;
        }
    }
}

/// 32 numbers of 32 bits in the order of unpacklo and unpackhi of 16-bit lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn interleaved(from: *const i32, channels: __mmask32) -> [__m512i; 2] {
    // SAFETY: only valid lanes are loaded.
    unsafe {
        let a = _mm512_maskz_loadu_epi32(channels as u16, from);
        let b = _mm512_maskz_loadu_epi32((channels >> 16) as u16, from.wrapping_add(16));
        let low = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(4));
        [_mm512_permutex2var_epi32(a, low, b), _mm512_permutex2var_epi32(a, high, b)]
    }
}

/// The sums of P pixels, whatever their taps.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn sums<const P: usize>(
    row: &DepthwiseRow,
    weights: &[[__m512i; 2]],
    lanes: &Lanes,
    channel: usize,
    pixel: usize,
) -> [[__m512i; 2]; P] {
    // SAFETY: masks keep every access within the channels; the caller has checked the rest.
    unsafe {
        let mut sums = [lanes.bias; P];
        let panel = row.panel.as_ptr().add(pixel * row.pixel_stride + channel);
        for (taps, [low, high]) in row.taps.chunks(2).zip(weights) {
            let first = panel.wrapping_add(taps[0]);
            // An odd last tap meets itself, with a weight of zero.
            let second = panel.wrapping_add(*taps.last().unwrap_or(&taps[0]));
            for (p, sums) in sums.iter_mut().enumerate() {
                let at = p * row.pixel_stride;
                let a = _mm512_maskz_loadu_epi16(lanes.channels, first.wrapping_add(at));
                let b = _mm512_maskz_loadu_epi16(lanes.channels, second.wrapping_add(at));
                sums[0] = avx512::dot_wide(sums[0], _mm512_unpacklo_epi16(a, b), *low);
                sums[1] = avx512::dot_wide(sums[1], _mm512_unpackhi_epi16(a, b), *high);
            }
        }
        sums
    }
}

/// Stores them from `out` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn requantized<const P: usize>(
    sums: [[__m512i; 2]; P],
    lanes: &Lanes,
    requantize: &Requantize,
    out: *mut i8,
    pixel_pitch: usize,
) {
    // SAFETY: masks keep every store within the channels; the caller has checked the rest.
    unsafe {
        for (p, sums) in sums.into_iter().enumerate() {
            let mut y = [_mm512_setzero_si512(); 2];
            for (i, y) in y.iter_mut().enumerate() {
                let real = _mm512_cvtepi32_ps(sums[i]);
                *y =
                    _mm512_cvtps_epi32(_mm512_fmadd_ps(real, lanes.multiplier[i], lanes.addend[i]));
            }
            let zero_point = _mm512_set1_epi16(requantize.zero_point as i16);
            let y = _mm512_adds_epi16(_mm512_packs_epi32(y[0], y[1]), zero_point);
            let y = _mm512_cvtsepi16_epi8(y);
            let y = _mm256_min_epi8(y, _mm256_set1_epi8(requantize.high));
            let y = _mm256_max_epi8(y, _mm256_set1_epi8(requantize.low));
            let out = out.add(p * pixel_pitch);
            if lanes.channels == u32::MAX {
                _mm256_storeu_si256(out.cast(), y);
            } else {
                _mm256_mask_storeu_epi8(out, lanes.channels, y);
            }
        }
    }
}
