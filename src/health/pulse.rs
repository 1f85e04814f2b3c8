//! Whether the threads still do something.
//!
//! Each beats whenever it comes round, at the latest every tenth of a second but for its one long
//! work: a read of the driver, an inference, a picture handed to the screen. A monitor looks at
//! the beats from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A driver that has not come back from a read for so long gives no pictures.
pub const SILENT: Duration = Duration::from_secs(2);
/// So long nothing that works takes.
pub const STALLED: Duration = Duration::from_secs(30);
/// A display gets less time: nobody can see what goes on.
pub const DISPLAY_STALLED: Duration = Duration::from_secs(10);
/// How often the monitor looks.
pub const LOOK: Duration = Duration::from_millis(200);

/// One thread's beat.
#[derive(Debug)]
pub struct Pulse {
    origin: Instant,
    /// Milliseconds from the origin to the last beat.
    last: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { origin: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Pulse {
    pub fn beat(&self) {
        let now = self.origin.elapsed().as_millis() as u64;
        self.last.store(now, Ordering::Relaxed);
    }

    /// Time since the last beat.
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(last)
    }
}

/// The beats of a run.
#[derive(Debug, Default)]
pub struct Pulses {
    pub capture: Pulse,
    pub inference: Pulse,
    pub display: Pulse,
}

impl Pulses {
    /// After the whole process stood still none of them is to blame.
    pub fn forgive(&self) {
        for pulse in [&self.capture, &self.inference, &self.display] {
            pulse.beat();
        }
    }

    /// Names the thread that does not answer, and for how long it has not. `slow` is what one
    /// inference may take.
    pub fn stalled(&self, slow: Duration) -> Option<String> {
        let limits = [
            ("the display", &self.display, DISPLAY_STALLED),
            ("the inference", &self.inference, slow.max(STALLED)),
            ("the camera's driver", &self.capture, STALLED),
        ];
        limits.into_iter().find_map(|(who, pulse, limit)| {
            let silence = pulse.silence();
            (silence > limit).then(|| format!("{who} has not answered for {} s", silence.as_secs()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(seconds: u64) -> Pulse {
        let origin = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        Pulse { origin, last: AtomicU64::new(0) }
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let stalled = |capture, inference, display| {
            let pulses =
                Pulses { capture: ago(capture), inference: ago(inference), display: ago(display) };
            pulses.stalled(Duration::ZERO)
        };
        assert_eq!(stalled(29, 29, 9), None);
        assert_eq!(stalled(29, 29, 11).unwrap(), "the display has not answered for 11 s");
        assert_eq!(stalled(29, 31, 9).unwrap(), "the inference has not answered for 31 s");
        assert_eq!(stalled(31, 9, 9).unwrap(), "the camera's driver has not answered for 31 s");
    }

    #[test]
    fn slow_networks_get_their_time_and_a_pause_of_all_is_forgiven() {
        let pulses = Pulses { inference: ago(100), ..Pulses::default() };
        assert_eq!(pulses.stalled(Duration::from_secs(120)), None);
        assert!(pulses.stalled(Duration::from_secs(60)).is_some());
        pulses.forgive();
        assert_eq!(pulses.stalled(Duration::ZERO), None);
        assert!(pulses.inference.silence() < Duration::from_secs(1));
    }
}
