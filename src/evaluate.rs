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

mod folder;

pub use folder::{FolderError, folder};

use crate::config::card::Kind;
use crate::decode::{Axis, DecodeError, Mapping, Scores, UNLABELLED, mix};
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
    /// prediction that is no class (such as [`UNLABELLED`]) is a miss of the true class and no
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
        for class in &self.classes {
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

/// What the numbers of an output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Before the softmax: the loss is log(sum(exp(scores))) - score of the true class.
    Logits,
    /// A softmax inside the network: the loss is -ln(p of the true class).
    Probabilities,
    /// One channel, the probability of class 1: the loss is -ln(p) or -ln(1 - p).
    Binary,
}

impl Meaning {
    /// What an output of a kind holds: a softmax when all scores lie within 0 to 1 and sum to 1
    /// (within 1/100, as quantized ones do) at every sample. None for ids.
    pub fn of(kind: Kind, scores: &Scores) -> Option<Meaning> {
        match kind {
            Kind::Labels => return None,
            Kind::Probability => return Some(Meaning::Binary),
            Kind::Scores => {}
        }
        let softmax = (0..scores.height).all(|y| {
            (0..scores.width).all(|x| {
                let mut sum = 0.0;
                let mut all = (0..scores.channels).map(|class| scores.at(class, y, x));
                let inside = all.all(|score| {
                    sum += score;
                    (0.0..=1.0).contains(&score)
                });
                inside && (sum - 1.0).abs() <= 0.01
            })
        });
        Some(if softmax { Meaning::Probabilities } else { Meaning::Logits })
    }
}

/// Probabilities are cut to this and, for [`Meaning::Binary`], to 1 less this.
const LEAST: f64 = 1e-7;

/// Sums the cross entropy over pixels, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    pub sum: f64,
    pub pixels: u64,
}

impl CrossEntropy {
    /// None before the first pixel, and when scores were NaN or infinitely wrong.
    pub fn mean(&self) -> Option<f64> {
        let mean = self.sum / self.pixels as f64;
        (self.pixels > 0 && mean.is_finite()).then_some(mean)
    }

