//! Where tensors of the outer graph become activations, and back.
//!
//! A tensor lies in the order its graph has it (often batch, channels, height, width); an
//! activation lies channels last. The step between walks the activation and reads or writes the
//! tensor with strides, so that a Transpose at a border costs nothing of its own.

use super::requantization::{Quantization, round_half_even};
use super::view::{Picture, PictureMut};
use crate::simd::widest;

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
                widest(
                    #[inline(always)]
                    || {
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

#[inline(always)]
fn quantize(reals: &[f32; CHUNK], bytes: &mut [i8; CHUNK], quantization: Quantization) {
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

/// The same for reals whose pixels lie side by side, a plane for each channel.
fn store_planes(
    picture: &Picture,
    tables: &[[f32; 256]],
    values: &mut [f32],
    [row, channel]: [usize; 2],
) {
    for c in 0..picture.channels {
        let table = &tables[if tables.len() == 1 { 0 } else { c }];
        let table: [f32; 256] = std::array::from_fn(|bits| table[bits ^ 0x80]);
        for y in 0..picture.height {
            let source = &picture.data[y * picture.row_pitch + c..];
            let values = &mut values[y * row + c * channel..][..picture.width];
            for (value, pixel) in values.iter_mut().zip(source.chunks(picture.pixel_pitch)) {
                *value = table[usize::from(pixel[0] as u8)];
            }
        }
    }
}
