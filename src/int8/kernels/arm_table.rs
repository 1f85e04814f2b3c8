//! Tables of 256 bytes in registers: TBL answers 64 indices' worth, TBX the rest.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

/// Each value by its entry, indexed by its bits. Returns those that fill no vector.
pub fn look_up<'a>(table: &[i8; 256], values: &'a mut [i8]) -> &'a mut [i8] {
    let (blocks, rest) = values.as_chunks_mut::<16>();
    // SAFETY: NEON is always there, and all loads and stores stay in the arrays.
    unsafe {
        let quarter = |i: usize| vld1q_u8_x4(table.as_ptr().cast::<u8>().add(64 * i));
        let quarters = [quarter(0), quarter(1), quarter(2), quarter(3)];
        for block in blocks {
            let index = vld1q_u8(block.as_ptr().cast());
            // An index outside of a quarter leaves the answer as it is.
            let mut y = vqtbl4q_u8(quarters[0], index);
            y = vqtbx4q_u8(y, quarters[1], vsubq_u8(index, vdupq_n_u8(64)));
            y = vqtbx4q_u8(y, quarters[2], vsubq_u8(index, vdupq_n_u8(128)));
            y = vqtbx4q_u8(y, quarters[3], vsubq_u8(index, vdupq_n_u8(192)));
            vst1q_u8(block.as_mut_ptr().cast(), y);
        }
    }
    rest
}
