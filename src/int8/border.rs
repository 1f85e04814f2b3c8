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
            // Axes that the tensor does not have are one long, with a stride of 0.
            let stride = stride.max(1);
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
mod tests {
    use super::*;

    #[test]
    fn stored_reals_are_their_entries_in_any_order_of_the_tensor() {
        let rng = &mut fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let [height, width, channels] = [rng.usize(1..5), rng.usize(1..9), rng.usize(1..20)];
            let pixel_pitch = channels + rng.usize(..3);
            let row_pitch = width * pixel_pitch + rng.usize(..3);
            let data: Vec<i8> = (0..height * row_pitch).map(|_| rng.i8(..)).collect();
            let picture = Picture { data: &data, height, width, channels, row_pitch, pixel_pitch };
            let count = if rng.bool() { 1 } else { channels };
            let tables: Vec<[f32; 256]> =
                (0..count).map(|_| std::array::from_fn(|_| rng.f32())).collect();
            let strides = match rng.u8(..3) {
                0 => [width, 1, height * width],
                1 => [width * channels, channels, 1],
                // Rows outermost: planes lie in one another.
                _ => [width * channels, 1, width],
            };
            let mut values = vec![-1.0; 2 + height * width * channels];
            let stored = Stored::Reals(tables.clone());
            store(&picture, &stored, &mut TensorMut::F32(&mut values), 2, strides);
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                for c in 0..channels {
                    let byte = data[y * row_pitch + x * pixel_pitch + c];
                    let entry = tables[c % count][(i32::from(byte) + 128) as usize];
                    let at = 2 + y * strides[0] + x * strides[1] + c * strides[2];
                    assert_eq!(values[at], entry, "({y}, {x}, {c}) with {strides:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_loaded_is_stored_again_in_any_order_of_the_tensor() {
        let rng = &mut fastrand::Rng::with_seed(2);
        for _ in 0..300 {
            let [height, width, channels] =
                [rng.usize(1..5), rng.usize(1..6) * rng.usize(1..28), rng.usize(1..9)];
            let strides = match rng.u8(..3) {
                0 => [width, 1, height * width],
                1 => [width * channels, channels, 1],
                _ => [channels, height * channels, 1],
            };
            // An axis of one may have no stride.
            let extents = [height, width, channels];
            let strides = std::array::from_fn(|axis| match extents[axis] {
                1 => 0,
                _ => strides[axis],
            });
            let start = rng.usize(..3);
            let length = start + height * width * channels;
            let pixel_pitch = channels + rng.usize(..3);
            let row_pitch = width * pixel_pitch + rng.usize(..3);
            let mut data = vec![99i8; height * row_pitch];
            let bytes: Vec<i8> = (0..length).map(|_| rng.i8(..)).collect();
            let unsigned: Vec<u8> = bytes.iter().map(|byte| *byte as u8 ^ 0x80).collect();
            let quantization = Quantization { scale: 0.5, zero_point: 3 };
            let real = |byte: i8| (i32::from(byte) - 3) as f32 * 0.5;
            let reals: Vec<f32> = bytes.iter().map(|byte| real(*byte)).collect();
            let table = std::array::from_fn(|index| real((index as i32 - 128) as i8));
            let kind = rng.u8(..3);
            let mut out =
                PictureMut { data: &mut data, height, width, channels, row_pitch, pixel_pitch };
            match kind {
                0 => load(TensorRef::I8(&bytes), start, strides, None, &mut out),
                1 => load(TensorRef::U8(&unsigned), start, strides, None, &mut out),
                _ => load(TensorRef::F32(&reals), start, strides, Some(quantization), &mut out),
            }
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let pixel = &data[y * row_pitch + x * pixel_pitch..];
                for (c, byte) in pixel.iter().enumerate().take(channels) {
                    let at = start + y * strides[0] + x * strides[1] + c * strides[2];
                    assert_eq!(*byte, bytes[at], "kind {kind}: ({y}, {x}, {c}), {strides:?}");
                }
                let gap = pixel.iter().take(pixel_pitch).skip(channels);
                assert!(gap.into_iter().all(|byte| *byte == 99), "wrote between pixels");
            }
            let picture = Picture { data: &data, height, width, channels, row_pitch, pixel_pitch };
            match kind {
                0 => {
                    let mut back = bytes[..start].to_vec();
                    back.resize(length, 0);
                    let tensor = &mut TensorMut::I8(&mut back);
                    store(&picture, &Stored::Signed, tensor, start, strides);
                    assert_eq!(back, bytes);
                }
                1 => {
                    let mut back = unsigned[..start].to_vec();
                    back.resize(length, 0);
                    let tensor = &mut TensorMut::U8(&mut back);
                    store(&picture, &Stored::Unsigned, tensor, start, strides);
                    assert_eq!(back, unsigned);
                }
                _ => {
                    let mut back = reals[..start].to_vec();
                    back.resize(length, f32::NAN);
                    let tensor = &mut TensorMut::F32(&mut back);
                    store(&picture, &Stored::Reals(vec![table]), tensor, start, strides);
                    assert_eq!(back, reals);
                }
            }
        }
    }
}
