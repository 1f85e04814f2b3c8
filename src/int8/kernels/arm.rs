//! What both ARM sets share: the way from sums to bytes, and the loops in which 16-bit products
//! are the best that NEON has.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::array::from_fn;

use super::{Columns, Requantize, Row, Segment};

/// The scales of 4 × V columns, and the bounds of their bytes.
#[derive(Clone, Copy)]
pub struct Scales<const V: usize> {
    multiplier: [float32x4_t; V],
    addend: [float32x4_t; V],
    zero_point: int16x8_t,
    low: int8x16_t,
    high: int8x16_t,
}

impl<const V: usize> Scales<V> {
    /// Those of `column` and what follows it, zeroes behind the last.
    pub fn new(requantize: &Requantize, column: usize) -> Self {
        // A zero point beyond 16 bits decides every byte alone, as does the nearest within.
        let zero_point = requantize.zero_point.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        // SAFETY: NEON is always there.
        let (zero_point, low, high) = unsafe {
            let bounds = (vdupq_n_s8(requantize.low), vdupq_n_s8(requantize.high));
            (vdupq_n_s16(zero_point), bounds.0, bounds.1)
        };
        Scales {
            multiplier: floats(&requantize.multiplier, column),
            addend: floats(&requantize.addend, column),
            zero_point,
            low,
            high,
        }
    }

    /// The multiply-add is fused and FCVTNS rounds ties to even. Narrowing saturates before the
    /// zero point is added: what that changes lies far outside of a byte on the same side.
    /// `vector` says which of the V scales the four vectors of sums.
    #[inline(always)]
    pub fn bytes(&self, sums: [int32x4_t; 4], vector: impl Fn(usize) -> usize) -> int8x16_t {
        // SAFETY: NEON is always there.
        self.bytes_of(|i| unsafe { vcvtq_f32_s32(sums[i]) }, vector)
    }

    /// The same of sums in floats.
    #[inline(always)]
    pub fn bytes_of(
        &self,
        sums: impl Fn(usize) -> float32x4_t,
        vector: impl Fn(usize) -> usize,
    ) -> int8x16_t {
        // SAFETY: NEON is always there.
        unsafe { vminq_s8(vmaxq_s8(self.saturated(sums, vector), self.low), self.high) }
    }

    /// The same where all bytes are in bounds.
    #[inline(always)]
    pub fn saturated(
        &self,
        sums: impl Fn(usize) -> float32x4_t,
        vector: impl Fn(usize) -> usize,
    ) -> int8x16_t {
        // SAFETY: NEON is always there.
        unsafe {
            let quanta = |i: usize| {
                let (multiplier, addend) = (self.multiplier[vector(i)], self.addend[vector(i)]);
                vcvtnq_s32_f32(vfmaq_f32(addend, sums(i), multiplier))
            };
            let pair = |i: usize| {
                let words = vqmovn_high_s32(vqmovn_s32(quanta(i)), quanta(i + 1));
                vqaddq_s16(words, self.zero_point)
            };
            vqmovn_high_s16(vqmovn_s16(pair(0)), pair(2))
        }
    }
}

fn floats<const V: usize>(values: &[f32], from: usize) -> [float32x4_t; V] {
    from_fn(|v| {
        let mut four = [0.0; 4];
        let rest = values.get(from + 4 * v..).unwrap_or_default();
        let count = rest.len().min(4);
        four[..count].copy_from_slice(&rest[..count]);
        // SAFETY: `four` holds what is loaded.
        unsafe { vld1q_f32(four.as_ptr()) }
    })
}

/// The way along a row in tiles of P pixels: the last tile moves back into the row, and in a row
/// of less than P the last pixel is computed again.
pub struct Tile<const P: usize> {
    /// The first one.
    pub pixel: usize,
    spread: [usize; P],
}

impl<const P: usize> Tile<P> {
    /// Calls `work` with each tile of a row.
    #[inline(always)]
    pub fn all(pixels: usize, mut work: impl FnMut(&Tile<P>)) {
        let spread = from_fn(|p| p.min(pixels.saturating_sub(1)));
        let mut tile = Tile { pixel: 0, spread };
        let mut left = pixels;
        while left > 0 {
            if left < P {
                tile.pixel = pixels.saturating_sub(P);
                left = P;
            }
            work(&tile);
            tile.pixel += P;
            left -= P;
        }
    }

