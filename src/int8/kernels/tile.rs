//! Tiles of sums held in registers, for any x86 set.
//!
//! A tile is some pixels times some vectors of columns. Each step takes four bytes of every
//! pixel (a group), repeated over the lanes, times one vector of weights a column vector.
#![allow(unsafe_code)]

use std::arch::x86_64::__m128i;

use super::store::{Bytes, Place, PlainBytes, Sums};
use super::{Columns, Products, Requantize, Row, Store, Weights};

/// A vector of 32-bit sums, one a column. Whoever calls has checked that the processor has it and
/// that the pointers are good for the lanes that are asked for.
pub trait Lanes: Copy {
    const COLUMNS: usize;
    /// Multipliers and addends of the columns.
    type Scale: Copy;

    unsafe fn splat(group: i32) -> Self;
    unsafe fn load(from: *const u8) -> Self;
    /// Adds the products of each lane's group.
    unsafe fn dot(self, x: Self, weights: Self) -> Self;
    /// Adds `shift * sum` in 32 bits.
    unsafe fn shifted(self, shift: Self, sum: i32) -> Self;
    /// The scale of the first `valid` columns.
    unsafe fn scale(multiplier: *const f32, addend: *const f32, valid: usize) -> Self::Scale;
    /// Requantized, in the first bytes.
    unsafe fn bytes(self, scale: Self::Scale, to: &Requantize) -> __m128i;
    /// Stores the first `valid` columns.
    unsafe fn store_bytes(bytes: __m128i, out: *mut i8, valid: usize);
    /// Requantizes and stores all columns of four pixels.
    #[inline(always)]
    unsafe fn store_four(
        sums: [Self; 4],
        scale: Self::Scale,
        to: &Requantize,
        out: *mut i8,
        pixel_pitch: usize,
    ) {
        for (x, sums) in sums.into_iter().enumerate() {
            // SAFETY: as the trait's.
            unsafe {
                let out = out.add(x * pixel_pitch);
                Self::store_bytes(sums.bytes(scale, to), out, Self::COLUMNS);
            }
        }
    }
    unsafe fn store_sums(self, out: *mut i32, valid: usize);
}

/// Some columns over all pixels of a row.
#[derive(Clone, Copy)]
pub struct Strip<'a> {
    panel: *const u8,
    pixel_stride: usize,
    runs: &'a [usize],
    run_bytes: usize,
    pixels: usize,
    /// Weights of the first vector of columns.
    weights: *const u8,
    /// From one step's weights to the next, and from one vector of columns to the next, in bytes.
    step: usize,
    next: usize,
    /// Where the sums start, one a column.
    start: *const i32,
    /// What the columns' weights were shifted by, one a column, and the window sums, one a pixel;
    /// null without a shift.
    shift: [*const i32; 2],
}

/// What happens to the sums of one pixel.
pub trait Finish<V: Copy, const C: usize> {
    /// Whoever calls has checked that the pixel exists.
    unsafe fn pixel(&self, pixel: usize, sums: [V; C]);

    /// Pixels from `pixel` on.
    #[inline(always)]
    unsafe fn pixels<const P: usize>(&self, pixel: usize, sums: [[V; C]; P]) {
        for (p, sums) in sums.into_iter().enumerate() {
            // SAFETY: as the caller's.
            unsafe { self.pixel(pixel + p, sums) }
        }
    }
}

/// Everything, in tiles of at most `most` pixels (no more than 12). Whoever calls has checked the
/// strip's slices.
#[inline(always)]
pub unsafe fn run<V: Lanes, const C: usize>(
    strip: &Strip,
    most: usize,
    finish: &impl Finish<V, C>,
) {
    let mut pixel = 0;
    let mut tiles = strip.pixels.div_ceil(most);
    while tiles > 0 {
        let pixels = (strip.pixels - pixel).div_ceil(tiles);
        // SAFETY: as the caller's.
        unsafe {
            match pixels {
                1 => tile::<V, 1, C>(strip, pixel, finish),
                2 => tile::<V, 2, C>(strip, pixel, finish),
                3 => tile::<V, 3, C>(strip, pixel, finish),
                4 => tile::<V, 4, C>(strip, pixel, finish),
                5 => tile::<V, 5, C>(strip, pixel, finish),
                6 => tile::<V, 6, C>(strip, pixel, finish),
                7 => tile::<V, 7, C>(strip, pixel, finish),
                8 => tile::<V, 8, C>(strip, pixel, finish),
                9 => tile::<V, 9, C>(strip, pixel, finish),
                10 => tile::<V, 10, C>(strip, pixel, finish),
                11 => tile::<V, 11, C>(strip, pixel, finish),
                _ => tile::<V, 12, C>(strip, pixel, finish),
            }
        }
        pixel += pixels;
        tiles -= 1;
    }
}

