//! Cortex-A53, A72: SMULL and SMLAL2 make sixteen products of bytes, SADALP adds them to four
//! sums: 5.3 products an instruction, where 16-bit SMLAL has 4. Eight columns times two pixels,
//! each with four partial sums.
#![allow(unsafe_code)]

use std::arch::{aarch64::*, asm};

use super::arm::{Scales, Target, Tile, add_shift, array, store_sums};
use super::{Columns, Element, Format, Row, Store, Weights};

pub const FORMAT: Format = Format { element: Element::Signed, group: 16, block: 8 };

pub fn dense(row: &Row, columns: &Columns, store: &mut Store) {
    columns.check(row, store, FORMAT);
    // The first products are not added to anything.
    assert!(columns.depth > 0, "a convolution sees one input channel at least");
    if columns.pairs_fit {
        blocks::<true>(row, columns, store);
    } else {
        blocks::<false>(row, columns, store);
    }
}

/// The sizes are checked.
fn blocks<const PAIRS: bool>(row: &Row, columns: &Columns, store: &mut Store) {
    for first in (0..columns.count).step_by(FORMAT.block) {
        match store {
            Store::Bytes { requantize, out, pixel_pitch, segments } => {
                let scales = Scales::<2>::new(requantize, first);
                let out = out.as_mut_ptr();
                let pitch = *pixel_pitch;
                let free = (requantize.low, requantize.high) == (i8::MIN, i8::MAX);
                let bytes = |tile: &Tile<2>| {
                    // SAFETY: the sizes are checked.
                    let [a, b] = unsafe { sums::<PAIRS>(row, columns, first, tile) };
                    scales.bytes([a[0], a[1], b[0], b[1]], |v| v % 2)
                };
                // SAFETY: the check saw that all segments of the pixels lie in `out`.
                match Target::<2>::new(segments, first) {
                    Target::Whole(offset) if free && columns.shift.is_none() => unsafe {
                        free_row::<PAIRS>(row, columns, first, &scales, out.add(offset), pitch);
                    },
                    Target::Whole(offset) => Tile::all(row.pixels, |tile| unsafe {
                        let bytes = bytes(tile);
                        let [a, b] = tile.at(pitch).map(|at| out.add(offset).add(at));
                        vst1_s8(a, vget_low_s8(bytes));
                        vst1_s8(b, vget_high_s8(bytes));
                    }),
                    Target::Pieces(pieces) => Tile::all(row.pixels, |tile| unsafe {
                        let bytes = array(bytes(tile));
                        let [a, b] = tile.at(pitch).map(|at| out.add(at));
                        pieces.store(&bytes[..8], a);
                        pieces.store(&bytes[8..], b);
                    }),
                }
            }
            Store::Sums { out, pixel_pitch } => {
                let count = (columns.count - first).min(FORMAT.block);
                Tile::all(row.pixels, |tile| {
                    // SAFETY: the sizes are checked.
                    let sums = unsafe { sums::<PAIRS>(row, columns, first, tile) };
                    for (at, sums) in tile.at(*pixel_pitch).into_iter().zip(sums) {
                        store_sums(sums, &mut out[at + first..][..count]);
                    }
                });
            }
        }
    }
}

/// The common case, with nothing but what it takes: bytes without other bounds than theirs, weights
/// without a shift, columns side by side at `out`. Of an odd row the last pixel is computed twice.
///
/// # Safety
/// The sizes are checked, and eight columns of each pixel may be written from `out` on.
unsafe fn free_row<const PAIRS: bool>(
    row: &Row,
    columns: &Columns,
    first: usize,
    scales: &Scales<2>,
    mut out: *mut i8,
    mut pitch: usize,
) {
    let mut window = row.panel.as_ptr();
    let mut stride = row.pixel_stride;
    let mut left = row.pixels;
    while left > 0 {
        if left == 1 {
            (stride, pitch, left) = (0, 0, 2);
        }
        // SAFETY: the caller's promise.
        unsafe {
            let windows = [window, window.wrapping_add(stride)];
            let [a, b] = sums_of::<PAIRS>(row, columns, first, windows);
            let sums = [a[0], a[1], b[0], b[1]];
            let bytes = scales.saturated(|i| vcvtq_f32_s32(sums[i]), |v| v % 2);
            vst1_s8(out.wrapping_add(pitch), vget_high_s8(bytes));
            vst1_s8(out, vget_low_s8(bytes));
        }
        window = window.wrapping_add(2 * stride);
        out = out.wrapping_add(2 * pitch);
        left -= 2;
    }
}

