//! A [`Frame`]: the pixels of one instant, with its sequence number and capture time.

pub mod color;
mod pixels;

pub use pixels::{Loan, Pixels};

use std::time::Instant;
use thiserror::Error;

/// The largest width or height a frame may have, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The largest number of pixels a frame may have.
pub const MAX_PIXELS: u64 = 64 << 20;

/// How the bytes of a frame stand for pixels. The names and memory orders are those of
/// the kernel's `V4L2_PIX_FMT_*` (linux/videodev2.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// 4:2:2 packed: Y0 Cb Y1 Cr.
    Yuyv,
    /// 4:2:2 packed: Cb Y0 Cr Y1.
    Uyvy,
    /// 4:2:0: a plane of Y, then a plane of Cb Cr pairs.
    Nv12,
    /// 4:2:0: a plane of Y, then one of Cb, then one of Cr.
    I420,
    /// Red, green, blue bytes.
    Rgb,
    /// Blue, green, red bytes.
    Bgr,
    /// Luma alone, full range.
    Grey,
}

impl PixelFormat {
    pub const ALL: [PixelFormat; 7] = [
        PixelFormat::Yuyv,
        PixelFormat::Uyvy,
        PixelFormat::Nv12,
        PixelFormat::I420,
        PixelFormat::Rgb,
        PixelFormat::Bgr,
        PixelFormat::Grey,
    ];

    /// The name used in camera URIs.
    pub fn name(self) -> &'static str {
        match self {
            PixelFormat::Yuyv => "yuyv",
            PixelFormat::Uyvy => "uyvy",
            PixelFormat::Nv12 => "nv12",
            PixelFormat::I420 => "yuv420",
            PixelFormat::Rgb => "rgb24",
            PixelFormat::Bgr => "bgr24",
            PixelFormat::Grey => "grey",
        }
    }

    pub fn from_name(name: &str) -> Option<PixelFormat> {
        PixelFormat::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Bytes a row of the first plane takes without padding.
    pub fn min_stride(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            PixelFormat::Yuyv | PixelFormat::Uyvy => width.div_ceil(2) * 4,
            PixelFormat::Rgb | PixelFormat::Bgr => width * 3,
            PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Grey => width,
        }
    }
}

/// The matrix that ties Y'CbCr to R'G'B'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// ITU-R BT.601: webcams and standard definition.
    #[default]
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
}

/// The code values that black and white have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Range {
    /// Y 16 to 235, Cb and Cr 16 to 240.
    #[default]
    Limited,
    /// 0 to 255, as JPEG has it.
    Full,
}

/// What the Y'CbCr formats mean; without effect on RGB and grey.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoding {
    pub matrix: Matrix,
    pub range: Range,
}

/// Format, size and stride of a frame: all that tells where a pixel's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub format: PixelFormat,
    pub width: u32,
    pub height: u32,
    /// Bytes from a row of the first plane to the next.
    pub stride: usize,
    pub encoding: Encoding,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error(
        "a picture of {width}x{height} pixels cannot be taken: 1 to {MAX_SIDE} a side and at most {} million in all can",
        MAX_PIXELS >> 20
    )]
    Size { width: u32, height: u32 },
    #[error("a stride of {stride} bytes is too small for {width} pixels of {format}: at least {least} are needed", format = format.name())]
    Stride { stride: usize, width: u32, format: PixelFormat, least: usize },
}

impl Layout {
    /// A layout without padding, in the default encoding.
    pub fn packed(format: PixelFormat, width: u32, height: u32) -> Result<Layout, LayoutError> {
        Layout::strided(format, width, height, format.min_stride(width))
    }

    /// A layout whose rows are `stride` bytes apart.
    pub fn strided(
        format: PixelFormat,
        width: u32,
        height: u32,
        stride: usize,
    ) -> Result<Layout, LayoutError> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels > MAX_PIXELS || width.max(height) > MAX_SIDE {
            return Err(LayoutError::Size { width, height });
        }
        let least = format.min_stride(width);
        if stride < least || stride > 8 * MAX_SIDE as usize {
            return Err(LayoutError::Stride { stride, width, format, least });
        }
        Ok(Layout { format, width, height, stride, encoding: Encoding::default() })
    }

    pub fn with_encoding(self, encoding: Encoding) -> Layout {
        Layout { encoding, ..self }
    }

    /// Rows of chroma in the 4:2:0 formats.
    fn chroma_rows(&self) -> usize {
        (self.height as usize).div_ceil(2)
    }

    /// Bytes from a row of chroma to the next: NV12 as luma but even, I420 half of luma.
    pub fn chroma_stride(&self) -> usize {
        match self.format {
            PixelFormat::Nv12 => self.stride.next_multiple_of(2),
            PixelFormat::I420 => self.stride.div_ceil(2),
            _ => 0,
        }
    }

    /// Bytes of a whole frame.
    pub fn bytes(&self) -> usize {
        let first = self.stride * self.height as usize;
        match self.format {
            PixelFormat::Nv12 => first + self.chroma_stride() * self.chroma_rows(),
            PixelFormat::I420 => first + 2 * self.chroma_stride() * self.chroma_rows(),
            _ => first,
        }
    }
}

