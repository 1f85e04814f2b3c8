//! Cortex-A76, A78AE: SDOT adds four products of bytes to each of four sums. Sixteen columns
//! times four pixels, the pixels' bytes loaded once for four groups.
#![allow(unsafe_code)]

use std::arch::{aarch64::*, asm};
use std::array::from_fn;

use super::arm::{Scales, Target, Tile, add_shift, array, store_sums};
use super::{Columns, Element, Format, Row, Store, Weights};

pub const FORMAT: Format = Format { element: Element::Signed, group: 4, block: 16 };

pub fn available() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

pub fn dense(row: &Row, columns: &Columns, store: &mut Store) {
    columns.check(row, store, FORMAT);
    for first in (0..columns.count).step_by(FORMAT.block) {
        match store {
            Store::Bytes { requantize, out, pixel_pitch, segments } => {
                let scales = Scales::<4>::new(requantize, first);
                let out = out.as_mut_ptr();
                let pitch = *pixel_pitch;
                let free = (requantize.low, requantize.high) == (i8::MIN, i8::MAX);
                // SAFETY: the sizes are checked, and this set is only chosen where `available`.
                match Target::<4>::new(segments, first) {
                    // The common case: no bounds but those of bytes, and weights without a shift.
                    Target::Whole(offset) if free && columns.shift.is_none() => unsafe {
                        let out = out.add(offset);
                        Tile::all(row.pixels, |tile| {
                            let sums = unshifted(row, columns, first, tile);
                            for (at, sums) in tile.at(pitch).into_iter().zip(sums) {
                                let bytes = scales.saturated(|i| vcvtq_f32_s32(sums[i]), |v| v);
                                vst1q_s8(out.add(at), bytes);
                            }
                        });
                    },
                    Target::Whole(offset) => Tile::all(row.pixels, |tile| unsafe {
                        for (at, sums) in
                            tile.at(pitch).into_iter().zip(sums(row, columns, first, tile))
                        {
                            vst1q_s8(out.add(offset).add(at), scales.bytes(sums, |v| v));
                        }
                    }),
                    Target::Pieces(pieces) => Tile::all(row.pixels, |tile| unsafe {
                        for (at, sums) in
                            tile.at(pitch).into_iter().zip(sums(row, columns, first, tile))
                        {
                            pieces.store(&array(scales.bytes(sums, |v| v)), out.add(at));
                        }
                    }),
                }
            }
            Store::Sums { out, pixel_pitch } => {
                let count = (columns.count - first).min(FORMAT.block);
                Tile::all(row.pixels, |tile| {
                    // SAFETY: as above.
                    let sums = unsafe { sums(row, columns, first, tile) };
                    for (at, sums) in tile.at(*pixel_pitch).into_iter().zip(sums) {
                        store_sums(sums, &mut out[at + first..][..count]);
                    }
                });
            }
        }
    }
}

/// Group `$lane` of the sixteen bytes of each of four pixels, times sixteen columns.
macro_rules! group {
    ($lane:literal) => {
        concat!(
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64\n",
            group!("0", "1", "2", "3", "x0", $lane),
            group!("4", "5", "6", "7", "x1", $lane),
            group!("8", "9", "10", "11", "x2", $lane),
            group!("12", "13", "14", "15", "x3", $lane),
        )
    };
    ($a:literal, $b:literal, $c:literal, $d:literal, $x:literal, $lane:literal) => {
        concat!(
            "sdot {s",
            $a,
            ":v}.4s, v0.16b, {",
            $x,
            ":v}.4b[",
            $lane,
            "]\n",
            "sdot {s",
            $b,
            ":v}.4s, v1.16b, {",
            $x,
            ":v}.4b[",
            $lane,
            "]\n",
            "sdot {s",
            $c,
            ":v}.4s, v2.16b, {",
            $x,
            ":v}.4b[",
            $lane,
            "]\n",
            "sdot {s",
            $d,
            ":v}.4s, v3.16b, {",
            $x,
            ":v}.4b[",
            $lane,
            "]\n",
        )
    };
}

