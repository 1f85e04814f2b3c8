//! What values tensors take, picture after picture, in bounded memory: a histogram for each
//! channel, whose bins grow with the values.

use super::range::Range;

/// Bins of a histogram.
const BINS: usize = 512;
/// From twice as many values on only some are counted.
const MANY: usize = 1 << 12;
/// Channels with a histogram each; more share one.
pub const MOST_CHANNELS: usize = 1024;

/// Values of one channel, or of all of them.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// A bin's width, a power of two, so that two bins make one of the next.
    width: f64,
    /// The number of the first bin: bin k covers [k, k + 1) widths.
    start: i64,
    counts: Vec<u32>,
    pub zeros: u32,
    pub low: f32,
    pub high: f32,
}

impl Default for Histogram {
    fn default() -> Histogram {
        let (low, high) = (f32::INFINITY, f32::NEG_INFINITY);
        Histogram { width: 0.0, start: 0, counts: Vec::new(), zeros: 0, low, high }
    }
}

impl Histogram {
    /// Adds finite values: the extremes of all of them, of many every so manyth to the counts.
    pub fn add(&mut self, values: &[f32]) {
        let Sums { low, high, .. } = Sums::of(values);
        self.add_within(values, low, high);
    }

    /// The same, the extremes known.
    fn add_within(&mut self, values: &[f32], low: f32, high: f32) {
        if low > high {
            return;
        }
        self.cover(low, high);
        let (inverse, start) = (1.0 / self.width, self.start as f64);
        let mut zeros = 0;
        // Odd, so that no column of an even width is preferred.
        for x in values.iter().step_by(values.len() / MANY * 2 + 1) {
            zeros += u32::from(*x == 0.0);
            let bin = (f64::from(*x) * inverse - start) as usize;
            let count = &mut self.counts[bin.min(BINS - 1)];
            *count = count.saturating_add(1);
        }
        self.zeros = self.zeros.saturating_add(zeros);
    }

    fn cover(&mut self, low: f32, high: f32) {
        let fresh = self.counts.is_empty();
        let inside = low >= self.low && high <= self.high;
        self.low = self.low.min(low);
        self.high = self.high.max(high);
        if inside {
            return;
        }
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        if fresh {
            self.counts = vec![0; BINS];
            let span = (high - low).max(high.abs().max(low.abs()) * 1e-5).max(1e-30);
            self.width = (span / (BINS - 2) as f64).log2().ceil().exp2();
            self.start = (low / self.width).floor() as i64;
        }
        let bin = |x: f64, width: f64| (x / width).floor() as i64;
        while bin(high, self.width) - bin(low, self.width) >= BINS as i64 {
            let mut merged = vec![0; BINS];
            let start = self.start.div_euclid(2);
            for (index, count) in self.counts.iter().enumerate() {
                let at = (self.start + index as i64).div_euclid(2) - start;
                merged[(at as usize).min(BINS - 1)] += count;
            }
            self.counts = merged;
            self.start = start;
            self.width *= 2.0;
        }
        let start = bin(low, self.width);
        let used = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0) as i64;
        if start < self.start || self.start + used >= start + BINS as i64 {
            let mut moved = vec![0; BINS];
            for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let at = self.start + index as i64 - start;
                moved[at.clamp(0, BINS as i64 - 1) as usize] += count;
            }
            self.counts = moved;
            self.start = start;
        } else if bin(high, self.width) - self.start >= BINS as i64 {
            // There is room if the bins begin with the lowest value.
            let first = (start - self.start) as usize;
            self.counts.rotate_left(first);
            self.start = start;
        }
    }

    /// The middle of each bin with its count, zeroes apart.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u32)> {
        let zero = -self.start;
        self.counts.iter().enumerate().filter_map(move |(index, count)| {
            let count =
                if index as i64 == zero { count.saturating_sub(self.zeros) } else { *count };
            let middle = ((self.start + index as i64) as f64 + 0.5) * self.width;
            let middle = middle.clamp(self.low.into(), self.high.into());
            (count > 0).then_some((middle, count))
        })
    }
}

/// The extremes of some values, and their sum; the sum of what is no number is none.
struct Sums {
    low: f32,
    high: f32,
    sum: f64,
}

impl Sums {
    /// In one pass over many lanes.
    fn of(values: &[f32]) -> Sums {
        const LANES: usize = 16;
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let mut sum = 0.0;
        for block in values.chunks(64 * LANES) {
            let mut sums = [0.0f32; LANES];
            let (rows, rest) = block.as_chunks::<LANES>();
            for row in rows {
                for lane in 0..LANES {
                    let x = row[lane];
                    low[lane] = if x < low[lane] { x } else { low[lane] };
                    high[lane] = if x > high[lane] { x } else { high[lane] };
                    sums[lane] += x;
                }
            }
            for x in rest {
                low[0] = low[0].min(*x);
                high[0] = high[0].max(*x);
                sums[0] += x;
            }
            sum += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        Sums { low, high, sum }
    }
}

/// Values of a tensor.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// One for each channel, or one for all.
    pub histograms: Vec<Histogram>,
    /// Sums of each channel's values, of the greatest magnitudes of each picture, and how many.
    pub sums: Vec<f64>,
    pub reaches: Vec<f64>,
    pub values: u64,
    pub pictures: u64,
}

