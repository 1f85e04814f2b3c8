//! The machine: processor, memory, user, watchdogs.

use super::{Finding, devices, read};
use crate::config;
use crate::int8::kernels::Kernels;
use rustix::fs::{Access, access, stat};
use std::io::IsTerminal;
use std::path::Path;

pub fn machine() -> Vec<Finding> {
    vec![
        Finding::new("machine", board()),
        processor(),
        Finding::new("memory", memory()),
        Finding::new("user", user()),
        terminal(),
        window(),
    ]
}

fn board() -> String {
    let board = read("/proc/device-tree/model");
    let product = board.or_else(|| read("/sys/class/dmi/id/product_name"));
    let product = product.unwrap_or_else(|| "unnamed".to_owned());
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{product}, {}, Linux {release}", std::env::consts::ARCH)
}

/// Cores and the features that kernels ask for.
pub fn features() -> String {
    #[cfg(target_arch = "x86_64")]
    let features: &[(&str, bool)] = &[
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features: &[(&str, bool)] = &[
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let features: &[(&str, bool)] = &[];
    let there = features.iter().filter(|(_, has)| *has).map(|(name, _)| format!("{name} "));
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    format!("{cores} cores, {}", there.collect::<String>()).trim_end().to_owned()
}

fn processor() -> Finding {
    let found = features() + " ";
    match Kernels::detect() {
        Ok(kernels) => {
            Finding::new("processor", format!("{found}(integer kernels: {})", kernels.name()))
        }
        Err(error) => {
            let text = error.to_string();
            let (wrong, remedy) = text.split_once("; ").unwrap_or((&text, "unset it"));
            Finding::new("processor", format!("{found}({wrong})")).with_remedy(remedy)
        }
    }
}

fn memory() -> String {
    let text = read("/proc/meminfo").unwrap_or_default();
    let megabytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? >> 10)
    };
    match (megabytes("MemTotal:"), megabytes("MemAvailable:")) {
        (Some(total), Some(free)) => format!("{total} MB, {free} MB available"),
        _ => "not told by the kernel".to_owned(),
    }
}

/// The name of a number in /etc/passwd or /etc/group (passwd(5), group(5)): the lines' first
/// field, by their third.
fn name_of(table: &str, number: u32) -> String {
    let named = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| number.to_string())
}

fn table(path: &str) -> String {
    config::read_text(Path::new(path)).unwrap_or_default()
}

/// Numbers after `name` in /proc/self/status.
fn own(status: &str, name: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn user() -> String {
    let status = read("/proc/self/status").unwrap_or_default();
    let groups = table("/etc/group");
    // Real, effective, saved, for files.
    let user = own(&status, "Uid:").get(1).map(|id| name_of(&table("/etc/passwd"), *id));
    let own_group = own(&status, "Gid:").get(1).copied();
    let others = own(&status, "Groups:").into_iter().filter(|id| Some(*id) != own_group);
    let names: Vec<String> =
        own_group.into_iter().chain(others).map(|id| name_of(&groups, id)).collect();
    format!("{}, in the groups {}", user.unwrap_or_else(|| "unknown".to_owned()), names.join(" "))
}

/// How the user comes to be allowed to open a device.
pub fn permit(path: &Path) -> String {
    let Ok(found) = stat(path) else { return format!("see: ls -l {}", path.display()) };
    permit_by(path, found.st_mode, found.st_gid, &table("/etc/group"))
}

fn permit_by(path: &Path, mode: u32, group: u32, groups: &str) -> String {
    let group_may = mode & 0o060 == 0o060;
    if group_may && group != 0 {
        let group = name_of(groups, group);
        return format!("run: sudo usermod -aG {group} \"$USER\", then log in again");
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kind = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    format!(
        "run: echo 'KERNEL==\"{kind}*\", GROUP=\"video\", MODE=\"0660\"' | sudo tee \
         /etc/udev/rules.d/60-segcam-{kind}.rules, then sudo usermod -aG video \"$USER\", and reboot"
    )
}

fn terminal() -> Finding {
    if !std::io::stdout().is_terminal() {
        return Finding::new("terminal", "standard output is none");
    }
    let colors = match std::env::var("COLORTERM").as_deref() {
        Ok("truecolor" | "24bit") => "24-bit colours",
        _ => "256 colours (COLORTERM=truecolor for all)",
    };
    Finding::new("terminal", colors)
}

fn window() -> Finding {
    if cfg!(feature = "window") {
        return Finding::new("window", "built in");
    }
    // Only a desktop has use for one.
    let desktop =
        ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let finding = Finding::new("window", "not built in");
    if !desktop {
        return finding;
    }
    finding
        .with_remedy("install libsdl2-dev and build with: cargo build --release --features window")
}

pub fn watchdogs() -> Vec<Finding> {
    // The first has a second name without a number.
    let paths = devices("/dev", "watchdog");
    if paths.is_empty() {
        let none = "no /dev/watchdog (Raspberry Pi: dtparam=watchdog=on in \
                    /boot/firmware/config.txt; anywhere: sudo modprobe softdog)";
        return vec![Finding::new("watchdog", none)];
    }
    let look = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let about = |what: &str| read(&format!("/sys/class/watchdog/{name}/{what}"));
        let mut found = format!("{} {}", path.display(), about("identity").unwrap_or_default());
        for (what, before, after) in [("timeout", ", ", " s"), ("state", ", ", "")] {
            if let Some(value) = about(what) {
                found += &format!("{before}{value}{after}");
            }
        }
        let finding = Finding::new("watchdog", found);
        // Opening one would start it.
        match access(path, Access::WRITE_OK) {
            Ok(()) => finding,
            Err(_) => finding.with_remedy(permit(path)),
        }
    };
    paths.iter().map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "root:x:0:\nvideo:x:44:pi\nodd\nspi:x:989:\n";

    #[test]
    fn numbers_have_names() {
        assert_eq!(name_of(GROUPS, 44), "video");
        assert_eq!(name_of(GROUPS, 989), "spi");
        assert_eq!(name_of(GROUPS, 7), "7");
        let status = "Name:\tsegcam\nUid:\t0\t1000\t0\t0\nGroups:\t44 989 \n";
        assert_eq!(own(status, "Uid:"), [0, 1000, 0, 0]);
        assert_eq!(own(status, "Groups:"), [44, 989]);
        assert_eq!(own(status, "Gid:"), [0; 0]);
    }

    #[test]
    fn permission_comes_by_the_devices_group_or_a_rule() {
        let permit = |mode, group| permit_by(Path::new("/dev/spidev0.0"), mode, group, GROUPS);
        assert_eq!(permit(0o660, 989), "run: sudo usermod -aG spi \"$USER\", then log in again");
        assert!(permit(0o660, 0).contains("KERNEL==\"spidev*\", GROUP=\"video\""));
        assert!(permit(0o600, 989).contains("60-segcam-spidev.rules"));
    }
}
