//! Where tensors of the outer graph become activations, and back.
//!
//! A tensor lies in the order its graph has it (often batch, channels, height, width); an
//! activation lies channels last. The step between walks the activation and reads or writes the
//! tensor with strides, so that a Transpose at a border costs nothing of its own.

use super::requantization::{Quantization, round_half_even};
use super::view::{Picture, PictureMut};
use crate::simd::widest;
use fearless_simd::{Level, dispatch, i8x16, prelude::*};

/// A tensor to read.
#[derive(Clone, Copy, Debug)]
pub enum TensorRef<'a> {
    F32(&'a [f32]),
    U8(&'a [u8]),
    I8(&'a [i8]),
}

/// A tensor to write.
#[derive(Debug)]
pub enum TensorMut<'a> {
    F32(&'a mut [f32]),
    U8(&'a mut [u8]),
    I8(&'a mut [i8]),
    I64(&'a mut [i64]),
}

/// Strides of a tensor along an activation's rows, pixels and channels, in elements.
pub type Strides = [usize; 3];

/// Pixels that are converted at once.
const CHUNK: usize = 64;

/// Fills `out` from a tensor, of which `tensor[start]` is the first element: floats are
/// quantized (QuantizeLinear: x / scale, round half even, saturate), u8 is moved by 128.
pub fn load(
    tensor: TensorRef,
    start: usize,
    strides: Strides,
    quantization: Option<Quantization>,
    out: &mut PictureMut,
) {
    let [row, pixel, channel] = strides;
    for y in 0..out.height {
        let target = &mut out.data[y * out.row_pitch..];
        let from = start + y * row;
        match (tensor, quantization) {
            (TensorRef::F32(values), Some(quantization)) => {
                let three = out.channels == 3 && out.pixel_pitch == 3 && pixel == 1;
                widest(
                    #[inline(always)]
                    || {
                        if three {
                            let target = &mut target[..3 * out.width];
                            let planes = [0, 1, 2].map(|c| &values[from + c * channel..]);
                            return load_three(planes, quantization, target);
                        }
                        let at = |x: usize, c: usize| values[from + x * pixel + c * channel];
                        each_run(out.width, out.channels, channel == 1, |x, c, run, across| {
                            let mut bytes = [0i8; CHUNK];
                            let mut reals = [0f32; CHUNK];
                            if !across && pixel == 1 {
                                let values = &values[from + x + c * channel..][..run];
                                reals[..run].copy_from_slice(values);
                            } else {
                                for (i, real) in reals[..run].iter_mut().enumerate() {
                                    *real = if across { at(x, c + i) } else { at(x + i, c) };
                                }
                            }
                            quantize(&reals, &mut bytes, quantization);
                            put(target, out.pixel_pitch, x, c, across, &bytes[..run]);
                        });
                    },
                );
            }
            (TensorRef::U8(values), _) => {
                for x in 0..out.width {
                    for c in 0..out.channels {
                        let byte = values[from + x * pixel + c * channel];
                        target[x * out.pixel_pitch + c] = (byte ^ 0x80) as i8;
                    }
                }
            }
            (TensorRef::I8(values), _) => {
                for x in 0..out.width {
                    for c in 0..out.channels {
                        target[x * out.pixel_pitch + c] = values[from + x * pixel + c * channel];
                    }
                }
            }
            (TensorRef::F32(_), None) => {}
        }
    }
}

/// Runs along the channels where these are neighbours in the tensor, else along the pixels:
/// `run(x, c, length, along the channels)`.
#[inline(always)]
fn each_run(
    width: usize,
    channels: usize,
    across: bool,
    mut run: impl FnMut(usize, usize, usize, bool),
) {
    if across && channels > 4 {
        for x in 0..width {
            for c in (0..channels).step_by(CHUNK) {
                run(x, c, CHUNK.min(channels - c), true);
            }
        }
    } else {
        for c in 0..channels {
            for x in (0..width).step_by(CHUNK) {
                run(x, c, CHUNK.min(width - x), false);
            }
        }
    }
}

#[inline(always)]
fn put(target: &mut [i8], pixel_pitch: usize, x: usize, c: usize, across: bool, bytes: &[i8]) {
    if across {
        target[x * pixel_pitch + c..][..bytes.len()].copy_from_slice(bytes);
    } else {
        let pixels = target[x * pixel_pitch + c..].chunks_mut(pixel_pitch);
        for (pixel, byte) in pixels.zip(bytes) {
            pixel[0] = *byte;
        }
    }
}

/// A row of pictures in three planes, which is what cameras make.
#[inline(always)]
fn load_three(planes: [&[f32]; 3], quantization: Quantization, target: &mut [i8]) {
    let mut bytes = [[0i8; CHUNK]; 3];
    for (index, pixels) in target.as_chunks_mut::<3>().0.chunks_mut(CHUNK).enumerate() {
        for (plane, bytes) in planes.iter().zip(&mut bytes) {
            let reals = &plane[index * CHUNK..][..pixels.len()];
            match reals.as_array::<CHUNK>() {
                Some(reals) => quantize(reals, bytes, quantization),
                None => quantize(reals, bytes, quantization),
            }
        }
        let [a, b, c] = &bytes;
        for (((pixel, a), b), c) in pixels.iter_mut().zip(a).zip(b).zip(c) {
            *pixel = [*a, *b, *c];
        }
    }
}

#[inline(always)]
fn quantize(reals: &[f32], bytes: &mut [i8; CHUNK], quantization: Quantization) {
    let Quantization { scale, zero_point } = quantization;
    let (low, high) = ((-128 - zero_point) as f32, (127 - zero_point) as f32);
    for (byte, real) in bytes.iter_mut().zip(reals) {
        let x = real / scale;
        // The comparisons send NaN to the lower bound.
        let x = if x > low { x } else { low };
        let x = if x < high { x } else { high };
        *byte = (round_half_even(x) + zero_point) as i8;
    }
}

/// What an activation's byte is outside.
#[derive(Clone, Debug)]
pub enum Stored {
    /// The byte itself.
    Signed,
    /// The byte moved by 128.
    Unsigned,
    /// A real number for each byte (index: byte + 128): DequantizeLinear and what follows it.
    Reals(Vec<[f32; 256]>),
}

/// Writes `picture` into a tensor, of which `tensor[start]` is the first element.
/// [`Stored::Reals`] has one table for all or one a channel.
pub fn store(
    picture: &Picture,
    stored: &Stored,
    tensor: &mut TensorMut,
    start: usize,
    strides: Strides,
) {
    let [row, pixel, channel] = strides;
    let across = channel == 1 && picture.channels > 1;
    if let (Stored::Reals(tables), TensorMut::F32(values), false, 1) =
        (stored, &mut *tensor, across, pixel)
    {
        return store_planes(picture, tables, &mut values[start..], [row, channel]);
    }
    let eights = picture.channels.is_multiple_of(8) && picture.width >= 16;
    if let (Stored::Signed, TensorMut::I8(values), false, 1, true) =
        (stored, &mut *tensor, across, pixel, eights)
    {
        let values = &mut values[start..];
        return dispatch!(Level::new(), simd => store_eights(simd, picture, values, [row, channel]));
    }
    let (outer, inner) = match across {
        true => (picture.width, picture.channels),
        false => (picture.channels, picture.width),
    };
    for y in 0..picture.height {
        let source = &picture.data[y * picture.row_pitch..];
        for i in 0..outer {
            let (first, step, to, stride, c) = match across {
                true => (i * picture.pixel_pitch, 1, i * pixel, channel, None),
                false => (i, picture.pixel_pitch, i * channel, pixel, Some(i)),
            };
            let to = start + y * row + to;
            let bytes = source[first..].iter().step_by(step).take(inner);
            match (stored, &mut *tensor) {
                (Stored::Signed, TensorMut::I8(values)) => {
                    let values = values[to..].iter_mut().step_by(stride);
                    values.zip(bytes).for_each(|(value, byte)| *value = *byte);
                }
                (Stored::Unsigned, TensorMut::U8(values)) => {
                    let values = values[to..].iter_mut().step_by(stride);
                    values.zip(bytes).for_each(|(value, byte)| *value = *byte as u8 ^ 0x80);
                }
                (Stored::Reals(tables), TensorMut::F32(values)) => {
                    let values = values[to..].iter_mut().step_by(stride);
                    for (j, (value, byte)) in values.zip(bytes).enumerate() {
                        let table = if tables.len() == 1 { 0 } else { c.unwrap_or(j) };
                        *value = tables[table][usize::from(*byte as u8 ^ 0x80)];
                    }
                }
                _ => {}
            }
        }
    }
}

/// The same for bytes whose pixels lie side by side: eight channels of sixteen pixels at a time,
/// the last sixteen of a row moved back into it.
#[inline(always)]
fn store_eights<S: Simd>(
    simd: S,
    picture: &Picture,
    values: &mut [i8],
    [row, channel]: [usize; 2],
) {
    let Picture { height, width, channels, row_pitch, pixel_pitch, .. } = *picture;
    for (y, c) in (0..height).flat_map(|y| (0..channels).step_by(8).map(move |c| (y, c))) {
        let source = &picture.data[y * row_pitch + c..];
        let values = &mut values[y * row + c * channel..];
        for x in (0..width).step_by(16) {
            let x = x.min(width - 16);
            let source = &source[x * pixel_pitch..];
            let mut pixels = [0; 128];
            let pixels = match source.first_chunk::<128>() {
                Some(pixels) if pixel_pitch == 8 => pixels,
                _ => {
                    let source = source.chunks(pixel_pitch);
                    for (pixel, source) in pixels.as_chunks_mut::<8>().0.iter_mut().zip(source) {
                        pixel.copy_from_slice(&source[..8]);
                    }
                    &pixels
                }
            };
            let pairs = pixels.as_chunks::<16>().0;
            let mut v: [i8x16<S>; 8] = std::array::from_fn(|i| pairs[i].simd_into(simd));
            // Each pass moves the lowest bit of a byte's index to the top.
            for _ in 0..3 {
                let halves: [_; 4] =
                    std::array::from_fn(|i| simd.deinterleave_i8x16(v[2 * i], v[2 * i + 1]));
                v = std::array::from_fn(|i| if i < 4 { halves[i].0 } else { halves[i - 4].1 });
            }
            for (i, v) in v.into_iter().enumerate() {
                v.store_slice(&mut values[i * channel + x..][..16]);
            }
        }
    }
}

/// The same for reals whose pixels lie side by side, a plane for each channel.
fn store_planes(
    picture: &Picture,
    tables: &[[f32; 256]],
    values: &mut [f32],
    [row, channel]: [usize; 2],
) {
    let Picture { height, width, channels, pixel_pitch, .. } = *picture;
    if height == 0 || width == 0 {
        return;
    }
    let by_bits = |c: usize| -> [f32; 256] {
        let table = &tables[if tables.len() == 1 { 0 } else { c }];
        std::array::from_fn(|bits| table[bits ^ 0x80])
    };
    // Eight planes at once where they do not overlap: one way through the pixels for all.
    let apart = tables.len() == 1 && (height - 1) * row + width <= channel;
    let eights = if apart { channels / 8 * 8 } else { 0 };
    for c in (0..eights).step_by(8) {
        let table = by_bits(c);
        for y in 0..height {
            let source = &picture.data[y * picture.row_pitch + c..];
            let mut planes: [&mut [f32]; 8] = Default::default();
            for (plane, values) in planes.iter_mut().zip(values[c * channel..].chunks_mut(channel))
            {
                *plane = &mut values[y * row..][..width];
            }
            let [p0, p1, p2, p3, p4, p5, p6, p7] = planes;
            let planes = p0.iter_mut().zip(p1).zip(p2).zip(p3).zip(p4).zip(p5).zip(p6).zip(p7);
            let pixels = source.chunks(pixel_pitch).filter_map(|pixel| pixel.first_chunk::<8>());
            for ((((((((v0, v1), v2), v3), v4), v5), v6), v7), pixel) in planes.zip(pixels) {
                let pixel = pixel.map(|byte| usize::from(byte as u8));
                (*v0, *v1, *v2, *v3) =
                    (table[pixel[0]], table[pixel[1]], table[pixel[2]], table[pixel[3]]);
                (*v4, *v5, *v6, *v7) =
                    (table[pixel[4]], table[pixel[5]], table[pixel[6]], table[pixel[7]]);
            }
        }
    }
    for c in eights..channels {
        let table = by_bits(c);
        for y in 0..height {
            let source = &picture.data[y * picture.row_pitch + c..];
            let values = &mut values[y * row + c * channel..][..width];
            for (value, pixel) in values.iter_mut().zip(source.chunks(pixel_pitch)) {
                *value = table[usize::from(pixel[0] as u8)];
            }
        }
    }
}

#[cfg(test)]
mod tests;
