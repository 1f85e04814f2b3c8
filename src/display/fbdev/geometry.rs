//! Where a framebuffer's pixels lie in its memory, by what the driver says, checked.

use super::kernel::{Fixed, Variable};
use super::pixels::PixelLayout;
use crate::display::Size;
use std::io;
use thiserror::Error;

/// Screens of more pixels a side are taken for a mistake.
const MAX_SIDE: u32 = 16384;

/// From linux/fb.h.
const FB_TYPE_PACKED_PIXELS: u32 = 0;
const FB_VISUAL_TRUECOLOR: u32 = 2;
const FB_VISUAL_DIRECTCOLOR: u32 = 4;

/// Why a framebuffer will not do, and what to do.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error(
        "there is no framebuffer; load the board's display driver, or take drm: or another \
         display"
    )]
    None,
    #[error("is no framebuffer; take {}", or_drm(framebuffers))]
    NotAFramebuffer { framebuffers: Vec<String> },
    #[error(
        "may not be opened by this user; add the user to its group with `sudo usermod -aG video \
         $USER`, and log in again"
    )]
    Permission,
    #[error(
        "has pixels of {bits} bits that are no plain blue, green and red; set 16 or 32 bits, with \
         `fbset -depth 16` or the board's configuration"
    )]
    Pixels { bits: u32 },
    #[error(
        "its driver claims {width}x{height} pixels of {bits} bits in rows of {stride} bytes and \
         {memory} bytes of memory, which cannot be; see `dmesg`"
    )]
    Lie { width: u32, height: u32, bits: u32, stride: u32, memory: u32 },
    #[error("{error}; take {}", or_drm(framebuffers))]
    Missing { error: io::Error, framebuffers: Vec<String> },
    #[error("the kernel says {0} to {1}; see `dmesg`")]
    Kernel(io::Error, &'static str),
}

fn or_drm(framebuffers: &[String]) -> String {
    framebuffers.iter().map(|path| format!("{path}, ")).collect::<String>()
        + "drm: or another display"
}

/// A framebuffer's place and pixels; every visible byte lies within `length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub size: Size,
    pub layout: PixelLayout,
    /// From one row to the next, in bytes.
    pub stride: usize,
    /// The first byte of row 0, at the column that the screen begins with.
    pub start: usize,
    /// The row that the screen begins with.
    pub yoffset: usize,
    /// Bytes to map.
    pub length: usize,
    /// True when there is a second screenful below the first, and the driver can go there.
    pub can_pan: bool,
    /// True when there is memory for one, but it is not set up.
    pub could_pan: bool,
}

impl Geometry {
    /// `page` is the kernel's page size: memory that begins within a page is mapped from the
    /// page's beginning.
    pub fn new(fixed: &Fixed, variable: &Variable, page: usize) -> Result<Geometry, Refusal> {
        let Variable { xres, yres, xoffset, yoffset, bits_per_pixel: bits, .. } = *variable;
        let colors = matches!(fixed.visual, FB_VISUAL_TRUECOLOR | FB_VISUAL_DIRECTCOLOR)
            && fixed.kind == FB_TYPE_PACKED_PIXELS
            && variable.grayscale == 0;
        let layout = PixelLayout::new(variable).filter(|_| colors);
        let layout = layout.ok_or(Refusal::Pixels { bits })?;
        let (stride, memory) = (u64::from(fixed.line_length), u64::from(fixed.smem_len));
        let row = (u64::from(xoffset) + u64::from(xres)) * layout.bytes as u64;
        // Rows from row 0 that are within the memory; 2^33 rows of 2^32 bytes at most.
        let fits = |rows: u64| rows.checked_mul(stride).is_some_and(|bytes| bytes <= memory);
        let sides = 1..=MAX_SIDE;
        let is_sound = sides.contains(&xres)
            && sides.contains(&yres)
            && row <= stride
            && fits(u64::from(yoffset) + u64::from(yres));
        if !is_sound {
            let (width, height, stride) = (xres, yres, fixed.line_length);
            return Err(Refusal::Lie { width, height, bits, stride, memory: fixed.smem_len });
        }
        let within = fixed.smem_start % page.max(1);
        let steps = u32::from(fixed.ypanstep);
        // Memory without an address of its own is copied to the screen some time later, and by
        // the kernels so far not all of it when it pans meanwhile.
        let in_place = fixed.smem_start != 0;
        let room = in_place && steps > 0 && yres % steps == 0 && fits(2 * u64::from(yres));
        let is_tall = u64::from(variable.yres_virtual) >= 2 * u64::from(yres);
        Ok(Geometry {
            size: Size { width: xres, height: yres },
            layout,
            stride: fixed.line_length as usize,
            start: within + xoffset as usize * layout.bytes,
            yoffset: yoffset as usize,
            length: within + fixed.smem_len as usize,
            can_pan: room && is_tall,
            could_pan: room && !is_tall,
        })
    }

