//! The loss that networks are trained with, from scores interpolated as for the argmax.

use super::{EvaluateError, IGNORED, check_truth};
use crate::config::card::Kind;
use crate::decode::{Axis, Mapping, Scores, mix};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::card::Axes;
    use crate::decode::Elements;
    use crate::prepare::{Placement, Rect};

    /// The loss of a frame of one row, over two samples.
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
