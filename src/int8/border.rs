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
    let one_table = !matches!(stored, Stored::Reals(tables) if tables.len() > 1);
    let together = across && (pixel, picture.pixel_pitch) == (picture.channels, picture.channels);
    if together && one_table {
        for y in 0..picture.height {
            let source = &picture.data[y * picture.row_pitch..][..picture.width * pixel];
            store_run(source, stored, tensor, start + y * row);
        }
        return;
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

/// Bytes that lie side by side in the tensor too, from `to` on.
fn store_run(source: &[i8], stored: &Stored, tensor: &mut TensorMut, to: usize) {
    match (stored, tensor) {
        (Stored::Signed, TensorMut::I8(values)) => {
            values[to..][..source.len()].copy_from_slice(source);
        }
        (Stored::Unsigned, TensorMut::U8(values)) => widest(
            #[inline(always)]
            || {
                for (value, byte) in values[to..][..source.len()].iter_mut().zip(source) {
                    *value = *byte as u8 ^ 0x80;
                }
            },
        ),
        (Stored::Reals(tables), TensorMut::F32(values)) => {
            for (value, byte) in values[to..][..source.len()].iter_mut().zip(source) {
                *value = tables[0][usize::from(*byte as u8 ^ 0x80)];
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_order() {
        let rng = &mut fastrand::Rng::with_seed(2);
        for _ in 0..300 {
            let [height, width] = [rng.usize(1..4), rng.usize(1..70)];
            let channels = if rng.bool() { 8 * rng.usize(1..4) } else { rng.usize(1..20) };
            let pixel_pitch = channels + rng.usize(..3);
            let row_pitch = width * pixel_pitch + rng.usize(..3);
            let mut data: Vec<i8> = (0..height * row_pitch).map(|_| rng.i8(..)).collect();
            // Nothing follows the last value.
            data.truncate((height - 1) * row_pitch + (width - 1) * pixel_pitch + channels);
            let picture = Picture { data: &data, height, width, channels, row_pitch, pixel_pitch };
            let strides = match rng.bool() {
                true => [width, 1, height * width],
                false => [width * channels, channels, 1],
            };
            let mut values = vec![0; 2 + height * width * channels];
            let tensor = &mut TensorMut::I8(&mut values);
            store(&picture, &Stored::Signed, tensor, 2, strides);
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                for c in 0..channels {
                    let byte = data[y * row_pitch + x * pixel_pitch + c];
                    let at = 2 + y * strides[0] + x * strides[1] + c * strides[2];
                    assert_eq!(values[at], byte, "({y}, {x}, {c}) with {strides:?}");
                }
            }
        }
    }

    #[test]
    fn loaded_reals_are_quantized_in_any_order_of_the_tensor() {
        let rng = &mut fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let [height, width, channels] = [rng.usize(1..4), rng.usize(1..150), rng.usize(1..7)];
            let pixel_pitch = channels + if rng.bool() { 0 } else { rng.usize(..3) };
            let row_pitch = width * pixel_pitch + rng.usize(..3);
            let strides = match rng.bool() {
                true => [width, 1, height * width],
                false => [width * channels, channels, 1],
            };
            let quantization = Quantization { scale: 0.01, zero_point: rng.i32(-128..128) };
            let values: Vec<f32> =
                (0..2 + height * width * channels).map(|_| rng.f32() * 4.0 - 2.0).collect();
            let mut data = vec![55; height * row_pitch];
            let mut out =
                PictureMut { data: &mut data, height, width, channels, row_pitch, pixel_pitch };
            load(TensorRef::F32(&values), 2, strides, Some(quantization), &mut out);
            for (at, byte) in data.into_iter().enumerate() {
                let (y, x, c) =
                    (at / row_pitch, at % row_pitch / pixel_pitch, at % row_pitch % pixel_pitch);
                if x >= width || c >= channels {
                    assert_eq!(byte, 55, "a gap was written");
                    continue;
                }
                let real = values[2 + y * strides[0] + x * strides[1] + c * strides[2]];
                let y = (real / 0.01).round_ties_even() + quantization.zero_point as f32;
                assert_eq!(byte, y.clamp(-128.0, 127.0) as i8, "{real}");
            }
        }
    }

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

    use crate::int8::testing::Owned;

    /// Strides of a tensor of that shape with channels last or first, and its size.
    fn strides([height, width, channels]: [usize; 3], last: bool) -> (Strides, usize) {
        let size = height * width * channels;
        match last {
            true => ([width * channels, channels, 1], size),
            false => ([width, 1, height * width], size),
        }
    }

    #[test]
    fn every_value_goes_to_its_place_and_back() {
        for _ in 0..300 {
            let shape = [fastrand::usize(1..5), fastrand::usize(1..150), fastrand::usize(1..7)];
            let [height, width, channels] = shape;
            let (strides, size) = strides(shape, fastrand::bool());
            let reals: Vec<f32> = (0..size).map(|_| 400.0 * (fastrand::f32() - 0.5)).collect();
            let bytes: Vec<i8> = (0..size).map(|_| fastrand::i8(..)).collect();
            let moved: Vec<u8> = bytes.iter().map(|byte| *byte as u8 ^ 0x80).collect();
            let quantization = Quantization { scale: 1.5, zero_point: fastrand::i32(-128..128) };
            let mut picture = Owned::random(height, width, channels);
            let before = picture.clone();
            let sources = [TensorRef::F32(&reals), TensorRef::U8(&moved), TensorRef::I8(&bytes)];
            for tensor in sources {
                load(tensor, 0, strides, Some(quantization), &mut picture.rows_mut(0..height));
                for (y, x, c) in (0..size)
                    .map(|at| (at / channels / width, at / channels % width, at % channels))
                {
                    let at = y * strides[0] + x * strides[1] + c * strides[2];
                    let expected = match tensor {
                        TensorRef::F32(_) => quantization.quantize(f64::from(reals[at])),
                        _ => bytes[at],
                    };
                    assert_eq!(picture.at(y, x, c), expected, "{tensor:?}");
                }
                picture.assert_same_gaps(&before);
            }
            let (mut signed, mut unsigned) = (vec![0; size], vec![0; size]);
            let mut floats = vec![0.0; size];
            let tables =
                vec![std::array::from_fn(|at| at as f32); [1, channels][fastrand::usize(..2)]];
            let view = picture.view();
            store(&view, &Stored::Signed, &mut TensorMut::I8(&mut signed), 0, strides);
            store(&view, &Stored::Unsigned, &mut TensorMut::U8(&mut unsigned), 0, strides);
            store(&view, &Stored::Reals(tables), &mut TensorMut::F32(&mut floats), 0, strides);
            assert_eq!(signed, bytes);
            assert_eq!(unsigned, moved);
            assert!(floats.iter().zip(&moved).all(|(real, byte)| *real == f32::from(*byte)));
        }
    }
}
