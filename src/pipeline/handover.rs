//! From thread to thread: bounded, the newest first.

use heapless::Deque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    Item(T),
    /// Nothing came in time.
    Timeout,
    /// Nothing will come any more.
    Closed,
}

/// A queue of at most `N` items between one thread that puts and one that takes.
#[derive(Debug)]
pub struct Handover<T, const N: usize> {
    state: Mutex<State<T, N>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T, const N: usize> {
    waiting: Deque<T, N>,
    closed: bool,
}

impl<T, const N: usize> Default for Handover<T, N> {
    fn default() -> Self {
        let state = State { waiting: Deque::new(), closed: false };
        Handover { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T, const N: usize> Handover<T, N> {
    fn lock(&self) -> MutexGuard<'_, State<T, N>> {
        // Nothing here can panic while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item without waiting. The oldest one makes room and comes back; after the other
    /// side closed, the item itself does.
    pub fn put(&self, item: T) -> Option<T> {
        let mut state = self.lock();
        if state.closed {
            return Some(item);
        }
        let displaced = if state.waiting.is_full() { state.waiting.pop_front() } else { None };
        let refused = state.waiting.push_back(item).err();
        self.changed.notify_all();
        displaced.or(refused)
    }

    /// Waits until there is room, then puts. The item comes back after `timeout` or a close.
    pub fn put_patiently(&self, item: T, timeout: Duration) -> Result<(), T> {
        let end = Instant::now() + timeout;
        let mut state = self.lock();
        while !state.closed && state.waiting.is_full() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(item);
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed {
            return Err(item);
        }
        let put = state.waiting.push_back(item);
        self.changed.notify_all();
        put
    }

    /// Waits for an item and takes the oldest: what is older than it was displaced before.
    /// Items put before a close are still taken.
    pub fn take(&self, timeout: Duration) -> Taken<T> {
        let end = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(item) = state.waiting.pop_front() {
                self.changed.notify_all();
                return Taken::Item(item);
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed {
                return Taken::Closed;
            }
            if left.is_zero() {
                return Taken::Timeout;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the passing; both sides may close.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// Closes a handover when its thread ends, however it ends.
pub struct CloseOnDrop<'a, T, const N: usize>(pub &'a Handover<T, N>);

impl<T, const N: usize> Drop for CloseOnDrop<'_, T, N> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);

    #[test]
    fn the_oldest_makes_room_for_the_newest() {
        let queue = Handover::<u32, 2>::default();
        assert_eq!(
            [queue.put(1), queue.put(2), queue.put(3), queue.put(4)],
            [None, None, Some(1), Some(2)]
        );
        assert_eq!(queue.take(SOON), Taken::Item(3));
        assert_eq!(queue.take(SOON), Taken::Item(4));
        assert_eq!(queue.take(SOON), Taken::Timeout);
    }

    #[test]
    fn patience_ends() {
        let queue = Handover::<u32, 1>::default();
        assert_eq!(queue.put_patiently(1, SOON), Ok(()));
        assert_eq!(queue.put_patiently(2, SOON), Err(2));
        assert_eq!(queue.take(SOON), Taken::Item(1));
    }

    #[test]
    fn what_was_put_before_a_close_is_still_taken() {
        let queue = Handover::<u32, 2>::default();
        queue.put(1);
        drop(CloseOnDrop(&queue));
        assert_eq!(queue.put(2), Some(2));
        assert_eq!(queue.take(SOON), Taken::Item(1));
        assert_eq!(queue.take(SOON), Taken::Closed);
    }

    #[test]
    fn nothing_is_lost_between_threads_that_wait_for_each_other() {
        let queue = Handover::<u32, 1>::default();
        let taken = std::thread::scope(|scope| {
            scope.spawn(|| {
                let _close = CloseOnDrop(&queue);
                for item in 0..1000 {
                    queue.put_patiently(item, Duration::from_secs(5)).unwrap();
                }
            });
            let mut taken = Vec::new();
            while let Taken::Item(item) = queue.take(Duration::from_secs(5)) {
                taken.push(item);
            }
            taken
        });
        assert_eq!(taken, (0..1000).collect::<Vec<u32>>());
    }
}
