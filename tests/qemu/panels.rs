//! SPI panels on the kernel's own spidev and GPIO devices. QEMU has no panel, so its place is taken
//! by the lines of the board's PL061: the kernel's spi-gpio driver clocks bytes out on them bit by
//! bit, QEMU traces each change of a line, and what a panel would have made of them is compared
//! with the picture.

use crate::board::{Board, Kit, Machine};
use image::RgbImage;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines of the PL061; line 3 is the board's power key.
const CLOCK: usize = 0;
const DATA: usize = 1;
const SELECT: usize = 2;
const DC: usize = 4;
const RESET: usize = 5;
const LIGHT: usize = 6;

const SLPIN: u8 = 0x10;
const CASET: u8 = 0x2a;
const RASET: u8 = 0x2b;
const RAMWR: u8 = 0x2c;

/// spidev's `bufsiz` when nobody says.
const LONGEST_MESSAGE: usize = 4096;

/// The board's device tree with a bus on the PL061, and a device on it that spidev serves
/// (kernel: Documentation/devicetree/bindings/spi/spi-gpio.yaml).
fn make_tree(path: &Path) {
    let machine = format!("virt,dumpdtb={}", path.display());
    run(Command::new("qemu-system-aarch64").args(["-M", &machine, "-cpu", "cortex-a53"]).args([
        "-smp",
        "2",
        "-m",
        "512",
        "-nodefaults",
        "-display",
        "none",
    ]));
    let gpio = run(Command::new("fdtget").arg(path).args(["/pl061@9030000", "phandle"]));
    let put = |option: &str, arguments: &[&str]| {
        run(Command::new("fdtput").arg(option).arg(path).args(arguments));
    };
    let line = |name: &str, number: usize, flags: &str| {
        put("-ti", &["/bits", name, gpio.trim(), &number.to_string(), flags]);
    };
    put("-c", &["/bits"]);
    put("-ts", &["/bits", "compatible", "spi-gpio"]);
    put("-ti", &["/bits", "#address-cells", "1"]);
    put("-ti", &["/bits", "#size-cells", "0"]);
    put("-ti", &["/bits", "num-chipselects", "1"]);
    line("sck-gpios", CLOCK, "0");
    line("mosi-gpios", DATA, "0");
    // Active low.
    line("cs-gpios", SELECT, "1");
    put("-c", &["/bits/panel@0"]);
    put("-ts", &["/bits/panel@0", "compatible", "rohm,dh2228fv"]);
    put("-ti", &["/bits/panel@0", "reg", "0"]);
    put("-ti", &["/bits/panel@0", "spi-max-frequency", "50000000"]);
}

/// Runs a tool of Debian's device-tree-compiler or qemu-system-arm; what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What was sent while chip select was active.
struct Message {
    is_command: bool,
    bytes: Vec<u8>,
}

/// What happened on the lines.
#[derive(Default)]
struct Wire {
    messages: Vec<Message>,
    /// How often reset fell.
    resets: usize,
    /// What the light was switched to, and after how many messages.
    light: Vec<(bool, usize)>,
}

impl Wire {
    /// Reads lines of QEMU's trace: `… setting output LINE to LEVEL`.
    fn read(trace: &str) -> Wire {
        let mut wire = Wire::default();
        let mut levels = [false; 8];
        levels[SELECT] = true;
        let (mut byte, mut bits) = (0, 0);
        let changes = trace.lines().filter_map(|line| {
            let (line, level) = line.split_once(" setting output ")?.1.split_once(" to ")?;
            Some((line.parse::<usize>().ok()?, level.trim() == "1"))
        });
        for (line, level) in changes {
            levels[line] = level;
            match (line, level) {
                (SELECT, false) => {
                    (byte, bits) = (0, 0);
                    let is_command = !levels[DC];
                    wire.messages.push(Message { is_command, bytes: Vec::new() });
                }
                (SELECT, true) => assert_eq!(bits % 8, 0, "bits of a message"),
                // Mode 0: a bit is taken when the clock rises.
                (CLOCK, true) if !levels[SELECT] => {
                    byte = byte << 1 | u8::from(levels[DATA]);
                    bits += 1;
                    if bits % 8 == 0 {
                        wire.messages.last_mut().unwrap().bytes.push(byte);
                    }
                }
                (RESET, false) => wire.resets += 1,
                (LIGHT, level) => wire.light.push((level, wire.messages.len())),
                _ => {}
            }
        }
        wire
    }

