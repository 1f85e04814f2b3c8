//! `segcam doctor`: what this machine has, and what is missing, each with its remedy.

use rustix::fs::{Access, access};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// A device file or facility.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub what: String,
    pub found: String,
    /// What to do about it; None when nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All there is to tell.
#[derive(Debug, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
}

pub fn examine() -> Report {
    let mut findings = vec![finding("machine", machine()), finding("cpu features", cpu_features())];
    findings.push(finding("memory", memory()));
    findings.extend(cameras());
    findings.extend(displays());
    findings.push(terminal());
    findings.push(window());
    findings.push(watchdog());
    Report { findings }
}

fn finding(what: &str, found: String) -> Finding {
    Finding { what: what.to_owned(), found, remedy: None }
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_matches(['\0', '\n', ' ']).to_owned())
}

fn machine() -> String {
    let board = read("/proc/device-tree/model");
    let product = board.or_else(|| read("/sys/class/dmi/id/product_name"));
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, {}, Linux {release}",
        product.unwrap_or("unnamed".to_owned()),
        std::env::consts::ARCH
    )
}

fn cpu_features() -> String {
    #[cfg(target_arch = "x86_64")]
    let features: &[(&str, bool)] = &[
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features: &[(&str, bool)] = &[
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let features: &[(&str, bool)] = &[];
    let there: Vec<&str> = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    format!(
        "{cores} cores, {}",
        if there.is_empty() { "none known".to_owned() } else { there.join(" ") }
    )
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

/// The device files of a folder whose names begin so, in order.
fn devices(folder: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .collect();
    paths.sort();
    paths
}

/// A device file, and the group to join when it may not be opened.
fn device(what: &str, path: &Path, note: String, group: &str) -> Finding {
    let usable = access(path, Access::READ_OK | Access::WRITE_OK).is_ok();
    let remedy = (!usable).then(|| {
        format!("no permission; run: sudo usermod -aG {group} \"$USER\", then log in again")
    });
    Finding { what: what.to_owned(), found: format!("{} {note}", path.display()), remedy }
}

fn cameras() -> Vec<Finding> {
    let mut findings: Vec<Finding> = devices("/dev", "video")
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = read(&format!("/sys/class/video4linux/{name}/name"));
            device("camera", path, name.unwrap_or_default(), "video")
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding {
            what: "camera".to_owned(),
            found: "no /dev/video*".to_owned(),
            remedy: Some(
                "plug a camera in, or pipe one: rpicam-vid -t 0 --codec yuv420 --width 640 --height 480 -o - | segcam run --camera \"pipe:-?format=yuv420&width=640&height=480\""
                    .to_owned(),
            ),
        });
    }
    findings
}

fn displays() -> Vec<Finding> {
    let cards = devices("/dev/dri", "card");
    let buffers = devices("/dev", "fb");
    let cards = cards.iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let connected: Vec<String> = devices("/sys/class/drm", &format!("{name}-"))
            .iter()
            .filter(|connector| {
                read(&connector.join("status").to_string_lossy()).as_deref() == Some("connected")
            })
            .filter_map(|connector| Some(connector.file_name()?.to_string_lossy().into_owned()))
            .collect();
        let note =
            if connected.is_empty() { "nothing connected".into() } else { connected.join(" ") };
        device("display", path, note, "video")
    });
    let buffers = buffers.iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let size = read(&format!("/sys/class/graphics/{name}/virtual_size"));
        device("display", path, size.unwrap_or_default(), "video")
    });
    let findings: Vec<Finding> = cards.chain(buffers).collect();
    if findings.is_empty() {
        return vec![finding("display", "no /dev/dri/card*, no /dev/fb*".to_owned())];
    }
    findings
}

fn terminal() -> Finding {
    if !std::io::stdout().is_terminal() {
        return finding("terminal", "standard output is none".to_owned());
    }
    let colors = match std::env::var("COLORTERM").as_deref() {
        Ok("truecolor" | "24bit") => "24-bit colours",
        _ => "256 colours (COLORTERM=truecolor for all)",
    };
    finding("terminal", colors.to_owned())
}

fn window() -> Finding {
    match cfg!(feature = "window") {
        true => finding("window", "built in".to_owned()),
        false => Finding {
            what: "window".to_owned(),
            found: "not built in".to_owned(),
            remedy: Some(
                "for a desktop window install libsdl2-dev and build with: cargo build --release --features window"
                    .to_owned(),
            ),
        },
    }
}

fn watchdog() -> Finding {
    let path = Path::new("/dev/watchdog");
    if !path.exists() {
        return finding("watchdog", "no /dev/watchdog".to_owned());
    }
    let identity = read("/sys/class/watchdog/watchdog0/identity").unwrap_or_default();
    finding("watchdog", format!("{} {identity}", path.display()))
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{:14} {}", finding.what, finding.found)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:14} -> {remedy}", "")?;
            }
        }
        let problems = self.findings.iter().filter(|finding| finding.remedy.is_some()).count();
        writeln!(f, "{problems} things to mend")
    }
}
