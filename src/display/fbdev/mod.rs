//! `fbdev:` shows pictures on a framebuffer (linux/fb.h): the way for screens without KMS.
//!
//! A picture is drawn in full sight, unless the driver has room for two and can pan from one to
//! the other.

mod geometry;
pub(super) mod kernel;
mod pixels;

pub use geometry::Refusal;

use super::console::Console;
use super::rotate::{Rotator, Turn};
use super::{Display, DisplayError, Size};
use crate::config::uri::Uri;
use geometry::Geometry;
use kernel::{Fixed, Mapping, Variable};
use rustix::fs::{FileType, major, stat};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

/// Of all framebuffers (the kernel's devices.txt).
const FB_MAJOR: u32 = 29;

pub struct Fbdev {
    path: String,
    file: File,
    /// As the driver had it when we came.
    before: Variable,
    geometry: Geometry,
    mapping: Mapping,
    turn: Turn,
    rotator: Rotator,
    /// A row in the framebuffer's own pixels.
    converted: Vec<u8>,
    /// The row of memory that is drawn to.
    top: usize,
    /// Whether the picture is drawn out of sight.
    pans: bool,
    // The last to go: the text comes back when all is wiped.
    _console: Console,
}

impl Fbdev {
    /// `fbdev:/dev/fb0?rotate=90`, all of it optional.
    pub fn open(mut uri: Uri) -> Result<Fbdev, DisplayError> {
        let turn = Turn::take(&mut uri)?;
        let path = uri.path.clone();
        uri.finish()?;
        let (path, file, fixed, before) =
            find(&path).map_err(|(path, refusal)| failed(&path, refusal))?;
        let refuse = |refusal| failed(&path, refusal);
        let mut geometry = check(&fixed, &before).map_err(refuse)?;
        if geometry.could_pan {
            geometry = heighten(&file, before, geometry);
        }
        let mapping = Mapping::new(&file, geometry.length)
            .map_err(|error| refuse(Refusal::Kernel(error, "mapping its memory")))?;
        // A screen that sleeps, or one that cannot.
        let _ = kernel::unblank(&file);
        let mut fbdev = Fbdev {
            file,
            before,
            geometry,
            mapping,
            turn,
            rotator: Rotator::new(turn, geometry.size),
            converted: vec![0; geometry.size.width as usize * geometry.layout.bytes],
            top: geometry.yoffset,
            pans: geometry.can_pan,
            _console: Console::hide(),
            path,
        };
        fbdev.wipe();
        if fbdev.pans {
            // Two screenfuls from row 0 on.
            fbdev.top = 0;
            fbdev.wipe();
            fbdev.show();
        }
        let (size, bits) = (geometry.size, 8 * geometry.layout.bytes);
        let buffers = if fbdev.pans { 2 } else { 1 };
        let (width, height) = (size.width, size.height);
        log::info!("{}: {width}x{height}, {bits} bits, {buffers} buffers", fbdev.path);
        Ok(fbdev)
    }

    /// Makes what is drawn to black.
    fn wipe(&mut self) {
        self.converted.fill(0);
        for y in 0..self.geometry.size.height as usize {
            let at = self.geometry.offset(self.top, 0, y);
            self.mapping.write(at, &self.converted);
        }
    }

    /// Pans to what was drawn, and draws to the other screenful from now on.
    fn show(&mut self) {
        let mut variable = self.before;
        variable.yoffset = self.top as u32;
        match kernel::pan(&self.file, &mut variable) {
            Ok(()) => {
                let height = self.geometry.size.height as usize;
                self.top = if self.top == 0 { height } else { 0 };
            }
            Err(error) => {
                log::info!("{}: draws in full sight: no panning: {error}", self.path);
                self.pans = false;
            }
        }
    }
}

fn failed(path: &str, refusal: Refusal) -> DisplayError {
    DisplayError::Failed { display: path.to_owned(), message: refusal.to_string() }
}

fn check(fixed: &Fixed, variable: &Variable) -> Result<Geometry, Refusal> {
    Geometry::new(fixed, variable, rustix::param::page_size())
}

/// Asks for twice the height; what comes of it.
fn heighten(file: &File, before: Variable, geometry: Geometry) -> Geometry {
    let mut taller = before;
    taller.yres_virtual = 2 * before.yres;
    let asked = kernel::set_variable(file, &mut taller);
    let found = asked.and_then(|()| Ok((kernel::fixed(file)?, kernel::variable(file)?)));
    match found {
        // Anything else that changed was not asked for.
        Ok((fixed, variable)) => match check(&fixed, &variable) {
            Ok(taller) if taller.can_pan && taller.size == geometry.size => taller,
            _ => {
                let mut before = before;
                let _ = kernel::set_variable(file, &mut before);
                geometry
            }
        },
        Err(_) => geometry,
    }
}

