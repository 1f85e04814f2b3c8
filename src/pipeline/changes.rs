//! What is to be different, told from outside while the run goes on.

use super::handover::{Handover, Taken};
use crate::segment::Segmenter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Checked changes on their way into a run.
#[derive(Default)]
pub struct Changes {
    segmenter: Handover<Segmenter, 1>,
    refused: Mutex<String>,
    again: AtomicBool,
}

impl Changes {
    /// From the next frame on this one labels. It has labelled a picture already.
    pub fn swap(&self, segmenter: Segmenter) {
        self.segmenter.put(segmenter);
        self.refuse("");
    }

    /// A change was not taken: says so on the screen until one is. Empty: all is taken.
    pub fn refuse(&self, why: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clear();
        refused.push_str(why);
    }

    /// Ends the run, for the next to begin with other parts.
    pub fn begin_again(&self) {
        self.again.store(true, Ordering::Relaxed);
    }

    pub(super) fn again(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }

    pub(super) fn segmenter(&self) -> Option<Segmenter> {
        match self.segmenter.take(Duration::ZERO) {
            Taken::Item(segmenter) => Some(segmenter),
            _ => None,
        }
    }

    /// Appends why a change was not taken.
    pub(super) fn write_refused(&self, text: &mut String) {
        text.push_str(&self.refused.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