impl Statistics {
    /// Adds a tensor of this shape (batch, channels, rest); false if it holds what is no number.
    /// Without `histogram` only sums and magnitudes are kept.
    pub fn add(&mut self, values: &[f32], shape: &[usize], histogram: bool) -> bool {
        let channels = shape.get(1).copied().unwrap_or(1).max(1);
        let plane = values.len() / channels / shape.first().copied().unwrap_or(1).max(1);
        if plane == 0 || channels * plane != values.len() {
            // Several pictures at once are not told apart.
            self.whole(values, histogram);
            return Sums::of(values).sum.is_finite();
        }
        self.sums.resize(channels, 0.0);
        self.reaches.resize(channels, 0.0);
        let each = channels <= MOST_CHANNELS;
        if histogram {
            self.histograms.resize(if each { channels } else { 1 }, Histogram::default());
        }
        for (channel, values) in values.chunks_exact(plane).enumerate() {
            let Sums { low, high, sum } = Sums::of(values);
            if !sum.is_finite() {
                return false;
            }
            self.sums[channel] += sum;
            self.reaches[channel] += f64::from(high.abs().max(low.abs()));
            if histogram && each {
                self.histograms[channel].add_within(values, low, high);
            }
        }
        if histogram && !each {
            self.histograms[0].add(values);
        }
        self.values += plane as u64;
        self.pictures += 1;
        true
    }

    fn whole(&mut self, values: &[f32], histogram: bool) {
        if histogram {
            self.histograms.resize(1, Histogram::default());
            self.histograms[0].add(values);
        }
        self.pictures += 1;
    }

    /// How far the mean of each channel moves when values times `factor` are kept within a range;
    /// nothing where it is not known.
    pub fn clipped(&self, range: Range, factor: impl Fn(usize) -> f64) -> Vec<f64> {
        if self.histograms.len() != self.sums.len() {
            return vec![0.0; self.sums.len()];
        }
        let channel = |(index, histogram): (usize, &Histogram)| {
            let (mut sum, mut all) = (0.0, f64::from(histogram.zeros));
            for (x, count) in histogram.bins() {
                let x = x * factor(index);
                sum += f64::from(count) * (x.clamp(range.low, range.high) - x);
                all += f64::from(count);
            }
            sum / all.max(1.0)
        };
        self.histograms.iter().enumerate().map(channel).collect()
    }

    /// Mean of each channel's values.
    pub fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.values.max(1) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_grow_both_ways_and_lose_nothing() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut histogram = Histogram::default();
        let mut all = Vec::new();
        for scale in [1e-3, 1.0, 0.1, 1e4, 3e-5, 2e4] {
            let shift = random.f32() - 0.5;
            let values: Vec<f32> = (0..1000).map(|_| scale * (random.f32() + shift)).collect();
            histogram.add(&values);
            histogram.add(&[0.0; 10]);
            all.extend(values);
        }
        assert_eq!(histogram.zeros, 60);
        assert_eq!(histogram.bins().map(|(_, count)| count).sum::<u32>(), all.len() as u32);
        let low = all.iter().copied().fold(f32::INFINITY, f32::min);
        assert_eq!(histogram.low, low.min(0.0));
        let span = f64::from(histogram.high) - f64::from(histogram.low);
        assert!(histogram.width <= span / 100.0, "{} of {span}", histogram.width);
        let above = |limit: f64| {
            let bins = histogram.bins().filter(|(x, _)| *x > limit);
            f64::from(bins.map(|(_, count)| count).sum::<u32>())
        };
        for limit in [5e3, 1e4, 1.5e4] {
            let right = all.iter().filter(|x| f64::from(**x) > limit).count() as f64;
            assert!((above(limit) - right).abs() < 20.0, "{limit}: {} {right}", above(limit));
        }
    }

    #[test]
    fn channels_are_told_apart_and_nan_is_told() {
        let mut statistics = Statistics::default();
        let values: Vec<f32> = (0..200).map(|at| if at < 100 { 1.0 } else { -3.0 }).collect();
        assert!(statistics.add(&values, &[1, 2, 10, 10], true));
        assert_eq!(statistics.means(), [1.0, -3.0]);
        assert_eq!(statistics.histograms[1].low, -3.0);
        assert_eq!(statistics.reaches, [1.0, 3.0]);
        assert!(!statistics.add(&[f32::NAN; 200], &[1, 2, 10, 10], true));
    }
}
