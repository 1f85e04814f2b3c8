//! The losses that networks are trained with, from scores interpolated as for the argmax.

use super::{IGNORED, mean};
use crate::config::card::Kind;
use crate::decode::{Axis, DecodeError, LabelMap, Mapping, Scores, mix};

/// What the numbers of an output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Before the softmax.
    Logits,
    /// A softmax inside the network.
    Probabilities,
    /// One channel, the probability of class 1.
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

/// Probabilities are cut to this for the logarithm and, for [`Meaning::Binary`], to 1 less this.
const LEAST: f64 = 1e-7;

/// Sums over pixels. With p the probability of a class at a pixel and g 1 where that is the true
/// class, else 0:
/// * the cross entropy of a pixel is -ln(p of its true class), in nats;
/// * the soft Dice coefficient of a class is 2 sum(p g) / (sum(p²) + sum(g²)), and the soft Dice
///   loss 1 less the mean coefficient of the classes that the truth has. With the object's class
///   alone it is V-Net's, whose networks have two classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    cross_entropy: f64,
    pixels: u64,
    overlaps: Vec<Overlap>,
}

/// The sums of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Overlap {
    /// Of p g.
    both: f64,
    /// Of p².
    squares: f64,
    /// Of g², which is g.
    truth: u64,
}

impl Losses {
    pub fn new(classes: usize) -> Losses {
        Losses { cross_entropy: 0.0, pixels: 0, overlaps: vec![Overlap::default(); classes] }
    }

    /// Of all pixels. None before the first one, and when scores were NaN or infinitely wrong.
    pub fn cross_entropy(&self) -> Option<f64> {
        let mean = self.cross_entropy / self.pixels as f64;
        (self.pixels > 0 && mean.is_finite()).then_some(mean)
    }

    /// The coefficient of a class; None where the truth does not have it.
    pub fn soft_dice(&self, class: usize) -> Option<f64> {
        let Overlap { both, squares, truth } = *self.overlaps.get(class)?;
        let dice = 2.0 * both / (squares + truth as f64);
        (truth > 0 && dice.is_finite()).then_some(dice)
    }

    pub fn soft_dice_loss(&self) -> Option<f64> {
        mean((0..self.overlaps.len()).map(|class| self.soft_dice(class))).map(|dice| 1.0 - dice)
    }

