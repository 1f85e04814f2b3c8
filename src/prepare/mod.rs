//! Frame -> input tensor.
//!
//! The answer is defined so that every machine gives the same bits. The source rectangle is
//! cut out of the frame and brought to the target's size, each axis for itself: shrinking
//! gives the mean of the source pixels weighted by the area covered, enlarging is bilinear
//! between pixel centres with the border pixels repeated. Samples are filtered as they are
//! stored, each pixel having the chroma of its pair ([`crate::frame::color::row_to_bgrx`]
//! sees the same pixels); only the result becomes RGB, so each output pixel is converted
//! once. Grey of RGB is the luma of BT.601, grey of Y'CbCr is Y' stretched to full range,
//! RGB of grey is grey thrice. All this is fixed point: an 8-bit channel is less than 0.7
//! levels from the same formulas in real numbers, clamped to 0..=255 at the end.
//!
//! An 8-bit channel p enters u8 networks as p, i8 networks as p - 128, and float networks as
//! (p / 255 - mean) / std, looked up in a table.

mod along;
mod filter;
mod span;
#[cfg(test)]
mod tests;

use crate::config::card::{Axes, Color, Fit};
use crate::frame::color::{self, BLOCK};
use crate::frame::{Frame, Layout, PixelFormat};
use along::ROWS;
use filter::Filter;
use std::array::from_fn;
use thiserror::Error;

/// A rectangle of whole pixels; tiles may begin left of or above the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: i32,
    pub y: i32,
    pub width: u32,
    pub height: u32,
}

/// Which part of the frame fills which part of the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// In frame pixels. Pixels beyond the frame are its mirror image (tiles only).
    pub source: Rect,
    /// In input pixels; what lies around it is zero pixels.
    pub target: Rect,
    /// Height and width of the network's input.
    pub input: [u32; 2],
}

/// The type of the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    U8,
    I8,
    F32,
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Element::U8 => "u8",
            Element::I8 => "i8",
            Element::F32 => "f32",
        }
    }
}

/// What a network takes: one picture of `height` x `width`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputSpec {
    pub element: Element,
    pub axes: Axes,
    pub color: Color,
    /// For float elements, in the order of `color`.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub height: u32,
    pub width: u32,
}

