//! Heat and a weak supply, which make a board slow: what sysfs says of them.

use std::fs;
use std::path::Path;

/// `get_throttled` of a Raspberry Pi's firmware (raspberrypi.com, "vcgencmd"): what holds now.
const FIRMWARE: [(u32, &str); 4] = [
    (1 << 0, "the supply's voltage is too low"),
    (1 << 2, "too hot: the processor is throttled"),
    (1 << 3, "too hot: the processor is held back"),
    (1 << 1, "the processor's clock is capped"),
];
const FIRMWARE_FILE: &str = "devices/platform/soc/soc:firmware/get_throttled";
/// Thermal zones and their trip points that are looked at.
const MOST: usize = 16;

/// What sysfs, mounted at `root`, says: the processor's temperature in °C, and what holds the
/// board back now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Throttle {
    pub celsius: Option<f32>,
    pub held_back: Option<&'static str>,
}

impl Throttle {
    /// Reads the hottest thermal zone (Documentation/driver-api/thermal/sysfs-api.rst), its passive
    /// trip points, at which the kernel lowers clocks, and the firmware's word.
    pub fn read(root: &Path) -> Throttle {
        let mut throttle = Throttle::default();
        for zone in 0..MOST {
            let zone = root.join(format!("class/thermal/thermal_zone{zone}"));
            let Some(degrees) = thousandths(&zone.join("temp")) else { continue };
            if throttle.celsius.is_none_or(|hottest| degrees > hottest) {
                throttle.celsius = Some(degrees);
            }
            let passive = (0..MOST).any(|point| {
                let kind = fs::read_to_string(zone.join(format!("trip_point_{point}_type")));
                kind.is_ok_and(|kind| kind.trim() == "passive")
                    && thousandths(&zone.join(format!("trip_point_{point}_temp")))
                        .is_some_and(|limit| limit > 0.0 && degrees >= limit)
            });
            if passive {
                throttle.held_back = Some("too hot: the kernel lowers the processor's clock");
            }
        }
        let told = fs::read_to_string(root.join(FIRMWARE_FILE)).unwrap_or_default();
        let bits = u32::from_str_radix(told.trim().trim_start_matches("0x"), 16).unwrap_or(0);
        if let Some((_, words)) = FIRMWARE.iter().find(|(bit, _)| bits & bit != 0) {
            throttle.held_back = Some(words);
        }
        throttle
    }
}

fn thousandths(path: &Path) -> Option<f32> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.trim().parse::<i32>().ok()?;
    // What is no temperature of a processor that runs.
    (-50_000..200_000).contains(&value).then_some(value as f32 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysfs(files: &[(&str, &str)]) -> Throttle {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Throttle::read(root.path())
    }

    #[test]
    fn the_hottest_zone_counts_and_its_passive_point() {
        let zone = "class/thermal/thermal_zone";
        assert_eq!(sysfs(&[]), Throttle::default());
        let files = [
            (format!("{zone}0/temp"), "45200\n"),
            (format!("{zone}1/temp"), "81500\n"),
            (format!("{zone}1/trip_point_0_type"), "critical\n"),
            (format!("{zone}1/trip_point_0_temp"), "81000\n"),
        ];
        let files = files.each_ref().map(|(path, text)| (path.as_str(), *text));
        assert_eq!(sysfs(&files), Throttle { celsius: Some(81.5), held_back: None });
        let passive = [
            ("class/thermal/thermal_zone1/trip_point_2_type", "passive\n"),
            ("class/thermal/thermal_zone1/trip_point_2_temp", "80000\n"),
        ];
        let throttle = sysfs(&[&files[..], &passive].concat());
        assert!(throttle.held_back.unwrap().starts_with("too hot"));
    }

    #[test]
    fn the_firmware_says_what_holds_now_not_what_held_once() {
        let told = |bits| sysfs(&[(FIRMWARE_FILE, bits)]).held_back;
        assert_eq!(told("0\n"), None);
        assert_eq!(told("50000\n"), None);
        assert!(told("50005\n").unwrap().contains("voltage"));
        assert!(told("4\n").unwrap().contains("throttled"));
        assert_eq!(told("nonsense"), None);
    }

    #[test]
    fn nonsense_is_no_temperature() {
        let file = "class/thermal/thermal_zone0/temp";
        for text in ["", "-", "9999999999", "-274000"] {
            assert_eq!(sysfs(&[(file, text)]).celsius, None, "{text}");
        }
    }
}
