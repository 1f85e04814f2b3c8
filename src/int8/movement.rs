//! Operators that only move bytes.

use super::view::{Picture, PictureMut};

/// Copies along lists of indices, one for each of rows, columns and channels: what Slice, Pad,
/// nearest Resize, Upsample and Tile do. `out[y][x][c] = in[rows[y]][columns[x]][channels[c]]`,
/// and the fill where an index is [`Gather::FILL`].
#[derive(Clone, Debug)]
pub struct Gather {
    pub rows: Vec<u32>,
    pub columns: Vec<u32>,
    pub channels: Vec<u32>,
    pub fill: i8,
}

impl Gather {
    pub const FILL: u32 = u32::MAX;

    pub fn run(&self, input: &Picture, rows: std::ops::Range<usize>, out: &mut PictureMut) {
        let plain = self.channels.iter().enumerate().all(|(i, c)| *c as usize == i);
        let channels = self.channels.len();
        for (y, from) in self.rows[rows].iter().enumerate() {
            let target = &mut out.data[y * out.row_pitch..];
            for (x, column) in self.columns.iter().enumerate() {
                let target = &mut target[x * out.pixel_pitch..][..channels];
                if *from == Gather::FILL || *column == Gather::FILL {
                    target.fill(self.fill);
                    continue;
                }
                let start = *from as usize * input.row_pitch + *column as usize * input.pixel_pitch;
                let source = &input.data[start..];
                if plain {
                    target.copy_from_slice(&source[..channels]);
                } else {
                    for (byte, c) in target.iter_mut().zip(&self.channels) {
                        *byte = if *c == Gather::FILL { self.fill } else { source[*c as usize] };
                    }
                }
            }
        }
    }
}

/// One of the loops of a [`Rearrange`].
#[derive(Clone, Copy, Debug)]
pub struct Loop {
    pub extent: usize,
    /// The axis of the input that it walks along (batch, row, column, channel), and the step.
    pub from: (usize, usize),
    /// The same in the output.
    pub to: (usize, usize),
}

/// Copies every element to another place: what Transpose, SpaceToDepth and DepthToSpace do.
#[derive(Clone, Debug)]
pub struct Rearrange {
    /// Outermost first.
    pub loops: Vec<Loop>,
}

impl Rearrange {
    /// `from` and `to` are the pitches of the axes.
    pub fn run(&self, input: &[i8], from: [usize; 4], out: &mut [i8], to: [usize; 4]) {
        walk(&self.loops, input, &from, out, &to);
    }
}

fn walk(loops: &[Loop], input: &[i8], from: &[usize; 4], out: &mut [i8], to: &[usize; 4]) {
    let Some((first, rest)) = loops.split_first() else {
        out[0] = input[0];
        return;
    };
    let (step_in, step_out) = (from[first.from.0] * first.from.1, to[first.to.0] * first.to.1);
    if rest.is_empty() {
        if step_in == 1 && step_out == 1 {
            out[..first.extent].copy_from_slice(&input[..first.extent]);
        } else {
            let source = input.iter().step_by(step_in.max(1));
            let target = out.iter_mut().step_by(step_out.max(1));
            target.zip(source).take(first.extent).for_each(|(y, x)| *y = *x);
        }
        return;
    }
    for i in 0..first.extent {
        walk(rest, &input[i * step_in..], from, &mut out[i * step_out..], to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_slices_flips_and_fills() {
        let data: Vec<i8> = (0..12).collect();
        let input =
            Picture { data: &data, height: 2, width: 3, channels: 2, row_pitch: 6, pixel_pitch: 2 };
        let gather = Gather {
            rows: vec![1, Gather::FILL],
            columns: vec![2, 0],
            channels: vec![1],
            fill: -7,
        };
        let mut data = [0i8; 4];
        let mut out = PictureMut {
            data: &mut data,
            height: 2,
            width: 2,
            channels: 1,
            row_pitch: 2,
            pixel_pitch: 1,
        };
        gather.run(&input, 0..2, &mut out);
        assert_eq!(data, [11, 7, -7, -7]);
    }

    #[test]
    fn rearrange_transposes() {
        let rearrange = Rearrange {
            loops: vec![
                Loop { extent: 3, from: (3, 1), to: (1, 1) },
                Loop { extent: 2, from: (2, 1), to: (3, 1) },
            ],
        };
        let mut out = [0; 6];
        rearrange.run(&[1, 2, 3, 4, 5, 6], [6, 6, 3, 1], &mut out, [6, 2, 2, 1]);
        assert_eq!(out, [1, 4, 2, 5, 3, 6]);
    }
}
