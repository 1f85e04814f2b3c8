//! Files by Landlock.

use super::{Fence, Needs};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use std::path::{Path, PathBuf};

/// The newest version of Landlock whose rights are known here, of Linux 6.12.
const VERSION: ABI = ABI::V6;
/// What the program and its libraries look at: themselves, the processor, the board.
const ALWAYS: [&str; 5] =
    ["/sys", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/device-tree"];
/// Whole, because a camera that is plugged in again is another file.
const DEVICES: &str = "/dev";
/// Libraries that SDL takes up when its window opens, and what they read.
const DESKTOP: [&str; 5] = ["/usr", "/lib", "/lib64", "/etc", "/proc"];

/// How far it stands, and what may be read.
pub fn install(needs: &Needs) -> (Fence, Vec<PathBuf>) {
    for folder in &needs.write {
        // What is wrong with it is told by whom it is for.
        let _ = std::fs::create_dir_all(folder);
    }
    let mut read: Vec<PathBuf> = needs.read.iter().map(|path| resolve(path)).collect();
    read.extend(ALWAYS.map(PathBuf::from));
    if needs.desktop {
        read.extend(DESKTOP.map(PathBuf::from));
        read.extend(std::env::var_os("XAUTHORITY").map(PathBuf::from));
        read.extend(std::env::home_dir().map(|home| home.join(".Xauthority")));
    }
    let fence = match restrict(needs, &read) {
        Ok(RulesetStatus::FullyEnforced) => Fence::Whole,
        Ok(RulesetStatus::PartiallyEnforced) => Fence::Partly,
        Ok(RulesetStatus::NotEnforced) => Fence::Missing("the kernel has no Landlock".to_owned()),
        Err(error) => Fence::Missing(error.to_string()),
    };
    read.extend(needs.write.iter().map(|path| resolve(path)));
    (fence, read)
}

fn restrict(needs: &Needs, read: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let keep =
        look | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let drive = look | AccessFs::WriteFile | AccessFs::IoctlDev;
    // Desktops listen on abstract sockets; systemd does not.
    let apart: BitFlags<Scope> = match needs.desktop {
        true => Scope::Signal.into(),
        false => Scope::Signal | Scope::AbstractUnixSocket,
    };
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(apart)?
        .create()?
        .add_rules(path_beneath_rules(read, look))?
        .add_rules(path_beneath_rules([DEVICES], drive))?
        .add_rules(path_beneath_rules(&needs.write, keep))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Without links, as far as the path exists.
pub fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|there| Some((there, there.canonicalize().ok()?)));
    match there {
        Some((there, real)) => match path.strip_prefix(there) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => path,
    }
}
