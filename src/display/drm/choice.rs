//! Which card, connector, mode and CRTC are taken: decisions without a device.

use rustix::io::Errno;
use std::fmt::{self, Display, Formatter};
use std::io;
use thiserror::Error;

/// What a connector's screen can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// Pictures a second, rounded.
    pub refresh: u32,
    /// The screen's own choice.
    pub preferred: bool,
    /// Even and odd rows by turns.
    pub interlaced: bool,
}

impl Display for Mode {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let interlaced = if self.interlaced { "i" } else { "" };
        write!(f, "{}x{}{interlaced}@{}", self.width, self.height, self.refresh)
    }
}

/// `mode=1280x720` or `mode=1280x720@60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub width: u32,
    pub height: u32,
    pub refresh: Option<u32>,
}

impl Asked {
    pub fn read(text: &str) -> Option<Asked> {
        let (size, refresh) = match text.split_once('@') {
            Some((size, refresh)) => (size, Some(refresh.parse().ok()?)),
            None => (text, None),
        };
        let (width, height) = size.split_once('x')?;
        Some(Asked { width: width.parse().ok()?, height: height.parse().ok()?, refresh })
    }
}

impl Display for Asked {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)?;
        self.refresh.map_or(Ok(()), |refresh| write!(f, "@{refresh}"))
    }
}

/// The index of the mode to take: among those that are as asked, whole pictures before
/// interlaced ones, then the screen's own choice, then the driver's order.
pub fn mode(modes: &[Mode], asked: Option<Asked>) -> Option<usize> {
    let fits = |mode: &Mode| {
        mode.width > 0
            && mode.height > 0
            && asked.is_none_or(|asked| {
                (mode.width, mode.height) == (asked.width, asked.height)
                    && asked.refresh.is_none_or(|refresh| refresh == mode.refresh)
            })
    };
    let modes = modes.iter().enumerate().filter(|(_, mode)| fits(mode));
    modes.min_by_key(|(_, mode)| (mode.interlaced, !mode.preferred)).map(|(index, _)| index)
}

/// Whether something hangs on a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Connected,
    Disconnected,
    /// The driver cannot tell.
    Unknown,
}

/// A place where a screen can hang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// As in the kernel's command line: `HDMI-A-1`.
    pub name: String,
    pub status: Status,
    pub modes: Vec<Mode>,
}

impl Connector {
    /// True when it has a screen, as far as can be known.
    fn is_lit(&self) -> bool {
        let has_mode = mode(&self.modes, None).is_some();
        self.status == Status::Connected && has_mode
    }
}

/// The indices of the connector and of its mode.
pub fn connector(
    connectors: &[Connector],
    name: Option<&str>,
    asked: Option<Asked>,
) -> Result<(usize, usize), Refusal> {
    let names = || {
        let names = connectors.iter().map(|connector| {
            let lit = if connector.is_lit() { "connected" } else { "nothing connected" };
            format!("{} ({lit})", connector.name)
        });
        names.collect::<Vec<_>>().join(", ")
    };
    if connectors.is_empty() {
        return Err(Refusal::RenderOnly);
    }
    let index = match name {
        // Who names one may know better than a driver that cannot tell.
        Some(name) => {
            let found = connectors.iter().position(|connector| connector.name == name);
            let name = name.to_owned();
            let Some(index) = found else {
                return Err(Refusal::NoSuchConnector { name, names: names() });
            };
            let connector = &connectors[index];
            if connector.status == Status::Disconnected || mode(&connector.modes, None).is_none() {
                return Err(Refusal::Unplugged { name });
            }
            index
        }
        None => {
            let lit = connectors.iter().position(Connector::is_lit);
            lit.ok_or_else(|| Refusal::NothingConnected { names: names() })?
        }
    };
    let Connector { name, modes, .. } = &connectors[index];
    match (mode(modes, asked), asked) {
        (Some(mode), _) => Ok((index, mode)),
        (None, asked) => {
            let asked = asked.map_or_else(String::new, |asked| asked.to_string());
            let mut there: Vec<String> = modes.iter().map(Mode::to_string).collect();
            there.dedup();
            Err(Refusal::NoSuchMode { name: name.clone(), asked, modes: there.join(" ") })
        }
    }
}

/// The CRTC for a connector: the one it has, else the first that one of its encoders can take
/// and no other connector has. `possible` are the encoders' possible CRTCs.
pub fn crtc<T: Copy + PartialEq>(current: Option<T>, possible: &[T], taken: &[T]) -> Option<T> {
    current.or_else(|| possible.iter().copied().find(|crtc| !taken.contains(crtc)))
}