#[inline(always)]
unsafe fn tile<V: Lanes, const P: usize, const C: usize>(
    strip: &Strip,
    pixel: usize,
    finish: &impl Finish<V, C>,
) {
    // SAFETY: the caller has checked all pixels, runs and columns.
    unsafe {
        let mut start = [V::splat(0); C];
        for (c, start) in start.iter_mut().enumerate() {
            *start = V::load(strip.start.add(c * V::COLUMNS).cast());
        }
        let mut sums = [start; P];
        let [shift, window_sums] = strip.shift;
        if !shift.is_null() {
            for c in 0..C {
                let shift = V::load(shift.add(c * V::COLUMNS).cast());
                for (p, sums) in sums.iter_mut().enumerate() {
                    sums[c] = sums[c].shifted(shift, *window_sums.add(pixel + p));
                }
            }
        }
        // Three bases and three offsets: few registers address many pixels.
        let stride = strip.pixel_stride;
        let first = strip.panel.add(pixel * stride);
        let bases = [first, first.wrapping_add(4 * stride), first.wrapping_add(8 * stride)];
        let mut weights = strip.weights;
        for run in strip.runs {
            let mut at = *run;
            while at < run + strip.run_bytes {
                let mut columns = start;
                for (c, columns) in columns.iter_mut().enumerate() {
                    *columns = V::load(weights.add(c * strip.next));
                }
                weights = weights.add(strip.step);
                for (p, sums) in sums.iter_mut().enumerate() {
                    let base = bases[p / 4].wrapping_add(at);
                    let group = match p % 4 {
                        0 => base,
                        1 => base.wrapping_add(stride),
                        2 => base.wrapping_add(2 * stride),
                        _ => base.wrapping_add(3 * stride),
                    };
                    let x = V::splat(group.cast::<i32>().read_unaligned());
                    for (sum, weights) in sums.iter_mut().zip(columns) {
                        *sum = sum.dot(x, weights);
                    }
                }
                at += 4;
            }
        }
        finish.pixels(pixel, sums);
    }
}

/// C vectors of columns from `column` on, for a whole row; blocks have `block` columns, sums are
/// kept of at most `most` pixels. Whoever calls has checked row, columns and store.
#[inline(always)]
pub unsafe fn dense<V: Lanes, const C: usize>(
    row: &Row,
    columns: &Columns,
    store: &mut Store,
    column: usize,
    block: usize,
    most: usize,
) {
    let (weights, size): (*const u8, usize) = match &columns.weights {
        Weights::Bytes(weights) => (weights.as_ptr().cast(), 1),
        Weights::Words(weights) => (weights.as_ptr().cast(), 2),
    };
    let mut valid = [0; C];
    for (c, valid) in valid.iter_mut().enumerate() {
        *valid = (columns.count - column - c * V::COLUMNS).min(V::COLUMNS);
    }
    // SAFETY: `column` is the first of a block, and as the caller's.
    unsafe {
        let strip = Strip {
            panel: row.panel.as_ptr(),
            pixel_stride: row.pixel_stride,
            runs: row.runs,
            run_bytes: row.run * size,
            pixels: row.pixels,
            weights: weights.add(column * columns.depth * size),
            step: block * 4,
            next: block * columns.depth * size,
            start: columns.start.as_ptr().add(column),
            shift: match columns.shift.as_ref().zip(row.window_sums) {
                Some((shift, sums)) => [shift.as_ptr().add(column), sums.as_ptr()],
                None => [std::ptr::null(); 2],
            },
        };
        match store {
            Store::Bytes { requantize, out, pixel_pitch, segments } => {
                let scale = |c: usize| {
                    let at = column + c * V::COLUMNS;
                    let multiplier = requantize.multiplier.as_ptr().add(at);
                    V::scale(multiplier, requantize.addend.as_ptr().add(at), valid[c])
                };
                let mut scales = [scale(0); C];
                let mut places = [Place::Scattered; C];
                for c in 0..C {
                    scales[c] = scale(c);
                    let first = column + c * V::COLUMNS;
                    places[c] = Place::of(first..first + valid[c], segments);
                }
                let (out, pixel_pitch) = (out.as_mut_ptr(), *pixel_pitch);
                let mut plain = [out; C];
                let mut all_plain = true;
                for (plain, place) in plain.iter_mut().zip(places) {
                    match place {
                        Place::Together(offset) => *plain = out.add(offset),
                        _ => all_plain = false,
                    }
                }
                let scale = scales;
                if all_plain {
                    let out = plain;
                    run(
                        &strip,
                        most,
                        &PlainBytes::<V, C> { requantize, scale, out, pixel_pitch, valid },
                    );
                } else {
                    let bytes = Bytes::<V, C> {
                        requantize,
                        scale,
                        out,
                        pixel_pitch,
                        segments,
                        column,
                        valid,
                        places,
                    };
                    run(&strip, most, &bytes);
                }
            }
            Store::Sums { out, pixel_pitch } => {
                let out = out.as_mut_ptr().add(column);
                run::<V, C>(&strip, most, &Sums { out, pixel_pitch: *pixel_pitch, valid });
            }
        }
    }
}

/// C vectors of columns from `column` on. Whoever calls has checked the products.
#[inline(always)]
pub unsafe fn products<V: Lanes, const C: usize>(
    products: &Products,
    out: &mut [i32],
    column: usize,
    most: usize,
) {
    let Products { positions, tiles, depth, columns, .. } = *products;
    let zeroes = [0; 32];
    for position in 0..positions {
        // SAFETY: as the caller's.
        unsafe {
            let panel = products.panel.as_ptr().add(position * tiles * depth);
            let weights = products.weights.as_ptr().add(position * depth * columns + column * 2);
            let strip = Strip {
                panel: panel.cast(),
                pixel_stride: depth * 2,
                runs: &[0],
                run_bytes: depth * 2,
                pixels: tiles,
                weights: weights.cast(),
                step: columns * 4,
                next: V::COLUMNS * 4,
                start: zeroes.as_ptr(),
                shift: [std::ptr::null(); 2],
            };
            let out = out.as_mut_ptr().add(position * tiles * columns + column);
            let valid = [V::COLUMNS; C];
            run::<V, C>(&strip, most, &Sums::<C> { out, pixel_pitch: columns, valid });
        }
    }
}
