//! The kernel's side of a panel: spidev for the bus, the GPIO character device for its lines.

use super::bus::{Kind, Wire};
use super::panel::Light;
use linux_embedded_hal::gpio_cdev::{self, Chip, LineHandle, LineRequestFlags};
use linux_embedded_hal::spidev::{SpiModeFlags, Spidev, SpidevOptions};
use rustix::fs::{major, minor, stat};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Where a panel hangs.
#[derive(Debug, PartialEq, Eq)]
pub struct Wiring {
    /// The SPI device.
    pub bus: PathBuf,
    /// Clock in Hz at most: the controller may take less.
    pub speed: u32,
    /// The GPIO chip of the lines; None: to be looked for.
    pub chip: Option<PathBuf>,
    pub dc: u32,
    pub reset: Option<u32>,
    pub backlight: Option<u32>,
}

/// An SPI device and the lines beside it.
pub struct Spi {
    device: Spidev,
    limit: usize,
    dc: LineHandle,
    /// The level that D/C has.
    kind: Kind,
    /// High; a line let go might fall.
    _reset: Option<LineHandle>,
}

/// Takes the device and its lines, and resets the panel. An error is a sentence.
pub fn open(wiring: &Wiring) -> Result<(Spi, Light), String> {
    let device = open_device(&wiring.bus, wiring.speed)?;
    let path = wiring.chip.clone().unwrap_or_else(pin_controller);
    let mut chip = open_chip(&path)?;
    let dc = take(&mut chip, "dc", wiring.dc, 0)?;
    let reset = wiring.reset.map(|line| take(&mut chip, "reset", line, 1)).transpose()?;
    let light = wiring.backlight.map(|line| take(&mut chip, "backlight", line, 0)).transpose()?;
    if let Some(line) = &reset {
        pulse(line).map_err(|cause| format!("the reset line of {}: {cause}", path.display()))?;
    }
    let light: Light = Box::new(move |on| match &light {
        Some(line) => line.set_value(on.into()).map_err(io::Error::other),
        None => Ok(()),
    });
    Ok((Spi { device, limit: limit(), dc, kind: Kind::Command, _reset: reset }, light))
}

/// What the kernel files a device under: "spidev" and "gpio" are looked for. Asked before a device
/// is opened, because that may act on one of another kind (a watchdog).
fn subsystem(path: &Path) -> io::Result<OsString> {
    let device = stat(path)?.st_rdev;
    let link = format!("/sys/dev/char/{}:{}/subsystem", major(device), minor(device));
    Ok(std::fs::read_link(link)?.file_name().unwrap_or_default().to_owned())
}

/// Opens an SPI device in mode 0.
fn open_device(path: &Path, speed: u32) -> Result<Spidev, String> {
    let shown = path.display();
    if path.exists() && subsystem(path).ok().is_none_or(|found| found != "spidev") {
        return Err(format!("{shown} is no SPI device; see which are there: ls /dev/spidev*"));
    }
    let mut device = Spidev::open(path).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => format!(
            "there is no {shown}; switch the bus on: add dtparam=spi=on to \
             /boot/firmware/config.txt (Raspberry Pi) or run \
             sudo /opt/nvidia/jetson-io/jetson-io.py (Jetson), then reboot"
        ),
        ErrorKind::PermissionDenied => denied(path, "spi"),
        _ => format!("{shown} cannot be opened: {cause}"),
    })?;
    let options = SpidevOptions {
        bits_per_word: Some(8),
        max_speed_hz: Some(speed),
        lsb_first: None,
        spi_mode: Some(SpiModeFlags::SPI_MODE_0),
    };
    device.configure(&options).map_err(|cause| {
        format!("{shown} refuses mode 0 at {speed} Hz ({cause}); try a lower speed")
    })?;
    Ok(device)
}

/// spidev's `bufsiz`, the most bytes of a message. More than 64 kB would save nothing.
fn limit() -> usize {
    let text = std::fs::read_to_string("/sys/module/spidev/parameters/bufsiz").unwrap_or_default();
    text.trim().parse().map_or(4096, |limit: usize| limit.clamp(64, 65_536))
}