type Found = (String, File, Fixed, Variable);

/// The framebuffer at `path`, or the first that can show pictures.
fn find(path: &str) -> Result<Found, (String, Refusal)> {
    let attempt = |path: String| match look(&path) {
        Ok((file, fixed, variable)) => Ok((path, file, fixed, variable)),
        Err(refusal) => Err((path, refusal)),
    };
    if !path.is_empty() {
        return attempt(path.to_owned());
    }
    let mut first = None;
    for path in paths() {
        let found = attempt(path).and_then(|found| match check(&found.2, &found.3) {
            Ok(_) => Ok(found),
            Err(refusal) => Err((found.0, refusal)),
        });
        match found {
            Ok(found) => return Ok(found),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| ("fbdev".to_owned(), Refusal::None)))
}

fn look(path: &str) -> Result<(File, Fixed, Variable), Refusal> {
    // Other devices are not even opened: some act on that.
    let missing = |error| Refusal::Missing { error, framebuffers: paths() };
    let found = stat(path).map_err(|error| missing(error.into()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::CharacterDevice
        || major(found.st_rdev) != FB_MAJOR
    {
        return Err(Refusal::NotAFramebuffer { framebuffers: paths() });
    }
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Refusal::Permission,
        _ => missing(error),
    })?;
    let asked = kernel::fixed(&file).and_then(|fixed| Ok((fixed, kernel::variable(&file)?)));
    let (fixed, variable) = asked.map_err(|error| Refusal::Kernel(error, "a look at it"))?;
    Ok((file, fixed, variable))
}

/// `/dev/fbN` in the order of their numbers.
fn paths() -> Vec<String> {
    let Ok(folder) = Path::new("/dev").read_dir() else { return Vec::new() };
    let number = |name: &str| name.strip_prefix("fb")?.parse::<u32>().ok();
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| number(&name)).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| format!("/dev/fb{number}")).collect()
}

/// A framebuffer as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// What the driver calls it.
    pub id: String,
    /// In pixels.
    pub size: Size,
    /// Of a pixel.
    pub bits: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// All framebuffers in the order of their numbers: path, and what it is or why it will not do.
pub fn list() -> Vec<(String, Result<Framebuffer, Refusal>)> {
    let describe = |path: &str| {
        let (_, fixed, variable) = look(path)?;
        let geometry = check(&fixed, &variable)?;
        let id = fixed.id.split(|byte| *byte == 0).next().unwrap_or_default();
        let id = String::from_utf8_lossy(id).into_owned();
        let (size, stride) = (geometry.size, geometry.stride);
        Ok(Framebuffer { id, size, bits: variable.bits_per_pixel, stride })
    };
    paths().into_iter().map(|path| (path.clone(), describe(&path))).collect()
}

impl Display for Fbdev {
    fn size(&self) -> Option<Size> {
        Some(self.turn.size(self.geometry.size))
    }

    fn begin(&mut self, _: Size) -> Result<(), DisplayError> {
        Ok(())
    }

    fn write_row(&mut self, y: u32, row: &[u8]) {
        let (geometry, top) = (&self.geometry, self.top);
        let (mapping, converted) = (&mut self.mapping, &mut self.converted);
        self.rotator.write_row(y, row, |x, y, pixels| {
            let at = geometry.offset(top, x, y);
            if geometry.layout.is_plain() {
                mapping.write(at, pixels);
            } else {
                mapping.write(at, geometry.layout.convert(pixels, converted));
            }
        });
    }

    fn present(&mut self, _: u64) -> Result<(), DisplayError> {
        if self.pans {
            self.show();
        }
        Ok(())
    }
}

impl Drop for Fbdev {
    fn drop(&mut self) {
        // Black, for screens that no console draws on afterwards.
        self.top = self.geometry.yoffset;
        self.wipe();
        let mut before = self.before;
        let restored = match self.geometry.can_pan {
            true if before.yres_virtual < 2 * before.yres => {
                kernel::set_variable(&self.file, &mut before)
            }
            true => kernel::pan(&self.file, &mut before),
            false => Ok(()),
        };
        if let Err(error) = restored {
            log::debug!("{}: {error}", self.path);
        }
    }
}
