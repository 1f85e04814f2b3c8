//! The clock of a live source whose frames do not come from a device.

use crate::config::uri::{Uri, UriError};
use std::time::{Duration, Instant};

/// The slowest and the fastest rate, in frames a second.
const SLOWEST: f64 = 0.1;
const FASTEST: f64 = 1000.0;

/// Frame `n` is due `n` periods after the first.
pub struct Pace {
    period: Duration,
    start: Option<Instant>,
}

impl Pace {
    /// Rates beyond the limits are brought within them.
    pub fn new(fps: f64) -> Pace {
        let fps = if fps.is_finite() { fps.clamp(SLOWEST, FASTEST) } else { 25.0 };
        Pace { period: Duration::from_secs_f64(1.0 / fps), start: None }
    }

    /// The parameter `fps` as a number.
    pub fn take_fps(uri: &mut Uri) -> Result<Option<f64>, UriError> {
        uri.take_in("fps", SLOWEST..=FASTEST)
    }

    /// Sleeps until frame `next` or a later one is due, but not past `deadline`. Returns the
    /// newest frame due and its time: those between were lost, as in a camera nobody reads.
    pub fn wait(&mut self, next: u64, deadline: Instant) -> Option<(u64, Instant)> {
        let start = *self.start.get_or_insert_with(Instant::now);
        let due = self.due(start, next);
        if due > deadline {
            sleep_until(deadline);
            return None;
        }
        sleep_until(due);
        let passed = start.elapsed().as_nanos() / self.period.as_nanos();
        let newest = u64::try_from(passed).unwrap_or(u64::MAX).max(next);
        Some((newest, self.due(start, newest)))
    }

    fn due(&self, start: Instant, n: u64) -> Instant {
        let nanos = self.period.as_nanos() * u128::from(n);
        later(start, Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// The number and time of the next frame: at once without a pace, else when it is due within
/// `timeout`.
pub fn next_frame(pace: &mut Option<Pace>, next: u64, timeout: Duration) -> Option<(u64, Instant)> {
    let now = Instant::now();
    match pace {
        None => Some((next, now)),
        Some(pace) => pace.wait(next, later(now, timeout)),
    }
}

/// `from + by`, or a time that never comes where that cannot be told.
pub fn later(from: Instant, by: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    from.checked_add(by).unwrap_or(from + YEAR)
}

pub fn sleep_until(time: Instant) {
    std::thread::sleep(time.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_due_one_after_the_other_and_those_missed_are_skipped() {
        let mut pace = Pace::new(100.0);
        let start = Instant::now();
        let far = later(start, Duration::MAX);
        assert_eq!(pace.wait(0, far).unwrap().0, 0);
        let (_, first) = pace.wait(1, far).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(10));
        assert!(pace.wait(1000, Instant::now() + Duration::from_millis(5)).is_none());
        std::thread::sleep(Duration::from_millis(35));
        let (n, due) = pace.wait(2, far).unwrap();
        assert!(n >= 4, "{n}");
        assert!(due <= Instant::now() && due > first);
    }
}
