//! A graphics card (`/dev/dri/cardN`): opened, asked, listed.

use super::choice::{self, Asked, Connector, Mode, Refusal, Status};
use drm::control::{self, Device as _, ModeFlags, ModeTypeFlags, connector, crtc, encoder};
use drm::{Device as _, DriverCapability};
use rustix::fs::{FileType, OFlags, major, stat};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FOLDER: &str = "/dev/dri";

/// Of all DRM devices (the kernel's devices.txt).
const DRM_MAJOR: u32 = 226;

/// An open card.
pub struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl control::Device for Card {}

/// What a screen is driven by.
pub struct Head {
    pub connector: connector::Handle,
    pub name: String,
    pub crtc: crtc::Handle,
    pub mode: control::Mode,
}

impl Card {
    fn open(path: &str) -> Result<Card, Refusal> {
        // Other devices are not even opened: some act on that.
        let missing = |error| Refusal::Missing { error, cards: paths() };
        let found = stat(path).map_err(|error| missing(error.into()))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::CharacterDevice
            || major(found.st_rdev) != DRM_MAJOR
        {
            return Err(Refusal::NotACard { cards: paths() });
        }
        // Events are polled for.
        let flags = OFlags::NONBLOCK.bits() as i32;
        match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
            Ok(file) => Ok(Card(file)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(Refusal::Permission)
            }
            Err(error) => Err(missing(error)),
        }
    }

    fn driver(&self) -> String {
        let unknown = || "of unknown name".to_owned();
        self.get_driver().map_or_else(|_| unknown(), |it| it.name().to_string_lossy().into_owned())
    }

    /// The connectors; `probe` asks the screens themselves, which may take a moment.
    fn connectors(&self, probe: bool) -> Result<Vec<connector::Info>, Refusal> {
        let handles = match self.resource_handles() {
            Ok(resources) => resources.connectors,
            // Render nodes, and cards that have nothing else.
            Err(error) if choice::only_computes(&error) => Vec::new(),
            Err(error) => return Err(Refusal::Kernel(error, "a look at its connectors")),
        };
        let connectors = handles.into_iter().map(|handle| self.get_connector(handle, probe));
        connectors
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::Kernel(error, "a look at its connectors"))
    }

    /// The connector and mode that were asked for, or the first with a screen.
    pub fn head(&self, name: Option<&str>, asked: Option<Asked>) -> Result<Head, Refusal> {
        let infos = self.connectors(true)?;
        let connectors: Vec<Connector> = infos.iter().map(describe).collect();
        let (index, mode) = choice::connector(&connectors, name, asked)?;
        let dumb = self.get_driver_capability(DriverCapability::DumbBuffer);
        if !dumb.is_ok_and(|dumb| dumb != 0) {
            return Err(Refusal::NoDumbBuffers { driver: self.driver() });
        }
        let name = connectors[index].name.clone();
        let crtc = self.crtc(&infos, index);
        let crtc = crtc.ok_or_else(|| Refusal::NoController { name: name.clone() })?;
        let info = &infos[index];
        Ok(Head { connector: info.handle(), name, crtc, mode: info.modes()[mode] })
    }

    fn crtc(&self, connectors: &[connector::Info], index: usize) -> Option<crtc::Handle> {
        let resources = self.resource_handles().ok()?;
        let encoder = |handle: encoder::Handle| self.get_encoder(handle).ok();
        let current = |info: &connector::Info| info.current_encoder().and_then(encoder)?.crtc();
        let possible: Vec<crtc::Handle> = (connectors[index].encoders().iter())
            .filter_map(|handle| encoder(*handle))
            .flat_map(|encoder| resources.filter_crtcs(encoder.possible_crtcs()))
            .collect();
        let others = connectors.iter().enumerate().filter(|(other, _)| *other != index);
        let taken: Vec<crtc::Handle> = others.filter_map(|(_, info)| current(info)).collect();
        choice::crtc(current(&connectors[index]), &possible, &taken)
    }

    /// True while the connector has a screen that knows the mode. Asks the driver, not the
    /// screen.
    pub fn has(&self, head: &Head) -> io::Result<bool> {
        match self.get_connector(head.connector, false) {
            Ok(info) => {
                let connected = info.state() != connector::State::Disconnected;
                Ok(connected && info.modes().contains(&head.mode))
            }
            // Connectors of docking stations come and go with them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The card to show on: the one at `path`, or the first that has a screen.
pub fn find(
    path: &str,
    name: Option<&str>,
    asked: Option<Asked>,
) -> Result<(String, Card, Head), (String, Refusal)> {
    let attempt = |path: &str| {
        let card = Card::open(path)?;
        let head = card.head(name, asked)?;
        Ok((card, head))
    };
    if !path.is_empty() {
        return match attempt(path) {
            Ok((card, head)) => Ok((path.to_owned(), card, head)),
            Err(Refusal::RenderOnly) => {
                let cards = paths().into_iter().filter(|card| card != path).collect();
                Err((path.to_owned(), Refusal::ComputesOnly { cards }))
            }
            Err(refusal) => Err((path.to_owned(), refusal)),
        };
    }
    let mut best: Option<(String, Refusal)> = None;
    for path in paths() {
        match attempt(&path) {
            Ok((card, head)) => return Ok((path, card, head)),
            // The first says most, unless it has no connectors at all.
            Err(refusal) => {
                log::debug!("{path}: {refusal}");
                if best.as_ref().is_none_or(|(_, best)| matches!(best, Refusal::RenderOnly)) {
                    best = Some((path, refusal));
                }
            }
        }
    }
    Err(best.unwrap_or_else(|| (FOLDER.to_owned(), Refusal::NoCard)))
}

/// `/dev/dri/cardN` in the order of their numbers.
fn paths() -> Vec<String> {
    let Ok(folder) = Path::new(FOLDER).read_dir() else { return Vec::new() };
    let number = |name: &str| name.strip_prefix("card")?.parse::<u32>().ok();
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| number(&name)).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| format!("{FOLDER}/card{number}")).collect()
}

fn describe(info: &connector::Info) -> Connector {
    let status = match info.state() {
        connector::State::Connected => Status::Connected,
        connector::State::Disconnected => Status::Disconnected,
        connector::State::Unknown => Status::Unknown,
    };
    let modes = info.modes().iter().map(describe_mode).collect();
    Connector { name: info.to_string(), status, modes }
}

pub fn describe_mode(mode: &control::Mode) -> Mode {
    let (width, height) = mode.size();
    Mode {
        width: width.into(),
        height: height.into(),
        refresh: mode.vrefresh(),
        preferred: mode.mode_type().contains(ModeTypeFlags::PREFERRED),
        interlaced: mode.flags().contains(ModeFlags::INTERLACE),
    }
}

/// A card as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the kernel calls its driver.
    pub driver: String,
    /// None where the card only computes.
    pub connectors: Vec<Connector>,
}

/// All cards in the order of their numbers: path, and what it is or why that cannot be told.
/// Screens are probed where no other program shows pictures.
pub fn list() -> Vec<(String, Result<Found, Refusal>)> {
    let look = |path: &str| {
        let card = Card::open(path)?;
        let connectors = card.connectors(true)?.iter().map(describe).collect();
        Ok(Found { driver: card.driver(), connectors })
    };
    paths().into_iter().map(|path| (path.clone(), look(&path))).collect()
}