    /// Adds the frame pixels of a mapping, whose scores are interpolated bilinearly as for the
    /// argmax. `truth` has the frame's size, `[height, width]`; [`IGNORED`] pixels do not count,
    /// nor do those that the network has not seen.
    pub fn add(
        &mut self,
        scores: &Scores,
        meaning: Meaning,
        mapping: &Mapping,
        truth: &[u8],
        frame: [u32; 2],
    ) -> Result<(), EvaluateError> {
        let width = frame[1] as usize;
        let expected = frame[0] as usize * width;
        if truth.len() != expected {
            return Err(EvaluateError::Size { found: truth.len(), expected });
        }
        let classes = if meaning == Meaning::Binary { 2 } else { scores.channels };
        check_truth(truth, classes)?;
        let (mut columns, mut rows) = (Axis::default(), Axis::default());
        Axis::map(&mut columns, &mut rows, mapping, frame, [scores.height, scores.width])?;
        let mut pixel = vec![0.0_f32; scores.channels];
        for row in &rows.cells {
            for (y, down) in rows.pixels(*row) {
                let truth = &truth[y * width..][..width];
                for column in &columns.cells {
                    for (x, right) in columns.pixels(*column) {
                        if truth[x] == IGNORED {
                            continue;
                        }
                        for (channel, score) in pixel.iter_mut().enumerate() {
                            let at = |y, x| scores.at(channel, y, x);
                            *score = mix(
                                mix(at(row.low, column.low), at(row.high, column.low), down),
                                mix(at(row.low, column.high), at(row.high, column.high), down),
                                right,
                            );
                        }
                        self.sum += loss(&pixel, meaning, truth[x]);
                        self.pixels += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The cross entropy of one pixel.
fn loss(scores: &[f32], meaning: Meaning, truth: u8) -> f64 {
    let score = |class: usize| f64::from(scores[class]);
    match meaning {
        Meaning::Binary => {
            let p = score(0).clamp(LEAST, 1.0 - LEAST);
            if truth == 1 { -p.ln() } else { -(1.0 - p).ln() }
        }
        Meaning::Probabilities => -score(usize::from(truth)).clamp(LEAST, 1.0).ln(),
        Meaning::Logits => {
            // Less the largest, so that no exponential overflows.
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let terms = scores.iter().map(|score| (f64::from(*score) - f64::from(largest)).exp());
            terms.sum::<f64>().ln() + f64::from(largest) - score(usize::from(truth))
        }
    }
}

const _: () = assert!(UNLABELLED == IGNORED);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::card::Axes;
    use crate::decode::Elements;
    use crate::prepare::{Placement, Rect};

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

    /// The loss of a frame of `frame` pixels (width) and one row, over two samples.
    fn loss_of(scores: &[f32], meaning: Meaning, truth: &[u8]) -> CrossEntropy {
        let shape = [scores.len() / 2, 1, 2];
        let scores = Scores::new(Elements::F32(scores), Axes::Nchw, shape).unwrap();
        let width = truth.len() as u32;
        let source = Rect { x: 0, y: 0, width, height: 1 };
        let target = Rect { x: 0, y: 0, width: 2, height: 1 };
        let placement = Placement { source, target, input: [1, 2] };
        let mapping = Mapping::whole(placement, width, 1);
        let mut loss = CrossEntropy::default();
        loss.add(&scores, meaning, &mapping, truth, [1, width]).unwrap();
        loss
    }

    fn close(found: CrossEntropy, sum: f64, pixels: u64) {
        assert!((found.sum - sum).abs() < 1e-6, "{found:?}, expected {sum}");
        assert_eq!(found.pixels, pixels);
    }

    #[test]
    fn cross_entropies_equal_numbers_by_hand() {
        let ln = f64::ln;
        // Softmax of (ln 3, 0) is (3/4, 1/4); of equal logits 1/2 each.
        let logits = [3.0_f32.ln(), 0.0, 0.0, 0.0];
        close(loss_of(&logits, Meaning::Logits, &[0, 1]), ln(4.0 / 3.0) + ln(2.0), 2);
        close(loss_of(&logits, Meaning::Logits, &[1, 255]), ln(4.0), 1);
        // Large logits do not overflow.
        close(loss_of(&[1000.0, 1000.0, 0.0, 0.0], Meaning::Logits, &[0, 1]), 1000.0, 2);
        // Four pixels lie at -1/4, 1/4, 3/4 and 5/4 of the samples' distance.
        let logits = [4.0, 0.0, 0.0, 0.0];
        let sum = [4.0, 3.0, 1.0, 0.0].map(|logit: f64| (1.0 + (-logit).exp()).ln()).iter().sum();
        close(loss_of(&logits, Meaning::Logits, &[0; 4]), sum, 4);

        let p = [0.75, 0.0, 0.25, 1.0];
        close(loss_of(&p, Meaning::Probabilities, &[0, 1]), -ln(0.75), 2);
        close(loss_of(&p, Meaning::Probabilities, &[1, 0]), -ln(0.25) - ln(1e-7), 2);

        close(loss_of(&[0.75, 0.0], Meaning::Binary, &[1, 0]), -ln(0.75) - ln(1.0 - 1e-7), 2);
        close(loss_of(&[0.75, 1.0], Meaning::Binary, &[0, 0]), -ln(0.25) - ln(1e-7), 2);
    }

    #[test]
    fn nan_scores_have_no_mean() {
        assert_eq!(loss_of(&[f32::NAN, 0.0], Meaning::Binary, &[1, 1]).mean(), None);
        assert_eq!(loss_of(&[0.5, 0.5], Meaning::Binary, &[1, 1]).mean(), Some(2.0_f64.ln()));
    }

    #[test]
    fn a_softmax_is_told_from_logits() {
        let of = |numbers: &[f32]| {
            let scores = Scores::new(Elements::F32(numbers), Axes::Nhwc, [2, 1, 2]).unwrap();
            Meaning::of(Kind::Scores, &scores)
        };
        assert_eq!(of(&[0.25, 0.75, 1.0, 0.0]), Some(Meaning::Probabilities));
        assert_eq!(of(&[0.25, 0.75, 1.0, 0.1]), Some(Meaning::Logits));
        assert_eq!(of(&[0.25, 0.75, 2.0, -1.0]), Some(Meaning::Logits));
        assert_eq!(of(&[0.25, 0.75, f32::NAN, 1.0]), Some(Meaning::Logits));
    }
}
