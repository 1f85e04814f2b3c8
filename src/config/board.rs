//! The board file, `boards/NAME.toml`: what a device is made of, and what it does when switched on.
//!
//! ```toml
//! name = "Raspberry Pi 4"
//! compatible = ["raspberrypi,4-model-b"]  # names in the device tree that tell it
//! tested = "not on hardware yet"
//! cpu = "4 x Cortex-A72"
//! threads = 4                     # that one inference is split over
//! memory_mb = 512                 # the most that a network may take, 16 to 65536
//! model = "builtin"               # a model folder, an ONNX file, or "builtin"
//! camera = "v4l2:"                # a camera URI
//! display = ["drm:", "fbdev:"]    # display URIs: the first that opens
//! rotate = 0                      # of the screen, clockwise: 0, 90, 180 or 270
//! stale_after_ms = 500            # how old a mask may be on the screen
//! watchdog = "/dev/watchdog"      # fed while a picture or message is shown; systemd goes before
//!
//! [controls]                      # of a V4L2 camera, by name
//! brightness = 128
//!
//! [image]                         # for boards/build, of Debian's packages and the firmware's files
//! suite = "trixie"                # the kernel's, of linux-image-arm64
//! device_trees = ["bcm2711-rpi-4-b"]
//! firmware = ["start4.elf", "fixup4.dat"]
//! config = ["arm_64bit=1"]        # further lines of its config.txt
//! console = "ttyS1"               # of the kernel
//! imager = "pi4-64bit"            # its name in rpi-imager's list
//! ```
//! All keys may be left out. A file without a name changes the board that this is: what
//! it leaves out is as that one has it.

use super::{ConfigError, parse_toml, read_text};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The board files inside the program, by name.
const BUILT_IN: [(&str, &str); 8] = [
    ("rpi-zero2w", include_str!("../../boards/rpi-zero2w.toml")),
    ("rpi3", include_str!("../../boards/rpi3.toml")),
    ("rpi4", include_str!("../../boards/rpi4.toml")),
    ("rpi5", include_str!("../../boards/rpi5.toml")),
    ("jetson-nano", include_str!("../../boards/jetson-nano.toml")),
    ("jetson-orin-nano", include_str!("../../boards/jetson-orin-nano.toml")),
    ("qemu-virt", include_str!("../../boards/qemu-virt.toml")),
    (HOST, include_str!("../../boards/host.toml")),
];
/// The board that stands for any machine not known by its device tree.
const HOST: &str = "host";
/// Where the kernel tells what board this is: names ended by NUL, the most exact first.
const DEVICE_TREE: &str = "/proc/device-tree/compatible";

/// A control's value as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Value {
    Switch(bool),
    Number(i64),
    Word(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Value::Switch(on) => u8::from(*on).to_string(),
            Value::Number(number) => number.to_string(),
            Value::Word(word) => word.clone(),
        }
    }
}

/// A checked board file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub compatible: Vec<String>,
    /// How it was tested, in words.
    #[serde(default)]
    pub tested: String,
    #[serde(default)]
    pub cpu: String,
    /// None: as many as the processor has, up to four.
    pub threads: Option<usize>,
    memory_mb: Option<u64>,
    pub model: Option<String>,
    camera: Option<String>,
    #[serde(default)]
    display: Vec<String>,
    rotate: Option<u16>,
    stale_after_ms: Option<u64>,
    pub watchdog: Option<String>,
    #[serde(default)]
    controls: BTreeMap<String, Value>,
    #[serde(default)]
    image: Image,
    /// SHA-256 of the file.
    #[serde(skip)]
    pub sha256: String,
}

/// What `boards/build` makes an image of; here so that its mistakes are found like all others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Image {
    suite: String,
    device_trees: Vec<String>,
    firmware: Vec<String>,
    config: Vec<String>,
    console: String,
    imager: String,
}

