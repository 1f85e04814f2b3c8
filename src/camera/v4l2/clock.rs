//! Sequence numbers and capture times out of what drivers write on their buffers.

use std::time::{Duration, Instant};
use v4l::sys::{V4L2_BUF_FLAG_TIMESTAMP_MASK, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC};

/// A larger step is a counter that began anew, not frames that were lost.
const MOST_LOST: u32 = 1 << 16;

/// Numbers that count from 0 and never go back, though the driver's wrap, begin anew with each
/// opening, or stand still.
#[derive(Clone, Debug, Default)]
pub struct Numbering {
    next: u64,
    /// The driver's last number since the device was opened.
    last: Option<u32>,
}

impl Numbering {
    /// The device was opened again: its numbers begin anew.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// The number of the frame to which the driver gave `sequence`; a gap is frames lost.
    pub fn number(&mut self, sequence: u32) -> u64 {
        let lost = match self.last {
            Some(last) => match sequence.wrapping_sub(last) {
                ahead @ 1..=MOST_LOST => ahead - 1,
                _ => 0,
            },
            None => 0,
        };
        self.last = Some(sequence);
        let number = self.next.saturating_add(lost.into());
        self.next = number.saturating_add(1);
        number
    }
}

/// When a frame was taken, from the driver's `stamp` and its buffer's `flags`. `now` and `clock`
/// are the same moment by our clock and the kernel's monotonic one. Without a stamp that can be
/// true it is now: never in the future, nor before the stream was `started`.
pub fn captured(
    stamp: Duration,
    flags: u32,
    now: Instant,
    clock: Duration,
    started: Instant,
) -> Instant {
    let is_monotonic = flags & V4L2_BUF_FLAG_TIMESTAMP_MASK == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    let age = clock.checked_sub(stamp).filter(|_| is_monotonic);
    let then = age.and_then(|age| now.checked_sub(age));
    then.filter(|then| *then >= started).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_never_go_back() {
        let mut numbering = Numbering::default();
        let mut numbers = |sequences: &[u32]| {
            sequences.iter().map(|n| numbering.number(*n)).collect::<Vec<u64>>()
        };
        // The first is 0 whatever the driver counts from.
        assert_eq!(numbers(&[7, 8, 11]), [0, 1, 4]);
        // Stands still, goes back, leaps.
        assert_eq!(numbers(&[11, 11, 3, 4, 4_000_000]), [5, 6, 7, 8, 9]);
        // Wraps.
        assert_eq!(numbers(&[u32::MAX - 1, 1]), [10, 13]);
        numbering.restart();
        assert_eq!(numbering.number(500), 14);
        assert_eq!(numbering.number(502), 16);
    }

    #[test]
    fn a_capture_is_neither_in_the_future_nor_before_the_stream() {
        let started = Instant::now();
        let now = started + Duration::from_secs(10);
        let clock = Duration::from_secs(1000);
        let at = |stamp: Duration, flags| captured(stamp, flags, now, clock, started);
        let monotonic = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        let ms = Duration::from_millis;
        assert_eq!(at(clock - ms(40), monotonic), now - ms(40));
        assert_eq!(at(clock - ms(40), 0), now);
        for wrong in [clock + ms(1), Duration::ZERO, Duration::MAX, clock - ms(10_001)] {
            assert_eq!(at(wrong, monotonic), now);
        }
    }
}
