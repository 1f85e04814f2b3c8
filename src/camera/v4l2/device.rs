//! Finding devices, and what they say they can do.

use super::super::Wanted;
use super::controls;
use super::facts::{Identity, Queue};
use super::kernel::Handle;
use super::negotiate::{self, Coding, Interval, Mode, Sizes, Stated, letters};
use super::trouble::Trouble;
use rustix::fs::{FileType, major, stat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use v4l::sys::*;

/// The major number of all video devices (the kernel's devices.txt).
const VIDEO_MAJOR: u32 = 81;
/// What is looked at of one list; more is a driver's defect.
const MOST: u32 = 256;

/// A device that captures video.
#[derive(Debug)]
pub struct Device {
    pub path: PathBuf,
    pub handle: Handle,
    pub identity: Identity,
    pub queue: Queue,
}

/// A format of a device, and the sizes it has there.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub fourcc: u32,
    pub sizes: Vec<Sizes>,
}

impl Device {
    /// Opens what a path names, if it can capture.
    pub fn open(path: &Path) -> Result<Device, Trouble> {
        let (handle, identity) = open_any(path)?;
        let queue = queue(identity.capabilities).map_err(|what| {
            let (path, card) = (path.display(), &identity.card);
            Trouble::Refused(format!(
                "{path} ({card}) {what}; choose a capture device: segcam doctor lists them"
            ))
        })?;
        Ok(Device { path: path.to_owned(), handle, identity, queue })
    }

    /// The error for a call that failed: `what` the device did.
    pub fn trouble(&self, what: &str, error: Errno) -> Trouble {
        Trouble::of(&self.path, what, error)
    }

    /// The error for a device that will not do.
    pub fn refuse(&self, why: String) -> Trouble {
        Trouble::Refused(format!("{} {why}", self.path.display()))
    }

    /// The formats, in the driver's order.
    pub fn offers(&self) -> Vec<Offer> {
        let fourccs = (0..MOST).map_while(|index| self.handle.fourcc(self.queue, index).ok());
        let mut offers: Vec<Offer> = Vec::new();
        for fourcc in fourccs {
            if offers.iter().all(|offer| offer.fourcc != fourcc) {
                let sizes = (0..MOST).map_while(|index| self.handle.size(fourcc, index).ok());
                let sizes = sizes.map(|found| {
                    if found.least == found.most {
                        Sizes::One(found.least.0, found.least.1)
                    } else {
                        Sizes::Steps { least: found.least, most: found.most, step: found.step }
                    }
                });
                offers.push(Offer { fourcc, sizes: sizes.collect() });
            }
        }
        offers
    }

    /// The rates of a format in a size.
    pub fn intervals(&self, fourcc: u32, size: (u32, u32)) -> Vec<Interval> {
        let each = (0..MOST).map_while(|index| self.handle.interval(fourcc, size, index).ok());
        each.filter_map(|[shortest, longest]| Interval::new(shortest, longest)).collect()
    }

    /// The modes that are to be considered. A device that does not tell its sizes is asked for
    /// the one it has, or the one stated.
    pub fn modes(&self, wanted: Wanted, stated: &Stated) -> Vec<Mode> {
        let now = self.handle.format(self.queue).unwrap_or_default();
        let usual = (now.width, now.height);
        let untold =
            Sizes::One(stated.width.unwrap_or(now.width), stated.height.unwrap_or(now.height));
        let mut modes = Vec::new();
        for offer in self.offers() {
            let Some(coding) = Coding::from_fourcc(offer.fourcc) else { continue };
            let sizes = if offer.sizes.is_empty() { vec![untold] } else { offer.sizes };
            for sizes in sizes {
                let candidate = negotiate::candidate(sizes, wanted, stated, usual);
                let Some((width, height)) = candidate else { continue };
                let intervals = self.intervals(offer.fourcc, (width, height));
                modes.push(Mode { coding, fourcc: offer.fourcc, width, height, intervals });
            }
        }
        modes
    }

    fn is_known(&self, known: &Known) -> bool {
        self.identity.card == known.card && self.identity.bus == known.bus
    }
}

