//! Which source samples make an output sample along one axis.

/// Weights are fractions of this.
pub const ONE: u32 = 1 << WEIGHT_BITS;
pub const WEIGHT_BITS: u32 = 30;

/// The samples `start..=end`, of which all but the outer two weigh the same. The weights add
/// up to [`ONE`] exactly; a single sample has it as `first`, and `last` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
    pub first: u32,
    pub middle: u32,
    pub last: u32,
}

impl Span {
    fn single(at: u32) -> Span {
        Span { start: at, end: at, first: ONE, middle: 0, last: 0 }
    }

    /// The weight of any sample.
    pub fn weight(&self, index: u32) -> u32 {
        match index {
            _ if index == self.start => self.first,
            _ if index == self.end => self.last,
            _ if index > self.start && index < self.end => self.middle,
            _ => 0,
        }
    }

    /// Samples between the outer two.
    pub fn inner(&self) -> u32 {
        (self.end - self.start).saturating_sub(1)
    }

    /// The same for samples of which each stands for a pair: the weights of a pair add up.
    pub fn halved(&self) -> Span {
        let Span { start, end, first, middle, last } = *self;
        if start / 2 == end / 2 {
            return Span::single(start / 2);
        }
        Span {
            start: start / 2,
            end: end / 2,
            first: if start % 2 == 0 { first + middle } else { first },
            middle: 2 * middle,
            last: if end % 2 == 1 { last + middle } else { last },
        }
    }
}

/// Output sample `at` of `to`, made of the `from` samples that begin at 0.
fn scaled(at: u32, from: u32, to: u32) -> Span {
    let [at, source, target] = [at, from, to].map(i64::from);
    let one = i64::from(ONE);
    if source <= target {
        // In units of 1 / (2 * target), from the centre of sample 0.
        let centre = (2 * at + 1) * source - target;
        let start = centre.div_euclid(2 * target);
        if start < 0 || start + 1 >= source || centre % (2 * target) == 0 {
            return Span::single(start.clamp(0, source - 1) as u32);
        }
        let last = (one * centre.rem_euclid(2 * target) + target) / (2 * target);
        let (start, last) = (start as u32, last as u32);
        return Span { start, end: start + 1, first: ONE - last, middle: 0, last };
    }
    // In units of 1 / target: samples are `target` long, the output sample `source`.
    let (begin, stop) = (at * source, (at + 1) * source);
    let (start, end) = (begin / target, (stop - 1) / target);
    let weight = |length: i64| (one * length + source / 2) / source;
    let (first, middle) = (weight((start + 1) * target - begin), weight(target));
    let inner = end - start - 1;
    // What rounding leaves over is at most half a unit a sample.
    let last = (one - first - inner * middle).max(0);
    let first = one - last - inner * middle;
    let [start, end, first, middle, last] = [start, end, first, middle, last].map(|n| n as u32);
    Span { start, end, first, middle, last }
}

/// The index that numpy's `reflect` padding gives: the border sample is not repeated.
fn reflect(at: i64, length: u32) -> u32 {
    let last = i64::from(length) - 1;
    let folded = at.rem_euclid((2 * last).max(1));
    (if folded > last { 2 * last - folded } else { folded }) as u32
}

/// The spans of a whole axis: `to` output samples from the `from` samples that begin at
/// `at` of an axis with `length`; beyond it only where `from` equals `to`.
pub fn spans(at: i32, from: u32, to: u32, length: u32) -> impl Iterator<Item = Span> {
    (0..to).map(move |index| {
        if from == to {
            return Span::single(reflect(i64::from(at) + i64::from(index), length));
        }
        let span = scaled(index, from, to);
        Span { start: span.start + at as u32, end: span.end + at as u32, ..span }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(span: Span) -> u64 {
        let [first, middle, last] = [span.first, span.middle, span.last].map(u64::from);
        first + u64::from(span.inner()) * middle + last
    }

    #[test]
    fn weights_add_up_to_one() {
        for from in (1..70).chain([720, 1279, 1280, 16_384]) {
            for to in (1..70).chain([224, 256, 1000, 8192]) {
                for span in spans(3, from, to, from + 3) {
                    assert_eq!(sum(span), u64::from(ONE), "{from} -> {to}: {span:?}");
                    assert_eq!(sum(span.halved()), u64::from(ONE), "{from} -> {to}: {span:?}");
                    assert!(span.start >= 3 && span.start <= span.end && span.end < from + 3);
                }
            }
        }
    }

    #[test]
    fn reflection_folds_at_any_distance() {
        let fold = |length| (-7..9).map(|at| reflect(at, length)).collect::<Vec<u32>>();
        assert_eq!(fold(4), [1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!(fold(2), [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(fold(1), [0; 16]);
    }
}