/// The chip with the lines of the board's header: its number differs from kernel to kernel.
fn pin_controller() -> PathBuf {
    let is_header = |found: &(String, u32)| found.0.starts_with("pinctrl-");
    let found = list_chips().into_iter().find(|(_, found)| found.as_ref().is_ok_and(is_header));
    found.map_or_else(|| "/dev/gpiochip0".into(), |(path, _)| path)
}

fn open_chip(path: &Path) -> Result<Chip, String> {
    let shown = path.display();
    if path.exists() && subsystem(path).ok().is_none_or(|found| found != "gpio") {
        return Err(format!("{shown} is no GPIO chip; see which are there: ls /dev/gpiochip*"));
    }
    // For the kind of error, which gpio-cdev does not tell.
    File::open(path).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => {
            format!("there is no {shown}; see which are there: ls /dev/gpiochip*")
        }
        ErrorKind::PermissionDenied => denied(path, "gpio"),
        _ => format!("{shown} cannot be opened: {cause}"),
    })?;
    Chip::new(path).map_err(|cause| format!("{shown} does not answer ({cause}); see dmesg"))
}

/// A GPIO chip as it is listed: its driver's label and how many lines it has, or what is wrong.
pub type Listed = (PathBuf, Result<(String, u32), String>);

/// All GPIO chips, in the order of their numbers.
pub fn list_chips() -> Vec<Listed> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name.strip_prefix("gpiochip")?.parse().ok()?, entry.path()))
    });
    let mut numbered: Vec<(u32, PathBuf)> = numbered.collect();
    numbered.sort();
    let look = |path: &Path| {
        let chip = open_chip(path)?;
        Ok((chip.label().to_owned(), chip.num_lines()))
    };
    numbered.into_iter().map(|(_, path)| (path.clone(), look(&path))).collect()
}

/// Takes a line as an output.
fn take(chip: &mut Chip, key: &str, number: u32, level: u8) -> Result<LineHandle, String> {
    let shown = chip.path().display().to_string();
    let last = chip.num_lines().saturating_sub(1);
    let line = chip
        .get_line(number)
        .map_err(|_| format!("{key}={number}: {shown} has lines 0 to {last}"))?;
    line.request(LineRequestFlags::OUTPUT, level, "segcam").map_err(|cause| {
        match line.info().ok().filter(|info| info.is_used()) {
            Some(info) => {
                let user = info.consumer().unwrap_or("the kernel");
                format!("{key}={number}: this line of {shown} is in use by {user}; free it or wire another")
            }
            None => format!("{key}={number}: this line of {shown} is no output ({cause}); wire another"),
        }
    })
}

/// Resets a panel: at least 10 us low, and up to 120 ms until it listens.
fn pulse(line: &LineHandle) -> Result<(), gpio_cdev::Error> {
    line.set_value(0)?;
    sleep(Duration::from_micros(20));
    line.set_value(1)?;
    sleep(Duration::from_millis(120));
    Ok(())
}

fn denied(path: &Path, group: &str) -> String {
    let path = path.display();
    format!(
        "no permission to open {path}; run: sudo usermod -aG {group} \"$USER\", then log in again"
    )
}

impl Wire for Spi {
    fn limit(&self) -> usize {
        self.limit
    }

    fn send(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        if self.kind != kind {
            self.dc.set_value(u8::from(kind == Kind::Data)).map_err(io::Error::other)?;
            self.kind = kind;
        }
        self.device.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_will_not_do_say_what_to_do() {
        let error = |path: &str| open_device(Path::new(path), 1_000_000).unwrap_err();
        assert!(error("/dev/spidev99.9").contains("add dtparam=spi=on"));
        for other in ["/dev/null", "/dev", "/proc/self/stat", "/dev/watchdog", "/dev/gpiochip0"] {
            let found = error(other);
            let missing = !Path::new(other).exists();
            assert!(missing || found.contains(" is no SPI device; see which are there"), "{found}");
        }
        let error = |path: &str| open_chip(Path::new(path)).unwrap_err();
        assert!(error("/dev/gpiochip999").contains("there is no /dev/gpiochip999; "));
        assert!(error("/dev/null").contains("/dev/null is no GPIO chip; "));
        assert!(error("/").contains("/ is no GPIO chip; "));
    }
}
