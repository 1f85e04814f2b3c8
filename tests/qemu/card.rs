//! The card of a device: an image as `boards/build` made it, changed from outside as its user
//! would with a PC, and a board that boots from it.

use crate::board::{Board, Machine};
use crate::raspi3::{add_framebuffer, call};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Where the image's partitions begin: boards/build.
const FAT: &str = "4M";
const DATA: u64 = 128 << 20;

pub struct Card {
    folder: TempDir,
}

impl Card {
    /// A fresh card of the image at SEGCAM_IMAGE.
    pub fn new() -> Card {
        let image = std::env::var_os("SEGCAM_IMAGE").expect("SEGCAM_IMAGE; use tests/qemu/run");
        let card = Card { folder: tempfile::tempdir().unwrap() };
        let file = File::create(card.path()).unwrap();
        let unpacked = Command::new("xz").arg("-dc").arg(image).stdout(file).status();
        assert!(unpacked.expect("xz").success());
        card
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("card")
    }

    fn mtools(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.arg("-i").arg(format!("{}@@{FAT}", self.path().display()));
        command.stdin(Stdio::null());
        command
    }

    /// Writes a file of the FAT partition, and the folders above it.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.folder.path().join("file");
        fs::write(&file, bytes).unwrap();
        for (end, _) in name.match_indices('/') {
            // It may be there.
            let _ = self.mtools("mmd").arg(format!("::/{}", &name[..end])).output();
        }
        call(self.mtools("mcopy").arg("-o").arg(&file).arg(format!("::/{name}")));
    }

    /// A file of the FAT partition; None if there is none.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.folder.path().join("file");
        let _ = fs::remove_file(&file);
        let _ = self.mtools("mcopy").arg("-n").arg(format!("::/{name}")).arg(&file).output();
        fs::read(&file).ok()
    }

    pub fn text(&self, name: &str) -> String {
        let bytes = self.get(name).unwrap_or_else(|| panic!("{name} is not on the card"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes over the begin of the data partition.
    pub fn destroy_data(&self, bytes: &[u8]) {
        let mut card = File::options().write(true).open(self.path()).unwrap();
        card.seek(SeekFrom::Start(DATA)).unwrap();
        card.write_all(bytes).unwrap();
    }

    /// What of the data partition is there, for a look without mounting it.
    pub fn data(&self) -> Vec<u8> {
        let mut card = File::open(self.path()).unwrap();
        card.seek(SeekFrom::Start(DATA)).unwrap();
        let mut bytes = Vec::new();
        card.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// A Raspberry Pi 3 with this card. QEMU has no firmware: kernel, file system, device tree and
    /// command line are taken out of the card as the firmware would.
    pub fn boot(&self, name: &str) -> Board {
        let files = self.get("initramfs8").expect("initramfs8");
        self.boot_with(name, &files)
    }

    /// The same with another file system.
    pub fn boot_with(&self, name: &str, files: &[u8]) -> Board {
        let file = |name: &str, bytes: &[u8]| -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let of_card = |name: &str| file(name, &self.get(name).expect(name));
        let tree = of_card("bcm2837-rpi-3-b.dtb");
        add_framebuffer(&tree);
        // QEMU has nothing of the board's graphics but that.
        call(Command::new("fdtput").arg("-ts").arg(&tree).args(["/soc/gpu", "status", "disabled"]));
        let mut command = Machine::Raspi3 { device_tree: &tree, card: &self.path() }.qemu();
        command.arg("-kernel").arg(of_card("kernel8.img"));
        command.arg("-initrd").arg(file("initramfs", files));
        // QEMU's watchdog bites when it is switched on.
        let arguments = format!("{} module_blacklist=bcm2835_wdt", self.text("cmdline.txt").trim());
        command.args(["-append", &arguments]);
        Board::switch_on(name, command)
    }
}
