//! Where tensors of the outer graph become activations, and back.
//!
//! A tensor lies in the order its graph has it (often batch, channels, height, width); an
//! activation lies channels last. The step between walks the activation and reads or writes the
//! tensor with strides, so that a Transpose at a border costs nothing of its own.

use super::requantization::{Quantization, round_half_even};
use super::view::PictureMut;
use crate::simd::widest;

mod store;

pub use store::{Stored, store};

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
        let size = RowSize { width: out.width, channels: out.channels, pitch: out.pixel_pitch };
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
                bytes(&values[from..], [pixel, channel], target, size, |x| (x ^ 0x80) as i8);
            }
            (TensorRef::I8(values), _) => {
                bytes(&values[from..], [pixel, channel], target, size, |x| x)
            }
            (TensorRef::F32(_), None) => {}
        }
    }
}

/// A row of an activation.
#[derive(Clone, Copy)]
struct RowSize {
    width: usize,
    channels: usize,
    /// From one pixel to the next.
    pitch: usize,
}

/// A row of `tensor`, whose pixels and channels lie so far apart, into `target`.
#[inline(always)]
fn bytes<T: Copy>(
    tensor: &[T],
    [pixel, channel]: [usize; 2],
    target: &mut [i8],
    size: RowSize,
    byte: impl Fn(T) -> i8,
) {
    let RowSize { width, channels, pitch } = size;
    if channel == 1 && (pixel, pitch) == (channels, channels) {
        let row = target[..width * channels].iter_mut().zip(&tensor[..width * channels]);
        return widest(
            #[inline(always)]
            || row.for_each(|(y, x)| *y = byte(*x)),
        );
    }
    if (channels, pitch, pixel) == (3, 3, 1) {
        let planes = [0, 1, 2].map(|c| &tensor[c * channel..][..width]);
        return interleave(planes, &mut target[..3 * width], byte);
    }
    for c in 0..channels {
        for x in 0..width {
            target[x * pitch + c] = byte(tensor[x * pixel + c * channel]);
        }
    }
}

/// Three planes into pixels: the picture at most networks' entrance.
#[inline(always)]
fn interleave<T: Copy>([r, g, b]: [&[T]; 3], pixels: &mut [i8], byte: impl Fn(T) -> i8) {
    widest(
        #[inline(always)]
        || {
            let pixels = pixels.as_chunks_mut().0;
            for (((pixel, r), g), b) in pixels.iter_mut().zip(r).zip(g).zip(b) {
                *pixel = [byte(*r), byte(*g), byte(*b)];
            }
        },
    );
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
            // A whole chunk's length is known: its loop has no tail.
            match <&[f32; CHUNK]>::try_from(reals) {
                Ok(reals) => quantize(reals, bytes, quantization),
                Err(_) => quantize(reals, bytes, quantization),
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

#[cfg(test)]
mod tests;
