//! Which of the modes that a device offers is taken.
//!
//! A mode is a coding, a size and a rate. What is stated must be so. Among the rest, one comes
//! before another when, in this order,
//! 1. it has colour and the other has none,
//! 2. it is as large as wanted both ways and the other is not,
//! 3. it is as fast as wanted ([`SLOW`] when not stated) and the other is not,
//! 4. it lacks less of size and rate, where both lack some,
//! 5. it costs less: its pixels by what one costs ([`Coding::cost`]). The network sees every
//!    pixel once at the most, so pixels beyond its input are paid for in vain.
//!
//! JPEG is always decoded in full size, so a large JPEG mode is taken only when nothing smaller
//! or cheaper covers what is wanted.

use super::super::Wanted;
use crate::frame::{MAX_PIXELS, MAX_SIDE, PixelFormat};
use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};

/// Fewer frames a second are slow.
const SLOW: f64 = 15.0;
/// The rate that is asked for when none is stated.
const USUAL: f64 = 30.0;
/// Two rates are the same when they differ by less: 30 is 29.97.
const SAME: f64 = 0.01;
/// What is wanted when nobody says.
const USUAL_SIZE: (u32, u32) = (640, 480);

/// How the device writes pixels down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Raw(PixelFormat),
    Jpeg,
}

impl Coding {
    /// The words of the parameter `format`.
    pub const WORDS: [(&'static str, Coding); 8] = [
        ("yuyv", Coding::Raw(PixelFormat::Yuyv)),
        ("uyvy", Coding::Raw(PixelFormat::Uyvy)),
        ("nv12", Coding::Raw(PixelFormat::Nv12)),
        ("yuv420", Coding::Raw(PixelFormat::I420)),
        ("rgb24", Coding::Raw(PixelFormat::Rgb)),
        ("bgr24", Coding::Raw(PixelFormat::Bgr)),
        ("grey", Coding::Raw(PixelFormat::Grey)),
        ("mjpeg", Coding::Jpeg),
    ];

    pub fn name(self) -> &'static str {
        Coding::WORDS.iter().find(|(_, coding)| *coding == self).map_or("", |(word, _)| word)
    }

    /// From the kernel's four letters (`V4L2_PIX_FMT_*`); None for those that cannot be read.
    pub fn from_fourcc(fourcc: u32) -> Option<Coding> {
        Some(match &fourcc.to_le_bytes() {
            b"YUYV" => Coding::Raw(PixelFormat::Yuyv),
            b"UYVY" => Coding::Raw(PixelFormat::Uyvy),
            b"NV12" => Coding::Raw(PixelFormat::Nv12),
            b"YU12" => Coding::Raw(PixelFormat::I420),
            b"RGB3" => Coding::Raw(PixelFormat::Rgb),
            b"BGR3" => Coding::Raw(PixelFormat::Bgr),
            b"GREY" => Coding::Raw(PixelFormat::Grey),
            b"MJPG" | b"JPEG" => Coding::Jpeg,
            _ => return None,
        })
    }

    /// What a pixel costs from the driver's buffer to the network's input and the screen, in
    /// units of a byte read: bytes, and arithmetic for Y'CbCr. A JPEG pixel is decoded, written
    /// and read again.
    fn cost(self) -> u64 {
        match self {
            Coding::Raw(PixelFormat::Grey) => 2,
            Coding::Raw(PixelFormat::Rgb | PixelFormat::Bgr) => 4,
            Coding::Raw(PixelFormat::Nv12 | PixelFormat::I420) => 6,
            Coding::Raw(PixelFormat::Yuyv | PixelFormat::Uyvy) => 7,
            Coding::Jpeg => 60,
        }
    }
}

/// The four letters of a format.
pub fn letters(fourcc: u32) -> String {
    let shown = |byte: u8| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '?' };
    fourcc.to_le_bytes().map(shown).iter().collect::<String>().trim_end().to_owned()
}

/// Sizes a device has in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    One(u32, u32),
    /// From the least to the most in steps, all (width, height).
    Steps {
        least: (u32, u32),
        most: (u32, u32),
        step: (u32, u32),
    },
}

impl Display for Sizes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Sizes::One(width, height) => write!(f, "{width}x{height}"),
            Sizes::Steps { least, most, step } => write!(
                f,
                "{}x{} to {}x{} in steps of {}x{}",
                least.0, least.1, most.0, most.1, step.0, step.1
            ),
        }
    }
}

/// What the URI states.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stated {
    pub coding: Option<Coding>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fps: Option<f64>,
}

