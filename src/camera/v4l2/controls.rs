//! A device's controls by name, and values for them checked before they are set.

use super::facts::{ControlFacts, ControlKind};
use super::kernel::Handle;
use crate::config::nearest;
use rustix::io::Errno;
use v4l::sys::{
    V4L2_CTRL_FLAG_DISABLED, V4L2_CTRL_FLAG_INACTIVE, V4L2_CTRL_FLAG_READ_ONLY,
    V4L2_CTRL_FLAG_WRITE_ONLY,
};

/// Controls and menu entries that are looked at; more are a driver's defect.
const MOST: usize = 1024;
const MOST_ENTRIES: i64 = 256;

/// A control that holds one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// As `v4l2-ctl` writes it: `white_balance_automatic`.
    pub name: String,
    pub facts: ControlFacts,
    /// Index and text of what a menu offers.
    pub menu: Vec<(i64, String)>,
}

/// All controls that hold one value and can be set.
pub fn list(device: &Handle) -> Vec<Control> {
    let mut controls = Vec::new();
    let mut id = 0;
    for _ in 0..MOST {
        let Ok(facts) = device.control_after(id) else { break };
        // Ids grow, or the list never ends.
        if facts.id <= id {
            break;
        }
        id = facts.id;
        let cannot = V4L2_CTRL_FLAG_DISABLED | V4L2_CTRL_FLAG_READ_ONLY;
        if facts.flags & cannot == 0 && facts.kind != ControlKind::Other {
            let menu = menu(device, &facts);
            controls.push(Control { name: name(&facts.title), facts, menu });
        }
    }
    controls
}

fn menu(device: &Handle, facts: &ControlFacts) -> Vec<(i64, String)> {
    if !matches!(facts.kind, ControlKind::Menu | ControlKind::Numbers) {
        return Vec::new();
    }
    let least = facts.least.max(0);
    let most = facts.most.min(least.saturating_add(MOST_ENTRIES));
    // Entries that the device does not have are skipped in the numbering.
    let entry = |index: i64| {
        let text = device.menu_entry(facts.id, index.try_into().ok()?, facts.kind).ok()?;
        Some((index, text))
    };
    (least..=most).filter_map(entry).collect()
}

/// The name that stands in URIs: lower case, and `_` for what is neither letter nor digit.
pub fn name(title: &str) -> String {
    let words = title.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_ascii_lowercase()
}

/// Sets what the URI states, in its order. The error names control, value and range.
pub fn set(device: &Handle, stated: &[(String, String)]) -> Result<(), String> {
    if stated.is_empty() {
        return Ok(());
    }
    let controls = list(device);
    for (name, text) in stated {
        let (control, value) = find(&controls, name, text)?;
        let ControlFacts { id, kind, .. } = control.facts;
        device.set_control(id, value, kind).map_err(|error| {
            let hint = match error {
                Errno::BUSY | Errno::ACCESS | Errno::IO => {
                    "; an automatic control may hold it: switch that off before it in the URI"
                }
                _ => "",
            };
            format!("the control {name} cannot be set to {text}: {error}{hint}")
        })?;
        // Read again, because a control before this one may have changed it.
        let now = device.control_after(id - 1).ok().filter(|facts| facts.id == id);
        if now.is_some_and(|facts| facts.flags & V4L2_CTRL_FLAG_INACTIVE != 0) {
            log::warn!("the control {name} has no effect while an automatic control is on");
        }
    }
    Ok(())
}

/// The control of a name and the number that `text` means to it.
fn find<'a>(controls: &'a [Control], name: &str, text: &str) -> Result<(&'a Control, i64), String> {
    let Some(control) = controls.iter().find(|control| control.name == name) else {
        let names: Vec<&str> = controls.iter().map(|control| control.name.as_str()).collect();
        return Err(match nearest(name, &names) {
            Some(near) => format!(
                "has no control {name}; did you mean control.{near}? (there are {})",
                names.join(" ")
            ),
            None => format!("has no control {name}, nor any other; take it out of the URI"),
        });
    };
    let value = value(control, text)
        .ok_or_else(|| format!("control.{name}={text} is not {}", control.range()))?;
    Ok((control, value))
}

/// What `text` means, when the control can have that value.
fn value(control: &Control, text: &str) -> Option<i64> {
    let facts = &control.facts;
    let number = || match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse::<i64>().ok(),
    };
    match facts.kind {
        ControlKind::Button => matches!(text, "" | "1").then_some(1),
        ControlKind::Boolean => match text {
            "0" | "off" | "false" => Some(0),
            "1" | "on" | "true" => Some(1),
            _ => None,
        },
        ControlKind::Menu | ControlKind::Numbers => {
            let by_index =
                number().and_then(|n| control.menu.iter().find(|(index, _)| *index == n));
            let is_named = |(_, entry): &&(i64, String)| {
                entry.eq_ignore_ascii_case(text) || (!text.is_empty() && name(entry) == name(text))
            };
            let by_name = || control.menu.iter().find(is_named);
            by_index.or_else(by_name).map(|(index, _)| *index)
        }
        ControlKind::Mask => {
            // The largest mask is an unsigned number in a signed one's place.
            let most = facts.most & 0xffff_ffff;
            number().filter(|bits| (0..=0xffff_ffff).contains(bits) && bits & !most == 0)
        }
        _ => number().filter(|n| {
            let steps = i128::from(*n) - i128::from(facts.least);
            (facts.least..=facts.most).contains(n) && steps % i128::from(facts.step.max(1)) == 0
        }),
    }
}

