//! Displays: graphics cards with their connectors, framebuffers, and what panels hang on.

use super::{Finding, devices};
use crate::display::drm::{self, Connector, Mode, Status};
use crate::display::{fbdev, spi};
use std::path::Path;

pub fn examine() -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        drm::list().iter().map(|(path, found)| card(path, found)).collect();
    findings.extend(fbdev::list().iter().map(|(path, found)| match found {
        Ok(found) => {
            let (width, height) = (found.size.width, found.size.height);
            let about = format!("{path} {}, {width}x{height}, {} bits", found.id, found.bits);
            Finding::new("framebuffer", about)
        }
        Err(refusal) => Finding::of_trouble("framebuffer", Path::new(path), &refusal.to_string()),
    }));
    if findings.is_empty() {
        let remedy = "load the board's driver (Raspberry Pi: dtoverlay=vc4-kms-v3d in \
                      /boot/firmware/config.txt), or take terminal:, png:DIR or spi:PANEL";
        let none = Finding::new("display", "no /dev/dri/card*, no /dev/fb*");
        findings.push(none.with_remedy(remedy));
    }
    findings.extend(buses());
    findings
}

fn card(path: &str, found: &Result<drm::Found, drm::Refusal>) -> Finding {
    let drm::Found { driver, connectors } = match found {
        Ok(found) => found,
        Err(refusal) => {
            return Finding::of_trouble("display", Path::new(path), &refusal.to_string());
        }
    };
    let found = format!("{path} {driver}");
    if connectors.is_empty() {
        return Finding::new("display", format!("{found}: only computes"));
    }
    let finding = Finding::new("display", found);
    let details = connectors.iter().map(connector).collect();
    let is_dark = |connector: &Connector| connector.status == Status::Disconnected;
    if connectors.iter().all(is_dark) {
        return finding.with_details(details).with_remedy("connect a screen and switch it on");
    }
    finding.with_details(details)
}

fn connector(Connector { name, status, modes }: &Connector) -> String {
    let status = match status {
        Status::Connected => "connected",
        Status::Disconnected => "nothing connected",
        Status::Unknown => "does not tell whether it is connected",
    };
    let preferred = modes.iter().find(|mode| mode.preferred);
    let preferred = preferred.map(|mode| format!(", prefers {mode}")).unwrap_or_default();
    let colon = if modes.is_empty() { "" } else { ": " };
    format!("{name} {status}{preferred}{colon}{}", condense(modes))
}

/// Modes of a size together: `1280x720@60,50 640x480@60`.
fn condense(modes: &[Mode]) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for mode in modes {
        let text = mode.to_string();
        let Some((size, refresh)) = text.split_once('@') else { continue };
        let refresh = refresh.to_owned();
        match groups.iter_mut().find(|(known, _)| known == size) {
            Some((_, known)) if known.contains(&refresh) => {}
            Some((_, known)) => known.push(refresh),
            None => groups.push((size.to_owned(), vec![refresh])),
        }
    }
    let groups = groups.iter().map(|(size, rates)| format!("{size}@{}", rates.join(",")));
    groups.collect::<Vec<_>>().join(" ")
}

/// For panels: SPI devices and GPIO chips.
fn buses() -> Vec<Finding> {
    let spidevs = devices("/dev", "spidev");
    let mut findings: Vec<Finding> = spidevs
        .iter()
        .map(|path| {
            Finding::of_permission("spi", path)
                .unwrap_or_else(|| Finding::new("spi", path.display().to_string()))
        })
        .collect();
    if findings.is_empty() {
        let none = "no /dev/spidev*; panels need it (Raspberry Pi: dtparam=spi=on in \
                    /boot/firmware/config.txt)";
        findings.push(Finding::new("spi", none));
    }
    findings.extend(spi::list_chips().iter().map(|(path, found)| match found {
        Ok((label, lines)) => {
            Finding::new("gpio", format!("{} {label}, {lines} lines", path.display()))
        }
        Err(trouble) => Finding::of_trouble("gpio", path, trouble),
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(width: u32, height: u32, refresh: u32, preferred: bool) -> Mode {
        Mode { width, height, refresh, preferred, interlaced: false }
    }

    #[test]
    fn a_connector_is_told_in_a_line() {
        let modes = vec![
            mode(1280, 720, 60, false),
            mode(1920, 1080, 60, true),
            mode(1280, 720, 50, false),
            mode(1280, 720, 60, false),
        ];
        let name = "HDMI-A-1".to_owned();
        let connected = Connector { name: name.clone(), status: Status::Connected, modes };
        assert_eq!(
            connector(&connected),
            "HDMI-A-1 connected, prefers 1920x1080@60: 1280x720@60,50 1920x1080@60"
        );
        let empty = Connector { name, status: Status::Disconnected, modes: Vec::new() };
        assert_eq!(connector(&empty), "HDMI-A-1 nothing connected");
        let dark = Ok(drm::Found { driver: "vc4".to_owned(), connectors: vec![empty] });
        let dark = card("/dev/null", &dark);
        assert_eq!(dark.remedy.as_deref(), Some("connect a screen and switch it on"));
    }
}
