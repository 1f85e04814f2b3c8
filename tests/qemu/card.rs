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

/// A FAT file system in a file.
pub struct Fat {
    folder: TempDir,
    /// Where in the file, as mtools take it.
    at: &'static str,
}

/// A device's card.
pub struct Card {
    pub fat: Fat,
}

impl Fat {
    /// An empty USB stick.
    pub fn stick() -> Fat {
        let stick = Fat { folder: tempfile::tempdir().unwrap(), at: "0" };
        File::create(stick.path()).unwrap().set_len(32 << 20).unwrap();
        call(Command::new("mkfs.vfat").arg(stick.path()));
        stick
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn mtools(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.arg("-i").arg(format!("{}@@{}", self.path().display(), self.at));
        command.stdin(Stdio::null());
        command
    }

    /// Writes a file, and the folders above it.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.folder.path().join("file");
        fs::write(&file, bytes).unwrap();
        for (end, _) in name.match_indices('/') {
            // It may be there.
            let _ = self.mtools("mmd").arg(format!("::/{}", &name[..end])).output();
        }
        call(self.mtools("mcopy").arg("-o").arg(&file).arg(format!("::/{name}")));
    }

    /// A file; None if there is none.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.folder.path().join("file");
        let _ = fs::remove_file(&file);
        let _ = self.mtools("mcopy").arg("-n").arg(format!("::/{name}")).arg(&file).output();
        fs::read(&file).ok()
    }

    pub fn text(&self, name: &str) -> String {
        let bytes = self.get(name).unwrap_or_else(|| panic!("there is no {name}"));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Card {
    /// A fresh card of the image at SEGCAM_IMAGE.
    pub fn new() -> Card {
        let image = std::env::var_os("SEGCAM_IMAGE").expect("SEGCAM_IMAGE; use tests/qemu/run");
        let fat = Fat { folder: tempfile::tempdir().unwrap(), at: FAT };
        let file = File::create(fat.path()).unwrap();
        let unpacked = Command::new("xz").arg("-dc").arg(image).stdout(file).status();
        assert!(unpacked.expect("xz").success());
        Card { fat }
    }

    /// Writes over the begin of the data partition.
    pub fn destroy_data(&self, bytes: &[u8]) {
        let mut card = File::options().write(true).open(self.fat.path()).unwrap();
        card.seek(SeekFrom::Start(DATA)).unwrap();
        card.write_all(bytes).unwrap();
    }

    /// What of the data partition is there, for a look without mounting it.
    pub fn data(&self) -> Vec<u8> {
        let mut card = File::open(self.fat.path()).unwrap();
        card.seek(SeekFrom::Start(DATA)).unwrap();
        let mut bytes = Vec::new();
        card.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// A Raspberry Pi 3 with this card. QEMU has no firmware: kernel, file system, device tree and
    /// command line are taken out of the card as the firmware would.
    pub fn boot(&self, name: &str) -> Board {
        let files = self.fat.get("initramfs8").expect("initramfs8");
        self.boot_with(name, &files, None)
    }

    /// The same with another file system, or a USB stick.
    pub fn boot_with(&self, name: &str, files: &[u8], stick: Option<&Fat>) -> Board {
        let file = |name: &str, bytes: &[u8]| -> PathBuf {
            let path = self.fat.folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let of_card = |name: &str| file(name, &self.fat.get(name).expect(name));
        let tree = of_card("bcm2837-rpi-3-b.dtb");
        add_framebuffer(&tree);
        // QEMU has nothing of the board's graphics but that.
        call(Command::new("fdtput").arg("-ts").arg(&tree).args(["/soc/gpu", "status", "disabled"]));
        let mut command = Machine::Raspi3 { device_tree: &tree, card: &self.fat.path() }.qemu();
        command.arg("-kernel").arg(of_card("kernel8.img"));
        command.arg("-initrd").arg(file("initramfs", files));
        // QEMU's watchdog bites when it is switched on.
        let arguments =
            format!("{} module_blacklist=bcm2835_wdt", self.fat.text("cmdline.txt").trim());
        command.args(["-append", &arguments]);
        if let Some(stick) = stick {
            let drive = format!("if=none,id=stick,format=raw,file={}", stick.path().display());
            command.args(["-usb", "-drive", &drive, "-device", "usb-storage,drive=stick"]);
        }
        Board::switch_on(name, command)
    }
}
