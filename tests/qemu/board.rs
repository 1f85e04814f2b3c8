//! A board in QEMU: what it is made of, its boot, and talking to it.
//!
//! The host sends the guest one line of shell at a time over the serial console; the guest answers
//! with what that printed and `board: ended STATUS`. Such lines are the only verdict there is:
//! QEMU's own exit code is 0 however the guest ends.

use crate::initramfs::{Archive, Modules};
use crate::qmp::Qmp;
use image::RgbImage;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes, also on a slow machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// One at a time: they would only take each other's processors.
static TURN: Mutex<()> = Mutex::new(());

/// Which board.
pub enum Machine<'a> {
    /// QEMU's own board, with a graphics card of this kind.
    Virt { card: &'a str },
    /// QEMU's own board with this device tree; changes of its GPIO lines are traced to a file.
    Bits { device_tree: &'a Path, trace: &'a Path },
    /// A Raspberry Pi 3 with this device tree and an SD card.
    Raspi3 { device_tree: &'a Path, card: &'a Path },
}

/// What is in a board's file system.
#[derive(Default)]
pub struct Kit {
    archive: Archive,
    modules: Vec<String>,
}

impl Kit {
    /// The program, its helper and a shell.
    pub fn new() -> Kit {
        let mut kit = Kit::default();
        kit.add("init", include_bytes!("init"));
        kit.add("bin/busybox", &read(&cache().join("busybox")));
        kit.add("bin/segcam", &read(&program()));
        kit.add("bin/guest", &read(&program().with_file_name("examples/guest")));
        kit
    }

    pub fn add(&mut self, path: &str, data: &[u8]) {
        self.archive.add(path, data);
    }

    /// Adds kernel modules and all they need, loaded in this order at boot.
    pub fn modules(mut self, names: &[&str]) -> Kit {
        modules().add(names, &mut self.archive, &mut self.modules);
        self
    }

    /// Gives the module that was added last its parameters.
    pub fn with(mut self, parameters: &str) -> Kit {
        let last = self.modules.last_mut().expect("a module");
        last.push_str(&format!(" {parameters}"));
        self
    }

    fn finish(mut self) -> Vec<u8> {
        self.archive.add("modules/order", (self.modules.join("\n") + "\n").as_bytes());
        self.archive.finish()
    }
}

