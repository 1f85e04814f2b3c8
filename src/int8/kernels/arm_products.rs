//! The small matrix products of Winograd's algorithm: SMLAL by element, sixteen columns times four
//! tiles, in assembly so that one load brings four registers.
#![allow(unsafe_code)]

use std::arch::{aarch64::*, asm};

use super::{Products, ProductsFormat};

pub const FORMAT: ProductsFormat = ProductsFormat {
    group: 1,
    block: 16,
    least_tiles: 8,
    least_products: 24,
    least_channels: 3,
    most_bytes: usize::MAX,
};

pub fn products(products: &Products, out: &mut [i32]) {
    products.check(out, FORMAT);
    let Products { positions, tiles, depth, columns, .. } = *products;
    assert!(depth > 0 && depth.is_multiple_of(8) && columns <= 16);
    for position in 0..positions {
        // SAFETY: the sizes are checked.
        unsafe {
            let panel = products.panel.as_ptr().add(position * tiles * depth);
            let weights = products.weights.as_ptr().add(position * depth * columns);
            let out = out.as_mut_ptr().add(position * tiles * columns);
            let in_order = [0, 1, 2, 3];
            if columns == 16 {
                for tile in 0..tiles / 4 {
                    let (panel, out) = (panel.add(4 * tile * depth), out.add(64 * tile));
                    sixteen(in_order, panel, weights, depth, out);
                }
            }
            // What is left, some of it again.
            let done = if columns == 16 { tiles / 4 * 4 } else { 0 };
            for tile in (done..tiles).step_by(4) {
                let four = in_order.map(|t| (tile + t).min(tiles - 1));
                if columns == 16 {
                    sixteen(four, panel, weights, depth, out);
                } else {
                    eight(four, panel, weights, depth, out);
                }
            }
        }
    }
}

/// Two of eight elements of four tiles times sixteen columns, first by `$first`.
macro_rules! two {
    ($first:literal, $k:literal, $l:literal) => {
        concat!(
            "ld1 {{v4.8h-v7.8h}}, [{weights}], #64\n",
            two!($first, "v4", "v5", "v0", $k, "s0", "s1", "s2", "s3"),
            two!($first, "v4", "v5", "v1", $k, "s4", "s5", "s6", "s7"),
            two!($first, "v4", "v5", "v2", $k, "s8", "s9", "s10", "s11"),
            two!($first, "v4", "v5", "v3", $k, "s12", "s13", "s14", "s15"),
            two!("smlal", "v6", "v7", "v0", $l, "s0", "s1", "s2", "s3"),
            two!("smlal", "v6", "v7", "v1", $l, "s4", "s5", "s6", "s7"),
            two!("smlal", "v6", "v7", "v2", $l, "s8", "s9", "s10", "s11"),
            two!("smlal", "v6", "v7", "v3", $l, "s12", "s13", "s14", "s15"),
        )
    };
    ($op:literal, $w:literal, $v:literal, $x:literal, $k:literal,
     $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            $op, " {", $a, ":v}.4s, ", $w, ".4h, ", $x, ".h[", $k, "]\n", $op, "2 {", $b,
            ":v}.4s, ", $w, ".8h, ", $x, ".h[", $k, "]\n", $op, " {", $c, ":v}.4s, ", $v, ".4h, ",
            $x, ".h[", $k, "]\n", $op, "2 {", $d, ":v}.4s, ", $v, ".8h, ", $x, ".h[", $k, "]\n",
        )
    };
}

macro_rules! eight_elements {
    ($first:literal) => {
        concat!(
            "ldr q0, [{x0}], #16\n",
            "ldr q1, [{x1}], #16\n",
            "ldr q2, [{x2}], #16\n",
            "ldr q3, [{x3}], #16\n",
            two!($first, "0", "1"),
            two!("smlal", "2", "3"),
            two!("smlal", "4", "5"),
            two!("smlal", "6", "7"),
        )
    };
}

/// Four of the tiles.
///
/// # Safety
/// The panel has `depth` elements for each of them, a positive multiple of 8, the weights have 16
/// times as many, and `out` takes 16 sums for each.
#[inline(always)]
unsafe fn sixteen(
    tiles: [usize; 4],
    panel: *const i16,
    weights: *const i16,
    depth: usize,
    out: *mut i32,
) {
    // SAFETY: the loop reads what the caller promises and writes no memory.
    unsafe {
        let panels = tiles.map(|tile| panel.add(tile * depth));
        let mut s = [vdupq_n_s32(0); 16];
        asm!(
            eight_elements!("smull"),
            "subs {count:w}, {count:w}, #1",
            "b.eq 3f",
            "2:",
            eight_elements!("smlal"),
            "subs {count:w}, {count:w}, #1",
            "b.ne 2b",
            "3:",
            count = inout(reg) depth / 8 => _,
            weights = inout(reg) weights => _,
            x0 = inout(reg) panels[0] => _,
            x1 = inout(reg) panels[1] => _,
            x2 = inout(reg) panels[2] => _,
            x3 = inout(reg) panels[3] => _,
            s0 = out(vreg) s[0],
            s1 = out(vreg) s[1],
            s2 = out(vreg) s[2],
            s3 = out(vreg) s[3],
            s4 = out(vreg) s[4],
            s5 = out(vreg) s[5],
            s6 = out(vreg) s[6],
            s7 = out(vreg) s[7],
            s8 = out(vreg) s[8],
            s9 = out(vreg) s[9],
            s10 = out(vreg) s[10],
            s11 = out(vreg) s[11],
            s12 = out(vreg) s[12],
            s13 = out(vreg) s[13],
            s14 = out(vreg) s[14],
            s15 = out(vreg) s[15],
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(readonly, nostack),
        );
        for (tile, sums) in tiles.into_iter().zip(s.as_chunks::<4>().0) {
            for (v, sums) in sums.iter().enumerate() {
                vst1q_s32(out.add(16 * tile + 4 * v), *sums);
            }
        }
    }
}

/// # Safety
/// The same with eight columns.
#[inline(always)]
unsafe fn eight(
    tiles: [usize; 4],
    panel: *const i16,
    weights: *const i16,
    depth: usize,
    out: *mut i32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let panels = tiles.map(|tile| panel.add(tile * depth));
        let mut sums = [[vdupq_n_s32(0); 2]; 4];
        for k in 0..depth {
            let w = vld1q_s16(weights.add(8 * k));
            for (sums, panel) in sums.iter_mut().zip(panels) {
                let x = *panel.add(k);
                sums[0] = vmlal_n_s16(sums[0], vget_low_s16(w), x);
                sums[1] = vmlal_high_n_s16(sums[1], w, x);
            }
        }
        for (tile, sums) in tiles.into_iter().zip(sums) {
            vst1q_s32(out.add(8 * tile), sums[0]);
            vst1q_s32(out.add(8 * tile + 4), sums[1]);
        }
    }
}
