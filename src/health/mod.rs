//! What the screen may say: the stale rule and the camera's state.
//!
//! A mask is live while the frame it was computed from is younger than the limit. The limit is
//! measured from the capture, not from the end of the inference: a network that takes longer
//! than the limit is never live.

pub mod watchdog;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How old a mask may be on the screen.
pub const STALE_AFTER: Duration = Duration::from_millis(500);

/// Waits between attempts to open a lost camera: 0.1 s doubling to 2 s.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: Duration::from_millis(100) }
    }
}

impl Backoff {
    const MOST: Duration = Duration::from_secs(2);

    /// How long to wait before the next attempt.
    pub fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (2 * now).min(Self::MOST);
        now
    }
}

/// Why there is no signal, told by the capture thread to the display's. `None`: there is.
#[derive(Debug, Default)]
pub struct Signal {
    lost: Mutex<Option<String>>,
}

impl Signal {
    /// Each change is logged once.
    pub fn set_lost(&self, cause: &str) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_none() {
            log::warn!("no signal: {cause}");
            *lost = Some(cause.to_owned());
        }
    }

    pub fn set_back(&self) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.take().is_some() {
            log::warn!("the signal is back");
        }
    }

    /// Copies the cause into `text`; false when there is a signal.
    pub fn lost(&self, text: &mut String) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        text.clear();
        text.extend(lost.as_deref());
        lost.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_two_seconds() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..7).map(|_| backoff.step().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn the_first_cause_stays_until_the_signal_is_back() {
        let signal = Signal::default();
        let mut text = "before".to_owned();
        assert!(!signal.lost(&mut text) && text.is_empty());
        signal.set_lost("unplugged");
        signal.set_lost("cannot be opened");
        assert!(signal.lost(&mut text) && text == "unplugged");
        signal.set_back();
        assert!(!signal.lost(&mut text));
    }
}