    /// Adds the frame pixels of a mapping, whose scores are interpolated bilinearly as for the
    /// argmax. `truth` has the frame's size; [`IGNORED`] pixels and ids that are no class do not
    /// count, nor do pixels that the network has not seen.
    pub fn add(
        &mut self,
        scores: &Scores,
        meaning: Meaning,
        mapping: &Mapping,
        truth: &LabelMap,
    ) -> Result<(), DecodeError> {
        let (mut columns, mut rows) = (Axis::default(), Axis::default());
        let samples = [scores.height, scores.width];
        Axis::map(&mut columns, &mut rows, mapping, [truth.height, truth.width], samples)?;
        let classes = if meaning == Meaning::Binary { 2 } else { scores.channels };
        self.overlaps.resize(classes.max(self.overlaps.len()), Overlap::default());
        // The scores of one row of pixels, still at the samples' columns: by column, then class.
        let mut line = vec![0.0; scores.width * scores.channels];
        let mut pixel = vec![0.0; scores.channels];
        let mut probabilities = vec![0.0; classes];
        for row in &rows.cells {
            for (y, down) in rows.pixels(*row) {
                for (x, line) in line.chunks_exact_mut(scores.channels).enumerate() {
                    for (class, score) in line.iter_mut().enumerate() {
                        let at = |y| scores.at(class, y, x);
                        *score = mix(at(row.low), at(row.high), down);
                    }
                }
                let truth = truth.row(y as u32);
                for column in &columns.cells {
                    let at = |x: usize| &line[x * scores.channels..][..scores.channels];
                    let (left, right) = (at(column.low), at(column.high));
                    for (x, weight) in columns.pixels(*column) {
                        let class = usize::from(truth[x]);
                        if truth[x] == IGNORED || class >= classes {
                            continue;
                        }
                        for ((score, left), right) in pixel.iter_mut().zip(left).zip(right) {
                            *score = mix(*left, *right, weight);
                        }
                        self.cross_entropy += judge(&pixel, meaning, class, &mut probabilities);
                        self.pixels += 1;
                        self.overlaps[class].both += probabilities[class];
                        self.overlaps[class].truth += 1;
                        for (overlap, p) in self.overlaps.iter_mut().zip(&probabilities) {
                            overlap.squares += p * p;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes the probabilities of one pixel, and gives its cross entropy.
fn judge(scores: &[f32], meaning: Meaning, truth: usize, probabilities: &mut [f64]) -> f64 {
    match meaning {
        Meaning::Binary => {
            let p = f64::from(scores[0]).clamp(0.0, 1.0);
            probabilities[0] = 1.0 - p;
            probabilities[1] = p;
            -probabilities[truth].clamp(LEAST, 1.0 - LEAST).ln()
        }
        Meaning::Probabilities => {
            for (p, score) in probabilities.iter_mut().zip(scores) {
                *p = f64::from(*score);
            }
            -probabilities[truth].clamp(LEAST, 1.0).ln()
        }
        Meaning::Logits => {
            // Less the largest, so that no exponential overflows.
            let largest = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let mut sum = 0.0;
            for (p, score) in probabilities.iter_mut().zip(scores) {
                *p = (f64::from(*score) - largest).exp();
                sum += *p;
            }
            for p in &mut *probabilities {
                *p /= sum;
            }
            sum.ln() + largest - f64::from(scores[truth])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::card::Axes;
    use crate::decode::Elements;
    use crate::prepare::{Placement, Rect};

    /// The losses of a frame of one row, over two samples.
    fn losses(scores: &[f32], meaning: Meaning, truth: &[u8]) -> Losses {
        let shape = [scores.len() / 2, 1, 2];
        let scores = Scores::new(Elements::F32(scores), Axes::Nchw, shape).unwrap();
        let width = truth.len() as u32;
        let source = Rect { x: 0, y: 0, width, height: 1 };
        let target = Rect { x: 0, y: 0, width: 2, height: 1 };
        let placement = Placement { source, target, input: [1, 2] };
        let mapping = Mapping::whole(placement, width, 1);
        let mut losses = Losses::new(2);
        let truth = LabelMap { width, height: 1, ids: truth.to_vec() };
        losses.add(&scores, meaning, &mapping, &truth).unwrap();
        losses
    }

    fn close(found: Losses, sum: f64, pixels: u64) {
        assert!((found.cross_entropy - sum).abs() < 1e-6, "{found:?}, expected {sum}");
        assert_eq!(found.pixels, pixels);
    }

    fn near(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn cross_entropies_equal_numbers_by_hand() {
        let ln = f64::ln;
        // Softmax of (ln 3, 0) is (3/4, 1/4); of equal logits 1/2 each.
        let logits = [3.0_f32.ln(), 0.0, 0.0, 0.0];
        close(losses(&logits, Meaning::Logits, &[0, 1]), ln(4.0 / 3.0) + ln(2.0), 2);
        close(losses(&logits, Meaning::Logits, &[1, 255]), ln(4.0), 1);
        // Large logits do not overflow.
        close(losses(&[1000.0, 1000.0, 0.0, 0.0], Meaning::Logits, &[0, 1]), 1000.0, 2);
        // Four pixels lie at -1/4, 1/4, 3/4 and 5/4 of the samples' distance.
        let logits = [4.0, 0.0, 0.0, 0.0];
        let sum = [4.0, 3.0, 1.0, 0.0].map(|logit: f64| (1.0 + (-logit).exp()).ln()).iter().sum();
        close(losses(&logits, Meaning::Logits, &[0; 4]), sum, 4);

        let p = [0.75, 0.0, 0.25, 1.0];
        close(losses(&p, Meaning::Probabilities, &[0, 1]), -ln(0.75), 2);
        close(losses(&p, Meaning::Probabilities, &[1, 0]), -ln(0.25) - ln(1e-7), 2);

        close(losses(&[0.75, 0.0], Meaning::Binary, &[1, 0]), -ln(0.75) - ln(1.0 - 1e-7), 2);
        close(losses(&[0.75, 1.0], Meaning::Binary, &[0, 0]), -ln(0.25) - ln(1e-7), 2);
    }

    #[test]
    fn soft_dice_equals_numbers_by_hand() {
        // Class 0: p = 3/4 and 0, g = 1 and 0: 2 (3/4) / (9/16 + 1) = 24/25.
        // Class 1: p = 1/4 and 1, g = 0 and 1: 2 / (1/16 + 1 + 1) = 32/33.
        let found = losses(&[0.75, 0.0, 0.25, 1.0], Meaning::Probabilities, &[0, 1]);
        near(found.soft_dice(0), 24.0 / 25.0);
        near(found.soft_dice(1), 32.0 / 33.0);
        near(found.soft_dice_loss(), 1.0 - (24.0 / 25.0 + 32.0 / 33.0) / 2.0);
        // The same numbers, given otherwise.
        let same = found.soft_dice_loss().unwrap();
        near(losses(&[0.25, 1.0], Meaning::Binary, &[0, 1]).soft_dice_loss(), same);
        let logits = [0.75_f32.ln(), -100.0, 0.25_f32.ln(), 0.0];
        near(losses(&logits, Meaning::Logits, &[0, 1]).soft_dice_loss(), same);
        // Ignored pixels and classes that the truth does not have are left out.
        let found = losses(&[0.75, 0.0, 0.25, 1.0], Meaning::Probabilities, &[0, 255]);
        assert_eq!(found.soft_dice(1), None);
        near(found.soft_dice_loss(), 1.0 / 25.0);
        assert_eq!(losses(&[0.5; 4], Meaning::Logits, &[255, 255]).soft_dice_loss(), None);
    }

    #[test]
    fn nan_scores_have_no_mean() {
        let nan = losses(&[f32::NAN, 0.0], Meaning::Binary, &[1, 1]);
        assert_eq!((nan.cross_entropy(), nan.soft_dice_loss()), (None, None));
        let half = losses(&[0.5, 0.5], Meaning::Binary, &[1, 1]);
        assert_eq!(half.cross_entropy(), Some(2.0_f64.ln()));
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
