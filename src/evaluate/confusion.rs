//! Pixels by true and predicted class: what all but the boundary and the losses come from.

use super::{EvaluateError, IGNORED, check_truth, mean, ratio};

/// Counts pixels by true and predicted class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// A row a true class, a column a predicted class; the last column counts pixels that were
    /// given no class.
    counts: Vec<u64>,
}

impl Confusion {
    /// `classes`: 1 to 255.
    pub fn new(classes: usize) -> Confusion {
        let classes = classes.clamp(1, usize::from(IGNORED));
        Confusion { classes, counts: vec![0; classes * (classes + 1)] }
    }

    /// Adds a picture: ids pixel by pixel. Pixels whose truth is [`IGNORED`] do not count; a
    /// prediction that is no class (such as [`UNLABELLED`](crate::decode::UNLABELLED)) is a miss
    /// of the true class and no false positive of another. On an error nothing is added.
    pub fn add(&mut self, truth: &[u8], predicted: &[u8]) -> Result<(), EvaluateError> {
        if truth.len() != predicted.len() {
            return Err(EvaluateError::Size { found: truth.len(), expected: predicted.len() });
        }
        check_truth(truth, self.classes)?;
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            if truth != IGNORED {
                let column = usize::from(predicted).min(self.classes);
                self.counts[usize::from(truth) * (self.classes + 1) + column] += 1;
            }
        }
        Ok(())
    }

    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Pixels of a true class that were predicted as another, or as none (None).
    pub fn count(&self, truth: usize, predicted: Option<usize>) -> u64 {
        self.row(truth)[predicted.unwrap_or(self.classes)]
    }

    /// Pixels of a true class by predicted class, last those that were given none.
    pub fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * (self.classes + 1)..][..=self.classes]
    }

    /// Pixels of a true class.
    pub fn true_pixels(&self, class: usize) -> u64 {
        self.row(class).iter().sum()
    }

    /// Pixels that were given a class, whatever the true one.
    pub fn predicted_pixels(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, Some(class))).sum()
    }

    /// All pixels that count.
    pub fn pixels(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Pixels that were given their true class.
    pub fn hits(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, Some(class))).sum()
    }

    /// Pixels that were given no class.
    pub fn unlabelled(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, None)).sum()
    }

    pub fn iou(&self, class: usize) -> Option<f64> {
        let hits = self.count(class, Some(class));
        ratio(hits, self.true_pixels(class) + self.predicted_pixels(class) - hits)
    }

    /// Over the classes that have one.
    pub fn mean_iou(&self) -> Option<f64> {
        mean((0..self.classes).map(|class| self.iou(class)))
    }

    /// The classes that some pixel has or was given.
    pub fn occurring(&self) -> Vec<usize> {
        let occurs = |class: &usize| self.true_pixels(*class) + self.predicted_pixels(*class) > 0;
        (0..self.classes).filter(occurs).collect()
    }
}
