//! A Raspberry Pi 3: its framebuffer of 16 bits, and its SD card.

use crate::board::{Board, Kit, Machine, cache, only_entry};
use crate::device::{CABLE, FORMATS, Feed, VGA};
use crate::screens::{Alike, golden};
use segcam::display::Size;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where QEMU's firmware of the board puts the picture: 1 GiB - 64 MiB + 1 MiB.
const PICTURE: &str = "3c100000";
/// Where the card's partition begins.
const PARTITION: u32 = 1 << 20;

/// The kernel's device tree with the node that the board's own firmware adds: a framebuffer of
/// 640x480 pixels of 5, 6 and 5 bits (kernel: Documentation/devicetree/bindings/display/
/// simple-framebuffer.yaml).
fn add_framebuffer(tree: &Path) {
    let node = format!("/chosen/framebuffer@{PICTURE}");
    let put = |option: &str, arguments: &[&str]| {
        call(Command::new("fdtput").arg(option).arg(tree).args(arguments));
    };
    put("-c", &[&node]);
    put("-ti", &["/chosen", "#address-cells", "1"]);
    put("-ti", &["/chosen", "#size-cells", "1"]);
    put("-ts", &["/chosen", "ranges"]);
    put("-ts", &[&node, "compatible", "simple-framebuffer"]);
    put("-tx", &[&node, "reg", PICTURE, "96000"]);
    put("-ti", &[&node, "width", "640"]);
    put("-ti", &[&node, "height", "480"]);
    put("-ti", &[&node, "stride", "1280"]);
    put("-ts", &[&node, "format", "r5g6b5"]);
}

/// An SD card of 64 MiB (a power of two, as cards are) with one partition of ext4.
fn make_card(path: &Path) {
    File::create(path).unwrap().set_len(64 << 20).unwrap();
    let mut sfdisk = Command::new("sfdisk");
    let mut child = sfdisk.arg("-q").arg(path).stdin(Stdio::piped()).spawn().expect("sfdisk");
    let table = format!("label: dos\nstart={}, type=83\n", PARTITION / 512);
    child.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let mut mkfs = Command::new("mkfs.ext4");
    call(mkfs.args(["-q", "-F", "-E"]).arg(format!("offset={PARTITION}")).arg(path).arg("60M"));
}

fn call(command: &mut Command) {
    // These tools are Debian's device-tree-compiler, fdisk and e2fsprogs.
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command.env("PATH", format!("{path}:/usr/sbin:/sbin")).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn raspberry_pi_3_shows_its_camera_and_writes_its_card() {
    let folder = tempfile::tempdir().unwrap();
    let (tree, card) = (folder.path().join("tree.dtb"), folder.path().join("card"));
    let trees = only_entry(&cache().join("root/usr/lib"), "linux-image-");
    fs::copy(trees.join("broadcom/bcm2837-rpi-3-b.dtb"), &tree).unwrap();
    add_framebuffer(&tree);
    make_card(&card);
    let feed = Feed::new(FORMATS[0], VGA, 80);
    let mut kit = Kit::new()
        .modules(&["bcm2835", "sdhci_iproc", "mmc_block", "ext4", "crc32c_generic", "vivid"])
        .with(CABLE);
    feed.add_to(&mut kit);
    let machine = Machine::Raspi3 { device_tree: &tree, card: &card };
    let mut board = Board::boot("raspi3", machine, kit);

    board.run("mkdir /card; wait_for 'mount /dev/mmcblk*p1 /card'");
    let size = Size { width: 640, height: 480 };
    let shown = board.show(&feed, "fbdev:", size, Alike::In16Bits);
    golden("qemu-raspi3", &shown);

    // What is written is on the card when the power goes.
    let words = "segcam was here";
    board.run(&format!("echo {words} $((6*7)) >/card/note && sync && umount /card"));
    drop(board);
    let bytes = fs::read(&card).unwrap();
    let written = format!("{words} 42\n");
    assert!(bytes.windows(written.len()).any(|window| window == written.as_bytes()));
}