    /// Where its pixels are that lie `pitch` apart.
    #[inline(always)]
    pub fn at(&self, pitch: usize) -> [usize; P] {
        let first = self.pixel * pitch;
        self.spread.map(|p| first + p * pitch)
    }
}

/// Where a block of `4 * V` columns goes in a pixel's output.
pub enum Target<'a, const V: usize> {
    /// To one offset.
    Whole(usize),
    Pieces(Pieces<'a, V>),
}

/// Where its fours go, if each that is there goes in one piece, else where all segments go.
pub struct Pieces<'a, const V: usize> {
    fours: Option<[Option<usize>; V]>,
    segments: &'a [Segment],
    first: usize,
}

impl<'a, const V: usize> Target<'a, V> {
    /// That of the columns from `first` on.
    pub fn new(segments: &'a [Segment], first: usize) -> Self {
        let owners = |first: usize, size: usize| {
            segments.iter().filter(move |segment| {
                segment.column < first + size && first < segment.column + segment.columns
            })
        };
        let piece = |first: usize, size: usize| {
            let mut owners = owners(first, size);
            let (Some(owner), None) = (owners.next(), owners.next()) else { return None };
            let inside = owner.column <= first && first + size <= owner.column + owner.columns;
            inside.then(|| owner.offset + first - owner.column)
        };
        if let Some(offset) = piece(first, 4 * V) {
            return Target::Whole(offset);
        }
        let fours = from_fn(|v| piece(first + 4 * v, 4));
        let split = |v: usize| fours[v].is_none() && owners(first + 4 * v, 4).next().is_some();
        let fours = (!(0..V).any(split)).then_some(fours);
        Target::Pieces(Pieces { fours, segments, first })
    }
}

impl<const V: usize> Pieces<'_, V> {
    /// `bytes` are the block's columns.
    ///
    /// # Safety
    /// All segments of the pixel that begins at `out` may be written.
    #[inline(always)]
    pub unsafe fn store(&self, bytes: &[i8], out: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(offsets) = &self.fours {
                for (four, offset) in bytes.as_chunks::<4>().0.iter().zip(offsets) {
                    if let Some(offset) = offset {
                        out.add(*offset).cast::<[i8; 4]>().write_unaligned(*four);
                    }
                }
                return;
            }
            for segment in self.segments {
                let from = segment.column.max(self.first);
                let to = (segment.column + segment.columns).min(self.first + 4 * V);
                for column in from..to {
                    let offset = segment.offset + column - segment.column;
                    out.add(offset).write(bytes[column - self.first]);
                }
            }
        }
    }
}

pub fn array(bytes: int8x16_t) -> [i8; 16] {
    let mut array = [0; 16];
    // SAFETY: the array takes what is stored.
    unsafe { vst1q_s8(array.as_mut_ptr(), bytes) };
    array
}

/// As many of a pixel's sums as `out` takes.
#[inline(always)]
pub fn store_sums<const V: usize>(sums: [int32x4_t; V], out: &mut [i32]) {
    for (out, sums) in out.chunks_mut(4).zip(sums) {
        let mut four = [0; 4];
        // SAFETY: `four` takes what is stored.
        unsafe { vst1q_s32(four.as_mut_ptr(), sums) };
        out.copy_from_slice(&four[..out.len()]);
    }
}

/// What a shift of the weights adds to the sums of the columns from `first` on.
#[inline(always)]
pub fn add_shift<const P: usize, const V: usize>(
    sums: &mut [[int32x4_t; V]; P],
    row: &Row,
    columns: &Columns,
    first: usize,
    tile: &Tile<P>,
) {
    let (Some(shift), Some(windows)) = (&columns.shift, row.window_sums) else { return };
    let shift = &shift[first..][..4 * V];
    for (sums, pixel) in sums.iter_mut().zip(tile.at(1)) {
        for (v, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the slice holds what is loaded.
            let shift = unsafe { vld1q_s32(shift[4 * v..][..4].as_ptr()) };
            // SAFETY: NEON is always there.
            *sums = unsafe { vmlaq_n_s32(*sums, shift, windows[pixel]) };
        }
    }
}