/// Opens a video device of any kind.
fn open_any(path: &Path) -> Result<(Handle, Identity), Trouble> {
    let shown = path.display();
    let found = stat(path).map_err(|error| Trouble::of(path, "cannot be looked up", error))?;
    // Looked at first, because opening a device of another kind can have effects (a watchdog).
    let kind = FileType::from_raw_mode(found.st_mode);
    if kind != FileType::CharacterDevice || major(found.st_rdev) != VIDEO_MAJOR {
        let what = match kind {
            FileType::Directory => "a directory",
            FileType::RegularFile => "a file",
            FileType::CharacterDevice | FileType::BlockDevice => "a device of another kind",
            _ => "something else",
        };
        return Err(Trouble::Refused(format!(
            "{shown} is {what}, not a video device; expected one of /dev/video*"
        )));
    }
    let handle =
        Handle::open(path).map_err(|error| Trouble::of(path, "cannot be opened", error))?;
    let identity = handle.identity().map_err(|error| match error {
        Errno::NOTTY | Errno::INVAL => {
            Trouble::Refused(format!("{shown} does not speak V4L2; expected one of /dev/video*"))
        }
        error => Trouble::of(path, "does not say what it is", error),
    })?;
    Ok((handle, identity))
}

/// Where frames of a device come from, or why there are none.
fn queue(capabilities: u32) -> Result<Queue, &'static str> {
    let has = |flags| capabilities & flags != 0;
    let captures = has(V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE);
    let shows = has(V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE);
    // Old codecs say that they capture and show, and mean memory to memory.
    if has(V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE) || (captures && shows) {
        return Err("converts from memory to memory: it is no camera");
    }
    if !captures {
        return Err(if has(V4L2_CAP_META_CAPTURE) {
            "carries only the metadata of a camera"
        } else if shows {
            "takes pictures in and gives none out"
        } else {
            "does not capture video"
        });
    }
    if !has(V4L2_CAP_STREAMING) {
        return Err("cannot stream from mapped memory");
    }
    Ok(if has(V4L2_CAP_VIDEO_CAPTURE) { Queue::Single } else { Queue::Multi })
}

/// A device that was open before.
#[derive(Clone, Debug)]
pub struct Known {
    pub path: PathBuf,
    pub card: String,
    pub bus: String,
}

/// The device to open: the one known at its path, else wherever its bus has it now; else the
/// one at the stated path, or the first that captures what can be read.
pub fn find(path: Option<&Path>, known: Option<&Known>) -> Result<Device, Trouble> {
    if let Some(known) = known {
        if let Ok(device) = Device::open(&known.path)
            && device.is_known(known)
        {
            return Ok(device);
        }
        let all = paths().into_iter().filter_map(|path| Device::open(&path).ok());
        if let Some(device) = all.into_iter().find(|device| device.is_known(known)) {
            return Ok(device);
        }
    }
    match path {
        Some(path) => Device::open(path),
        None => first(),
    }
}

/// The first device, by number, that captures what can be read.
fn first() -> Result<Device, Trouble> {
    let paths = paths();
    if paths.is_empty() {
        return Err(Trouble::Gone("no /dev/video* is there; connect a camera".to_owned()));
    }
    let mut passed = Vec::new();
    let mut forbidden = None;
    for path in paths {
        match usable(&path) {
            Ok(device) => return Ok(device),
            Err(Trouble::Forbidden(why)) => forbidden = forbidden.or(Some(why)),
            Err(trouble) => passed.push(trouble.to_string()),
        }
    }
    Err(match forbidden {
        Some(why) => Trouble::Forbidden(why),
        None => Trouble::Gone(format!("no camera is there: {}", passed.join("; "))),
    })
}

/// A device that needs nothing but to be opened.
fn usable(path: &Path) -> Result<Device, Trouble> {
    let (handle, identity) = open_any(path)?;
    let refuse = |why: &str| Trouble::Refused(format!("{} {why}", path.display()));
    let queue = queue(identity.capabilities).map_err(refuse)?;
    if identity.capabilities & V4L2_CAP_IO_MC != 0 {
        return Err(refuse("is a part of a pipeline that has to be set up first"));
    }
    let device = Device { path: path.to_owned(), handle, identity, queue };
    let offers = device.offers();
    if offers.iter().all(|offer| Coding::from_fourcc(offer.fourcc).is_none()) {
        let names: Vec<String> = offers.iter().map(|offer| letters(offer.fourcc)).collect();
        return Err(refuse(&format!("has no format that can be read, only {}", names.join(" "))));
    }
    Ok(device)
}

/// All of /dev/video*, by number.
fn paths() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let number: u32 = name.strip_prefix("video")?.parse().ok()?;
        Some((number, entry.path()))
    });
    let mut numbered: Vec<(u32, PathBuf)> = numbered.collect();
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).collect()
}

/// What one of /dev/video* is, for people.
#[derive(Clone, Debug)]
pub struct Listing {
    pub path: PathBuf,
    /// Or why it cannot be asked, with the remedy.
    pub facts: Result<Facts, String>,
}