impl Board {
    /// Finds the board of a name inside the program, else the file of that path.
    pub fn open(named: &str) -> Result<Board, ConfigError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == named) {
            return Board::parse(&format!("the built-in boards/{name}.toml"), text);
        }
        let path = Path::new(named);
        if !named.contains(['/', '.']) && !path.exists() {
            let names = BUILT_IN.map(|(name, _)| name);
            return Err(ConfigError::Field {
                path: "--board".to_owned(),
                field: named.to_owned(),
                found: "no such board".to_owned(),
                expected: format!(
                    "the path of a board file or one of {}; did you mean \"{}\"?",
                    names.join(" "),
                    super::nearest(named, &names).unwrap_or(HOST)
                ),
            });
        }
        Board::parse(named, &read_text(path)?)
    }

    /// The board this is, by the kernel's device tree; `host` when it is none of ours.
    pub fn detect() -> Result<Board, ConfigError> {
        let told = std::fs::read(DEVICE_TREE).unwrap_or_default();
        let named = Board::of(&told).unwrap_or(HOST);
        Board::open(named)
    }

    /// The name of the board that a device tree's `compatible` tells.
    fn of(compatible: &[u8]) -> Option<&'static str> {
        let told = compatible.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let boards = BUILT_IN.map(|(name, text)| (name, Board::parse(name, text)));
        told.into_iter().find_map(|told| {
            boards.iter().find_map(|(name, board)| {
                let known = &board.as_ref().ok()?.compatible;
                known.iter().any(|known| known.as_bytes() == told).then_some(*name)
            })
        })
    }

    fn parse(path: &str, text: &str) -> Result<Board, ConfigError> {
        let board: Board = parse_toml(path, text)?;
        let mut board = if board.name.is_empty() { board.over(Board::detect()?) } else { board };
        board.sha256 = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        board.check(path)
    }

    /// What is left out here is as `base` has it.
    fn over(self, base: Board) -> Board {
        // They belong to their camera.
        let own_controls = self.camera.is_some() || !self.controls.is_empty();
        Board {
            threads: self.threads.or(base.threads),
            memory_mb: self.memory_mb.or(base.memory_mb),
            model: self.model.or(base.model),
            camera: self.camera.or(base.camera),
            display: if self.display.is_empty() { base.display } else { self.display },
            rotate: self.rotate.or(base.rotate),
            stale_after_ms: self.stale_after_ms.or(base.stale_after_ms),
            watchdog: self.watchdog.or(base.watchdog),
            controls: if own_controls { self.controls } else { base.controls },
            ..base
        }
    }

    fn check(self, path: &str) -> Result<Board, ConfigError> {
        let board = self;
        let refuse = |field: &str, found: String, expected: &str| {
            let (path, field, expected) = (path.to_owned(), field.to_owned(), expected.to_owned());
            Err(ConfigError::Field { path, field, found, expected })
        };
        if let Some(rotate) = board.rotate.filter(|rotate| ![0, 90, 180, 270].contains(rotate)) {
            return refuse("rotate", rotate.to_string(), "0, 90, 180 or 270");
        }
        if board.threads.is_some_and(|threads| !(1..=16).contains(&threads)) {
            let threads = board.threads.unwrap_or_default().to_string();
            return refuse("threads", threads, "1 to 16");
        }
        if let Some(memory) = board.memory_mb.filter(|memory| !(16..=65536).contains(memory)) {
            return refuse("memory_mb", memory.to_string(), "16 to 65536");
        }
        if board.stale_after_ms.is_some_and(|ms| !(50..=60_000).contains(&ms)) {
            let found = board.stale_after_ms.unwrap_or_default().to_string();
            return refuse("stale_after_ms", found, "50 to 60000");
        }
        if let Some((name, value)) = board.controls.iter().find(|(name, value)| {
            let plain = |text: &str| !text.contains(['&', '=', '?']);
            !plain(name) || !plain(&value.text())
        }) {
            return refuse(&format!("controls.{name}"), value.text(), "no & = or ?");
        }
        if !board.controls.is_empty() && !board.has_v4l2() {
            let camera = format!("camera = {:?}", board.camera.as_deref().unwrap_or("nothing"));
            return refuse("controls", camera, "a camera \"v4l2:\" to have them");
        }
        Ok(board)
    }

    fn has_v4l2(&self) -> bool {
        self.camera.as_ref().is_some_and(|camera| camera.starts_with("v4l2:"))
    }

    /// The camera's URI with the controls.
    pub fn camera(&self) -> Option<String> {
        let mut uri = self.camera.clone()?;
        for (name, value) in &self.controls {
            add(&mut uri, &format!("control.{name}"), &value.text());
        }
        Some(uri)
    }

    /// The URIs of displays of which the first that opens is meant, with the rotation.
    pub fn displays(&self) -> Vec<String> {
        let turned = ["drm:", "fbdev:", "spi:"];
        let turn = |uri: &String| {
            let mut uri = uri.clone();
            if let Some(rotate) = self.rotate.filter(|rotate| *rotate != 0)
                && turned.iter().any(|kind| uri.starts_with(kind))
            {
                add(&mut uri, "rotate", &rotate.to_string());
            }
            uri
        };
        self.display.iter().map(turn).collect()
    }

    /// Only the text differs, if anything.
    pub fn says_the_same(&self, other: &Board) -> bool {
        Board { sha256: other.sha256.clone(), ..self.clone() } == *other
    }

    /// The most bytes that a network may take.
    pub fn memory(&self) -> Option<u64> {
        self.memory_mb.map(|memory| memory << 20)
    }

    pub fn stale_after(&self) -> Duration {
        self.stale_after_ms.map_or(crate::health::STALE_AFTER, Duration::from_millis)
    }
}

