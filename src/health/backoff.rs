//! How long to wait before a lost camera is tried again.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_two_seconds() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..7).map(|_| backoff.step().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000]);
    }
}