/// Sixteen bytes of two pixels times eight columns, added to the partial sums by SADALP, or made
/// those by SADDLP. Four independent products follow each other: the A53 waits for what it needs.
macro_rules! products {
    ($pairs:tt, $add:literal) => {
        concat!(
            "ldr {x0:q}, [{p0}], #16\n",
            "ldr {x1:q}, [{p1}], #16\n",
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64\n",
            products!($pairs, $add, "x0", "s0", "s1", "s2", "s3"),
            products!($pairs, $add, "x1", "s8", "s9", "s10", "s11"),
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64\n",
            products!($pairs, $add, "x0", "s4", "s5", "s6", "s7"),
            products!($pairs, $add, "x1", "s12", "s13", "s14", "s15"),
        )
    };
    (true, $add:literal, $x:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            products!("smull", "8b", $x),
            products!("smlal2", "16b", $x),
            products!($add, $a, $b, $c, $d),
        )
    };
    (false, $add:literal, $x:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            products!("smull", "8b", $x),
            products!($add, $a, $b, $c, $d),
            products!("smull2", "16b", $x),
            products!("sadalp", $a, $b, $c, $d),
        )
    };
    ($multiply:literal, $bytes:literal, $x:literal) => {
        concat!(
            $multiply,
            " v4.8h, v0.",
            $bytes,
            ", {",
            $x,
            ":v}.",
            $bytes,
            "\n",
            $multiply,
            " v5.8h, v1.",
            $bytes,
            ", {",
            $x,
            ":v}.",
            $bytes,
            "\n",
            $multiply,
            " v6.8h, v2.",
            $bytes,
            ", {",
            $x,
            ":v}.",
            $bytes,
            "\n",
            $multiply,
            " v7.8h, v3.",
            $bytes,
            ", {",
            $x,
            ":v}.",
            $bytes,
            "\n",
        )
    };
    ($add:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            $add,
            " {",
            $a,
            ":v}.4s, v4.8h\n",
            $add,
            " {",
            $b,
            ":v}.4s, v5.8h\n",
            $add,
            " {",
            $c,
            ":v}.4s, v6.8h\n",
            $add,
            " {",
            $d,
            ":v}.4s, v7.8h\n",
        )
    };
}

/// The sums of eight columns at two pixels. PAIRS if the columns' `pairs_fit`.
///
/// # Safety
/// The sizes are checked.
#[inline(always)]
unsafe fn sums<const PAIRS: bool>(
    row: &Row,
    columns: &Columns,
    first: usize,
    tile: &Tile<2>,
) -> [[int32x4_t; 2]; 2] {
    // SAFETY: the caller's promise.
    let mut sums = unsafe {
        let windows = tile.at(row.pixel_stride).map(|at| row.panel.as_ptr().add(at));
        sums_of::<PAIRS>(row, columns, first, windows)
    };
    add_shift(&mut sums, row, columns, first, tile);
    sums
}

/// The same for two windows of the panel, without the columns' shift.
///
/// # Safety
/// The sizes are checked.
#[inline(always)]
unsafe fn sums_of<const PAIRS: bool>(
    row: &Row,
    columns: &Columns,
    first: usize,
    windows: [*const u8; 2],
) -> [[int32x4_t; 2]; 2] {
    let Weights::Bytes(weights) = &columns.weights else { unreachable!("checked") };
    // SAFETY: the loops read `depth` elements of each pixel and of eight columns, which the
    // caller has checked, and the assembly writes no memory.
    unsafe {
        let mut s = [vdupq_n_s32(0); 16];
        let mut weights = weights.as_ptr().add(first * columns.depth);
        let count = row.run / FORMAT.group;
        macro_rules! sum {
            ($run:expr, $access:ident, $($template:expr),*) => {{
                let [p0, p1] = windows.map(|window| window.add($run));
                asm!(
                    $($template,)*
                    count = inout(reg) count => _,
                    weights = inout(reg) weights,
                    p0 = inout(reg) p0 => _,
                    p1 = inout(reg) p1 => _,
                    x0 = out(vreg) _,
                    x1 = out(vreg) _,
                    s0 = $access(vreg) s[0],
                    s1 = $access(vreg) s[1],
                    s2 = $access(vreg) s[2],
                    s3 = $access(vreg) s[3],
                    s4 = $access(vreg) s[4],
                    s5 = $access(vreg) s[5],
                    s6 = $access(vreg) s[6],
                    s7 = $access(vreg) s[7],
                    s8 = $access(vreg) s[8],
                    s9 = $access(vreg) s[9],
                    s10 = $access(vreg) s[10],
                    s11 = $access(vreg) s[11],
                    s12 = $access(vreg) s[12],
                    s13 = $access(vreg) s[13],
                    s14 = $access(vreg) s[14],
                    s15 = $access(vreg) s[15],
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    options(readonly, nostack),
                );
            }};
        }
        macro_rules! sum_all {
            ($pairs:tt) => {{
                sum!(
                    row.runs[0],
                    out,
                    products!($pairs, "saddlp"),
                    "subs {count:w}, {count:w}, #1",
                    "b.eq 3f",
                    "2:",
                    products!($pairs, "sadalp"),
                    "subs {count:w}, {count:w}, #1",
                    "b.ne 2b",
                    "3:"
                );
                for run in &row.runs[1..] {
                    sum!(
                        *run,
                        inout,
                        "2:",
                        products!($pairs, "sadalp"),
                        "subs {count:w}, {count:w}, #1",
                        "b.ne 2b"
                    );
                }
            }};
        }
        if PAIRS {
            sum_all!(true)
        } else {
            sum_all!(false)
        }
        let start = columns.start.as_ptr().add(first);
        let four = |i: usize| {
            let sums = add_pairs(add_pairs(s[i], s[i + 1]), add_pairs(s[i + 2], s[i + 3]));
            vaddq_s32(sums, vld1q_s32(start.add(i % 8)))
        };
        [[four(0), four(4)], [four(8), four(12)]]
    }
}

/// Neighbours of both added. From the intrinsic the compiler makes three instructions here.
#[inline(always)]
fn add_pairs(mut a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // SAFETY: it reads and writes these registers only.
    unsafe {
        asm!(
            "addp {a:v}.4s, {a:v}.4s, {b:v}.4s",
            a = inout(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    a
}