impl Stated {
    pub fn allows_size(&self, (width, height): (u32, u32)) -> bool {
        self.width.is_none_or(|stated| stated == width)
            && self.height.is_none_or(|stated| stated == height)
    }

    fn allows_rate(&self, intervals: &[Interval]) -> bool {
        let Some(fps) = self.fps else { return true };
        intervals.is_empty() || intervals.iter().any(|interval| interval.at(fps).1 == fps)
    }
}

impl Display for Stated {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.coding.map(|coding| format!("format={}", coding.name())));
        parts.extend(self.width.map(|width| format!("width={width}")));
        parts.extend(self.height.map(|height| format!("height={height}")));
        parts.extend(self.fps.map(|fps| format!("fps={fps}")));
        f.write_str(&parts.join(" "))
    }
}

/// Times from a frame to the next, in seconds: one, or all between two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    shortest: (u32, u32),
    longest: (u32, u32),
}

impl Interval {
    /// From fractions of a second; None when they are none.
    pub fn new(shortest: (u32, u32), longest: (u32, u32)) -> Option<Interval> {
        let is_good = |(numerator, denominator)| {
            numerator > 0
                && denominator > 0
                && (1e-3..1e6).contains(&rate((numerator, denominator)))
        };
        (is_good(shortest) && is_good(longest)).then_some(Interval { shortest, longest })
    }

    /// Frames a second, slowest and fastest.
    pub fn rates(&self) -> (f64, f64) {
        let (a, b) = (rate(self.longest), rate(self.shortest));
        (a.min(b), a.max(b))
    }

    /// The interval that is nearest to a rate, and its rate (`fps` itself when it is the same).
    fn at(&self, fps: f64) -> ((u32, u32), f64) {
        let (slowest, fastest) = self.rates();
        let ends = [self.longest, self.shortest];
        let nearest = |a: &(u32, u32), b: &(u32, u32)| {
            (rate(*a) - fps).abs().total_cmp(&(rate(*b) - fps).abs())
        };
        if slowest < fps && fps < fastest {
            return ((1000, (1000.0 * fps).round() as u32), fps);
        }
        let end = ends.into_iter().min_by(nearest).unwrap_or(self.shortest);
        (end, if is_same(rate(end), fps) { fps } else { rate(end) })
    }
}

impl Display for Interval {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (slowest, fastest) = self.rates();
        if slowest == fastest {
            write!(f, "{}", shown(fastest))
        } else {
            write!(f, "{} to {}", shown(slowest), shown(fastest))
        }
    }
}

pub fn rate((numerator, denominator): (u32, u32)) -> f64 {
    f64::from(denominator) / f64::from(numerator)
}

/// A rate with no more digits than it needs: 30, 12.5, 29.97.
pub fn shown(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

pub fn is_same(rate: f64, stated: f64) -> bool {
    (rate - stated).abs() < SAME * stated
}

/// A format with a size, and the rates it has there (none when the device does not tell).
#[derive(Clone, Debug, PartialEq)]
pub struct Mode {
    pub coding: Coding,
    pub fourcc: u32,
    pub width: u32,
    pub height: u32,
    pub intervals: Vec<Interval>,
}

/// The mode to ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub coding: Coding,
    pub fourcc: u32,
    pub width: u32,
    pub height: u32,
    /// A fraction of a second; None when the device does not tell and nothing is stated.
    pub interval: Option<(u32, u32)>,
}

/// The one size of `sizes` that is to be considered: the one there is, or in steps the smallest
/// that covers what is wanted at the `usual` size's aspect. None when it is not as stated or
/// cannot be taken.
pub fn candidate(
    sizes: Sizes,
    wanted: Wanted,
    stated: &Stated,
    usual: (u32, u32),
) -> Option<(u32, u32)> {
    let size = match sizes {
        Sizes::One(width, height) => (width, height),
        Sizes::Steps { least, most, step } => {
            let (width, height) = covering(wanted_size(wanted), stated, usual);
            (stepped(width, least.0, most.0, step.0)?, stepped(height, least.1, most.1, step.1)?)
        }
    };
    let pixels = u64::from(size.0) * u64::from(size.1);
    let can_be_taken = pixels > 0 && pixels <= MAX_PIXELS && size.0.max(size.1) <= MAX_SIDE;
    (can_be_taken && stated.allows_size(size)).then_some(size)
}

fn wanted_size(wanted: Wanted) -> (u32, u32) {
    if wanted.width == 0 || wanted.height == 0 {
        return USUAL_SIZE;
    }
    (wanted.width.min(MAX_SIDE), wanted.height.min(MAX_SIDE))
}

