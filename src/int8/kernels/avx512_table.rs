//! Tables of 256 entries with AVX-512 VBMI: 128 of them an instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

/// Replaces each value by its entry, whose index is the value's bits; false, and nothing done, if
/// the processor cannot.
pub fn look_up(table: &[i8; 256], values: &mut [i8]) -> bool {
    let available = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi");
    if available {
        // SAFETY: the processor has the features.
        unsafe { look_up_unchecked(table, values) }
    }
    available
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn look_up_unchecked(table: &[i8; 256], values: &mut [i8]) {
    let quarter = |index: usize| {
        // SAFETY: the table has four quarters of 64 entries.
        unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * index).cast()) }
    };
    let (a, b, c, d) = (quarter(0), quarter(1), quarter(2), quarter(3));
    for values in values.chunks_mut(64) {
        let mask = u64::MAX >> (64 - values.len());
        // SAFETY: the mask keeps every access within the values.
        unsafe {
            let x = _mm512_maskz_loadu_epi8(mask, values.as_ptr());
            let (low, high) =
                (_mm512_permutex2var_epi8(a, x, b), _mm512_permutex2var_epi8(c, x, d));
            let y = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
            _mm512_mask_storeu_epi8(values.as_mut_ptr(), mask, y);
        }
    }
}