/// Why a card will not do, and what to do.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error(
        "there is no graphics card under /dev/dri; load the board's display driver (on a \
         Raspberry Pi: dtoverlay=vc4-kms-v3d), or take fbdev:"
    )]
    NoCard,
    #[error("{error}; {}", others(cards))]
    Missing { error: io::Error, cards: Vec<String> },
    #[error("is no graphics card; {}", others(cards))]
    NotACard { cards: Vec<String> },
    #[error(
        "may not be opened by this user; add the user to its groups with `sudo usermod -aG \
         video,render $USER`, and log in again"
    )]
    Permission,
    #[error("only computes and has no connectors; {}", others(cards))]
    ComputesOnly { cards: Vec<String> },
    #[error("only computes and has no connectors; load the board's display driver, or take fbdev:")]
    RenderOnly,
    #[error("no connector has a screen (there are {names}); connect one and switch it on")]
    NothingConnected { names: String },
    #[error("there is no connector {name}; there are {names}")]
    NoSuchConnector { name: String, names: String },
    #[error("no screen is connected to {name}; connect one and switch it on")]
    Unplugged { name: String },
    #[error("{name} has no mode {asked}; it has {modes}")]
    NoSuchMode { name: String, asked: String, modes: String },
    #[error("{name}: other connectors hold all display controllers; unplug one of their screens")]
    NoController { name: String },
    #[error("the driver {driver} has no buffers to draw to; take fbdev:")]
    NoDumbBuffers { driver: String },
    #[error(
        "another program holds the screen ({0}): a desktop or another segcam; stop it with `sudo \
         systemctl stop display-manager`, or log in on a text console"
    )]
    NotMaster(io::Error),
    #[error("the kernel says {0} to {1}; see `dmesg`")]
    Kernel(io::Error, &'static str),
}

fn others(cards: &[String]) -> String {
    match cards {
        [] => "there is no other; take fbdev:".to_owned(),
        cards => format!("write drm: alone, or with one of {}", cards.join(" ")),
    }
}

/// What an error of a page flip means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlipError {
    /// The driver has none, or no memory for them: one buffer must do.
    Never,
    /// Not now: the mode is to be set anew.
    Reset,
    /// Another program has the screen.
    Away,
}

/// `before`: whether a flip has ever worked here.
pub fn flip_error(error: &io::Error, before: bool) -> FlipError {
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => FlipError::Away,
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !before => FlipError::Never,
        Some(Errno::NOMEM | Errno::NOSPC) => FlipError::Never,
        _ => FlipError::Reset,
    }
}

/// True when a driver does not have a call.
pub fn is_unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP))
}

/// True when what was asked for its connectors never has any.
pub fn only_computes(error: &io::Error) -> bool {
    is_unsupported(error) || Errno::from_io_error(error) == Some(Errno::ACCESS)
}

/// True when another program is the card's master.
pub fn is_not_master(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::ACCESS | Errno::PERM | Errno::BUSY))
}

