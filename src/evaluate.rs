//! How well label maps agree with the truth.
//!
//! With TP, FP, FN the true positive, false positive and false negative pixels of one class,
//! summed over all pictures:
//! * IoU = TP / (TP + FP + FN), the Jaccard index, as in Everingham et al., "The PASCAL Visual
//!   Object Classes (VOC) Challenge", 2010, section 4.1.3;
//! * Dice = 2 TP / (2 TP + FP + FN): Dice, "Measures of the Amount of Ecologic Association
//!   Between Species", 1945;
//! * precision = TP / (TP + FP), recall = TP / (TP + FN): van Rijsbergen, "Information
//!   Retrieval", 1979, chapter 7;
//! * mean IoU and pixel accuracy: Long, Shelhamer and Darrell, "Fully Convolutional Networks
//!   for Semantic Segmentation", 2015, section 5; the mean is over the classes that have an IoU;
//! * pixel-wise cross entropy: Ronneberger, Fischer and Brox, "U-Net", 2015, section 3, without
//!   its weight map.

mod cross_entropy;
mod folder;

pub use cross_entropy::{CrossEntropy, Meaning};
pub use folder::{FolderError, folder};

use crate::decode::DecodeError;
use serde::Serialize;
use std::fmt;
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
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

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
    /// prediction that is no class (such as [`UNLABELLED`](crate::decode::UNLABELLED)) is a miss of the true class and no
    /// false positive of another. On an error nothing is added.
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

    /// Pixels of a true class that were predicted as another, or as none (None).
    pub fn count(&self, truth: usize, predicted: Option<usize>) -> u64 {
        self.counts[truth * (self.classes + 1) + predicted.unwrap_or(self.classes)]
    }

    /// The measures of one class.
    pub fn class(&self, name: &str, class: usize) -> ClassReport {
        let hits = self.count(class, Some(class));
        let pixels = self.counts[class * (self.classes + 1)..][..=self.classes].iter().sum::<u64>();
        let predicted = (0..self.classes).map(|truth| self.count(truth, Some(class))).sum::<u64>();
        ClassReport {
            name: name.to_owned(),
            pixels,
            iou: ratio(hits, pixels + predicted - hits),
            dice: ratio(2 * hits, pixels + predicted),
            precision: ratio(hits, predicted),
            recall: ratio(hits, pixels),
        }
    }

    /// All measures; classes without a name are numbered.
    pub fn report(&self, names: &[String], loss: Option<&CrossEntropy>) -> Report {
        let classes = (0..self.classes)
            .map(|class| match names.get(class) {
                Some(name) => self.class(name, class),
                None => self.class(&class.to_string(), class),
            })
            .collect::<Vec<ClassReport>>();
        let defined = classes.iter().filter_map(|class| class.iou);
        let (sum, count) = defined.fold((0.0, 0_u32), |(sum, count), iou| (sum + iou, count + 1));
        let hits = (0..self.classes).map(|class| self.count(class, Some(class))).sum();
        let pixels = self.counts.iter().sum();
        Report {
            mean_iou: (count > 0).then(|| sum / f64::from(count)),
            pixel_accuracy: ratio(hits, pixels),
            cross_entropy: loss.and_then(CrossEntropy::mean),
            pixels,
            classes,
        }
    }
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

/// The measures of one class; None where their denominator is 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassReport {
    pub name: String,
    /// Of the truth.
    pub pixels: u64,
    pub iou: Option<f64>,
    pub dice: Option<f64>,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
}