/// The smallest size of the usual aspect that covers the wanted one; what is stated stays.
fn covering(wanted: (u32, u32), stated: &Stated, usual: (u32, u32)) -> (u32, u32) {
    let aspect = f64::from(usual.0) / f64::from(usual.1);
    let aspect = if (0.1..=10.0).contains(&aspect) { aspect } else { 4.0 / 3.0 };
    // A hair less than a whole number is that number.
    let up = |side: f64| (side - 1e-6).ceil().clamp(1.0, f64::from(MAX_SIDE)) as u32;
    let wider = |height: u32| up(f64::from(height) * aspect);
    let higher = |width: u32| up(f64::from(width) / aspect);
    match (stated.width, stated.height) {
        (Some(width), Some(height)) => (width, height),
        (Some(width), None) => (width, higher(width)),
        (None, Some(height)) => (wider(height), height),
        (None, None) => {
            let (width, height) = wanted;
            (width.max(wider(height)), height.max(higher(width)))
        }
    }
}

/// The first of `least`, `least + step`, … that is no less than `side`, or the last.
fn stepped(side: u32, least: u32, most: u32, step: u32) -> Option<u32> {
    let (least, most) = (least.max(1), most.min(MAX_SIDE));
    if least > most {
        return None;
    }
    let step = step.max(1);
    let above = |side: u32| u64::from((side - least).div_ceil(step)) * u64::from(step);
    let side = u64::from(least) + above(side.clamp(least, most));
    let last = least + (most - least) / step * step;
    Some(u32::try_from(side).unwrap_or(last).min(last))
}

/// The best of the modes; None when there is none as stated.
pub fn choose(modes: &[Mode], wanted: Wanted, stated: &Stated) -> Option<Choice> {
    let wanted = wanted_size(wanted);
    let as_stated = modes.iter().filter(|mode| {
        stated.coding.is_none_or(|coding| coding == mode.coding)
            && stated.allows_size((mode.width, mode.height))
            && stated.allows_rate(&mode.intervals)
    });
    let best = as_stated
        .min_by(|a, b| Rank::new(a, wanted, stated).compare(&Rank::new(b, wanted, stated)))?;
    let fps = stated.fps.unwrap_or(USUAL);
    let interval = best.nearest(fps).map(|(interval, _)| interval);
    let unsaid = || stated.fps.map(|fps| (1000, (1000.0 * fps).round() as u32));
    Some(Choice {
        coding: best.coding,
        fourcc: best.fourcc,
        width: best.width,
        height: best.height,
        interval: interval.or_else(unsaid),
    })
}

impl Mode {
    /// The interval nearest to a rate, and its rate.
    fn nearest(&self, fps: f64) -> Option<((u32, u32), f64)> {
        let distance = |rate: f64| (rate - fps).abs();
        let each = self.intervals.iter().map(|interval| interval.at(fps));
        each.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))
    }
}

/// What the modes are compared by, the lesser before the greater.
struct Rank {
    colourless: bool,
    small: bool,
    slow: bool,
    /// The part of the wanted size and rate that is there, 1 when all is.
    coverage: f64,
    cost: u64,
}

impl Rank {
    fn new(mode: &Mode, wanted: (u32, u32), stated: &Stated) -> Rank {
        let part = |found: u32, wanted: u32| (f64::from(found) / f64::from(wanted)).min(1.0);
        let size = part(mode.width, wanted.0).min(part(mode.height, wanted.1));
        let floor = stated.fps.unwrap_or(SLOW);
        let fps = mode.nearest(stated.fps.unwrap_or(USUAL)).map_or(floor, |(_, rate)| rate);
        let speed = (fps / floor).min(1.0);
        Rank {
            colourless: mode.coding == Coding::Raw(PixelFormat::Grey),
            small: size < 1.0,
            slow: speed < 1.0 - SAME,
            coverage: size * if speed < 1.0 - SAME { speed } else { 1.0 },
            cost: u64::from(mode.width) * u64::from(mode.height) * mode.coding.cost(),
        }
    }

    fn compare(&self, other: &Rank) -> Ordering {
        let key = |rank: &Rank| (rank.colourless, rank.small, rank.slow);
        key(self)
            .cmp(&key(other))
            .then(other.coverage.total_cmp(&self.coverage))
            .then(self.cost.cmp(&other.cost))
    }
}

#[cfg(test)]
#[path = "negotiate_tests.rs"]
mod tests;
