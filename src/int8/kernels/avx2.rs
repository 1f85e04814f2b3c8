//! AVX2: 16 products of words an instruction, exact whatever the weights.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::tile::{self, Lanes};
use super::{Columns, Element, Format, Products, ProductsFormat, Requantize, Row, Store};

pub const FORMAT: Format = Format { element: Element::Difference, group: 2, block: 8 };
pub const PRODUCTS_FORMAT: ProductsFormat = ProductsFormat {
    group: 2,
    block: 16,
    least_tiles: 12,
    least_products: 128,
    least_channels: 8,
    most_bytes: usize::MAX,
};

/// Pixels of a tile: 6 times 2 sums leave registers for the operands.
const PIXELS: usize = 6;

pub fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

pub fn dense(row: &Row, columns: &Columns, store: &mut Store) {
    assert!(available());
    columns.check(row, store, FORMAT);
    let mut column = 0;
    while column < columns.count {
        // SAFETY: checked above.
        unsafe {
            if columns.count - column > 8 {
                dense_strip::<2>(row, columns, store, column);
                column += 8;
            } else {
                dense_strip::<1>(row, columns, store, column);
            }
        }
        column += 8;
    }
}

// SAFETY: asked of the caller: the features and sizes are checked.
#[target_feature(enable = "avx2,fma")]
unsafe fn dense_strip<const C: usize>(
    row: &Row,
    columns: &Columns,
    store: &mut Store,
    column: usize,
) {
    // SAFETY: as the caller's.
    unsafe { tile::dense::<Words, C>(row, columns, store, column, FORMAT.block, PIXELS) }
}

pub fn products(products: &Products, out: &mut [i32]) {
    assert!(available());
    products.check(out, PRODUCTS_FORMAT);
    let mut column = 0;
    while column < products.columns {
        // SAFETY: checked above.
        column += unsafe {
            match products.columns - column {
                16.. => products_strip::<2>(products, out, column),
                _ => products_strip::<1>(products, out, column),
            }
        };
    }
}

/// Returns how many columns it has computed.
// SAFETY: asked of the caller: the features and sizes are checked.
#[target_feature(enable = "avx2,fma")]
unsafe fn products_strip<const C: usize>(
    products: &Products,
    out: &mut [i32],
    column: usize,
) -> usize {
    // SAFETY: as the caller's.
    unsafe { tile::products::<Words, C>(products, out, column, PIXELS) };
    C * Words::COLUMNS
}

pub fn vectorize<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: asked of the caller: the features and sizes are checked.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn vectorized<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    assert!(available());
    // SAFETY: the processor has the features.
    unsafe { vectorized(work) }
}

/// 8 columns.
#[derive(Clone, Copy)]
pub struct Words(pub __m256i);

impl Lanes for Words {
    const COLUMNS: usize = 8;
    type Scale = (__m256, __m256);

    // SAFETY: asked of the caller: see the trait.
    #[inline(always)]
    unsafe fn splat(group: i32) -> Self {
        // SAFETY: as the trait's.
        unsafe { Words(_mm256_set1_epi32(group)) }
    }

    // SAFETY: asked of the caller: see the trait.
    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as the trait's.
        unsafe { Words(_mm256_loadu_si256(from.cast())) }
    }

    // SAFETY: asked of the caller: see the trait.
    #[inline(always)]
    unsafe fn dot(self, x: Self, weights: Self) -> Self {
        // SAFETY: as the trait's.
        unsafe { Words(_mm256_add_epi32(self.0, _mm256_madd_epi16(x.0, weights.0))) }
    }

    // SAFETY: asked of the caller: see the trait.
    #[inline(always)]
    unsafe fn shifted(self, shift: Self, sum: i32) -> Self {
        // SAFETY: as the trait's.
        unsafe {
            let more = _mm256_mullo_epi32(shift.0, _mm256_set1_epi32(sum));
            Words(_mm256_add_epi32(self.0, more))
        }
    }

    // SAFETY: asked of the caller: see the trait.
    #[inline(always)]
    unsafe fn scale(multiplier: *const f32, addend: *const f32, valid: usize) -> Self::Scale {
        // SAFETY: only valid lanes are loaded.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(valid as i32), lanes);
            (_mm256_maskload_ps(multiplier, mask), _mm256_maskload_ps(addend, mask))
        }
    }

    // SAFETY: asked of the caller: see the trait.
    #[inline(always)]
    unsafe fn bytes(self, scale: Self::Scale, to: &Requantize) -> __m128i {
        // SAFETY: as the trait's.
        unsafe {
            let real = _mm256_fmadd_ps(_mm256_cvtepi32_ps(self.0), scale.0, scale.1);
            let y = _mm256_cvtps_epi32(real);
            let y = _mm256_add_epi32(y, _mm256_set1_epi32(to.zero_point));
            let (low, high) = (_mm256_castsi256_si128(y), _mm256_extracti128_si256::<1>(y));
            let y = _mm_packs_epi32(low, high);
            let y = _mm_packs_epi16(y, y);
            _mm_max_epi8(_mm_min_epi8(y, _mm_set1_epi8(to.high)), _mm_set1_epi8(to.low))
        }
    }

    // SAFETY: asked of the caller: see the trait.
    #[inline(always)]
    unsafe fn store_bytes(bytes: __m128i, out: *mut i8, valid: usize) {
        // SAFETY: only valid bytes are stored.
        unsafe {
            if valid == 8 {
                _mm_storel_epi64(out.cast(), bytes);
            } else {
                let bytes = _mm_cvtsi128_si64(bytes).to_le_bytes();
                std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, valid);
            }
        }
    }

    // SAFETY: asked of the caller: see the trait.
    #[inline(always)]
    unsafe fn store_sums(self, out: *mut i32, valid: usize) {
        // SAFETY: only valid sums are stored.
        unsafe {
            if valid == 8 {
                _mm256_storeu_si256(out.cast(), self.0);
            } else {
                let sums: [i32; 8] = std::mem::transmute(self.0);
                std::ptr::copy_nonoverlapping(sums.as_ptr(), out, valid);
            }
        }
    }
}