impl InputSpec {
    /// Elements of the tensor.
    pub fn len(&self) -> usize {
        self.height as usize * self.width as usize * self.color.channels()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The tensor to be filled.
#[derive(Debug)]
pub enum Samples<'a> {
    U8(&'a mut [u8]),
    I8(&'a mut [i8]),
    F32(&'a mut [f32]),
}

impl Samples<'_> {
    fn element(&self) -> Element {
        match self {
            Samples::U8(_) => Element::U8,
            Samples::I8(_) => Element::I8,
            Samples::F32(_) => Element::F32,
        }
    }

    fn len(&self) -> usize {
        match self {
            Samples::U8(out) => out.len(),
            Samples::I8(out) => out.len(),
            Samples::F32(out) => out.len(),
        }
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum PrepareError {
    #[error("the network's input has {expected} elements of {}, the tensor to be filled {found} of {}", element.name(), given.name())]
    Tensor { expected: usize, element: Element, found: usize, given: Element },
    #[error("frame {sequence} has {found} bytes where {expected} are needed; it must be dropped")]
    Truncated { sequence: u64, found: usize, expected: usize },
    #[error(
        "{source:?} of a frame of {width}x{height} cannot fill {target:?} of an input of {input:?}: only tiles of unchanged size may reach beyond the frame",
        source = placement.source, target = placement.target, input = placement.input
    )]
    Placement { placement: Placement, width: u32, height: u32 },
}

/// Brings frames to a network's input; keeps its tables and buffers from frame to frame.
#[derive(Debug)]
pub struct Prepare {
    spec: InputSpec,
    /// (p / 255 - mean) / std of each channel, in the order of `color`.
    floats: Box<[[f32; 256]; 3]>,
    filter: Filter,
    /// What `filter` was made for.
    made_for: Option<(Layout, Placement)>,
    /// 8-bit channels in the order of `color`, lying as the filter's samples.
    channels: [Vec<[u8; BLOCK]>; 3],
}

impl Prepare {
    pub fn new(spec: InputSpec) -> Prepare {
        let mut floats = Box::new([[0.0; 256]; 3]);
        for (channel, table) in floats.iter_mut().enumerate() {
            for (p, value) in table.iter_mut().enumerate() {
                *value = (p as f32 / 255.0 - spec.mean[channel]) / spec.std[channel];
            }
        }
        Prepare {
            spec,
            floats,
            filter: Filter::default(),
            made_for: None,
            channels: Default::default(),
        }
    }

    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// Where a frame goes. Under `Fit::Tile` this is one tile in the frame's middle; the
    /// decoder places the others.
    pub fn place(&self, frame_width: u32, frame_height: u32, fit: Fit) -> Placement {
        let (width, height) = (self.spec.width, self.spec.height);
        let frame = [frame_width, frame_height];
        let (source, target) = match fit {
            Fit::Crop => (inscribed([width, height], frame), whole([width, height])),
            Fit::Stretch => (whole(frame), whole([width, height])),
            Fit::Letterbox => (whole(frame), inscribed(frame, [width, height])),
            Fit::Tile => (centred([width, height], frame), whole([width, height])),
        };
        Placement { source, target, input: [height, width] }
    }

    /// Fills the whole tensor. Nothing is written when an error is returned.
    pub fn run(
        &mut self,
        frame: &Frame,
        placement: &Placement,
        out: Samples<'_>,
    ) -> Result<(), PrepareError> {
        let spec = self.spec;
        if out.element() != spec.element || out.len() != spec.len() {
            return Err(PrepareError::Tensor {
                expected: spec.len(),
                element: spec.element,
                found: out.len(),
                given: out.element(),
            });
        }
        let layout = &frame.layout;
        if !frame.is_whole() {
            let (sequence, found) = (frame.sequence, frame.data.len());
            return Err(PrepareError::Truncated { sequence, found, expected: layout.bytes() });
        }
        if self.made_for != Some((*layout, *placement)) {
            if !fits(placement, layout, &spec) {
                let (width, height) = (layout.width, layout.height);
                return Err(PrepareError::Placement { placement: *placement, width, height });
            }
            let count = match layout.format {
                PixelFormat::Rgb | PixelFormat::Bgr => 3,
                _ => spec.color.channels(),
            };
            self.filter.plan(layout, placement, count);
            for row in &mut self.channels {
                row.resize((placement.target.width as usize * ROWS).div_ceil(BLOCK), [0; BLOCK]);
            }
            self.made_for = Some((*layout, *placement));
        }
        match out {
            Samples::U8(out) => self.fill(frame, placement, out, |_, p| p),
            Samples::I8(out) => self.fill(frame, placement, out, |_, p| (p ^ 0x80) as i8),
            Samples::F32(out) => {
                self.fill(frame, placement, out, |table: &[f32; 256], p| table[usize::from(p)]);
            }
        }
        Ok(())
    }

    fn fill<T: Copy>(
        &mut self,
        frame: &Frame,
        placement: &Placement,
        out: &mut [T],
        element: impl Fn(&[f32; 256], u8) -> T + Copy,
    ) {
        let Prepare { spec, floats, filter, channels, .. } = self;
        let width = spec.width as usize;
        let (area, count) = (width * spec.height as usize, spec.color.channels());
        let Rect { x, y: top, width: across, height: down } = placement.target;
        for y in 0..spec.height {
            let row = y.wrapping_sub(top as u32);
            // Left bar and picture of this row.
            let (left, inside) = if row < down { (x as usize, across as usize) } else { (0, 0) };
            let lane = row as usize % ROWS;
            if inside > 0 && lane == 0 {
                filter.rows(frame, row);
                to_channels(filter, &frame.layout, spec.color, channels);
            }
            let rows = channels
                .each_ref()
                .map(|rows| &rows.as_flattened().as_chunks::<ROWS>().0[..inside]);
            let start = y as usize * width;
            if spec.axes == Axes::Nchw || count == 1 {
                for (channel, (table, row)) in floats.iter().zip(rows).take(count).enumerate() {
                    let out = &mut out[channel * area + start..][..width];
                    out[..left].fill(element(table, 0));
                    for (out, column) in out[left..].iter_mut().zip(row) {
                        *out = element(table, column[lane]);
                    }
                    out[left + inside..].fill(element(table, 0));
                }
            } else {
                let out = out[3 * start..][..3 * width].as_chunks_mut::<3>().0;
                let pixel = |p: [u8; 3]| from_fn(|channel| element(&floats[channel], p[channel]));
                out[..left].fill(pixel([0; 3]));
                let [first, second, third] = rows;
                let pixels = first.iter().zip(second).zip(third);
                for (out, ((first, second), third)) in out[left..].iter_mut().zip(pixels) {
                    *out = pixel([first[lane], second[lane], third[lane]]);
                }
                out[left + inside..].fill(pixel([0; 3]));
            }
        }
    }
}

/// Turns the filtered samples into 8-bit channels in the order of `color`.
fn to_channels(filter: &Filter, layout: &Layout, color: Color, out: &mut [Vec<[u8; BLOCK]>; 3]) {
    let [first, second, third] = filter.samples();
    let [a, b, c] = out;
    let (red, blue) = if color == Color::Bgr { (c, a) } else { (a, c) };
    match (layout.format, color) {
        (PixelFormat::Grey, Color::Gray) => color::round(first, red),
        (PixelFormat::Grey, _) => {
            color::round(first, red);
            b.copy_from_slice(red);
            blue.copy_from_slice(red);
        }
        (PixelFormat::Rgb | PixelFormat::Bgr, Color::Gray) => {
            color::rgb_to_gray([first, second, third], red);
        }
        (PixelFormat::Rgb | PixelFormat::Bgr, _) => {
            color::round(first, red);
            color::round(second, b);
            color::round(third, blue);
        }
        (_, Color::Gray) => color::to_gray(layout.encoding, first, red),
        _ => color::to_rgb(layout.encoding, [first, second, third], [red, b, blue]),
    }
}

fn fits(placement: &Placement, layout: &Layout, spec: &InputSpec) -> bool {
    let Placement { source, target, input } = placement;
    let within = |inner: &Rect, width: u32, height: u32| {
        let fits = |at: i32, length: u32, whole: u32| {
            at >= 0 && length > 0 && at as u64 + u64::from(length) <= u64::from(whole)
        };
        fits(inner.x, inner.width, width) && fits(inner.y, inner.height, height)
    };
    let unchanged = (source.width, source.height) == (target.width, target.height);
    *input == [spec.height, spec.width]
        && within(target, spec.width, spec.height)
        && (unchanged || within(source, layout.width, layout.height))
}

fn whole([width, height]: [u32; 2]) -> Rect {
    Rect { x: 0, y: 0, width, height }
}

/// A rectangle of this size over the middle of a space.
fn centred([width, height]: [u32; 2], space: [u32; 2]) -> Rect {
    let middle =
        |space: u32, length: u32| (i64::from(space) - i64::from(length)).div_euclid(2) as i32;
    Rect { x: middle(space[0], width), y: middle(space[1], height), width, height }
}

/// The largest rectangle of a shape's aspect ratio in the middle of a space.
fn inscribed(shape: [u32; 2], space: [u32; 2]) -> Rect {
    let [shape_width, shape_height] = shape.map(|side| u64::from(side.max(1)));
    let [width, height] = space.map(u64::from);
    let scaled = |length: u64, by: u64, of: u64| ((2 * length * by + of) / (2 * of)).max(1);
    let size = if width * shape_height >= height * shape_width {
        [scaled(height, shape_width, shape_height).min(width), height]
    } else {
        [width, scaled(width, shape_height, shape_width).min(height)]
    };
    centred(size.map(|side| side as u32), space)
}
