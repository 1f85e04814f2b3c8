//! How far a network's probabilities are from the float network's: finer than counting the pixels
//! that change their class, of which there are few.

use crate::decode::Scores;
use crate::evaluate::Meaning;
use std::ops::Range;

/// Probabilities that are kept of an output, at most.
const MOST: usize = 1 << 18;
/// Probabilities below are the same to a mask, and what bytes cannot tell from 0.
const LEAST: f32 = 1e-3;

/// Probabilities of the classes, sample by sample.
pub struct Distribution {
    /// How the scores were read.
    pub meaning: Meaning,
    classes: usize,
    probabilities: Vec<f32>,
}

impl Distribution {
    /// Of some columns and rows, or of a grid of their samples where they are too many.
    pub fn new(
        scores: &Scores,
        meaning: Meaning,
        columns: Range<usize>,
        rows: Range<usize>,
    ) -> Distribution {
        let classes = scores.channels.max(2);
        let all = classes * columns.len() * rows.len();
        let step = all.div_ceil(MOST).isqrt().max(1);
        let step = if all.div_ceil(step * step) > MOST { step + 1 } else { step };
        let mut probabilities = Vec::new();
        for y in rows.step_by(step) {
            for x in columns.clone().step_by(step) {
                let start = probabilities.len();
                match meaning {
                    Meaning::Binary => {
                        let p = scores.at(0, y, x).clamp(0.0, 1.0);
                        probabilities.extend([1.0 - p, p]);
                    }
                    Meaning::Probabilities | Meaning::Logits => {
                        probabilities.extend((0..scores.channels).map(|c| scores.at(c, y, x)));
                    }
                }
                if meaning == Meaning::Logits {
                    softmax(&mut probabilities[start..]);
                }
            }
        }
        Distribution { meaning, classes, probabilities }
    }

    /// The Kullback-Leibler divergence of `other` from this one in nats, the mean of the samples:
    /// sum of p ln(p / q) over the classes. 0 of nothing.
    pub fn divergence(&self, other: &Distribution) -> f64 {
        let pairs = self.probabilities.iter().zip(&other.probabilities);
        let sum: f64 =
            pairs.map(|(p, q)| f64::from(p.max(LEAST) * (p.max(LEAST) / q.max(LEAST)).ln())).sum();
        // Cut probabilities do not sum to 1 exactly.
        sum.max(0.0) / (self.probabilities.len() / self.classes).max(1) as f64
    }
}

fn softmax(scores: &mut [f32]) {
    // Less the largest, so that no exponential overflows.
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in &mut *scores {
        *score = (*score - largest).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::card::Axes;
    use crate::decode::Elements;

    fn of(values: &[f32], classes: usize, meaning: Meaning) -> Distribution {
        let shape = [classes, 1, values.len() / classes];
        let scores = Scores::new(Elements::F32(values), Axes::Nhwc, shape).unwrap();
        Distribution::new(&scores, meaning, 0..shape[2], 0..1)
    }

    #[test]
    fn logits_of_one_distribution_are_none_apart() {
        let a = of(&[1.0, 3.0, -2.0, 0.5], 2, Meaning::Logits);
        let b = of(&[101.0, 103.0, -4.5, -2.0], 2, Meaning::Logits);
        assert!(a.divergence(&b) < 1e-6);
        let certain = of(&[0.0, 1.0], 2, Meaning::Probabilities);
        assert_eq!(certain.divergence(&certain), 0.0);
    }

    #[test]
    fn the_mean_of_the_samples_counts() {
        // 0.75 ln(0.75 / 0.5) + 0.25 ln(0.25 / 0.5), and none at the other sample.
        let float = of(&[0.75, 0.5], 1, Meaning::Binary);
        let found = float.divergence(&of(&[0.5, 0.5], 1, Meaning::Binary));
        assert!((found - 0.130_812 / 2.0).abs() < 1e-6, "{found}");
    }

    #[test]
    fn large_outputs_are_looked_at_in_a_grid() {
        let values = vec![0.25; 2 * 600 * 600];
        let scores = Scores::new(Elements::F32(&values), Axes::Nchw, [2, 600, 600]).unwrap();
        let found = Distribution::new(&scores, Meaning::Logits, 0..600, 0..600);
        assert_eq!(found.probabilities.len(), 2 * 300 * 300);
        let found = Distribution::new(&scores, Meaning::Logits, 10..20, 10..20);
        assert_eq!(found.probabilities.len(), 2 * 10 * 10);
    }
}
