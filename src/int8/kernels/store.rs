//! Where the sums of a tile go.
#![allow(unsafe_code)]

use std::arch::x86_64::{_mm_storel_epi64, _mm_storeu_si128, _mm_unpackhi_epi64};

use super::tile::{Finish, Lanes};
use super::{Requantize, Segment};

/// Where a vector's columns go, from the pixel's output on.
#[derive(Clone, Copy)]
pub enum Place {
    Together(usize),
    /// Eight here, eight there.
    Halves(usize, usize),
    Scattered,
}

impl Place {
    pub fn of(columns: std::ops::Range<usize>, segments: &[Segment]) -> Self {
        let offset = |columns: std::ops::Range<usize>| {
            segments.iter().find_map(|s| {
                let inside = columns.start >= s.column && columns.end <= s.column + s.columns;
                inside.then(|| s.offset + columns.start - s.column)
            })
        };
        if let Some(offset) = offset(columns.clone()) {
            return Place::Together(offset);
        }
        if columns.len() == 16 {
            let middle = columns.start + 8;
            let halves = offset(columns.start..middle).zip(offset(middle..columns.end));
            if let Some((first, second)) = halves {
                return Place::Halves(first, second);
            }
        }
        Place::Scattered
    }
}

/// Requantized bytes of vectors that go to one place each: the common case, kept short.
pub struct PlainBytes<'a, V: Lanes, const C: usize> {
    pub requantize: &'a Requantize,
    pub scale: [V::Scale; C],
    /// One a vector of columns.
    pub out: [*mut i8; C],
    pub pixel_pitch: usize,
    pub valid: [usize; C],
}

impl<V: Lanes, const C: usize> Finish<V, C> for PlainBytes<'_, V, C> {
    #[inline(always)]
    unsafe fn pixel(&self, pixel: usize, sums: [V; C]) {
        // SAFETY: segments, columns and pixels were checked.
        unsafe {
            for (c, sums) in sums.into_iter().enumerate() {
                let out = self.out[c].add(pixel * self.pixel_pitch);
                V::store_bytes(sums.bytes(self.scale[c], self.requantize), out, self.valid[c]);
            }
        }
    }

    #[inline(always)]
    unsafe fn pixels<const P: usize>(&self, pixel: usize, sums: [[V; C]; P]) {
        // SAFETY: as the caller's.
        unsafe {
            for (c, out) in self.out.into_iter().enumerate() {
                let out = out.add(pixel * self.pixel_pitch);
                let mut p = 0;
                if self.valid[c] == V::COLUMNS {
                    while p + 4 <= P {
                        let four = [sums[p][c], sums[p + 1][c], sums[p + 2][c], sums[p + 3][c]];
                        let out = out.add(p * self.pixel_pitch);
                        V::store_four(four, self.scale[c], self.requantize, out, self.pixel_pitch);
                        p += 4;
                    }
                }
                while p < P {
                    let bytes = sums[p][c].bytes(self.scale[c], self.requantize);
                    V::store_bytes(bytes, out.add(p * self.pixel_pitch), self.valid[c]);
                    p += 1;
                }
            }
        }
    }
}

/// Requantized bytes.
pub struct Bytes<'a, V: Lanes, const C: usize> {
    pub requantize: &'a Requantize,
    pub scale: [V::Scale; C],
    pub out: *mut i8,
    pub pixel_pitch: usize,
    pub segments: &'a [Segment],
    pub column: usize,
    pub valid: [usize; C],
    pub places: [Place; C],
}

impl<V: Lanes, const C: usize> Finish<V, C> for Bytes<'_, V, C> {
    #[inline(always)]
    unsafe fn pixel(&self, pixel: usize, sums: [V; C]) {
        // SAFETY: segments, columns and pixels were checked.
        unsafe {
            let out = self.out.add(pixel * self.pixel_pitch);
            for (c, sums) in sums.into_iter().enumerate() {
                let bytes = sums.bytes(self.scale[c], self.requantize);
                match self.places[c] {
                    Place::Together(offset) => {
                        V::store_bytes(bytes, out.add(offset), self.valid[c]);
                    }
                    Place::Halves(first, second) => {
                        _mm_storel_epi64(out.add(first).cast(), bytes);
                        let upper = _mm_unpackhi_epi64(bytes, bytes);
                        _mm_storel_epi64(out.add(second).cast(), upper);
                    }
                    Place::Scattered => {
                        let mut lanes = [0; 16];
                        _mm_storeu_si128(lanes.as_mut_ptr().cast(), bytes);
                        let column = self.column + c * V::COLUMNS;
                        self.scatter(out, column, &lanes[..self.valid[c]]);
                    }
                }
            }
        }
    }
}

impl<V: Lanes, const C: usize> Bytes<'_, V, C> {
    /// Columns from `first` on go to their segments. Whoever calls has checked these.
    #[cold]
    unsafe fn scatter(&self, out: *mut i8, first: usize, bytes: &[i8]) {
        for segment in self.segments {
            let from = first.max(segment.column);
            let to = (first + bytes.len()).min(segment.column + segment.columns);
            if from < to {
                // SAFETY: as the caller's.
                unsafe {
                    std::ptr::copy_nonoverlapping(
                        bytes.as_ptr().add(from - first),
                        out.add(segment.offset + from - segment.column),
                        to - from,
                    );
                }
            }
        }
    }
}

/// Sums as they are.
pub struct Sums<const C: usize> {
    pub out: *mut i32,
    pub pixel_pitch: usize,
    pub valid: [usize; C],
}

impl<V: Lanes, const C: usize> Finish<V, C> for Sums<C> {
    #[inline(always)]
    unsafe fn pixel(&self, pixel: usize, sums: [V; C]) {
        // SAFETY: columns and pixels were checked.
        unsafe {
            let out = self.out.add(pixel * self.pixel_pitch);
            for (c, sums) in sums.into_iter().enumerate() {
                sums.store_sums(out.add(c * V::COLUMNS), self.valid[c]);
            }
        }
    }
}