/// The sums of sixteen columns at four pixels.
///
/// # Safety
/// The sizes are checked and the processor has SDOT.
#[inline(always)]
unsafe fn sums(row: &Row, columns: &Columns, first: usize, tile: &Tile<4>) -> [[int32x4_t; 4]; 4] {
    // SAFETY: the caller's promise.
    let mut sums = unsafe { unshifted(row, columns, first, tile) };
    add_shift(&mut sums, row, columns, first, tile);
    sums
}

/// The same without the columns' shift. The intrinsic of SDOT is not stable, and no
/// intrinsic makes the compiler load four registers at once.
///
/// # Safety
/// The sizes are checked and the processor has SDOT.
#[inline(always)]
unsafe fn unshifted(
    row: &Row,
    columns: &Columns,
    first: usize,
    tile: &Tile<4>,
) -> [[int32x4_t; 4]; 4] {
    let Weights::Bytes(weights) = &columns.weights else { unreachable!("checked") };
    // SAFETY: the loops read `depth` elements of each pixel and of sixteen columns, which the
    // caller has checked, and the assembly writes no memory.
    unsafe {
        let start = columns.start.as_ptr().add(first);
        let mut sums: [[int32x4_t; 4]; 4] = [from_fn(|v| vld1q_s32(start.add(4 * v))); 4];
        let mut weights = weights.as_ptr().add(first * columns.depth);
        let windows = tile.at(row.pixel_stride).map(|at| row.panel.as_ptr().add(at));
        for run in row.runs {
            let [p0, p1, p2, p3] = windows.map(|window| window.add(*run));
            asm!(
                ".arch_extension dotprod",
                "cbz {sixteens:w}, 3f",
                "2:",
                "ldr {x0:q}, [{p0}], #16",
                "ldr {x1:q}, [{p1}], #16",
                "ldr {x2:q}, [{p2}], #16",
                "ldr {x3:q}, [{p3}], #16",
                group!("0"),
                group!("1"),
                group!("2"),
                group!("3"),
                "subs {sixteens:w}, {sixteens:w}, #1",
                "b.ne 2b",
                "3:",
                "cbz {fours:w}, 5f",
                "4:",
                "ldr {x0:s}, [{p0}], #4",
                "ldr {x1:s}, [{p1}], #4",
                "ldr {x2:s}, [{p2}], #4",
                "ldr {x3:s}, [{p3}], #4",
                group!("0"),
                "subs {fours:w}, {fours:w}, #1",
                "b.ne 4b",
                "5:",
                sixteens = inout(reg) row.run / 16 => _,
                fours = inout(reg) row.run % 16 / 4 => _,
                weights = inout(reg) weights,
                p0 = inout(reg) p0 => _,
                p1 = inout(reg) p1 => _,
                p2 = inout(reg) p2 => _,
                p3 = inout(reg) p3 => _,
                x0 = out(vreg) _,
                x1 = out(vreg) _,
                x2 = out(vreg) _,
                x3 = out(vreg) _,
                s0 = inout(vreg) sums[0][0],
                s1 = inout(vreg) sums[0][1],
                s2 = inout(vreg) sums[0][2],
                s3 = inout(vreg) sums[0][3],
                s4 = inout(vreg) sums[1][0],
                s5 = inout(vreg) sums[1][1],
                s6 = inout(vreg) sums[1][2],
                s7 = inout(vreg) sums[1][3],
                s8 = inout(vreg) sums[2][0],
                s9 = inout(vreg) sums[2][1],
                s10 = inout(vreg) sums[2][2],
                s11 = inout(vreg) sums[2][3],
                s12 = inout(vreg) sums[3][0],
                s13 = inout(vreg) sums[3][1],
                s14 = inout(vreg) sums[3][2],
                s15 = inout(vreg) sums[3][3],
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                options(readonly, nostack),
            );
        }
        sums
    }
}