/// A running board; dropping it takes the plug out.
pub struct Board {
    pub started: Instant,
    qemu: Child,
    console: Receiver<String>,
    keyboard: ChildStdin,
    qmp: Qmp,
    /// Where its console's log and pictures of its screen are kept.
    pub folder: PathBuf,
    seen: Vec<String>,
    _runtime: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Board {
    pub fn boot(name: &str, machine: Machine, kit: Kit) -> Board {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qemu").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // Not in `folder`: a socket's path is short.
        let runtime = tempfile::tempdir().unwrap();
        let (initramfs, socket) = (runtime.path().join("initramfs"), runtime.path().join("qmp"));
        fs::write(&initramfs, kit.finish()).unwrap();
        let tty = match machine {
            Machine::Virt { .. } | Machine::Bits { .. } => "ttyAMA0",
            Machine::Raspi3 { .. } => "ttyS1",
        };
        let mut command = Command::new("qemu-system-aarch64");
        match machine {
            Machine::Virt { card } => {
                command.args(["-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "512"]);
                command.args(["-nodefaults", "-device", card]);
            }
            Machine::Bits { device_tree, trace } => {
                command.args(["-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "512"]);
                command.args(["-nodefaults", "-dtb"]).arg(device_tree);
                command.args(["-trace", "pl061_set_output", "-D"]).arg(trace);
            }
            Machine::Raspi3 { device_tree, card } => {
                command.args(["-M", "raspi3b", "-nodefaults", "-dtb"]).arg(device_tree);
                command.arg("-drive").arg(format!("if=sd,format=raw,file={}", card.display()));
                // Its console is the second serial port.
                command.args(["-serial", "null"]);
            }
        }
        // No cursor that blinks in the picture, no pause after a panic.
        let arguments =
            format!("console={tty} tty={tty} quiet loglevel=1 panic=-1 vt.global_cursor_default=0");
        command.arg("-kernel").arg(kernel()).arg("-initrd").arg(&initramfs);
        command.args(["-append", &arguments, "-serial", "stdio", "-display", "none"]);
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", socket.display()));
        command.args(["-monitor", "none", "-no-reboot"]);
        let log = File::create(folder.join("console.log")).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.try_clone().unwrap());
        let mut qemu =
            command.spawn().expect("qemu-system-aarch64 (Debian: apt install qemu-system-arm)");
        let (keyboard, output) = (qemu.stdin.take().unwrap(), qemu.stdout.take().unwrap());
        let (sender, console) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                let _ = writeln!(&log, "[{:7.2}] {line}", start.elapsed().as_secs_f32());
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let qmp = Qmp::connect(&socket);
        let mut board = Board {
            started: start,
            qemu,
            console,
            keyboard,
            qmp,
            folder,
            seen: Vec::new(),
            _runtime: runtime,
            _turn: turn,
        };
        let said = board.listen("board: ready");
        println!("{name}: {} host {:.1} s", said.trim(), start.elapsed().as_secs_f32());
        board
    }

    /// Runs a line of shell; what it printed. The test fails where the line does.
    pub fn run(&mut self, line: &str) -> String {
        let (status, printed) = self.attempt(line);
        assert_eq!(status, 0, "{line}: {printed}");
        printed
    }

    /// Runs a line of shell; its status and what it printed.
    pub fn attempt(&mut self, line: &str) -> (i32, String) {
        assert!(!line.contains('\n'));
        writeln!(self.keyboard, "{line}").expect("QEMU's standard input");
        self.seen.push(format!("> {line}"));
        let before = self.seen.len();
        let status = self.listen("board: ended");
        let printed = self.seen[before..self.seen.len() - 1].join("\n");
        (status.trim().parse().unwrap_or(-1), printed)
    }

    /// The screen as it is.
    pub fn screen(&mut self) -> RgbImage {
        let path = self.folder.join("screen.png");
        self.qmp.screendump(&path);
        image::open(&path).expect("QEMU's screendump").to_rgb8()
    }

    /// Seconds since the kernel started.
    pub fn uptime(&mut self) -> f64 {
        let text = self.run("cat /proc/uptime");
        text.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect("an uptime")
    }

    /// Waits for a line with `mark`; the rest of that line.
    fn listen(&mut self, mark: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.console.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    // A serial port may begin with a stray character.
                    let rest = line.split_once(mark).map(|(_, rest)| rest.to_owned());
                    self.seen.push(line);
                    if let Some(rest) = rest {
                        return rest;
                    }
                }
                Err(error) => self.give_up(mark, error),
            }
        }
    }

    fn give_up(&self, mark: &str, error: RecvTimeoutError) -> ! {
        let what = match error {
            RecvTimeoutError::Timeout => "nothing more came from the console",
            RecvTimeoutError::Disconnected => "the board stopped",
        };
        let tail = self.seen[self.seen.len().saturating_sub(30)..].join("\n");
        let log = self.folder.join("console.log");
        panic!("{what} before {mark:?}; all of it is in {}, its end:\n{tail}", log.display());
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The folder that tests/qemu/fetch filled.
pub fn cache() -> PathBuf {
    PathBuf::from(std::env::var_os("SEGCAM_BOARD").expect("SEGCAM_BOARD; use tests/qemu/run"))
}

/// The static aarch64 program.
fn program() -> PathBuf {
    PathBuf::from(std::env::var_os("SEGCAM_AARCH64").expect("SEGCAM_AARCH64; use tests/qemu/run"))
}

fn kernel() -> PathBuf {
    only_entry(&cache().join("root/boot"), "vmlinuz-")
}

fn modules() -> Modules {
    Modules::open(&only_entry(&cache().join("root/lib/modules"), ""))
}

/// The entry of a folder whose name begins so.
pub fn only_entry(folder: &Path, prefix: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix));
    found.unwrap_or_else(|| panic!("{}/{prefix}*: not there; use tests/qemu/run", folder.display()))
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; use tests/qemu/run", path.display()))
}
