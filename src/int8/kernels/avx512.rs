//! AVX-512 with VNNI: 64 products of bytes or 32 of words an instruction.
#![allow(unsafe_code)]

use std::arch::{asm, x86_64::*};

use super::tile::{self, Lanes};
use super::{Columns, Element, Format, Products, ProductsFormat, Requantize, Row, Store};

pub const FORMAT: Format = Format { element: Element::Unsigned, group: 4, block: 16 };
pub const PRODUCTS_FORMAT: ProductsFormat = ProductsFormat {
    group: 2,
    block: 32,
    least_tiles: 32,
    least_products: 512,
    least_channels: 8,
    most_bytes: 2 << 20,
};

/// Pixels of a tile: 12 times 2 sums leave registers for the operands.
const PIXELS: usize = 12;

pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("fma")
}

pub fn dense(row: &Row, columns: &Columns, store: &mut Store) {
    assert!(available());
    columns.check(row, store, FORMAT);
    let mut column = 0;
    while column < columns.count {
        // SAFETY: checked above.
        unsafe {
            match columns.count - column {
                25.. => {
                    dense_strip::<Wide<Unsigned>, 2>(row, columns, store, column);
                    column += 16;
                }
                9.. => dense_strip::<Wide<Unsigned>, 1>(row, columns, store, column),
                _ => dense_strip::<Half<Unsigned>, 1>(row, columns, store, column),
            }
        }
        column += 16;
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn dense_strip<V: Lanes, const C: usize>(
    row: &Row,
    columns: &Columns,
    store: &mut Store,
    column: usize,
) {
    // SAFETY: as the caller's.
    unsafe { tile::dense::<V, C>(row, columns, store, column, FORMAT.block, PIXELS) }
}

pub fn products(products: &Products, out: &mut [i32]) {
    assert!(available());
    products.check(out, PRODUCTS_FORMAT);
    let mut column = 0;
    while column < products.columns {
        // SAFETY: checked above.
        column += unsafe {
            match products.columns - column {
                32.. => products_strip::<Wide<Words>, 2>(products, out, column),
                16.. => products_strip::<Wide<Words>, 1>(products, out, column),
                _ => products_strip::<Half<Words>, 1>(products, out, column),
            }
        };
    }
}

/// Returns how many columns it has computed.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
unsafe fn products_strip<V: Lanes, const C: usize>(
    products: &Products,
    out: &mut [i32],
    column: usize,
) -> usize {
    // SAFETY: as the caller's.
    unsafe { tile::products::<V, C>(products, out, column, PIXELS) };
    C * V::COLUMNS
}

pub fn vectorize<R>(work: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")]
    unsafe fn vectorized<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    assert!(available());
    // SAFETY: the processor has the features.
    unsafe { vectorized(work) }
}

/// What the lanes multiply.
pub trait Dot: Copy {
    unsafe fn wide(sum: __m512i, x: __m512i, weights: __m512i) -> __m512i;
    unsafe fn half(sum: __m256i, x: __m256i, weights: __m256i) -> __m256i;
}

/// u8 times i8.
#[derive(Clone, Copy)]
pub struct Unsigned;

impl Dot for Unsigned {
    #[inline(always)]
    unsafe fn wide(sum: __m512i, x: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: as the trait's.
        unsafe { _mm512_dpbusd_epi32(sum, x, weights) }
    }

    #[inline(always)]
    unsafe fn half(sum: __m256i, x: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: as the trait's.
        unsafe { _mm256_dpbusd_epi32(sum, x, weights) }
    }
}

/// i16 times i16.
#[derive(Clone, Copy)]
pub struct Words;

impl Dot for Words {
    #[inline(always)]
    unsafe fn wide(sum: __m512i, x: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: as the trait's.
        unsafe { dot_wide(sum, x, weights) }
    }

    #[inline(always)]
    unsafe fn half(sum: __m256i, x: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: as the trait's.
        unsafe { dot_half(sum, x, weights) }
    }
}

/// `_mm512_dpwssd_epi32`, which the compiler would take for the slower VPMADDWD and VPADDD.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub fn dot_wide(mut sum: __m512i, x: __m512i, weights: __m512i) -> __m512i {
    // SAFETY: an instruction on registers alone.
    unsafe {
        asm!("vpdpwssd {}, {}, {}", inout(zmm_reg) sum, in(zmm_reg) x, in(zmm_reg) weights,
             options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// The same for `_mm256_dpwssd_epi32`.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512vnni")]
fn dot_half(mut sum: __m256i, x: __m256i, weights: __m256i) -> __m256i {
    // SAFETY: an instruction on registers alone.
    unsafe {
        asm!("vpdpwssd {}, {}, {}", inout(ymm_reg) sum, in(ymm_reg) x, in(ymm_reg) weights,
             options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// 16 columns.
#[derive(Clone, Copy)]
pub struct Wide<D>(pub __m512i, std::marker::PhantomData<D>);

impl<D> Wide<D> {
    #[inline(always)]
    pub fn new(sums: __m512i) -> Self {
        Wide(sums, std::marker::PhantomData)
    }

    #[inline(always)]
    unsafe fn rounded(self, scale: (__m512, __m512)) -> __m512i {
        // SAFETY: whoever has such a vector has checked the processor.
        unsafe {
            let real = _mm512_fmadd_ps(_mm512_cvtepi32_ps(self.0), scale.0, scale.1);
            _mm512_cvt_roundps_epi32::<NEAREST>(real)
        }
    }
}

impl<D: Dot> Lanes for Wide<D> {
    const COLUMNS: usize = 16;
    type Scale = (__m512, __m512);

    #[inline(always)]
    unsafe fn splat(group: i32) -> Self {
        // SAFETY: as the trait's.
        unsafe { Wide::new(_mm512_set1_epi32(group)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as the trait's.
        unsafe { Wide::new(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn dot(self, x: Self, weights: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { Wide(D::wide(self.0, x.0, weights.0), self.1) }
    }

    #[inline(always)]
    unsafe fn shifted(self, shift: Self, sum: i32) -> Self {
        // SAFETY: as the trait's.
        unsafe {
            let more = _mm512_mullo_epi32(shift.0, _mm512_set1_epi32(sum));
            Wide(_mm512_add_epi32(self.0, more), self.1)
        }
    }

    #[inline(always)]
    unsafe fn scale(multiplier: *const f32, addend: *const f32, valid: usize) -> Self::Scale {
        let mask = mask(valid);
        // SAFETY: only valid lanes are loaded.
        unsafe { (_mm512_maskz_loadu_ps(mask, multiplier), _mm512_maskz_loadu_ps(mask, addend)) }
    }

    #[inline(always)]
    unsafe fn bytes(self, scale: Self::Scale, to: &Requantize) -> __m128i {
        // SAFETY: as the trait's.
        unsafe {
            let zero_point = _mm512_set1_epi32(to.zero_point);
            let y = _mm512_cvtsepi32_epi8(_mm512_add_epi32(self.rounded(scale), zero_point));
            bound(y, to)
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(bytes: __m128i, out: *mut i8, valid: usize) {
        // SAFETY: as the trait's.
        unsafe { store(bytes, out, valid) }
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
        unsafe {
            let [a, b, c, d] = sums;
            let y = [a.rounded(scale), b.rounded(scale), c.rounded(scale), d.rounded(scale)];
            let zero_point = _mm512_set1_epi16(to.zero_point as i16);
            let first = _mm512_adds_epi16(_mm512_packs_epi32(y[0], y[1]), zero_point);
            let second = _mm512_adds_epi16(_mm512_packs_epi32(y[2], y[3]), zero_point);
            let y = _mm512_packs_epi16(first, second);
            let y = _mm512_min_epi8(y, _mm512_set1_epi8(to.high));
            let y = _mm512_max_epi8(y, _mm512_set1_epi8(to.low));
            // Packing has put four columns of each pixel side by side.
            let pixels = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let y = _mm512_permutexvar_epi32(pixels, y);
            _mm_storeu_si128(out.cast(), _mm512_castsi512_si128(y));
            let out = out.add(pixel_pitch);
            _mm_storeu_si128(out.cast(), _mm512_extracti32x4_epi32::<1>(y));
            let out = out.add(pixel_pitch);
            _mm_storeu_si128(out.cast(), _mm512_extracti32x4_epi32::<2>(y));
            let out = out.add(pixel_pitch);
            _mm_storeu_si128(out.cast(), _mm512_extracti32x4_epi32::<3>(y));
        }
    }

    #[inline(always)]
    unsafe fn store_sums(self, out: *mut i32, valid: usize) {
        // SAFETY: only valid lanes are stored.
        unsafe {
            if valid == 16 {
                _mm512_storeu_si512(out.cast(), self.0);
            } else {
                _mm512_mask_storeu_epi32(out, mask(valid), self.0);
            }
        }
    }
}

/// 8 columns, for those blocks that have no more.
#[derive(Clone, Copy)]
pub struct Half<D>(pub __m256i, std::marker::PhantomData<D>);

impl<D> Half<D> {
    #[inline(always)]
    pub fn new(sums: __m256i) -> Self {
        Half(sums, std::marker::PhantomData)
    }
}

impl<D: Dot> Lanes for Half<D> {
    const COLUMNS: usize = 8;
    type Scale = (__m256, __m256);

    #[inline(always)]
    unsafe fn splat(group: i32) -> Self {
        // SAFETY: as the trait's.
        unsafe { Half::new(_mm256_set1_epi32(group)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as the trait's.
        unsafe { Half::new(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn dot(self, x: Self, weights: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { Half(D::half(self.0, x.0, weights.0), self.1) }
    }

    #[inline(always)]
    unsafe fn shifted(self, shift: Self, sum: i32) -> Self {
        // SAFETY: as the trait's.
        unsafe {
            let more = _mm256_mullo_epi32(shift.0, _mm256_set1_epi32(sum));
            Half(_mm256_add_epi32(self.0, more), self.1)
        }
    }

    #[inline(always)]
    unsafe fn scale(multiplier: *const f32, addend: *const f32, valid: usize) -> Self::Scale {
        let mask = mask(valid) as u8;
        // SAFETY: only valid lanes are loaded.
        unsafe { (_mm256_maskz_loadu_ps(mask, multiplier), _mm256_maskz_loadu_ps(mask, addend)) }
    }

    #[inline(always)]
    unsafe fn bytes(self, scale: Self::Scale, to: &Requantize) -> __m128i {
        // SAFETY: as the trait's.
        unsafe {
            let real = _mm256_fmadd_ps(_mm256_cvtepi32_ps(self.0), scale.0, scale.1);
            let y = _mm256_cvtps_epi32(real);
            let y = _mm256_cvtsepi32_epi8(_mm256_add_epi32(y, _mm256_set1_epi32(to.zero_point)));
            bound(y, to)
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(bytes: __m128i, out: *mut i8, valid: usize) {
        // SAFETY: as the trait's.
        unsafe { store(bytes, out, valid) }
    }

    #[inline(always)]
    unsafe fn store_sums(self, out: *mut i32, valid: usize) {
        // SAFETY: only valid lanes are stored.
        unsafe { _mm256_mask_storeu_epi32(out, mask(valid) as u8, self.0) }
    }
}

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// The first `valid` of 16 lanes.
#[inline(always)]
fn mask(valid: usize) -> u16 {
    ((1u32 << valid) - 1) as u16
}

#[inline(always)]
unsafe fn bound(y: __m128i, to: &Requantize) -> __m128i {
    // SAFETY: as the caller's.
    unsafe { _mm_max_epi8(_mm_min_epi8(y, _mm_set1_epi8(to.high)), _mm_set1_epi8(to.low)) }
}

#[inline(always)]
unsafe fn store(bytes: __m128i, out: *mut i8, valid: usize) {
    // SAFETY: only valid bytes are stored.
    unsafe {
        match valid {
            16 => _mm_storeu_si128(out.cast(), bytes),
            8 => _mm_storel_epi64(out.cast(), bytes),
            _ => _mm_mask_storeu_epi8(out, mask(valid), bytes),
        }
    }
}
