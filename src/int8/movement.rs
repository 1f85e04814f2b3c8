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
    /// The way between memory with these pitches of the axes.
    pub fn plan(&self, from: [usize; 4], to: [usize; 4]) -> Moves {
        let steps = self.loops.iter().map(|each| Stride {
            extent: each.extent,
            from: from[each.from.0] * each.from.1,
            to: to[each.to.0] * each.to.1,
        });
        Moves::new(steps.filter(|step| step.extent != 1).collect())
    }
}

/// A loop with its steps through memory.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stride {
    extent: usize,
    from: usize,
    to: usize,
}

/// A [`Rearrange`] in the order that is fastest: its loops may be in any. Bytes that stay
/// together move together, and the innermost loop over them is a long one.
#[derive(Clone, Debug, PartialEq)]
pub struct Moves {
    outer: Vec<Stride>,
    inner: Stride,
    /// Bytes that stay together.
    unit: usize,
}

impl Moves {
    fn new(mut steps: Vec<Stride>) -> Self {
        steps.sort_by_key(|step| std::cmp::Reverse(step.to));
        let mut merged: Vec<Stride> = Vec::new();
        for step in steps {
            match merged.last_mut() {
                Some(last)
                    if (last.from, last.to) == (step.extent * step.from, step.extent * step.to) =>
                {
                    *last = Stride { extent: last.extent * step.extent, ..step };
                }
                _ => merged.push(step),
            }
        }
        let together = merged.pop_if(|step| (step.from, step.to) == (1, 1));
        let unit = together.map_or(1, |step| step.extent);
        // The nearest of the long ones keeps to the caches.
        let inner = merged.iter().rposition(|step| step.extent >= LONG);
        let longest = || (0..merged.len()).max_by_key(|at| merged[*at].extent);
        let inner = inner.or_else(longest).map(|at| merged.remove(at));
        let once = Stride { extent: 1, from: 0, to: 0 };
        Moves { outer: merged, inner: inner.unwrap_or(once), unit }
    }

    /// Panics if a slice is too short.
    pub fn run(&self, input: &[i8], out: &mut [i8]) {
        self.walk(&self.outer, input, out);
    }

    fn walk(&self, outer: &[Stride], input: &[i8], out: &mut [i8]) {
        if let Some((first, rest)) = outer.split_first() {
            for i in 0..first.extent {
                self.walk(rest, &input[i * first.from..], &mut out[i * first.to..]);
            }
            return;
        }
        match self.unit {
            1 => self.copies::<1>(input, out),
            2 => self.copies::<2>(input, out),
            3 => self.copies::<3>(input, out),
            4 => self.copies::<4>(input, out),
            8 => self.copies::<8>(input, out),
            12 => self.copies::<12>(input, out),
            16 => self.copies::<16>(input, out),
            unit => {
                for i in 0..self.inner.extent {
                    let (from, to) = (i * self.inner.from, i * self.inner.to);
                    out[to..][..unit].copy_from_slice(&input[from..][..unit]);
                }
            }
        }
    }

    /// Units of a known size need no call each.
    fn copies<const UNIT: usize>(&self, input: &[i8], out: &mut [i8]) {
        let Stride { extent, from, to } = self.inner;
        for i in 0..extent {
            out[i * to..][..UNIT].copy_from_slice(&input[i * from..][..UNIT]);
        }
    }
}

/// Loops of so many turns hide what surrounds them.
const LONG: usize = 16;

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
        rearrange.plan([6, 6, 3, 1], [6, 2, 2, 1]).run(&[1, 2, 3, 4, 5, 6], &mut out);
        assert_eq!(out, [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn moves_are_those_of_the_loops_in_any_order() {
        let rng = &mut fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let extents: Vec<usize> =
                (0..4).map(|_| [1, 2, 3, 12, rng.usize(1..20)][rng.usize(..5)]).collect();
            let mut order: Vec<usize> = (0..4).collect();
            if rng.bool() {
                rng.shuffle(&mut order);
            }
            let step = |axes: &[usize]| axes.iter().map(|axis| extents[*axis]).product::<usize>();
            let place = |axis: usize| order.iter().position(|other| *other == axis).unwrap_or(0);
            let loops: Vec<Loop> = (0..4)
                .map(|axis| Loop {
                    extent: extents[axis],
                    from: (3, step(&[0, 1, 2, 3][axis + 1..])),
                    to: (3, step(&order[place(axis) + 1..])),
                })
                .collect();
            let input: Vec<i8> = (0..step(&order)).map(|_| rng.i8(..)).collect();
            let mut expected = vec![0; input.len()];
            for (at, byte) in input.iter().enumerate() {
                let index = |each: &Loop| at / each.from.1 % each.extent * each.to.1;
                expected[loops.iter().map(index).sum::<usize>()] = *byte;
            }
            let mut out = vec![0; input.len()];
            Rearrange { loops }.plan([1; 4], [1; 4]).run(&input, &mut out);
            assert_eq!(out, expected, "{extents:?} {order:?}");
        }
    }
}
