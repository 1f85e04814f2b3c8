//! The guest's file system: an archive in the form the kernel unpacks at boot.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// An archive of the cpio form "newc" (kernel: Documentation/driver-api/early-userspace).
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    folders: HashSet<String>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

impl Archive {
    /// Adds a file, executable, and the folders above it.
    pub fn add(&mut self, path: &str, data: &[u8]) {
        for (end, _) in path.match_indices('/') {
            if self.folders.insert(path[..end].to_owned()) {
                self.entry(&path[..end], FOLDER, &[]);
            }
        }
        self.entry(path, PROGRAM, data);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) {
        self.entries += 1;
        let (size, name_size) = (data.len() as u32, name.len() as u32 + 1);
        // Inode, mode, user, group, links, time, size, device and its files' devices, name's
        // length, checksum.
        let header = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut text = "070701".to_owned();
        for number in header {
            let _ = write!(text, "{number:08x}");
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    /// Names and data end at multiples of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Kernel modules below `lib/modules/VERSION`, and what each needs.
pub struct Modules {
    root: std::path::PathBuf,
    /// `modules.dep`: a line for each module, "PATH: PATHS IT NEEDS".
    needs: String,
    /// `modules.builtin`: those in the kernel itself.
    built_in: String,
}

impl Modules {
    pub fn open(root: &Path) -> Modules {
        let read = |name| fs::read_to_string(root.join(name)).expect(name);
        Modules {
            root: root.to_owned(),
            needs: read("modules.dep"),
            built_in: read("modules.builtin"),
        }
    }

    /// Adds modules with all they need as `modules/NAME.ko`; returns them in the order to load.
    pub fn add(&self, names: &[&str], archive: &mut Archive, loaded: &mut Vec<String>) {
        for name in names {
            if self.built_in.lines().any(|path| is_called(path, name)) {
                continue;
            }
            let line = self
                .needs
                .lines()
                .find(|line| line.split_once(':').is_some_and(|(path, _)| is_called(path, name)));
            let (module, needs) = line.and_then(|line| line.split_once(':')).expect(name);
            // The last one named is needed by those before it.
            for path in needs.split_whitespace().rev().chain([module]) {
                let file = path.rsplit('/').next().unwrap_or(path);
                let target = format!("modules/{file}");
                if loaded.contains(&target) {
                    continue;
                }
                let data = fs::read(self.root.join(path)).expect(path);
                archive.add(&target, &data);
                loaded.push(target);
            }
        }
    }
}

/// Whether the module at `path` has this name, in which - and _ are the same.
fn is_called(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().is_some_and(|stem| stem.replace('-', "_") == name.replace('-', "_"))
}
