//! From an activation to a tensor.

use super::{Strides, TensorMut};
use crate::int8::view::Picture;
use crate::simd::widest;
use fearless_simd::{Level, dispatch, i8x16, prelude::*};
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
