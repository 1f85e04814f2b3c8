//! `fbdev:` shows pictures on a framebuffer (linux/fb.h): the way for screens without KMS.
//!
//! A picture is drawn in full sight, unless the driver has room for two and can pan from one to
//! the other.

mod device;
mod geometry;
pub(super) mod kernel;
mod pixels;

pub use device::{Found, list};
pub use geometry::Refusal;

use super::console::Console;
use super::rotate::{Rotator, Turn};
use super::{Display, DisplayError, Size};
use crate::config::uri::Uri;
use device::Device;
use geometry::Geometry;
use kernel::Mapping;

pub struct Fbdev {
    path: String,
    device: Device,
    geometry: Geometry,
    mapping: Mapping,
    turn: Turn,
    rotator: Rotator,
    /// A row in the framebuffer's own pixels.
    converted: Vec<u8>,
    /// The row of memory that the screen begins with.
    shown: usize,
    /// The one that is drawn from on: the same where pictures are drawn in full sight.
    drawn: usize,
    // The last to go: the text comes back when all is wiped.
    _console: Console,
}

impl Fbdev {
    /// `fbdev:/dev/fb0?rotate=90`, all of it optional.
    pub fn open(mut uri: Uri) -> Result<Fbdev, DisplayError> {
        let turn = Turn::take(&mut uri)?;
        let path = uri.path.clone();
        uri.finish()?;
        let (path, device, mut geometry) =
            device::find(&path).map_err(|(path, refusal)| failed(&path, refusal))?;
        if geometry.could_pan {
            geometry = device.heighten(geometry);
        }
        let mapping = Mapping::new(&device.file, geometry.length)
            .map_err(|error| failed(&path, Refusal::Kernel(error, "mapping its memory")))?;
        // A screen that sleeps, or one that cannot.
        let _ = kernel::unblank(&device.file);
        let mut fbdev = Fbdev {
            device,
            geometry,
            mapping,
            turn,
            rotator: Rotator::new(turn, geometry.size),
            converted: vec![0; geometry.size.width as usize * geometry.layout.bytes],
            shown: geometry.yoffset,
            drawn: geometry.yoffset,
            _console: Console::hide(),
            path,
        };
        fbdev.wipe();
        if geometry.can_pan {
            fbdev.drawn = fbdev.other(fbdev.shown);
            fbdev.wipe();
            fbdev.pan();
        }
        let (size, bits) = (geometry.size, 8 * geometry.layout.bytes);
        let buffers = if fbdev.shown == fbdev.drawn { 1 } else { 2 };
        let (width, height) = (size.width, size.height);
        log::info!("{}: {width}x{height}, {bits} bits, {buffers} buffers", fbdev.path);
        Ok(fbdev)
    }

    /// Makes what is drawn to black.
    fn wipe(&mut self) {
        self.converted.fill(0);
        for y in 0..self.geometry.size.height as usize {
            let at = self.geometry.offset(self.drawn, 0, y);
            self.mapping.write(at, &self.converted);
        }
    }

    /// There are two screenfuls from row 0 on.
    fn other(&self, top: usize) -> usize {
        if top == 0 { self.geometry.size.height as usize } else { 0 }
    }

    /// Pans to what was drawn, and draws to the other screenful from now on.
    fn pan(&mut self) {
        let mut variable = self.device.variable;
        variable.yoffset = self.drawn as u32;
        match kernel::pan(&self.device.file, &mut variable) {
            Ok(()) => (self.shown, self.drawn) = (self.drawn, self.other(self.drawn)),
            Err(error) => {
                log::info!("{}: draws in full sight: no panning: {error}", self.path);
                self.drawn = self.shown;
            }
        }
    }
}

fn failed(path: &str, refusal: Refusal) -> DisplayError {
    DisplayError::Failed { display: path.to_owned(), message: refusal.to_string() }
}

impl Display for Fbdev {
    fn size(&self) -> Option<Size> {
        Some(self.turn.size(self.geometry.size))
    }

    fn begin(&mut self, _: Size) -> Result<(), DisplayError> {
        Ok(())
    }

    fn write_row(&mut self, y: u32, row: &[u8]) {
        let (geometry, top, plain) = (&self.geometry, self.drawn, self.geometry.layout.is_plain());
        let (mapping, converted) = (&mut self.mapping, &mut self.converted);
        self.rotator.write_row(y, row, |x, y, pixels| {
            let at = geometry.offset(top, x, y);
            if plain {
                mapping.write(at, pixels);
            } else {
                mapping.write(at, geometry.layout.convert(pixels, converted));
            }
        });
    }

    fn present(&mut self, _: u64) -> Result<(), DisplayError> {
        if self.drawn != self.shown {
            self.pan();
        }
        Ok(())
    }
}

impl Drop for Fbdev {
    fn drop(&mut self) {
        // Black, for screens that no console draws on afterwards.
        self.drawn = self.geometry.yoffset;
        self.wipe();
        let mut before = self.device.variable;
        let restored = match self.geometry.can_pan {
            true if before.yres_virtual < 2 * before.yres => {
                kernel::set_variable(&self.device.file, &mut before)
            }
            true => kernel::pan(&self.device.file, &mut before),
            false => Ok(()),
        };
        if let Err(error) = restored {
            log::debug!("{}: {error}", self.path);
        }
    }
}