/// Adds a parameter unless the URI has it.
fn add(uri: &mut String, key: &str, value: &str) {
    let there = uri.split(['?', '&']).skip(1).any(|part| part.split('=').next() == Some(key));
    if !there {
        let mark = if uri.contains('?') { '&' } else { '?' };
        *uri += &format!("{mark}{key}={value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Board::parse("b.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_boards_are_valid_and_claim_no_hardware() {
        for (name, _) in BUILT_IN {
            let board = Board::open(name).unwrap();
            assert!(!board.tested.is_empty(), "{name}");
            assert!(board.compatible.is_empty() == (name == HOST), "{name}");
        }
    }

    #[test]
    fn a_board_is_told_by_its_device_tree() {
        let of = |told: &str| Board::of(told.as_bytes());
        assert_eq!(of("raspberrypi,3-model-b\0brcm,bcm2837\0"), Some("rpi3"));
        assert_eq!(of("raspberrypi,model-zero-2-w\0brcm,bcm2837\0"), Some("rpi-zero2w"));
        assert_eq!(of("nvidia,p3450-0000\0nvidia,tegra210\0"), Some("jetson-nano"));
        assert_eq!(of("linux,dummy-virt\0"), Some("qemu-virt"));
        assert_eq!(of("acme,toaster\0\0"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn controls_and_rotation_become_parameters() {
        let board = Board::parse(
            "b.toml",
            "name='b'\ncamera='v4l2:?width=640'\ndisplay=['drm:', 'null:', 'fbdev:?rotate=90']\n\
             rotate=180\n[controls]\nexposure=12\nauto_focus=false\n",
        )
        .unwrap();
        assert_eq!(
            board.camera().unwrap(),
            "v4l2:?width=640&control.auto_focus=0&control.exposure=12"
        );
        assert_eq!(board.displays(), ["drm:?rotate=180", "null:", "fbdev:?rotate=90"]);
    }

    #[test]
    fn a_file_without_a_name_changes_the_board_that_this_is() {
        let base = || {
            let text = "name='b'\ncamera='v4l2:'\ndisplay=['drm:']\nrotate=90\nthreads=4\n\
                        [controls]\ngain=1\n";
            Board::parse("b.toml", text).unwrap()
        };
        let over = |text: &str| parse_toml::<Board>("f.toml", text).unwrap().over(base());
        assert_eq!(over("# nothing said\n"), base());
        let turned = over("rotate=0\nthreads=2\n");
        assert_eq!((turned.name.as_str(), turned.threads), ("b", Some(2)));
        assert_eq!(turned.displays(), ["drm:"]);
        assert_eq!(turned.camera().unwrap(), "v4l2:?control.gain=1");
        let other = over("camera='file:x.png'\ndisplay=['fbdev:']\n");
        assert_eq!(other.camera().unwrap(), "file:x.png");
        assert_eq!(other.displays(), ["fbdev:?rotate=90"]);
        assert!(Board::parse("f.toml", "").unwrap().says_the_same(&Board::detect().unwrap()));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(error("name='b'\ncammera='v4l2:'").contains("did you mean \"camera\"?"));
        assert!(error("name='b'\nrotate=45").contains("expected 0, 90, 180 or 270"));
        assert!(error("name='b'\nthreads=0").contains("1 to 16"));
        assert!(error("name='b'\nmemory_mb=1").contains("found 1, expected 16 to 65536"));
        assert!(error("name='b'\n[image]\nsweet='x'").contains("did you mean \"suite\"?"));
        assert!(error("name='b'\nstale_after_ms=1").contains("50 to 60000"));
        assert!(error("name='b'\n[controls]\ngain=3").contains("a camera \"v4l2:\""));
        assert!(error("name='b'\ncamera='v4l2:'\n[controls]\ngain='1&x=2'").contains("no & ="));
        let unknown = Board::open("rpi44").unwrap_err().to_string();
        assert!(unknown.contains("did you mean \"rpi4\"?"), "{unknown}");
    }
}
