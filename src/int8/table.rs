//! Any function of one value, as its 256 answers.

use std::ops::Range;

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
            for run in 0..runs {
                let out = &mut out_row[run * out.pixel_pitch..][..count];
                out.copy_from_slice(&input.0[run * input.1..][..count]);
                self.replace(out, channels);
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
            [table] => values.iter_mut().for_each(|x| *x = table[usize::from(*x as u8)]),
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

fn entries(mut f: impl FnMut(i8) -> i8) -> [i8; 256] {
    std::array::from_fn(|bits| f(bits as u8 as i8))
}

#[cfg(test)]
mod tests;
