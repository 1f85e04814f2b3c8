//! Winograd's transforms with AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Requantize;
use super::avx2::{self, Words as Pairs};
use super::tile::Lanes;
use super::winograd::{self, InputTiles, Longs, NINTH, OutputTiles, Words};

pub fn input(tiles: &InputTiles, out: &mut [i16], position_pitch: usize) {
    assert!(avx2::available());
    tiles.check(out, position_pitch);
    // SAFETY: checked above.
    unsafe { input_unchecked(tiles, out, position_pitch) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn input_unchecked(tiles: &InputTiles, out: &mut [i16], position_pitch: usize) {
    let mut channel = 0;
    while channel < tiles.channels {
        // SAFETY: so many channels are left.
        unsafe {
            if tiles.channels - channel >= 16 {
                winograd::input::<__m256i>(tiles, channel, out, position_pitch);
                channel += 16;
            } else {
                winograd::input::<Eight>(tiles, channel, out, position_pitch);
                channel += 8;
            }
        }
    }
}

pub fn output(tiles: &OutputTiles, requantize: &Requantize, out: &mut [i8]) {
    assert!(avx2::available());
    tiles.check(requantize, out);
    // SAFETY: checked above.
    unsafe { output_unchecked(tiles, requantize, out) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn output_unchecked(tiles: &OutputTiles, requantize: &Requantize, out: &mut [i8]) {
    for column in (0..tiles.columns).step_by(8) {
        // SAFETY: as the caller's.
        unsafe { winograd::output::<Pairs>(tiles, column, requantize, out) }
    }
}

impl Words for __m256i {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: i16) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm256_set1_epi16(value) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const i8) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: as the trait's.
        unsafe { _mm256_storeu_si256(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm256_add_epi16(self, other) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm256_sub_epi16(self, other) }
    }

    #[inline(always)]
    unsafe fn shl<const N: u32>(self) -> Self {
        // SAFETY: as the trait's.
        unsafe {
            match N {
                1 => _mm256_slli_epi16::<1>(self),
                _ => _mm256_slli_epi16::<2>(self),
            }
        }
    }
}

/// The last eight channels.
#[derive(Clone, Copy)]
pub struct Eight(__m128i);

impl Words for Eight {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: i16) -> Self {
        // SAFETY: as the trait's.
        unsafe { Eight(_mm_set1_epi16(value)) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const i8) -> Self {
        // SAFETY: as the trait's.
        unsafe { Eight(_mm_cvtepi8_epi16(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: as the trait's.
        unsafe { _mm_storeu_si128(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { Eight(_mm_add_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { Eight(_mm_sub_epi16(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn shl<const N: u32>(self) -> Self {
        // SAFETY: as the trait's.
        unsafe {
            match N {
                1 => Eight(_mm_slli_epi16::<1>(self.0)),
                _ => Eight(_mm_slli_epi16::<2>(self.0)),
            }
        }
    }
}

impl Longs for Pairs {
    const LANES: usize = 8;
    type Scale = <Self as Lanes>::Scale;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: as the trait's.
        unsafe { <Self as Lanes>::load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { Pairs(_mm256_add_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { Pairs(_mm256_sub_epi32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn shl<const N: u32>(self) -> Self {
        // SAFETY: as the trait's.
        unsafe {
            match N {
                1 => Pairs(_mm256_slli_epi32::<1>(self.0)),
                2 => Pairs(_mm256_slli_epi32::<2>(self.0)),
                _ => Pairs(_mm256_slli_epi32::<3>(self.0)),
            }
        }
    }

    #[inline(always)]
    unsafe fn ninth(self) -> Self {
        // SAFETY: as the trait's.
        unsafe { Pairs(_mm256_mullo_epi32(self.0, _mm256_set1_epi32(NINTH))) }
    }

    #[inline(always)]
    unsafe fn scale(multiplier: *const f32, addend: *const f32, valid: usize) -> Self::Scale {
        // SAFETY: as the trait's.
        unsafe {
            let (multiplier, addend) = <Self as Lanes>::scale(multiplier, addend, valid);
            (_mm256_mul_ps(multiplier, _mm256_set1_ps(1.0 / 64.0)), addend)
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, scale: Self::Scale, to: &Requantize, out: *mut i8, valid: usize) {
        // SAFETY: as the trait's.
        unsafe { <Self as Lanes>::store_bytes(self.bytes(scale, to), out, valid) }
    }
}
