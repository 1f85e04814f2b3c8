//! From the values of a tensor to the range that its bytes cover.

use super::statistics::Histogram;

/// How ranges are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// From the smallest value to the largest.
    MinMax,
    /// All but this share of the values, half of it at either end.
    Percentile(f64),
    /// The range with the least squared error of what is rounded and what is cut off.
    SquaredError,
}

impl Method {
    /// As the command line has it.
    pub fn from_name(name: &str) -> Option<Method> {
        match name {
            "minmax" => Some(Method::MinMax),
            "percentile" => Some(Method::Percentile(5e-4)),
            "mse" => Some(Method::SquaredError),
            _ => None,
        }
    }

    pub fn name(self) -> String {
        match self {
            Method::MinMax => "minmax".to_owned(),
            Method::Percentile(left_out) => format!("percentile {}", 100.0 * (1.0 - left_out)),
            Method::SquaredError => "mse".to_owned(),
        }
    }
}

/// The lowest and highest value to represent; 0 lies between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

/// Scale and zero point of u8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bytes {
    pub scale: f32,
    pub zero_point: u8,
}

impl Bytes {
    /// What its bytes stand for, from the lowest to the highest.
    pub fn range(self) -> Range {
        let at = |byte: u8| (f64::from(byte) - f64::from(self.zero_point)) * f64::from(self.scale);
        Range { low: at(0), high: at(255) }
    }
}

/// Steps below it would leave nothing of a product with the weights' steps.
const LEAST_SCALE: f64 = 1e-20;

impl Range {
    pub const NONE: Range = Range { low: 0.0, high: 0.0 };

