//! The direct way through a dense convolution: no transform, no copy of a layer.

use std::ops::Range;

use super::convolution::{Geometry, Out};
use super::kernels::{Columns, Element, Format, Kernels, Row, SLACK, Weights, split, unsigned};
use super::packing::{self, Packer, Span};
use super::view::Picture;

#[derive(Clone, Debug)]
pub(super) struct Direct {
    geometry: Geometry,
    packer: Packer,
    columns: Columns,
    /// Elements of a run.
    run: usize,
    /// `[phase][run]`: where runs start, in bytes. Panel rows stand in a ring, and the phase is
    /// where in it the first kernel row is.
    runs: Vec<usize>,
    phases: usize,
    /// What a panel row shows.
    span: Span,
}

impl Direct {
    pub fn new(
        kernels: Kernels,
        geometry: Geometry,
        weights: &[i16],
        bias: &[i32],
        input_zero_point: i32,
    ) -> Self {
        let Geometry { kernel: [kernel_y, kernel_x], in_channels, .. } = geometry;
        let [dilation_y, dilation_x] = geometry.dilation;
        assert_eq!(weights.len(), bias.len() * kernel_y * kernel_x * in_channels);
        let packer = Packer { kernels, zero_point: input_zero_point };
        // Pixels lie side by side in the panel, so an undilated kernel row is one run.
        let taps = if dilation_x == 1 { 1 } else { kernel_x };
        let elements = kernel_x * in_channels / taps;
        let format: Format = kernels.format();
        let run = elements.next_multiple_of(format.group);
        let span = Span {
            left: -geometry.pad_left,
            pixels: (geometry.out_width.max(1) - 1) * geometry.stride[1]
                + (kernel_x - 1) * dilation_x
                + 1,
        };
        let pixel = in_channels * packer.size();
        // Rows of a dilated kernel rarely meet again in the next output row.
        let phases = if dilation_y == 1 { kernel_y } else { 1 };
        let runs = (0..phases)
            .flat_map(|phase| {
                (0..kernel_y * taps).map(move |index| {
                    let (ky, tap) = (index / taps, index % taps);
                    ((ky + phase) % kernel_y * span.pixels + tap * dilation_x) * pixel
                })
            })
            .collect();
        let shape = [kernel_y * taps, elements];
        let columns = packing::columns(format, weights, bias, shape, input_zero_point);
        Direct { geometry, packer, columns, run, runs, phases, span }
    }

    pub fn weight_bytes(&self) -> usize {
        let weights = match &self.columns.weights {
            Weights::Bytes(weights) => weights.len(),
            Weights::Words(weights) => weights.len() * 2,
        };
        weights + self.columns.start.len() * 4
    }

    /// One tap, one stride: pixels need no neighbours, so rows need no ends.
    pub fn pointwise(&self) -> bool {
        let Geometry { kernel, stride, in_width, out_width, .. } = self.geometry;
        kernel == [1, 1]
            && stride == [1, 1]
            && (self.geometry.pad_top, self.geometry.pad_left) == (0, 0)
            && in_width == out_width
            && self.geometry.out_height <= self.geometry.in_height
    }

    /// Pixels of a pointwise convolution that are packed at once: about half of the first cache.
    fn chunk(&self) -> usize {
        let pixel = self.geometry.in_channels * self.packer.size();
        (16384 / pixel.max(1) / 24 * 24).clamp(24, 384)
    }

    fn panel_bytes(&self) -> usize {
        let rows = if self.pointwise() {
            self.chunk()
        } else {
            self.geometry.kernel[0] * self.span.pixels
        };
        // A run's filling may reach behind the last pixel.
        rows * self.geometry.in_channels * self.packer.size() + SLACK
    }

    /// Channel sums of the panel rows, window sums of an output row.
    fn sums(&self) -> [usize; 2] {
        match self.columns.shift {
            Some(_) if self.pointwise() => [self.chunk(), 0],
            Some(_) => [self.geometry.kernel[0] * self.span.pixels, self.geometry.out_width],
            None => [0, 0],
        }
    }

    pub fn scratch_bytes(&self) -> usize {
        let [channel_sums, window_sums] = self.sums();
        self.panel_bytes() + (channel_sums + window_sums) * 4 + 3 * SLACK
    }

