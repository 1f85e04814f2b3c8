//! Winograd's transforms with AVX-512.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::avx512::{self, Half, Wide, Words as Pairs};
use super::tile::Lanes;
use super::winograd::{self, InputTiles, Longs, NINTH, OutputTiles, Words};
use super::{Requantize, avx2_winograd::Eight};

pub fn input(tiles: &InputTiles, out: &mut [i16], position_pitch: usize) {
    assert!(avx512::available());
    tiles.check(out, position_pitch);
    // SAFETY: checked above.
    unsafe { input_unchecked(tiles, out, position_pitch) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn input_unchecked(tiles: &InputTiles, out: &mut [i16], position_pitch: usize) {
    let mut channel = 0;
    while channel < tiles.channels {
        // SAFETY: so many channels are left.
        channel += unsafe {
            match tiles.channels - channel {
                32.. => block::<__m512i>(tiles, channel, out, position_pitch),
                16.. => block::<__m256i>(tiles, channel, out, position_pitch),
                _ => block::<Eight>(tiles, channel, out, position_pitch),
            }
        };
    }
}

/// Returns how many channels it has done.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn block<V: Words>(
    tiles: &InputTiles,
    channel: usize,
    out: &mut [i16],
    position_pitch: usize,
) -> usize {
    // SAFETY: as the caller's.
    unsafe { winograd::input::<V>(tiles, channel, out, position_pitch) };
    V::LANES
}

pub fn output(tiles: &OutputTiles, requantize: &Requantize, out: &mut [i8]) {
    assert!(avx512::available());
    tiles.check(requantize, out);
    // SAFETY: checked above.
    unsafe { output_unchecked(tiles, requantize, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn output_unchecked(tiles: &OutputTiles, requantize: &Requantize, out: &mut [i8]) {
    let mut column = 0;
    while column < tiles.columns {
        // SAFETY: so many columns are left.
        unsafe {
            if tiles.columns - column >= 16 {
                winograd::output::<Wide<Pairs>>(tiles, column, requantize, out);
                column += 16;
            } else {
                winograd::output::<Half<Pairs>>(tiles, column, requantize, out);
                column += 8;
            }
        }
    }
}

impl Words for __m512i {
    const LANES: usize = 32;

    #[inline(always)]
    unsafe fn splat(value: i16) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm512_set1_epi16(value) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const i8) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: as the trait's.
        unsafe { _mm512_storeu_si512(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm512_add_epi16(self, other) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm512_sub_epi16(self, other) }
    }

    #[inline(always)]
    unsafe fn shl<const N: u32>(self) -> Self {
        // SAFETY: as the trait's.
        unsafe { _mm512_slli_epi16::<N>(self) }
    }
}

macro_rules! longs {
    ($type:ty, $lanes:literal, $add:ident, $sub:ident, $shl:ident, $mul:ident, $set:ident, $times:ident, $splat:ident) => {
        impl Longs for $type {
            const LANES: usize = $lanes;
            type Scale = <Self as Lanes>::Scale;

            #[inline(always)]
            unsafe fn load(from: *const i32) -> Self {
                // SAFETY: as the trait's.
                unsafe { <Self as Lanes>::load(from.cast()) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: as the trait's.
                unsafe { Self::new($add(self.0, other.0)) }
            }

            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                // SAFETY: as the trait's.
                unsafe { Self::new($sub(self.0, other.0)) }
            }

            #[inline(always)]
            unsafe fn shl<const N: u32>(self) -> Self {
                // SAFETY: as the trait's.
                unsafe { Self::new($shl::<N>(self.0)) }
            }

            #[inline(always)]
            unsafe fn ninth(self) -> Self {
                // SAFETY: as the trait's.
                unsafe { Self::new($mul(self.0, $set(NINTH))) }
            }

            #[inline(always)]
            unsafe fn scale(
                multiplier: *const f32,
                addend: *const f32,
                valid: usize,
            ) -> Self::Scale {
                // SAFETY: as the trait's.
                unsafe {
                    let (multiplier, addend) = <Self as Lanes>::scale(multiplier, addend, valid);
                    ($times(multiplier, $splat(1.0 / 64.0)), addend)
                }
            }

            #[inline(always)]
            unsafe fn store_bytes(
                self,
                scale: Self::Scale,
                to: &Requantize,
                out: *mut i8,
                valid: usize,
            ) {
                // SAFETY: as the trait's.
                unsafe { <Self as Lanes>::store_bytes(self.bytes(scale, to), out, valid) }
            }

            #[inline(always)]
            unsafe fn store_four(
                sums: [Self; 4],
                scale: Self::Scale,
                to: &Requantize,
                out: *mut i8,
                pixel_pitch: usize,
            ) {
                // SAFETY: as the trait's.
                unsafe { <Self as Lanes>::store_four(sums, scale, to, out, pixel_pitch) }
            }
        }
    };
}

longs!(
    Wide<Pairs>,
    16,
    _mm512_add_epi32,
    _mm512_sub_epi32,
    _mm512_slli_epi32,
    _mm512_mullo_epi32,
    _mm512_set1_epi32,
    _mm512_mul_ps,
    _mm512_set1_ps
);
longs!(
    Half<Pairs>,
    8,
    _mm256_add_epi32,
    _mm256_sub_epi32,
    shl256,
    _mm256_mullo_epi32,
    _mm256_set1_epi32,
    _mm256_mul_ps,
    _mm256_set1_ps
);

/// The same constants for 256 bits are of another type.
#[inline(always)]
unsafe fn shl256<const N: u32>(x: __m256i) -> __m256i {
    // SAFETY: as the caller's.
    unsafe { _mm256_sllv_epi32(x, _mm256_set1_epi32(N as i32)) }
}
