//! `segcam doctor`: what this machine has, and what is missing, each with its remedy.

mod cameras;
mod displays;
mod system;

pub use system::features;

use rustix::fs::{Access, access};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// A device file or facility.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub what: String,
    pub found: String,
    /// More about it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
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
    let mut findings = system::machine();
    findings.extend(cameras::examine());
    findings.extend(displays::examine());
    findings.extend(system::watchdogs());
    Report { findings }
}

impl Finding {
    fn new(what: &str, found: impl Into<String>) -> Finding {
        let (what, found) = (what.to_owned(), found.into());
        Finding { what, found, details: Vec::new(), remedy: None }
    }

    fn with_details(self, details: Vec<String>) -> Finding {
        Finding { details, ..self }
    }

    fn with_remedy(self, remedy: impl Into<String>) -> Finding {
        Finding { remedy: Some(remedy.into()), ..self }
    }

    /// A device that may not be opened, or whose list says what is wrong: our sentences end with
    /// the next step, after a semicolon.
    fn of_trouble(what: &str, path: &Path, trouble: &str) -> Finding {
        let shown = path.display();
        if let Some(finding) = Finding::of_permission(what, path) {
            return finding;
        }
        let (found, remedy) = trouble.split_once("; ").unwrap_or((trouble, "see dmesg"));
        let found = found.strip_prefix(&*path.to_string_lossy()).unwrap_or(found);
        Finding::new(what, format!("{shown} {}", found.trim_start_matches([':', ' '])))
            .with_remedy(remedy)
    }

    /// A device that may not be read and written, and how to be allowed to.
    fn of_permission(what: &str, path: &Path) -> Option<Finding> {
        access(path, Access::READ_OK | Access::WRITE_OK).is_err().then(|| {
            Finding::new(what, format!("{} no permission", path.display()))
                .with_remedy(system::permit(path))
        })
    }
}

/// The device files of a folder whose names are `prefix` and a number (or two: `0.1`), in order.
fn devices(folder: &str, prefix: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let numbers = name.strip_prefix(prefix)?.split('.').map(|number| number.parse().ok());
        Some((numbers.collect::<Option<Vec<u32>>>()?, entry.path()))
    });
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).collect()
}

/// A small file of the kernel's, one line.
fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_matches(['\0', '\n', ' ']).to_owned())
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Drivers and devices name themselves: nothing that a terminal obeys.
        let plain = |text: &str| text.replace(char::is_control, " ");
        for finding in &self.findings {
            writeln!(f, "{:14} {}", finding.what, plain(&finding.found))?;
            for detail in &finding.details {
                writeln!(f, "{:16} {}", "", plain(detail))?;
            }
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:14} -> {}", "", plain(remedy))?;
            }
        }
        let problems = self.findings.iter().filter(|finding| finding.remedy.is_some()).count();
        match problems {
            0 => writeln!(f, "nothing to mend"),
            1 => writeln!(f, "1 thing to mend"),
            _ => writeln!(f, "{problems} things to mend"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_parted_into_what_is_found_and_its_remedy() {
        let path = Path::new("/dev/null");
        let of = |trouble| Finding::of_trouble("camera", path, trouble);
        let found = of("/dev/null is in use by another program; stop it (fuser -v /dev/null)");
        assert_eq!(found.found, "/dev/null is in use by another program");
        assert_eq!(found.remedy.unwrap(), "stop it (fuser -v /dev/null)");
        let found = of("the kernel says no");
        assert_eq!(found.found, "/dev/null the kernel says no");
        assert_eq!(found.remedy.unwrap(), "see dmesg");
    }

    #[test]
    fn the_text_counts_problems_and_obeys_no_device() {
        let findings = vec![
            Finding::new("camera", "\x1b[2Jevil").with_details(vec!["a\nb".to_owned()]),
            Finding::new("spi", "none").with_remedy("buy one"),
        ];
        let text = Report { findings }.to_string();
        let expected = [
            "camera          [2Jevil",
            "                 a b",
            "spi            none",
            "               -> buy one",
            "1 thing to mend",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn devices_are_numbered_ones_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["video10", "video2", "videox", "video", "spidev0.1", "spidev0.0"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |prefix| -> Vec<String> {
            let paths = devices(folder.path().to_str().unwrap(), prefix);
            let names = paths.iter().map(|path| path.file_name().unwrap().to_string_lossy());
            names.map(String::from).collect()
        };
        assert_eq!(names("video"), ["video2", "video10"]);
        assert_eq!(names("spidev"), ["spidev0.0", "spidev0.1"]);
    }
}