    pub fn run(&self, input: &Picture, rows: Range<usize>, mut out: Out, scratch: &mut [u8]) {
        let Geometry { in_height, in_width, in_channels, out_width, .. } = self.geometry;
        assert_eq!(
            [input.height, input.width, input.channels],
            [in_height, in_width, in_channels],
            "the input has another shape than the convolution was made for"
        );
        if rows.is_empty() || out_width == 0 {
            return;
        }
        let (panel, rest) = split(scratch, self.panel_bytes());
        let [channel_sums, window_sums] = self.sums();
        let (channel_sums, rest) = split(rest, channel_sums);
        if self.pointwise() {
            return self.run_pointwise(input, rows, out, panel, channel_sums);
        }
        let (window_sums, _) = split(rest, window_sums);
        let Geometry { kernel: [kernel_y, _], stride, dilation, pad_top, .. } = self.geometry;
        let slot_bytes = self.span.pixels * in_channels * self.packer.size();
        // Rows of the padded input from here on are not in the ring.
        let mut next = 0;
        for (index, y) in rows.enumerate() {
            let first = y * stride[0];
            for ky in 0..kernel_y {
                let row = first + ky * dilation[0];
                if self.phases > 1 && index > 0 && row < next {
                    continue;
                }
                let slot = if self.phases > 1 { row % kernel_y } else { ky };
                let slot_panel = &mut panel[slot * slot_bytes..][..slot_bytes];
                let row = row as isize - pad_top;
                self.packer.row(input, row, self.span, slot_panel);
                if self.columns.shift.is_some() {
                    let sums = &mut channel_sums[slot * self.span.pixels..][..self.span.pixels];
                    self.packer.channel_sums(slot_panel, in_channels, sums);
                }
            }
            next = first + (kernel_y - 1) * dilation[0] + 1;
            if self.columns.shift.is_some() {
                self.add_windows(channel_sums, window_sums);
            }
            let runs = self.runs.len() / self.phases;
            let row = Row {
                panel,
                pixel_stride: stride[1] * in_channels * self.packer.size(),
                runs: &self.runs[first % self.phases * runs..][..runs],
                run: self.run,
                pixels: out_width,
                window_sums: self.columns.shift.is_some().then_some(&*window_sums),
            };
            self.packer.kernels.dense(&row, &self.columns, &mut out.store(index, 0));
        }
    }

    fn add_windows(&self, channel_sums: &[i32], window_sums: &mut [i32]) {
        let Geometry { kernel, stride, dilation, .. } = self.geometry;
        window_sums.fill(0);
        for ky in 0..kernel[0] {
            for kx in 0..kernel[1] {
                let taps = &channel_sums[ky * self.span.pixels + kx * dilation[1]..];
                for (sum, tap) in window_sums.iter_mut().zip(taps.iter().step_by(stride[1])) {
                    *sum += tap;
                }
            }
        }
    }

    fn run_pointwise(
        &self,
        input: &Picture,
        rows: Range<usize>,
        mut out: Out,
        panel: &mut [u8],
        sums: &mut [i32],
    ) {
        let width = self.geometry.out_width;
        let pixel = input.channels * self.packer.size();
        // Rows without gaps are one long row.
        let joined = input.row_pitch == width * input.pixel_pitch && out.contiguous(width);
        let (lines, pixels) = if joined { (1, rows.len() * width) } else { (rows.len(), width) };
        // Signed bytes in whole groups are a panel already.
        let shifted = self.columns.shift.is_some();
        let as_it_is = !shifted
            && self.packer.kernels.format().element == Element::Signed
            && self.run == input.channels;
        for line in 0..lines {
            let data = &input.data[(rows.start + line) * input.row_pitch..];
            for from in (0..pixels).step_by(self.chunk()) {
                let count = self.chunk().min(pixels - from);
                let data = &data[from * input.pixel_pitch..];
                let (panel, pixel_stride) = if as_it_is {
                    (unsigned(data), input.pixel_pitch)
                } else {
                    let span = Span { left: 0, pixels: count };
                    let chunk = Picture { data, height: 1, width: count, ..*input };
                    self.packer.row(&chunk, 0, span, &mut panel[..count * pixel]);
                    if shifted {
                        let panel = &panel[..count * pixel];
                        self.packer.channel_sums(panel, input.channels, sums);
                    }
                    (&*panel, pixel)
                };
                let row = Row {
                    panel,
                    pixel_stride,
                    runs: &self.runs,
                    run: self.run,
                    pixels: count,
                    window_sums: shifted.then_some(&*sums),
                };
                self.packer.kernels.dense(&row, &self.columns, &mut out.store(line, from));
            }
        }
    }
}
