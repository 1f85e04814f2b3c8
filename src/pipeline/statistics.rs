//! What a run adds up to.

use crate::compose::Stage;
use crate::config::card::Class;
use crate::evaluate::Confusion;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

/// The stages of a shown frame, in the order of the way.
pub const STAGES: [&str; 5] = ["prepare", "network", "decode", "compose", "present"];
/// Times kept for the medians.
const KEPT: usize = 4096;

/// Adds up frames. Allocates nothing after it was made.
pub struct Statistics {
    times: [Vec<f32>; STAGES.len()],
    kept: usize,
    shares: Vec<f64>,
    frames: u64,
    confusion: Option<Confusion>,
    recent: heapless::Deque<Instant, 32>,
}

/// The end of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub frames: u64,
    pub dropped: u64,
    /// Median milliseconds by stage.
    pub stages: BTreeMap<&'static str, f32>,
    /// Mean share of the labelled pixels by class, for classes that occurred.
    pub classes: BTreeMap<String, f64>,
    /// Where the camera knows the true labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_iou: Option<f64>,
}

impl Statistics {
    pub fn new(classes: usize) -> Statistics {
        Statistics {
            times: std::array::from_fn(|_| Vec::with_capacity(KEPT)),
            kept: 0,
            shares: vec![0.0; classes],
            frames: 0,
            confusion: None,
            recent: heapless::Deque::new(),
        }
    }

    /// Counts a shown frame.
    pub fn add(&mut self, stages: &[Stage], shares: &[f32], now: Instant) {
        for (times, stage) in self.times.iter_mut().zip(stages) {
            match times.get_mut(self.kept % KEPT) {
                Some(time) => *time = stage.milliseconds,
                None => times.push(stage.milliseconds),
            }
        }
        self.kept += 1;
        self.frames += 1;
        for (sum, share) in self.shares.iter_mut().zip(shares) {
            *sum += f64::from(*share);
        }
        if self.recent.is_full() {
            self.recent.pop_front();
        }
        // There is room: one was taken out.
        let _ = self.recent.push_back(now);
    }

    /// Another network's classes begin at nothing.
    pub fn begin_classes(&mut self, classes: usize) {
        self.shares.clear();
        self.shares.resize(classes, 0.0);
        self.confusion = None;
    }

    /// Compares labels with the truth the camera knows.
    pub fn compare(&mut self, truth: &[u8], labels: &[u8]) {
        if truth.is_empty() {
            return;
        }
        let classes = self.shares.len();
        let confusion = self.confusion.get_or_insert_with(|| Confusion::new(classes));
        if let Err(error) = confusion.add(truth, labels) {
            log::debug!("the camera's truth does not fit the network's classes: {error}");
        }
    }

    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Over the last frames, at most 32.
    pub fn frames_per_second(&self) -> f32 {
        let (Some(first), Some(last)) = (self.recent.front(), self.recent.back()) else {
            return 0.0;
        };
        let time = last.saturating_duration_since(*first);
        if time < Duration::from_millis(1) {
            return 0.0;
        }
        (self.recent.len() - 1) as f32 / time.as_secs_f32()
    }

    pub fn summary(&self, classes: &[Class], dropped: u64) -> Summary {
        let frames = self.frames.max(1) as f64;
        let shares = classes.iter().zip(&self.shares).filter(|(_, sum)| **sum > 0.0);
        Summary {
            frames: self.frames,
            dropped,
            stages: STAGES.into_iter().zip(self.times.iter().map(|times| median(times))).collect(),
            classes: shares.map(|(class, sum)| (class.name.clone(), sum / frames)).collect(),
            mean_iou: self.confusion.as_ref().and_then(Confusion::mean_iou),
        }
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "frames     {} shown, {} dropped", self.frames, self.dropped)?;
        let stages = STAGES.map(|name| {
            format!("{name} {:.2}", self.stages.get(name).copied().unwrap_or_default())
        });
        writeln!(f, "median ms  {}", stages.join(", "))?;
        let classes: Vec<String> = self
            .classes
            .iter()
            .map(|(name, share)| format!("{name} {:.1} %", 100.0 * share))
            .collect();
        writeln!(f, "areas      {}", classes.join(", "))?;
        match self.mean_iou {
            Some(iou) => writeln!(f, "mean IoU   {iou:.4} against the camera's own truth"),
            None => Ok(()),
        }
    }
}

fn median(times: &[f32]) -> f32 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_shares_and_rate_add_up() {
        let mut statistics = Statistics::new(2);
        let start = Instant::now();
        for (index, milliseconds) in [5.0, 1.0, 3.0].into_iter().enumerate() {
            let stages = STAGES.map(|name| Stage { name, milliseconds });
            let now = start + Duration::from_millis(100 * index as u64);
            statistics.add(&stages, &[0.25, 0.75], now);
        }
        let class = |name: &str| Class { name: name.to_owned(), color: None };
        let summary = statistics.summary(&[class("a"), class("b")], 7);
        assert_eq!((summary.frames, summary.dropped), (3, 7));
        assert_eq!(summary.stages["network"], 3.0);
        assert_eq!(summary.classes["b"], 0.75);
        assert!((statistics.frames_per_second() - 10.0).abs() < 0.01);
    }
}