/// All measures of an evaluation; its `Display` is a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub classes: Vec<ClassReport>,
    pub mean_iou: Option<f64>,
    pub pixel_accuracy: Option<f64>,
    /// In nats; None where the output holds ids alone.
    pub cross_entropy: Option<f64>,
    /// Of the truth, without the ignored ones.
    pub pixels: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let names = self.classes.iter().map(|class| class.name.chars().count());
        let width = names.max().unwrap_or(0).max("pixel accuracy".len());
        write!(out, "{:width$}", "class")?;
        writeln!(
            out,
            "  {:>7} {:>7} {:>9} {:>7} {:>12}",
            "IoU", "Dice", "precision", "recall", "pixels"
        )?;
        // Where the card names no classes there are many that occur nowhere.
        let many = self.classes.len() > 32;
        for class in self.classes.iter().filter(|class| !many || class.iou.is_some()) {
            let [iou, dice] = [class.iou, class.dice].map(number);
            let [precision, recall] = [class.precision, class.recall].map(number);
            write!(out, "{:width$}  {iou:>7} {dice:>7} ", class.name)?;
            writeln!(out, "{precision:>9} {recall:>7} {:>12}", class.pixels)?;
        }
        writeln!(out, "{:width$}  {:>7}", "mean IoU", number(self.mean_iou))?;
        writeln!(out, "{:width$}  {:>7}", "pixel accuracy", number(self.pixel_accuracy))?;
        writeln!(out, "{:width$}  {:>7}", "cross entropy", number(self.cross_entropy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// truth 0: 3 right, 1 as class 1; truth 1: 2 right, 1 as 0, 1 unlabelled; no truth 2.
    fn example() -> Confusion {
        let mut confusion = Confusion::new(3);
        confusion.add(&[0, 0, 0, 0, 255], &[0, 0, 0, 1, 2]).unwrap();
        confusion.add(&[1, 1, 1, 1, 255], &[1, 1, 0, 255, 255]).unwrap();
        confusion
    }

    #[test]
    fn measures_equal_numbers_by_hand() {
        let report = example().report(&["ground".into(), "person".into()], None);
        let [ground, person, empty] = &report.classes[..] else { panic!() };
        assert_eq!((ground.pixels, ground.iou, ground.dice), (4, Some(0.6), Some(0.75)));
        assert_eq!((ground.precision, ground.recall), (Some(0.75), Some(0.75)));
        assert_eq!((person.pixels, person.iou, person.dice), (4, Some(0.4), Some(4.0 / 7.0)));
        assert_eq!((person.precision, person.recall), (Some(2.0 / 3.0), Some(0.5)));
        assert_eq!((&empty.name[..], empty.pixels), ("2", 0));
        assert_eq!([empty.iou, empty.dice, empty.precision, empty.recall], [None; 4]);
        assert_eq!((report.mean_iou, report.pixel_accuracy), (Some(0.5), Some(5.0 / 8.0)));
        assert_eq!((report.pixels, report.cross_entropy), (8, None));
    }

    #[test]
    fn a_class_that_was_only_predicted_has_an_iou_of_0() {
        let mut confusion = Confusion::new(2);
        confusion.add(&[0, 0], &[0, 1]).unwrap();
        let class = confusion.class("x", 1);
        assert_eq!((class.iou, class.precision, class.recall), (Some(0.0), Some(0.0), None));
    }

    #[test]
    fn nothing_counted_is_nothing_defined() {
        let mut confusion = Confusion::new(2);
        confusion.add(&[255, 255], &[0, 1]).unwrap();
        let report = confusion.report(&[], Some(&CrossEntropy::default()));
        assert_eq!((report.mean_iou, report.pixel_accuracy), (None, None));
        assert_eq!((report.cross_entropy, report.pixels), (None, 0));
    }

    #[test]
    fn wrong_truths_are_refused_and_not_counted() {
        let mut confusion = example();
        assert_eq!(
            confusion.add(&[0, 3], &[0, 0]).unwrap_err().to_string(),
            "the truth holds class id 3, but there are 3 classes: ids 0 to 2 and 255 (ignored) are expected"
        );
        assert_eq!(confusion.add(&[0], &[]), Err(EvaluateError::Size { found: 1, expected: 0 }));
        assert_eq!(confusion, example());
    }

    #[test]
    fn the_table_and_the_json_say_the_same() {
        let loss = CrossEntropy { sum: 3.0, pixels: 4 };
        let report = example().report(&["ground".into(), "person".into()], Some(&loss));
        assert_eq!(
            report.to_string(),
            "class               IoU    Dice precision  recall       pixels\n\
             ground           0.6000  0.7500    0.7500  0.7500            4\n\
             person           0.4000  0.5714    0.6667  0.5000            4\n\
             2                     -       -         -       -            0\n\
             mean IoU         0.5000\n\
             pixel accuracy   0.6250\n\
             cross entropy    0.7500\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["classes"][0]["iou"], 0.6);
        assert!(json["classes"][2]["recall"].is_null());
        assert_eq!((&json["mean_iou"], &json["cross_entropy"]), (&0.5.into(), &0.75.into()));
    }
}