    pub fn union(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    pub fn span(self) -> f64 {
        self.high - self.low
    }

    pub fn within(self, low: f64, high: f64) -> Range {
        Range { low: self.low.max(low).min(0.0), high: self.high.min(high).max(0.0) }
    }

    /// 256 steps from low to high, moved by less than one so that 0 is one of them. What is
    /// always 0 takes steps of 1.
    pub fn bytes(self) -> Bytes {
        let span = self.span();
        let scale = if span > 0.0 { (span / 255.0).max(LEAST_SCALE) } else { 1.0 };
        let scale = scale as f32;
        let zero_point = (-self.low / f64::from(scale)).round_ties_even().clamp(0.0, 255.0);
        Bytes { scale, zero_point: zero_point as u8 }
    }
}

/// The range of values that are scaled histogram by histogram.
pub fn range(method: Method, histograms: &[Histogram], factors: Option<&[f64]>) -> Range {
    let factor = |index: usize| factors.and_then(|all| all.get(index)).copied().unwrap_or(1.0);
    let mut whole = Range::NONE;
    let mut bins = Vec::new();
    let mut zeros = 0.0;
    for (index, histogram) in histograms.iter().enumerate() {
        if histogram.low > histogram.high {
            continue;
        }
        let factor = factor(index);
        let (low, high) = (f64::from(histogram.low) * factor, f64::from(histogram.high) * factor);
        whole = whole.union(Range { low, high });
        zeros += f64::from(histogram.zeros);
        bins.extend(histogram.bins().map(|(x, count)| (x * factor, f64::from(count))));
    }
    match method {
        Method::MinMax => whole,
        Method::Percentile(left_out) => percentile(left_out, whole, bins, zeros),
        Method::SquaredError => least_error(whole, bins),
    }
}

fn percentile(left_out: f64, whole: Range, mut bins: Vec<(f64, f64)>, zeros: f64) -> Range {
    bins.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = zeros + bins.iter().map(|(_, count)| count).sum::<f64>();
    let allowed = all * left_out / 2.0;
    let first = |bins: &mut dyn Iterator<Item = &(f64, f64)>| {
        let mut passed = 0.0;
        for (x, count) in bins {
            passed += count;
            if passed > allowed {
                return *x;
            }
        }
        0.0
    };
    let low = first(&mut bins.iter());
    let high = first(&mut bins.iter().rev());
    whole.within(low, high)
}

/// Fractions of either end that are tried.
const TRIED: usize = 40;

fn least_error(whole: Range, bins: Vec<(f64, f64)>) -> Range {
    // Coarse enough to be tried often, fine enough for the ends.
    let bins = thin(whole, &bins);
    let error = |range: Range| {
        let step = range.span() / 255.0;
        bins.iter().fold(0.0, |sum, (x, count)| {
            let beyond = (x - range.high).max(range.low - x).max(0.0);
            sum + count * (beyond * beyond + step * step / 12.0)
        })
    };
    let fraction = |index: usize| 1.0 - 0.9 * index as f64 / TRIED as f64;
    let best = |ranges: &mut dyn Iterator<Item = Range>| {
        ranges.map(|range| (error(range), range)).min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let mut found = whole;
    let both = |part: f64| Range { low: whole.low * part, high: whole.high * part };
    if let Some((_, range)) = best(&mut (0..TRIED).map(|index| both(fraction(index)))) {
        found = range;
    }
    // Each end for itself, twice.
    for _ in 0..2 {
        let low = found;
        let mut lows = (0..TRIED).map(|at| Range { low: whole.low * fraction(at), ..low });
        found = best(&mut lows).map_or(found, |(_, range)| range);
        let high = found;
        let mut highs = (0..TRIED).map(|at| Range { high: whole.high * fraction(at), ..high });
        found = best(&mut highs).map_or(found, |(_, range)| range);
    }
    found
}

fn thin(whole: Range, bins: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const CELLS: usize = 2048;
    let width = whole.span() / CELLS as f64;
    if width <= 0.0 {
        return Vec::new();
    }
    let mut cells = vec![(0.0, 0.0); CELLS];
    for (x, count) in bins {
        let cell = &mut cells[(((x - whole.low) / width) as usize).min(CELLS - 1)];
        cell.0 += x * count;
        cell.1 += count;
    }
    let filled = cells.into_iter().filter(|(_, count)| *count > 0.0);
    filled.map(|(sum, count)| (sum / count, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32]) -> Vec<Histogram> {
        let mut histogram = Histogram::default();
        histogram.add(values);
        vec![histogram]
    }

    #[test]
    fn zero_is_always_a_step() {
        for (low, high) in [(-1.0, 1.0), (0.0, 6.0), (-3.3, 0.0), (-1e-3, 5e4), (0.0, 1e-30)] {
            let Bytes { scale, zero_point } = Range { low, high }.bytes();
            assert!(scale.is_normal() && scale > 0.0);
            let step = f64::from(scale);
            let lowest = -f64::from(zero_point) * step;
            assert!((lowest - low).abs() <= step * 0.51, "{low}: {lowest}");
        }
        assert_eq!(Range::NONE.bytes(), Bytes { scale: 1.0, zero_point: 0 });
        // What begins above 0 is covered from 0 on.
        assert_eq!(range(Method::MinMax, &histogram(&[3.0, 5.0]), None).low, 0.0);
    }

    #[test]
    fn outliers_are_kept_cut_or_weighed() {
        let mut values: Vec<f32> = (0..100_000).map(|at| at as f32 / 1e5).collect();
        values.push(1000.0);
        let histograms = histogram(&values);
        assert_eq!(range(Method::MinMax, &histograms, None).high, 1000.0);
        let cut = range(Method::Percentile(1e-3), &histograms, None).high;
        assert!(cut < 10.0, "{cut}");
        let weighed = range(Method::SquaredError, &histograms, None).high;
        assert!((100.0..1000.0).contains(&weighed), "{weighed}");
    }

    #[test]
    fn channels_are_scaled_before_they_are_joined() {
        let mut both = histogram(&[0.0, 1.0]);
        both.extend(histogram(&[-4.0, 8.0]));
        let range = range(Method::MinMax, &both, Some(&[8.0, 1.0]));
        assert_eq!(range, Range { low: -4.0, high: 8.0 });
    }
}
