//! Frame -> input tensor in one pass.

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

use crate::config::card::{Axes, Color};
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    U8,
    I8,
    F32,
}
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    pub element: Element,
    pub axes: Axes,
    pub color: Color,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub height: u32,
    pub width: u32,
}
