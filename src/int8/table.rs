//! Any function of one value, as its 256 answers.

use std::ops::Range;
#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

#[cfg(target_arch = "x86_64")]
use fearless_simd::{Level, i8x32, prelude::*, u8x16, u8x32, x86::Avx2};

#[cfg(target_arch = "x86_64")]
use super::kernels::look_up;
use super::view::{Picture, PictureMut};

/// `y = table[x]`, one table for all channels or one each.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Indexed by the byte's bits.
    tables: Vec<[i8; 256]>,
}

impl Table {
    pub fn new(mut f: impl FnMut(i8) -> i8) -> Self {
        Table { tables: vec![entries(&mut f)] }
    }

    /// `f` takes the channel and the value. For pictures with that many channels.
    pub fn per_channel(channels: usize, mut f: impl FnMut(usize, i8) -> i8) -> Self {
        Table { tables: (0..channels).map(|channel| entries(|x| f(channel, x))).collect() }
    }

    /// What `x` becomes.
    pub fn get(&self, channel: usize, x: i8) -> i8 {
        self.tables[if self.tables.len() == 1 { 0 } else { channel }][usize::from(x as u8)]
    }

    /// Output rows `rows`, the first of which is `out`'s first.
    pub fn run(&self, input: &Picture, rows: Range<usize>, out: &mut PictureMut) {
        let channels = out.channels;
        if out.width == 0 || channels == 0 {
            return;
        }
        for (index, row) in rows.enumerate() {
            let input = (&input.data[row * input.row_pitch..], input.pixel_pitch);
            let out_row = &mut out.data[index * out.row_pitch..];
            let one_run = input.1 == channels && out.pixel_pitch == channels;
            let (runs, count) =
                if one_run { (1, out.width * channels) } else { (out.width, channels) };
            if !one_run && channels < BLOCK {
                self.run_in_blocks(input, out_row, [out.width, channels, out.pixel_pitch]);
                continue;
            }
            for run in 0..runs {
                let out = &mut out_row[run * out.pixel_pitch..][..count];
                out.copy_from_slice(&input.0[run * input.1..][..count]);
                self.replace(out, channels);
            }
        }
    }

    /// A row of short pixels with gaps: many of them are looked up together.
    fn run_in_blocks(
        &self,
        (input, input_pitch): (&[i8], usize),
        out: &mut [i8],
        [width, channels, out_pitch]: [usize; 3],
    ) {
        let most = BLOCK / channels;
        let mut block = [0; BLOCK];
        for first in (0..width).step_by(most) {
            let pixels = most.min(width - first);
            let values = &mut block[..pixels * channels];
            if input_pitch == channels {
                values.copy_from_slice(&input[first * channels..][..values.len()]);
            } else {
                for (x, pixel) in values.chunks_exact_mut(channels).enumerate() {
                    pixel.copy_from_slice(&input[(first + x) * input_pitch..][..channels]);
                }
            }
            self.replace(values, channels);
            let out = &mut out[first * out_pitch..];
            match channels {
                16 => put_pixels::<16>(values, out, out_pitch),
                32 => put_pixels::<32>(values, out, out_pitch),
                _ => {
                    for (x, pixel) in values.chunks_exact(channels).enumerate() {
                        out[x * out_pitch..][..channels].copy_from_slice(pixel);
                    }
                }
            }
        }
    }

    /// All of `picture`, each value by its entry.
    pub fn run_in_place(&self, picture: &mut PictureMut) {
        let channels = picture.channels;
        if picture.width == 0 || channels == 0 {
            return;
        }
        for row in 0..picture.height {
            let row_data = &mut picture.data[row * picture.row_pitch..];
            let one_run = picture.pixel_pitch == channels;
            let (runs, count) =
                if one_run { (1, picture.width * channels) } else { (picture.width, channels) };
            for run in 0..runs {
                self.replace(&mut row_data[run * picture.pixel_pitch..][..count], channels);
            }
        }
    }

    /// `values` are whole pixels.
    fn replace(&self, values: &mut [i8], channels: usize) {
        match &self.tables[..] {
            [table] => replace_all(table, values),
            tables => {
                for pixel in values.chunks_exact_mut(channels) {
                    for (x, table) in pixel.iter_mut().zip(tables) {
                        *x = table[usize::from(*x as u8)];
                    }
                }
            }
        }
    }
}

/// Values that are looked up together at least.
const BLOCK: usize = 1024;

/// Pixels of a known size need no call each.
fn put_pixels<const CHANNELS: usize>(values: &[i8], out: &mut [i8], pitch: usize) {
    for (x, pixel) in values.as_chunks::<CHANNELS>().0.iter().enumerate() {
        out[x * pitch..][..CHANNELS].copy_from_slice(pixel);
    }
}

fn replace_all(table: &[i8; 256], values: &mut [i8]) {
    #[cfg(target_arch = "x86_64")]
    if look_up(table, values) {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    static AVX2: LazyLock<Option<Avx2>> = LazyLock::new(|| Level::new().as_avx2());
    #[cfg(target_arch = "x86_64")]
    let values = match *AVX2 {
        // Fewer are not worth the preparation.
        Some(avx2) if values.len() >= 256 => avx2.vectorize(
            #[inline(always)]
            || by_shuffles(avx2, table, values),
        ),
        _ => values,
    };
    #[cfg(target_arch = "aarch64")]
    let values = super::kernels::look_up(table, values);
    for x in values {
        *x = table[usize::from(*x as u8)];
    }
}

/// Shuffles look up 16 entries of a table at once, and answer 0 to negative indices. So each half
/// of the table is the exclusive or of its 16 entries up to the right ones: stepping the index
/// down by 16 (saturated, so that negative ones stay so), the shuffles that still answer are
/// those whose differences add up to the entry. Returns the values that are left over.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn by_shuffles<'a>(avx2: Avx2, table: &[i8; 256], values: &'a mut [i8]) -> &'a mut [i8] {
    let (parts, _) = table.as_chunks::<16>();
    let difference = |part: usize| -> u8x32<Avx2> {
        let before = if part.is_multiple_of(8) { [0; 16] } else { parts[part - 1] };
        let lanes = std::array::from_fn(|lane| (parts[part][lane] ^ before[lane]) as u8);
        u8x32::block_splat(u8x16::load_array(avx2, lanes))
    };
    let differences: [u8x32<Avx2>; 16] = std::array::from_fn(difference);
    let (blocks, rest) = values.as_chunks_mut::<32>();
    for block in blocks {
        let mut low = i8x32::load_array_ref(avx2, block);
        let mut high = low ^ i8x32::splat(avx2, i8::MIN);
        let mut y = u8x32::splat(avx2, 0);
        for part in 0..8 {
            y ^= differences[part].swizzle_dyn_within_blocks(low.bitcast::<u8x32<Avx2>>());
            y ^= differences[part + 8].swizzle_dyn_within_blocks(high.bitcast::<u8x32<Avx2>>());
            low = low.saturating_sub(16);
            high = high.saturating_sub(16);
        }
        *block = y.bitcast::<i8x32<Avx2>>().into();
    }
    rest
}

fn entries(mut f: impl FnMut(i8) -> i8) -> [i8; 256] {
    std::array::from_fn(|bits| f(bits as u8 as i8))
}

#[cfg(test)]
mod tests;
