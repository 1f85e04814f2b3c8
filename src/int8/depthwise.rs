//! Depthwise convolutions: every channel has its own kernel.

use std::ops::Range;

use super::convolution::Geometry;
use super::kernels::{DepthwiseRow, Kernels, SLACK, split};
use super::packing::{Span, differences};
use super::requantization::Requantize;
use super::view::Picture;

/// A depthwise convolution, ready for one set of kernels.
#[derive(Clone, Debug)]
pub struct DepthwiseConvolution {
    kernels: Kernels,
    geometry: Geometry,
    weights: Vec<i16>,
    bias: Vec<i32>,
    input_zero_point: i32,
    requantize: Requantize,
    row_pitch: usize,
    pixel_pitch: usize,
    /// `[phase][tap]`: where taps start in the ring of panel rows, in elements; the phase is
    /// where in the ring the first kernel row is.
    taps: Vec<usize>,
    phases: usize,
    span: Span,
}

impl DepthwiseConvolution {
    /// `weights` are `[ky][kx][c]`, weight - its zero point, one bias a channel; the input's zero
    /// point is that of i8. Channel c of (y, x) goes to `out[y * row_pitch + x * pixel_pitch + c]`.
    /// Panics if lengths disagree.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        kernels: Kernels,
        geometry: Geometry,
        weights: &[i16],
        bias: &[i32],
        input_zero_point: i32,
        requantize: Requantize,
        row_pitch: usize,
        pixel_pitch: usize,
    ) -> Self {
        let Geometry { kernel: [kernel_y, kernel_x], in_channels, dilation, .. } = geometry;
        assert_eq!(weights.len(), kernel_y * kernel_x * in_channels);
        assert_eq!(bias.len(), in_channels);
        let span = Span {
            left: -geometry.pad_left,
            pixels: (geometry.out_width.max(1) - 1) * geometry.stride[1]
                + (kernel_x - 1) * dilation[1]
                + 1,
        };
        let phases = if dilation[0] == 1 { kernel_y } else { 1 };
        let taps = (0..phases)
            .flat_map(|phase| {
                (0..kernel_y * kernel_x).map(move |tap| {
                    let (ky, kx) = (tap / kernel_x, tap % kernel_x);
                    ((ky + phase) % kernel_y * span.pixels + kx * dilation[1]) * in_channels
                })
            })
            .collect();
        DepthwiseConvolution {
            kernels,
            geometry,
            weights: weights.to_vec(),
            bias: bias.to_vec(),
            input_zero_point,
            requantize,
            row_pitch,
            pixel_pitch,
            taps,
            phases,
            span,
        }
    }

    /// Always "depthwise".
    pub fn algorithm(&self) -> &'static str {
        "depthwise"
    }

    /// Weights and biases.
    pub fn weight_bytes(&self) -> usize {
        self.weights.len() * 2 + self.bias.len() * 4
    }

    fn slot(&self) -> usize {
        self.span.pixels * self.geometry.in_channels
    }

    /// What a call of `run` needs.
    pub fn scratch_bytes(&self) -> usize {
        self.geometry.kernel[0] * self.slot() * 2 + SLACK
    }

    /// Ranges of rows begin at multiples of it.
    pub fn row_step(&self) -> usize {
        1
    }

    /// Computes the output rows `rows`; `out` begins at the first of them. Panics if a slice is
    /// too short.
    pub fn run(&self, input: &Picture, rows: Range<usize>, out: &mut [i8], scratch: &mut [u8]) {
        let Geometry { in_height, in_width, in_channels, .. } = self.geometry;
        assert_eq!(
            [input.height, input.width, input.channels],
            [in_height, in_width, in_channels],
            "the input has another shape than the convolution was made for"
        );
        if rows.is_empty() || self.geometry.out_width == 0 {
            return;
        }
        let Geometry { kernel: [kernel_y, _], stride, dilation, pad_top, .. } = self.geometry;
        let slot = self.slot();
        let (panel, _) = split(scratch, kernel_y * slot);
        // Rows of the padded input from here on are not in the ring.
        let mut next = 0;
        for (index, y) in rows.enumerate() {
            let first = y * stride[0];
            for ky in 0..kernel_y {
                let row = first + ky * dilation[0];
                if self.phases > 1 && index > 0 && row < next {
                    continue;
                }
                let at = if self.phases > 1 { row % kernel_y } else { ky };
                let row = row as isize - pad_top;
                let panel = &mut panel[at * slot..][..slot];
                differences(self.kernels, input, row, self.span, self.input_zero_point, panel);
            }
            next = first + (kernel_y - 1) * dilation[0] + 1;
            let taps = self.taps.len() / self.phases;
            let row = DepthwiseRow {
                panel,
                pixel_stride: stride[1] * in_channels,
                taps: &self.taps[first % self.phases * taps..][..taps],
                pixels: self.geometry.out_width,
                channels: in_channels,
                weights: &self.weights,
                bias: &self.bias,
            };
            let out = &mut out[index * self.row_pitch..];
            self.kernels.depthwise(&row, &self.requantize, out, self.pixel_pitch);
        }
    }
}