/// True when a finished flip is among the events a card sent (`struct drm_event`: type and
/// length, 32 bits each, then its data).
pub fn has_flip(mut events: &[u8]) -> bool {
    const DRM_EVENT_FLIP_COMPLETE: u32 = 2;
    while let Some((head, _)) = events.split_first_chunk::<8>() {
        let [kind, length] = [[0, 1, 2, 3], [4, 5, 6, 7]].map(|at| at.map(|at| head[at]));
        if u32::from_ne_bytes(kind) == DRM_EVENT_FLIP_COMPLETE {
            return true;
        }
        let length = u32::from_ne_bytes(length) as usize;
        // An event is at least its head.
        if length < 8 || length > events.len() {
            return false;
        }
        events = &events[length..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(texts: &[&str]) -> Vec<Mode> {
        let read = |text: &&str| {
            let (preferred, text) = (text.starts_with('*'), text.trim_start_matches('*'));
            let interlaced = text.contains('i');
            let asked = Asked::read(&text.replace('i', "")).unwrap();
            let Asked { width, height, refresh } = asked;
            Mode { width, height, refresh: refresh.unwrap(), preferred, interlaced }
        };
        texts.iter().map(read).collect()
    }

    fn screen(name: &str, status: Status, texts: &[&str]) -> Connector {
        Connector { name: name.to_owned(), status, modes: modes(texts) }
    }

    fn refused(connectors: &[Connector], name: Option<&str>, asked: Option<&str>) -> String {
        let asked = asked.map(|text| Asked::read(text).unwrap());
        connector(connectors, name, asked).unwrap_err().to_string()
    }

    #[test]
    fn modes_are_read_as_they_are_written() {
        let asked = Asked { width: 1280, height: 720, refresh: Some(60) };
        assert_eq!(Asked::read("1280x720@60"), Some(asked));
        assert_eq!(asked.to_string(), "1280x720@60");
        assert_eq!(Asked::read("1280x720"), Some(Asked { refresh: None, ..asked }));
        for wrong in ["", "x", "1280", "1280x", "1280x720@", "-1x5", "1280x720p", "1x2@99999999999"]
        {
            assert_eq!(Asked::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_screens_own_choice_comes_first() {
        let take = |texts: &[&str], asked: Option<&str>| {
            let modes = modes(texts);
            let asked = asked.map(|text| Asked::read(text).unwrap());
            mode(&modes, asked).map(|index| modes[index].to_string())
        };
        let list = ["1920x1080i@60", "1280x720@75", "*1280x720@60", "640x480@60", "640x480@50"];
        assert_eq!(take(&list, None).unwrap(), "1280x720@60");
        assert_eq!(take(&list, Some("1280x720")).unwrap(), "1280x720@60");
        assert_eq!(take(&list, Some("1280x720@75")).unwrap(), "1280x720@75");
        assert_eq!(take(&list, Some("640x480")).unwrap(), "640x480@60");
        assert_eq!(take(&list, Some("1920x1080")).unwrap(), "1920x1080i@60");
        assert_eq!(take(&list, Some("800x600")), None);
        assert_eq!(take(&["1920x1080i@60", "800x600@60"], None).unwrap(), "800x600@60");
        assert_eq!(take(&["*0x0@0"], None), None);
        assert_eq!(take(&[], None), None);
    }

    #[test]
    fn connectors_are_taken_by_name_or_by_their_screen() {
        let connectors = [
            screen("Writeback-1", Status::Unknown, &["640x480@60"]),
            screen("HDMI-A-1", Status::Disconnected, &[]),
            screen("DSI-1", Status::Connected, &[]),
            screen("HDMI-A-2", Status::Connected, &["*800x480@60", "640x480@60"]),
        ];
        assert_eq!(connector(&connectors, None, None).unwrap(), (3, 0));
        let asked = Asked::read("640x480");
        assert_eq!(connector(&connectors, Some("HDMI-A-2"), asked).unwrap(), (3, 1));
        assert_eq!(connector(&connectors, Some("Writeback-1"), None).unwrap(), (0, 0));
        assert_eq!(
            refused(&connectors, None, Some("1x1@2")),
            "HDMI-A-2 has no mode 1x1@2; it has 800x480@60 640x480@60"
        );
        let unplugged = "no screen is connected to HDMI-A-1; connect one and switch it on";
        assert_eq!(refused(&connectors, Some("HDMI-A-1"), None), unplugged);
        assert_eq!(
            refused(&connectors[1..], Some("VGA-1"), None),
            "there is no connector VGA-1; there are HDMI-A-1 (nothing connected), DSI-1 (nothing \
             connected), HDMI-A-2 (connected)"
        );
        assert!(refused(&connectors[..3], None, None).starts_with("no connector has a screen"));
        assert!(refused(&[], None, None).starts_with("only computes"));
    }

    #[test]
    fn a_crtc_is_kept_or_one_that_nobody_has() {
        assert_eq!(crtc(Some(2), &[1, 2], &[]), Some(2));
        assert_eq!(crtc(None, &[1, 2, 3], &[1]), Some(2));
        assert_eq!(crtc(None, &[1], &[1]), None);
        assert_eq!(crtc::<u32>(None, &[], &[]), None);
    }

    #[test]
    fn errors_of_flips_are_told_apart() {
        let sort = |errno: Errno, before| flip_error(&errno.into(), before);
        assert_eq!(sort(Errno::INVAL, false), FlipError::Never);
        assert_eq!(sort(Errno::INVAL, true), FlipError::Reset);
        assert_eq!(sort(Errno::NOMEM, true), FlipError::Never);
        assert_eq!(sort(Errno::BUSY, false), FlipError::Reset);
        assert_eq!(sort(Errno::ACCESS, true), FlipError::Away);
        assert!(is_unsupported(&Errno::NOSYS.into()) && !is_unsupported(&Errno::IO.into()));
        assert!(is_not_master(&Errno::ACCESS.into()) && !is_not_master(&Errno::INVAL.into()));
    }

    #[test]
    fn events_are_read_to_their_end() {
        let event = |kind: u32, length: u32, size: usize| {
            let mut bytes = [kind.to_ne_bytes(), length.to_ne_bytes()].concat();
            bytes.resize(size, 0);
            bytes
        };
        assert!(has_flip(&event(2, 32, 32)));
        assert!(has_flip(&[event(1, 32, 32), event(2, 32, 32)].concat()));
        assert!(!has_flip(&event(1, 32, 32)));
        assert!(!has_flip(&[event(1, 0, 8), event(2, 32, 32)].concat()));
        assert!(!has_flip(&[event(1, 7, 8), event(2, 32, 32)].concat()));
        assert!(!has_flip(&event(1, u32::MAX, 32)));
        assert!(!has_flip(&[2, 0, 0, 0]));
        assert!(!has_flip(&[]));
    }
}
