//! What drivers say, as plain values: unchecked.

use std::time::Duration;
use v4l::sys::*;

/// Where frames are asked for: `V4L2_BUF_TYPE_VIDEO_CAPTURE` or its multi-planar kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    Single,
    Multi,
}

impl Queue {
    pub(super) fn number(self) -> u32 {
        match self {
            Queue::Single => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
            Queue::Multi => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }
}

/// What a device says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub driver: String,
    pub card: String,
    pub bus: String,
    /// `V4L2_CAP_*` of this node.
    pub capabilities: u32,
}

/// A format with its memory; [`Handle::set_format`] asks with the first four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub fourcc: u32,
    pub width: u32,
    pub height: u32,
    pub field: u32,
    /// Bytes from a row to the next, and of the whole, of the first plane.
    pub stride: u32,
    pub bytes: u32,
    /// Planes that lie in memory of their own.
    pub planes: u32,
    pub colorspace: u32,
    pub ycbcr: u32,
    pub quantization: u32,
}

/// One size, or all from the least to the most in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeSteps {
    pub least: (u32, u32),
    pub most: (u32, u32),
    pub step: (u32, u32),
}

/// A control as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFacts {
    pub id: u32,
    pub title: String,
    pub kind: ControlKind,
    pub least: i64,
    pub most: i64,
    pub step: u64,
    pub default: i64,
    /// `V4L2_CTRL_FLAG_*`
    pub flags: u32,
}

/// The types of controls that hold one value (`V4L2_CTRL_TYPE_*`), and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    Integer,
    Boolean,
    Menu,
    Button,
    /// 64 bits.
    Wide,
    Mask,
    /// A menu of numbers.
    Numbers,
    Other,
}

impl ControlKind {
    #[expect(non_upper_case_globals, reason = "the names of the bindings")]
    pub(super) fn new(number: u32) -> ControlKind {
        match number {
            v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => ControlKind::Integer,
            v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => ControlKind::Boolean,
            v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => ControlKind::Menu,
            v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => ControlKind::Button,
            v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64 => ControlKind::Wide,
            v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => ControlKind::Mask,
            v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => ControlKind::Numbers,
            _ => ControlKind::Other,
        }
    }
}

/// A buffer that the driver gave back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dequeued {
    pub index: u32,
    /// Where the data begins in the buffer, and where it ends.
    pub start: u32,
    pub end: u32,
    /// `V4L2_BUF_FLAG_*`
    pub flags: u32,
    pub sequence: u32,
    /// By the clock that the flags name.
    pub stamp: Duration,
}