/// The pixels of one instant.
#[derive(Clone, Debug)]
pub struct Frame {
    pub layout: Layout,
    /// Counts from 0; a gap is a frame that the camera lost.
    pub sequence: u64,
    /// When the pixels were taken.
    pub captured: Instant,
    /// `layout.bytes()` bytes; fewer when the source delivered too little ([`Frame::is_whole`]).
    pub data: Pixels,
    /// The true class ids, row by row, where the source knows them; else empty.
    pub truth: Vec<u8>,
}

impl Frame {
    /// A black frame (Y = 0 in the Y'CbCr formats) to be filled by a camera.
    pub fn new(layout: Layout) -> Frame {
        Frame {
            layout,
            sequence: 0,
            captured: Instant::now(),
            data: vec![0; layout.bytes()].into(),
            truth: Vec::new(),
        }
    }

    /// One grey pixel: buffers for a camera to give a layout.
    pub fn empty() -> Frame {
        Frame::new(Layout {
            format: PixelFormat::Grey,
            width: 1,
            height: 1,
            stride: 1,
            encoding: Encoding::default(),
        })
    }

    /// Takes another layout, keeping the allocation, to be filled by the frame's owner.
    pub fn reshape(&mut self, layout: Layout) {
        self.layout = layout;
        self.data.own().resize(layout.bytes(), 0);
        self.truth.clear();
    }

    /// False when bytes are missing: such a frame must not be read.
    pub fn is_whole(&self) -> bool {
        self.data.len() >= self.layout.bytes()
    }

    pub fn width(&self) -> u32 {
        self.layout.width
    }

    pub fn height(&self) -> u32 {
        self.layout.height
    }

    /// Row `y` of the first plane without its padding. Panics beyond the frame or on one not whole.
    pub fn row(&self, y: u32) -> &[u8] {
        let start = y as usize * self.layout.stride;
        &self.data[start..start + self.layout.format.min_stride(self.layout.width)]
    }

    /// The chroma that goes with row `y` of a 4:2:0 frame: (Cb Cr pairs, nothing) for NV12,
    /// (Cb, Cr) for I420, nothing for the others.
    pub fn chroma_rows(&self, y: u32) -> (&[u8], &[u8]) {
        let layout = &self.layout;
        let (stride, pairs) = (layout.chroma_stride(), (layout.width as usize).div_ceil(2));
        let start = layout.stride * layout.height as usize + stride * (y as usize / 2);
        match layout.format {
            PixelFormat::Nv12 => (&self.data[start..start + 2 * pairs], &[]),
            PixelFormat::I420 => {
                let other = start + stride * layout.chroma_rows();
                (&self.data[start..start + pairs], &self.data[other..other + pairs])
            }
            _ => (&[], &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_without_pixels_or_with_too_many_are_refused() {
        for (width, height) in [(0, 1), (1, 0), (100_000, 100_000), (16_384, 16_384), (u32::MAX, 1)]
        {
            assert_eq!(
                Layout::packed(PixelFormat::Rgb, width, height),
                Err(LayoutError::Size { width, height })
            );
        }
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        let bytes = |format| Layout::packed(format, 5, 3).unwrap().bytes();
        assert_eq!(bytes(PixelFormat::Yuyv), 3 * 12);
        assert_eq!(bytes(PixelFormat::Nv12), 3 * 5 + 2 * 6);
        assert_eq!(bytes(PixelFormat::I420), 3 * 5 + 2 * 2 * 3);
        assert_eq!(bytes(PixelFormat::Rgb), 45);
    }

    #[test]
    fn chroma_rows_stay_inside_the_frame() {
        for format in PixelFormat::ALL {
            for (width, height) in [(1, 1), (5, 3), (8, 4)] {
                let frame = Frame::new(Layout::packed(format, width, height).unwrap());
                for y in 0..height {
                    frame.row(y);
                    frame.chroma_rows(y);
                }
            }
        }
    }
}
