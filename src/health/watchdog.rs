//! Tells those who restart a device that it is alive: systemd, or the board's own watchdog.
//!
//! Nothing here runs by itself: who shows a fresh mask, or a message that says why there is none,
//! beats. When that stops, so does the feeding.

use crate::config::board::Board;
use sd_notify::NotifyState;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// Beats that come faster are not passed on. systemd and boards wait for several seconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whom a beat is passed on to. The default is nobody.
#[derive(Debug, Default)]
pub struct Watchdog {
    /// Linux' watchdog device (linux/watchdog.h): any byte feeds it, a V before closing stops it.
    device: Option<File>,
    systemd: bool,
    last: Option<Instant>,
}

impl Watchdog {
    /// systemd where it waits for us (it feeds the board's own), else the board's.
    pub fn of(board: &Board) -> Watchdog {
        let systemd = std::env::var_os("NOTIFY_SOCKET").is_some();
        let path = board.watchdog.as_ref().filter(|_| !systemd);
        let device = path.and_then(|path| {
            let opened = File::options().write(true).open(path);
            opened.inspect_err(|error| log::warn!("{path}: no watchdog: {error}")).ok()
        });
        Watchdog { device, systemd, last: None }
    }

    /// Something fresh was shown. The first beat also says that the start is over.
    pub fn beat(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        let first = self.last.replace(Instant::now()).is_none();
        if self.systemd {
            let told = match first {
                true => sd_notify::notify(&[NotifyState::Ready, NotifyState::Watchdog]),
                false => sd_notify::notify(&[NotifyState::Watchdog]),
            };
            if let Err(error) = told {
                log::debug!("systemd: {error}");
            }
        }
        if let Some(device) = &mut self.device
            && let Err(error) = device.write_all(b"\n")
        {
            log::warn!("the watchdog is not fed: {error}");
            self.device = None;
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // After a panic the board shall start anew.
        if let Some(device) = &mut self.device
            && !std::thread::panicking()
        {
            let _ = device.write_all(b"V");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_feed_at_most_once_a_second_and_the_end_stops_the_device() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watchdog");
        let file = File::create(&path).unwrap();
        let mut watchdog = Watchdog { device: Some(file), ..Watchdog::default() };
        watchdog.beat();
        watchdog.beat();
        assert_eq!(std::fs::read(&path).unwrap(), b"\n");
        watchdog.last = watchdog.last.map(|last| last.checked_sub(INTERVAL).unwrap());
        watchdog.beat();
        drop(watchdog);
        assert_eq!(std::fs::read(&path).unwrap(), b"\n\nV");
    }
}
