//! A framebuffer (`/dev/fbN`): opened, asked, listed.

use super::geometry::{Geometry, Refusal};
use super::kernel::{self, Fixed, Variable};
use crate::display::Size;
use rustix::fs::{FileType, major, stat};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

/// Of all framebuffers (the kernel's devices.txt).
const FB_MAJOR: u32 = 29;

/// An open framebuffer, as its driver had it then.
pub struct Device {
    pub file: File,
    pub fixed: Fixed,
    pub variable: Variable,
}

impl Device {
    fn open(path: &str) -> Result<Device, Refusal> {
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
        Ok(Device { file, fixed, variable })
    }

    /// Asks for twice the height; what comes of it. Nothing else may change.
    pub fn heighten(&self, geometry: Geometry) -> Geometry {
        let mut taller = self.variable;
        taller.yres_virtual = 2 * taller.yres;
        taller.activate = kernel::FB_ACTIVATE_NOW;
        if kernel::set_variable(&self.file, &mut taller).is_err() {
            return geometry;
        }
        let found = kernel::fixed(&self.file)
            .and_then(|fixed| Ok((fixed, kernel::variable(&self.file)?)))
            .ok()
            .and_then(|(fixed, variable)| check(&fixed, &variable).ok());
        match found {
            Some(taller) if taller.can_pan && taller.size == geometry.size => taller,
            _ => {
                let _ = kernel::set_variable(&self.file, &mut self.variable.clone());
                geometry
            }
        }
    }
}

fn check(fixed: &Fixed, variable: &Variable) -> Result<Geometry, Refusal> {
    Geometry::new(fixed, variable, rustix::param::page_size())
}

/// The framebuffer at `path`, or the first that can show pictures.
pub fn find(path: &str) -> Result<(String, Device, Geometry), (String, Refusal)> {
    let attempt = |path: String| {
        let found = Device::open(&path)
            .and_then(|device| Ok((check(&device.fixed, &device.variable)?, device)));
        match found {
            Ok((geometry, device)) => Ok((path, device, geometry)),
            Err(refusal) => Err((path, refusal)),
        }
    };
    if !path.is_empty() {
        return attempt(path.to_owned());
    }
    let mut first = None;
    for path in paths() {
        match attempt(path) {
            Ok(found) => return Ok(found),
            Err(refused) => first = first.or(Some(refused)),
        }
    }
    Err(first.unwrap_or_else(|| ("/dev/fb0".to_owned(), Refusal::None)))
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
pub struct Found {
    /// What its driver calls it.
    pub id: String,
    /// In pixels.
    pub size: Size,
    /// Of a pixel.
    pub bits: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// All framebuffers in the order of their numbers: path, and what it is or why it will not do.
pub fn list() -> Vec<(String, Result<Found, Refusal>)> {
    let describe = |path: &str| {
        let Device { fixed, variable, .. } = Device::open(path)?;
        let Geometry { size, stride, .. } = check(&fixed, &variable)?;
        let id = fixed.id.split(|byte| *byte == 0).next().unwrap_or_default();
        let id = String::from_utf8_lossy(id).into_owned();
        Ok(Found { id, size, bits: variable.bits_per_pixel, stride })
    };
    paths().into_iter().map(|path| (path.clone(), describe(&path))).collect()
}