    /// Where a pixel of a screen that begins with row `top` stands in the mapping.
    pub fn offset(&self, top: usize, x: usize, y: usize) -> usize {
        self.start + (top + y) * self.stride + x * self.layout.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Bitfield;
    use super::*;

    fn sound() -> (Fixed, Variable) {
        let field = |offset| Bitfield { offset, length: 8, msb_right: 0 };
        let fixed = Fixed {
            smem_start: 0x3c10_0000,
            smem_len: 2 * 480 * 3328,
            visual: FB_VISUAL_TRUECOLOR,
            ypanstep: 1,
            line_length: 3328,
            ..Fixed::default()
        };
        let variable = Variable {
            xres: 800,
            yres: 480,
            yres_virtual: 480,
            bits_per_pixel: 32,
            red: field(16),
            green: field(8),
            blue: field(0),
            ..Variable::default()
        };
        (fixed, variable)
    }

    fn check(change: impl FnOnce(&mut Fixed, &mut Variable)) -> Result<Geometry, Refusal> {
        let (mut fixed, mut variable) = sound();
        change(&mut fixed, &mut variable);
        Geometry::new(&fixed, &variable, 4096)
    }

    #[test]
    fn offsets_and_strides_are_honoured() {
        let geometry = check(|fixed, variable| {
            fixed.smem_start = 0x3c10_0100;
            (variable.xoffset, variable.yoffset) = (8, 100);
        });
        let geometry = geometry.unwrap();
        assert_eq!(geometry.size, Size { width: 800, height: 480 });
        assert_eq!(geometry.length, 0x100 + 2 * 480 * 3328);
        let offset = geometry.offset(geometry.yoffset, 2, 3);
        assert_eq!(offset, 0x100 + 103 * 3328 + 4 * (8 + 2));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let bad: [fn(&mut Fixed, &mut Variable); 12] = [
            |fixed, _| fixed.line_length = 0,
            |fixed, _| fixed.line_length = 3199,
            |fixed, _| fixed.line_length = u32::MAX,
            |fixed, _| fixed.smem_len = 480 * 3328 - 1,
            |fixed, _| fixed.smem_len = 0,
            |_, variable| variable.xres = 0,
            |_, variable| variable.yres = 0,
            |_, variable| variable.xres = u32::MAX,
            |_, variable| variable.yres = u32::MAX,
            |_, variable| variable.xoffset = u32::MAX,
            |_, variable| variable.yoffset = u32::MAX,
            |_, variable| variable.yoffset = 481,
        ];
        for change in bad {
            let error = check(change).unwrap_err();
            assert!(matches!(error, Refusal::Lie { .. }), "{error}");
        }
        let all = |fixed: &mut Fixed, variable: &mut Variable| {
            (fixed.line_length, fixed.smem_len) = (u32::MAX, u32::MAX);
            (variable.xres, variable.yres) = (MAX_SIDE, MAX_SIDE);
            (variable.xoffset, variable.yoffset) = (u32::MAX, u32::MAX);
        };
        assert!(check(all).is_err());
    }

    #[test]
    fn palettes_and_the_like_are_refused() {
        let bad: [fn(&mut Fixed, &mut Variable); 5] = [
            |fixed, variable| (fixed.visual, variable.bits_per_pixel) = (3, 8),
            |fixed, _| fixed.visual = 3,
            |fixed, _| fixed.kind = 1,
            |_, variable| variable.grayscale = 1,
            |_, variable| variable.bits_per_pixel = 8,
        ];
        for change in bad {
            let error = check(change).unwrap_err();
            assert!(matches!(error, Refusal::Pixels { .. }), "{error}");
        }
    }

    #[test]
    fn a_second_screenful_needs_memory_and_a_driver() {
        let pans = |change: fn(&mut Fixed, &mut Variable)| {
            let geometry = check(change).unwrap();
            (geometry.can_pan, geometry.could_pan)
        };
        assert_eq!(pans(|_, _| ()), (false, true));
        assert_eq!(pans(|_, variable| variable.yres_virtual = 960), (true, false));
        assert_eq!(pans(|_, variable| variable.yres_virtual = u32::MAX), (true, false));
        assert_eq!(pans(|fixed, _| fixed.smem_len -= 1), (false, false));
        assert_eq!(pans(|fixed, _| fixed.ypanstep = 0), (false, false));
        assert_eq!(pans(|fixed, _| fixed.ypanstep = 7), (false, false));
        assert_eq!(pans(|fixed, _| fixed.smem_start = 0), (false, false));
    }
}
