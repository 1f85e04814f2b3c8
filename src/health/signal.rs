//! The camera's state, told by the capture thread to the display's.

use std::sync::{Mutex, PoisonError};

/// Why there is no signal. `None`: there is.
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