#[derive(Clone, Debug)]
pub struct Facts {
    pub driver: String,
    pub card: String,
    pub bus: String,
    /// Or why not.
    pub can_capture: Result<(), String>,
    pub formats: Vec<FormatFacts>,
    pub controls: Vec<ControlSummary>,
}

#[derive(Clone, Debug)]
pub struct FormatFacts {
    /// The kernel's four letters.
    pub letters: String,
    /// The word for `format=` in URIs; None for formats that cannot be read.
    pub word: Option<&'static str>,
    /// `640x480`, or a range of sizes, and the rates there in frames a second, slowest and
    /// fastest of each.
    pub sizes: Vec<(String, Vec<(f64, f64)>)>,
}

#[derive(Clone, Debug)]
pub struct ControlSummary {
    /// What follows `control.` in URIs.
    pub name: String,
    /// What it can be, in words.
    pub range: String,
    pub default: i64,
    /// None for those that only can be written.
    pub value: Option<i64>,
}

/// All of /dev/video*, by number, cameras or not.
pub fn list() -> Vec<Listing> {
    paths().into_iter().map(|path| Listing { facts: facts(&path), path }).collect()
}

fn facts(path: &Path) -> Result<Facts, String> {
    let (handle, identity) = open_any(path).map_err(|trouble| trouble.to_string())?;
    let Identity { driver, card, bus, capabilities } = identity.clone();
    let queue = match queue(capabilities) {
        Ok(queue) => queue,
        Err(why) => {
            let (formats, controls) = (Vec::new(), Vec::new());
            return Ok(Facts {
                driver,
                card,
                bus,
                can_capture: Err(why.to_owned()),
                formats,
                controls,
            });
        }
    };
    let device = Device { path: path.to_owned(), handle, identity, queue };
    let formats: Vec<FormatFacts> =
        device.offers().iter().map(|offer| format_facts(&device, offer)).collect();
    let controls = controls::list(&device.handle).into_iter().map(|control| ControlSummary {
        range: control.range(),
        default: control.facts.default,
        value: control.current(&device.handle),
        name: control.name,
    });
    let can_capture = if formats.iter().all(|format| format.word.is_none()) {
        Err("has no format that can be read".to_owned())
    } else {
        Ok(())
    };
    Ok(Facts { driver, card, bus, can_capture, controls: controls.collect(), formats })
}

fn format_facts(device: &Device, offer: &Offer) -> FormatFacts {
    let sizes = offer.sizes.iter().map(|sizes| {
        let (Sizes::One(width, height) | Sizes::Steps { most: (width, height), .. }) = *sizes;
        let intervals = device.intervals(offer.fourcc, (width, height));
        (sizes.to_string(), intervals.iter().map(Interval::rates).collect())
    });
    FormatFacts {
        letters: letters(offer.fourcc),
        word: Coding::from_fourcc(offer.fourcc).map(Coding::name),
        sizes: sizes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_captures_and_streams_is_a_camera() {
        let streaming = V4L2_CAP_STREAMING;
        assert_eq!(queue(V4L2_CAP_VIDEO_CAPTURE | streaming), Ok(Queue::Single));
        assert_eq!(queue(V4L2_CAP_VIDEO_CAPTURE_MPLANE | streaming), Ok(Queue::Multi));
        for other in [
            V4L2_CAP_VIDEO_CAPTURE,
            V4L2_CAP_VIDEO_M2M | streaming,
            V4L2_CAP_VIDEO_M2M_MPLANE | streaming,
            V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_OUTPUT | streaming,
            V4L2_CAP_VIDEO_OUTPUT_MPLANE | streaming,
            V4L2_CAP_META_CAPTURE | streaming,
            V4L2_CAP_VBI_CAPTURE | streaming,
            0,
        ] {
            assert!(queue(other).is_err(), "{other:#x}");
        }
    }

    #[test]
    fn what_is_no_video_device_says_what_it_is() {
        let refused = |path: &str| Device::open(Path::new(path)).unwrap_err();
        assert!(matches!(refused("/dev/video-none"), Trouble::Gone(_)));
        assert!(refused("/dev/video-none").to_string().contains("is not there"));
        assert!(refused("/dev").to_string().contains("is a directory"));
        assert!(refused("/dev/null").to_string().contains("a device of another kind"));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(refused(file.path().to_str().unwrap()), Trouble::Refused(_)));
        assert!(refused("/dev/null/x").to_string().contains("/dev/null/x"));
    }
}