impl Control {
    /// What it can be, in words.
    pub fn range(&self) -> String {
        let ControlFacts { kind, least, most, step, .. } = self.facts;
        match kind {
            ControlKind::Button => "1 (it is a button)".to_owned(),
            ControlKind::Boolean => "0 or 1".to_owned(),
            ControlKind::Mask => {
                format!("a mask of the bits 0x{:x}", most & 0xffff_ffff)
            }
            ControlKind::Menu | ControlKind::Numbers => {
                let entry = |(index, text): &(i64, String)| format!("{index} ({text})");
                let entries: Vec<String> = self.menu.iter().map(entry).collect();
                format!("one of {}", entries.join(", "))
            }
            _ if step > 1 => format!("a number from {least} to {most} in steps of {step}"),
            _ => format!("a number from {least} to {most}"),
        }
    }

    /// What it is now, read from the device.
    pub fn current(&self, device: &Handle) -> Option<i64> {
        if self.facts.flags & V4L2_CTRL_FLAG_WRITE_ONLY != 0 {
            return None;
        }
        device.control(self.facts.id, self.facts.kind).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(title: &str, kind: ControlKind, least: i64, most: i64, step: u64) -> Control {
        let facts = ControlFacts {
            id: 1,
            title: title.to_owned(),
            kind,
            least,
            most,
            step,
            default: 0,
            flags: 0,
        };
        let menu = match kind {
            ControlKind::Menu => {
                vec![(1, "Manual Mode".to_owned()), (3, "Aperture Priority Mode".to_owned())]
            }
            ControlKind::Numbers => {
                vec![(0, "100".to_owned()), (1, "200".to_owned())]
            }
            _ => Vec::new(),
        };
        Control { name: name(title), facts, menu }
    }

    fn all() -> Vec<Control> {
        vec![
            control("Brightness", ControlKind::Integer, -64, 64, 1),
            control("Exposure Time, Absolute", ControlKind::Integer, 1, 5000, 1),
            control("White Balance, Automatic", ControlKind::Boolean, 0, 1, 1),
            control("Auto Exposure", ControlKind::Menu, 0, 3, 1),
            control("ISO Sensitivity", ControlKind::Numbers, 0, 1, 1),
            control("Zoom (Absolute)", ControlKind::Integer, 100, 500, 20),
            control("Bits", ControlKind::Mask, 0, 0x8000_00ff, 0),
            control("Wide", ControlKind::Wide, i64::MIN, i64::MAX, u64::MAX),
            control("Button", ControlKind::Button, 0, 0, 0),
        ]
    }

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        assert_eq!(name("Exposure Time, Absolute"), "exposure_time_absolute");
        assert_eq!(name("Zoom (Absolute)"), "zoom_absolute");
        assert_eq!(name(" --"), "");
    }

    #[test]
    fn values_are_read_as_their_control_means_them() {
        let controls = all();
        for (name, text, expected) in [
            ("brightness", "-64", -64),
            ("white_balance_automatic", "off", 0),
            ("auto_exposure", "3", 3),
            ("auto_exposure", "manual mode", 1),
            ("auto_exposure", "Aperture_Priority_Mode", 3),
            ("iso_sensitivity", "1", 1),
            ("iso_sensitivity", "200", 1),
            ("zoom_absolute", "140", 140),
            ("bits", "0x80000001", 0x8000_0001),
            ("wide", "-9223372036854775808", i64::MIN),
            ("button", "", 1),
        ] {
            assert_eq!(find(&controls, name, text).map(|(_, value)| value), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_will_not_do_names_control_value_and_range() {
        let controls = all();
        let refused = |name, text| find(&controls, name, text).unwrap_err();
        assert_eq!(
            refused("brightness", "65"),
            "control.brightness=65 is not a number from -64 to 64"
        );
        assert!(refused("zoom_absolute", "130").ends_with("from 100 to 500 in steps of 20"));
        assert!(refused("auto_exposure", "0").contains("1 (Manual Mode), 3 (Aperture"));
        assert!(refused("auto_exposure", "").contains("is not one of"));
        assert!(refused("white_balance_automatic", "2").ends_with("0 or 1"));
        assert!(refused("bits", "0x100").contains("0x800000ff"));
        assert!(refused("button", "7").contains("button"));
        assert!(
            refused("exposure_time_abs", "1")
                .contains("did you mean control.exposure_time_absolute?")
        );
        assert!(find(&[], "gain", "1").unwrap_err().contains("nor any other"));
        // Steps of hostile drivers.
        assert!(find(&controls, "wide", "0").is_err());
    }
}
