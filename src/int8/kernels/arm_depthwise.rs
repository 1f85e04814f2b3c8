//! Depthwise convolutions with SMLAL: eight channels of two pixels at a time, the kernel in
//! registers where it is 3×3.
#![allow(unsafe_code)]

use std::arch::{aarch64::*, asm};

use super::arm::Scales;
use super::{DepthwiseRow, Requantize, reference};

pub fn depthwise(row: &DepthwiseRow, requantize: &Requantize, out: &mut [i8], pixel_pitch: usize) {
    row.check(requantize, out, pixel_pitch);
    if row.channels < 8 {
        return reference::depthwise(row, requantize, out, pixel_pitch);
    }
    let next = |tap: usize| row.taps[tap + 1].wrapping_sub(row.taps[tap]) == row.pixel_stride;
    for channel in (0..row.channels).step_by(8) {
        let channel = channel.min(row.channels - 8);
        let scales = Scales::<2>::new(requantize, channel);
        let work = Channels { row, channel, scales, out: out.as_mut_ptr(), pixel_pitch };
        // SAFETY: the sizes are checked: eight channels from `channel` on are in everything.
        unsafe {
            if row.taps.len() != 9 {
                work.any();
            } else if [0, 1, 3, 4, 6, 7].into_iter().all(next) {
                work.three_by_three::<true>();
            } else {
                work.three_by_three::<false>();
            }
        }
    }
}

/// Eight channels of a row from `channel` on.
struct Channels<'a> {
    row: &'a DepthwiseRow<'a>,
    channel: usize,
    scales: Scales<2>,
    out: *mut i8,
    pixel_pitch: usize,
}

impl Channels<'_> {
    /// NEIGHBOURS if each tap of a kernel row is what the tap before it is to the next pixel.
    ///
    /// # Safety
    /// The sizes are checked.
    #[inline(always)]
    unsafe fn three_by_three<const NEIGHBOURS: bool>(&self) {
        let taps: [usize; 9] = std::array::from_fn(|tap| self.row.taps[tap]);
        // SAFETY: the caller's promise.
        unsafe {
            let weights: [_; 9] = std::array::from_fn(|tap| self.weight(tap));
            let bias = self.bias();
            self.pairs(|a, b| {
                let mut sums = [bias; 2];
                for row in 0..3 {
                    let tap = |x| taps[3 * row + x];
                    let x0 = vld1q_s16(a.add(tap(0)));
                    let x1 = vld1q_s16(a.add(tap(1)));
                    let x2 = vld1q_s16(a.add(tap(2)));
                    let [y0, y1] = if NEIGHBOURS {
                        [x1, x2]
                    } else {
                        [vld1q_s16(b.add(tap(0))), vld1q_s16(b.add(tap(1)))]
                    };
                    let y2 = vld1q_s16(b.add(tap(2)));
                    let weight = |x| weights[3 * row + x];
                    for (x, pair) in [[x0, y0], [x1, y1], [x2, y2]].into_iter().enumerate() {
                        add_products(&mut sums[0], pair[0], weight(x));
                        add_products(&mut sums[1], pair[1], weight(x));
                    }
                }
                sums
            });
        }
    }

    /// # Safety
    /// The sizes are checked.
    #[inline(always)]
    unsafe fn any(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            let bias = self.bias();
            self.pairs(|a, b| {
                let mut sums = [bias; 2];
                for (tap, start) in self.row.taps.iter().enumerate() {
                    let weight = self.weight(tap);
                    add_products(&mut sums[0], vld1q_s16(a.add(*start)), weight);
                    add_products(&mut sums[1], vld1q_s16(b.add(*start)), weight);
                }
                sums
            });
        }
    }

    /// Stores what `sums` makes of each two pixels, whose windows begin at `a` and `b`. Where
    /// the row is odd, the last pixel overwrites whatever its neighbour was.
    ///
    /// # Safety
    /// The sizes are checked.
    #[inline(always)]
    unsafe fn pairs(&self, sums: impl Fn(*const i16, *const i16) -> [[int32x4_t; 2]; 2]) {
        let Channels { row, pixel_pitch, .. } = *self;
        // SAFETY: the caller's promise.
        unsafe {
            let mut a = row.panel.as_ptr().add(self.channel);
            let mut out = self.out.add(self.channel);
            let (mut stride, mut pitch) = (row.pixel_stride, pixel_pitch);
            let mut left = row.pixels;
            while left > 0 {
                if left == 1 {
                    (stride, pitch, left) = (0, 0, 2);
                }
                let [p, q] = sums(a, a.add(stride));
                let bytes = self.scales.bytes([p[0], p[1], q[0], q[1]], |v| v % 2);
                vst1_s8(out.add(pitch), vget_high_s8(bytes));
                vst1_s8(out, vget_low_s8(bytes));
                a = a.add(2 * stride);
                out = out.add(2 * pitch);
                left -= 2;
            }
        }
    }

    // SAFETY: asked of the caller: the features and sizes are checked.
    unsafe fn weight(&self, tap: usize) -> int16x8_t {
        // SAFETY: the sizes are checked.
        unsafe { vld1q_s16(self.row.weights.as_ptr().add(tap * self.row.channels + self.channel)) }
    }

    unsafe fn bias(&self) -> [int32x4_t; 2] {
        // SAFETY: the sizes are checked.
        unsafe {
            let bias = self.row.bias.as_ptr().add(self.channel);
            [vld1q_s32(bias), vld1q_s32(bias.add(4))]
        }
    }
}

/// In assembly, since the compiler takes SMLAL2 apart to share the upper halves, and then has too
/// few registers for them.
#[inline(always)]
fn add_products(sums: &mut [int32x4_t; 2], x: int16x8_t, weights: int16x8_t) {
    // SAFETY: it reads and writes these registers only.
    unsafe {
        asm!(
            "smlal {low:v}.4s, {x:v}.4h, {weights:v}.4h",
            "smlal2 {high:v}.4s, {x:v}.8h, {weights:v}.8h",
            low = inout(vreg) sums[0],
            high = inout(vreg) sums[1],
            x = in(vreg) x,
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
}