    /// Commands with the data behind them. `wide` controllers take 16 bits for each byte.
    fn commands(&self, wide: bool) -> Vec<(u8, Vec<u8>)> {
        let mut commands: Vec<(u8, Vec<u8>)> = Vec::new();
        for Message { is_command, bytes } in &self.messages {
            let are_pixels = !is_command && commands.last().is_some_and(|last| last.0 == RAMWR);
            let bytes: Vec<u8> = if wide && !are_pixels {
                assert!(bytes.iter().step_by(2).all(|high| *high == 0));
                bytes.iter().skip(1).step_by(2).copied().collect()
            } else {
                bytes.clone()
            };
            match commands.last_mut() {
                Some((_, data)) if !is_command => data.extend(bytes),
                _ => commands.push((bytes[0], Vec::new())),
            }
        }
        commands
    }
}

/// A panel's memory: pixels of 5, 6 and 5 bits by column and row.
fn memory(commands: &[(u8, Vec<u8>)], bytes: usize) -> HashMap<(u16, u16), u16> {
    let range = |data: &[u8]| {
        u16::from_be_bytes([data[0], data[1]])..=u16::from_be_bytes([data[2], data[3]])
    };
    let (mut columns, mut rows) = (0..=0, 0..=0);
    let mut memory = HashMap::new();
    for (command, data) in commands {
        match *command {
            CASET => columns = range(data),
            RASET => rows = range(data),
            RAMWR => {
                let places = rows.clone().flat_map(|y| columns.clone().map(move |x| (x, y)));
                let pixels = data.chunks(bytes).map(|pixel| match *pixel {
                    [high, low] => u16::from_be_bytes([high, low]),
                    [red, green, blue] => pack([red, green, blue]),
                    _ => panic!("a part of a pixel"),
                });
                assert_eq!(pixels.len(), places.clone().count());
                memory.extend(places.zip(pixels));
            }
            _ => {}
        }
    }
    memory
}

fn pack(color: [u8; 3]) -> u16 {
    let [red, green, blue] = color.map(u16::from);
    red >> 3 << 11 | green >> 2 << 5 | blue >> 3
}

/// A PNG file of the guest's.
fn fetch(board: &mut Board, path: &str) -> RgbImage {
    let text = board.run(&format!("od -An -v -tx1 {path}"));
    let bytes = text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap());
    image::load_from_memory(&bytes.collect::<Vec<u8>>()).unwrap().to_rgb8()
}

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn panels_hold_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let (tree, trace) = (folder.path().join("tree.dtb"), folder.path().join("trace"));
    make_tree(&tree);
    let kit = Kit::new().modules(&["spi_gpio"]);
    let mut board = Board::boot("panels", Machine::Bits { device_tree: &tree, trace: &trace }, kit);
    for (panel, bytes) in [("st7789", 2), ("st7735s", 2), ("ili9486", 3), ("ili9486-shield", 2)] {
        let before = fs::read_to_string(&trace).unwrap().len();
        board.run(&format!(
            "segcam run --frames 2 --camera 'synthetic:portrait?width=80&height=48&fps=0' \
             --display 'spi:{panel}?size=80x48&offset=0,0&chip=/dev/gpiochip0&dc={DC}&reset={RESET}\
             &backlight={LIGHT}' --display png:/tmp/{panel}"
        ));
        let picture = fetch(&mut board, &format!("/tmp/{panel}/frame-000001.png"));
        let wire = Wire::read(&fs::read_to_string(&trace).unwrap()[before..]);
        assert_eq!(wire.resets, 1, "{panel}");
        assert!(wire.messages.iter().all(|message| message.bytes.len() <= LONGEST_MESSAGE));
        let commands = wire.commands(panel.ends_with("shield"));
        assert_eq!(commands.last().unwrap().0, SLPIN, "{panel}");
        // On after the first picture, off before the panel sleeps.
        let [(true, on), (false, off)] = wire.light[..] else {
            panic!("{panel}: {:?}", wire.light)
        };
        let is_picture = |message: &Message| !message.is_command && message.bytes.len() > 1000;
        assert!(wire.messages[..on].iter().any(is_picture), "{panel}");
        assert_eq!(off, wire.messages.len() - 1, "{panel}");
        let memory = memory(&commands, bytes);
        assert_eq!(memory.len(), 80 * 48, "{panel}");
        for (x, y, color) in picture.enumerate_pixels() {
            assert_eq!(memory[&(x as u16, y as u16)], pack(color.0), "{panel}: {x},{y}");
        }
        println!("{panel}: {} bytes", wire.messages.iter().map(|it| it.bytes.len()).sum::<usize>());
    }
}
