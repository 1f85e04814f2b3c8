//! The kernel's calls for framebuffers (linux/fb.h) and virtual terminals (linux/kd.h), each
//! made safe. Nothing here decides anything.

#![allow(unsafe_code)]

use rustix::ioctl::{Getter, IntegerSetter, NoArg, Updater, ioctl};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::File;
use std::io;
use std::ptr::NonNull;

/// `struct fb_bitfield`: where a colour's bits stand, counted from the lowest.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bitfield {
    pub offset: u32,
    pub length: u32,
    pub msb_right: u32,
}

/// `struct fb_var_screeninfo`: what can be changed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    pub xres: u32,
    pub yres: u32,
    pub xres_virtual: u32,
    pub yres_virtual: u32,
    pub xoffset: u32,
    pub yoffset: u32,
    pub bits_per_pixel: u32,
    pub grayscale: u32,
    pub red: Bitfield,
    pub green: Bitfield,
    pub blue: Bitfield,
    pub transp: Bitfield,
    pub nonstd: u32,
    pub activate: u32,
    /// Millimetres, timings and turns: nothing that we look at.
    pub rest: [u32; 18],
}

/// `struct fb_fix_screeninfo`: what the driver has settled.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    pub id: [u8; 16],
    pub smem_start: usize,
    pub smem_len: u32,
    pub kind: u32,
    pub type_aux: u32,
    pub visual: u32,
    pub xpanstep: u16,
    pub ypanstep: u16,
    pub ywrapstep: u16,
    pub line_length: u32,
    pub mmio_start: usize,
    pub mmio_len: u32,
    pub accel: u32,
    pub capabilities: u16,
    pub reserved: [u16; 2],
}

/// For `activate`: values hold from now on.
pub const FB_ACTIVATE_NOW: u32 = 0;

const FBIOGET_VSCREENINFO: u32 = 0x4600;
const FBIOPUT_VSCREENINFO: u32 = 0x4601;
const FBIOGET_FSCREENINFO: u32 = 0x4602;
const FBIOPAN_DISPLAY: u32 = 0x4606;
const FBIOBLANK: u32 = 0x4611;
const KDSETMODE: u32 = 0x4b3a;

pub fn fixed(file: &File) -> io::Result<Fixed> {
    // SAFETY: the call fills a `struct fb_fix_screeninfo`, which `Fixed` is field by field; any
    // bits make a valid one.
    Ok(unsafe { ioctl(file, Getter::<FBIOGET_FSCREENINFO, Fixed>::new()) }?)
}

pub fn variable(file: &File) -> io::Result<Variable> {
    // SAFETY: the call fills a `struct fb_var_screeninfo`, which `Variable` is field by field
    // (its size is checked below); any bits make a valid one.
    Ok(unsafe { ioctl(file, Getter::<FBIOGET_VSCREENINFO, Variable>::new()) }?)
}

/// Asks for other values; the driver answers with what it made of them.
pub fn set_variable(file: &File, value: &mut Variable) -> io::Result<()> {
    // SAFETY: the call reads and writes a `struct fb_var_screeninfo`.
    Ok(unsafe { ioctl(file, Updater::<FBIOPUT_VSCREENINFO, _>::new(value)) }?)
}

/// Shows what begins at `xoffset` and `yoffset`.
pub fn pan(file: &File, value: &mut Variable) -> io::Result<()> {
    // SAFETY: the call reads and writes a `struct fb_var_screeninfo`.
    Ok(unsafe { ioctl(file, Updater::<FBIOPAN_DISPLAY, _>::new(value)) }?)
}

/// Switches a sleeping screen on.
pub fn unblank(file: &File) -> io::Result<()> {
    // SAFETY: the call takes no pointer; without an argument it hears FB_BLANK_UNBLANK, 0.
    Ok(unsafe { ioctl(file, NoArg::<FBIOBLANK>::new()) }?)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleMode {
    Text,
    Graphics,
}

pub fn set_console_mode(terminal: &File, mode: ConsoleMode) -> io::Result<()> {
    let mode = usize::from(mode == ConsoleMode::Graphics);
    // SAFETY: the call takes KD_TEXT or KD_GRAPHICS, a number and no pointer.
    Ok(unsafe { ioctl(terminal, IntegerSetter::<KDSETMODE>::new_usize(mode)) }?)
}

/// A device's memory, written and never read.
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// Maps the first `length` bytes of a device.
    pub fn new(file: &File, length: usize) -> io::Result<Mapping> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses a place where nothing of ours is.
        let start = unsafe { mmap(std::ptr::null_mut(), length, protection, flags, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, length })
    }

    /// Writes `bytes` at an offset; false, and nothing is written, where they do not fit.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> bool {
        if at.checked_add(bytes.len()).is_none_or(|end| end > self.length) {
            return false;
        }
        // SAFETY: the range was checked to lie within the mapping, which lives as long as self.
        // No reference to that memory is ever made, so others may write there, too.
        unsafe {
            let to = self.start.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        true
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and nobody has a pointer into it any more.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.length) } {
            log::debug!("munmap: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<Variable>(), 160);
        let fixed = if size_of::<usize>() == 8 { 80 } else { 68 };
        assert_eq!(size_of::<Fixed>(), fixed);
    }

    #[test]
    fn files_are_no_framebuffers_and_no_terminals() {
        let file = tempfile::tempfile().unwrap();
        let not = Some(rustix::io::Errno::NOTTY.raw_os_error());
        assert_eq!(fixed(&file).unwrap_err().raw_os_error(), not);
        assert_eq!(variable(&file).unwrap_err().raw_os_error(), not);
        assert_eq!(pan(&file, &mut Variable::default()).unwrap_err().raw_os_error(), not);
        let error = set_console_mode(&file, ConsoleMode::Text).unwrap_err();
        assert_eq!(error.raw_os_error(), not);
    }

    #[test]
    fn writes_end_with_the_mapping() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let mut mapping = Mapping::new(&file, 4096).unwrap();
        assert!(mapping.write(4094, b"ab"));
        assert!(!mapping.write(4095, b"cd"));
        assert!(!mapping.write(usize::MAX, b"e"));
        let mut end = [0; 2];
        file.read_exact_at(&mut end, 4094).unwrap();
        assert_eq!(&end, b"ab");
    }
}
