//! How well label maps agree with the truth, and two networks with each other.
//!
//! With TP, FP, FN the true positive, false positive and false negative pixels of one class,
//! summed over all pictures:
//! * IoU = TP / (TP + FP + FN), the Jaccard index, as in Everingham et al., "The PASCAL Visual
//!   Object Classes (VOC) Challenge", 2010, section 4.1.3;
//! * Dice = 2 TP / (2 TP + FP + FN): Dice, "Measures of the Amount of Ecologic Association
//!   Between Species", 1945;
//! * precision = TP / (TP + FP), recall = TP / (TP + FN): van Rijsbergen, "Information
//!   Retrieval", 1979, chapter 7;
//! * boundary F1: Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic
//!   segmentation?", 2013, section 3, as [`Boundaries`] has it.
//!
//! Over all classes:
//! * mean IoU, frequency-weighted IoU, pixel accuracy and mean class accuracy: Long, Shelhamer
//!   and Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015, section 5; a
//!   mean is over the classes that have the measure;
//! * pixel-wise cross entropy: Ronneberger, Fischer and Brox, "U-Net", 2015, section 3, without
//!   its weight map;
//! * soft Dice loss: Milletari, Navab and Ahmadi, "V-Net", 2016, section 3, as [`Losses`] has it.
//!
//! Pixels whose truth is [`IGNORED`] count nowhere. A pixel that a network gave no class
//! ([`UNLABELLED`](crate::decode::UNLABELLED)) is a miss of its true class and no false positive
//! of another.
//!
//! [`folder`] goes through a folder picture by picture: a [`Measures`] for each network, and a
//! [`Comparison`] for two.

mod agreement;
mod boundary;
mod comparison;
mod confusion;
#[cfg(test)]
mod cost;
mod differ;
mod folder;
mod losses;
mod matrix;
mod measures;
mod png;
mod report;
mod set;

pub use agreement::{Agreement, Tally};
pub use boundary::Boundaries;
pub use comparison::Comparison;
pub use confusion::Confusion;
pub use folder::{Evaluation, FolderError, Job, folder};
pub use losses::{Losses, Meaning};
pub use measures::Measures;
pub use report::{ClassReport, Report};

use thiserror::Error;

/// The id that leaves a pixel of the truth out.
pub const IGNORED: u8 = 255;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum EvaluateError {
    #[error("the truth has {found} pixels, the label map has {expected}: sizes must be equal")]
    Size { found: usize, expected: usize },
    #[error(
        "the truth holds class id {found}, but there are {classes} classes: ids 0 to {} and {IGNORED} (ignored) are expected", classes - 1
    )]
    Id { found: u8, classes: usize },
}

fn check_truth(truth: &[u8], classes: usize) -> Result<(), EvaluateError> {
    match truth.iter().find(|&&id| id != IGNORED && usize::from(id) >= classes) {
        Some(&found) => Err(EvaluateError::Id { found, classes }),
        None => Ok(()),
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Of the numbers that there are.
fn mean(numbers: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) =
        numbers.into_iter().flatten().fold((0.0, 0_u32), |(sum, count), x| (sum + x, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
