//! Dense convolutions (one group), over whole networks' worth of layers: any kernel, stride,
//! dilation and padding, written anywhere.

use std::ops::Range;

use super::direct::Direct;
use super::kernels::{Kernels, Segment, Store};
use super::requantization::Requantize;
use super::view::Picture;
use super::winograd::Winograd;

/// Sizes of a convolution, in pixels. Whatever lies outside the input counts as its zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub in_height: usize,
    pub in_width: usize,
    pub in_channels: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Negative when the first rows or columns are cropped. Below and right follows from the
    /// sizes.
    pub pad_top: isize,
    pub pad_left: isize,
    pub out_height: usize,
    pub out_width: usize,
}

/// Where outputs go: (y, x, column j of segment s) to
/// `out[y * row_pitch + x * pixel_pitch + s.offset + j - s.column]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    pub row_pitch: usize,
    pub pixel_pitch: usize,
    pub segments: Vec<Segment>,
}

impl Placement {
    /// All columns side by side.
    pub fn plain(row_pitch: usize, pixel_pitch: usize, columns: usize) -> Self {
        Placement {
            row_pitch,
            pixel_pitch,
            segments: vec![Segment { column: 0, columns, offset: 0 }],
        }
    }
}

/// A convolution with its weights packed for one set of kernels.
#[derive(Clone, Debug)]
pub struct DenseConvolution {
    algorithm: Algorithm,
    /// Those that store bytes have it.
    store: Option<(Requantize, Placement)>,
}

#[derive(Clone, Debug)]
enum Algorithm {
    Direct(Direct),
    Winograd(Winograd),
}

/// Where the sums of some rows go.
pub(super) enum Out<'a> {
    Bytes { out: &'a mut [i8], requantize: &'a Requantize, placement: &'a Placement },
    Sums { out: &'a mut [i32], row_pitch: usize, pixel_pitch: usize },
}

impl Out<'_> {
    /// From pixel `x` of row `y` on.
    pub fn store(&mut self, y: usize, x: usize) -> Store<'_> {
        match self {
            Out::Bytes { out, requantize, placement } => Store::Bytes {
                requantize,
                out: &mut out[y * placement.row_pitch + x * placement.pixel_pitch..],
                pixel_pitch: placement.pixel_pitch,
                segments: &placement.segments,
            },
            Out::Sums { out, row_pitch, pixel_pitch } => Store::Sums {
                out: &mut out[y * *row_pitch + x * *pixel_pitch..],
                pixel_pitch: *pixel_pitch,
            },
        }
    }

    /// From one row to the next if those have no gaps between them.
    pub fn contiguous(&self, width: usize) -> bool {
        match self {
            Out::Bytes { placement, .. } => placement.row_pitch == width * placement.pixel_pitch,
            Out::Sums { row_pitch, pixel_pitch, .. } => *row_pitch == width * pixel_pitch,
        }
    }
}

impl DenseConvolution {
    /// `weights` are `[column][ky][kx][c]`, weight - its zero point, so within -255..=255 and,
    /// for one column, spanning at most 255; one bias a column; the input's zero point is that of
    /// i8. Panics if lengths disagree.
    pub fn new(
        kernels: Kernels,
        geometry: Geometry,
        weights: &[i16],
        bias: &[i32],
        input_zero_point: i32,
        requantize: Requantize,
        placement: Placement,
    ) -> Self {
        let winograd = Winograd::applies(&geometry, weights, bias, input_zero_point, &placement)
            && Winograd::pays(kernels, &geometry, bias.len());
        let algorithm = if winograd {
            let made = Winograd::new(kernels, geometry, weights, bias, input_zero_point);
            Algorithm::Winograd(made)
        } else {
            Algorithm::Direct(Direct::new(kernels, geometry, weights, bias, input_zero_point))
        };
        DenseConvolution { algorithm, store: Some((requantize, placement)) }
    }

    /// One that only [`run_sums`](Self::run_sums) can run.
    pub fn sums(
        kernels: Kernels,
        geometry: Geometry,
        weights: &[i16],
        bias: &[i32],
        input_zero_point: i32,
    ) -> Self {
        let direct = Direct::new(kernels, geometry, weights, bias, input_zero_point);
        DenseConvolution { algorithm: Algorithm::Direct(direct), store: None }
    }

    /// "1x1", "direct" or "winograd".
    pub fn algorithm(&self) -> &'static str {
        match &self.algorithm {
            Algorithm::Direct(direct) if direct.pointwise() => "1x1",
            Algorithm::Direct(_) => "direct",
            Algorithm::Winograd(_) => "winograd",
        }
    }

    /// Packed weights and biases.
    pub fn weight_bytes(&self) -> usize {
        match &self.algorithm {
            Algorithm::Direct(direct) => direct.weight_bytes(),
            Algorithm::Winograd(winograd) => winograd.weight_bytes(),
        }
    }

    /// What a call of `run` needs; zeroed or not is all the same.
    pub fn scratch_bytes(&self) -> usize {
        match &self.algorithm {
            Algorithm::Direct(direct) => direct.scratch_bytes(),
            Algorithm::Winograd(winograd) => winograd.scratch_bytes(),
        }
    }

    /// Ranges of rows begin at multiples of it.
    pub fn row_step(&self) -> usize {
        match &self.algorithm {
            Algorithm::Direct(_) => 1,
            Algorithm::Winograd(_) => 4,
        }
    }

    /// Computes the output rows `rows`; `out` begins at the first of them. Panics if a slice is
    /// too short, or if this was made for sums.
    pub fn run(&self, input: &Picture, rows: Range<usize>, out: &mut [i8], scratch: &mut [u8]) {
        let Some((requantize, placement)) = &self.store else {
            panic!("this convolution was made for sums")
        };
        let out = Out::Bytes { out, requantize, placement };
        match &self.algorithm {
            Algorithm::Direct(direct) => direct.run(input, rows, out, scratch),
            Algorithm::Winograd(winograd) => winograd.run(input, rows, out, scratch),
        }
    }

    /// The same, not requantized: (y, x, column j) to `out[y * row_pitch + x * pixel_pitch + j]`.
    pub fn run_sums(
        &self,
        input: &Picture,
        rows: Range<usize>,
        out: &mut [i32],
        row_pitch: usize,
        pixel_pitch: usize,
        scratch: &mut [u8],
    ) {
        let out = Out::Sums { out, row_pitch, pixel_pitch };
        match &self.algorithm {
            Algorithm::Direct(direct) => direct.run(input, rows, out, scratch),
            Algorithm::Winograd(winograd) => winograd.run(input, rows, out, scratch),
        }
    }
}
