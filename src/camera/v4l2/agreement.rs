//! Agreeing with a device on controls, format and rate.

use super::super::Wanted;
use super::answer;
use super::controls;
use super::device::Device;
use super::facts::Format;
use super::negotiate::{
    Choice, Coding, Interval, Sizes, Stated, choose, is_same, letters, rate, shown,
};
use super::trouble::Trouble;
use crate::frame::{Layout, Matrix, Range};
use rustix::io::Errno;
use v4l::sys::v4l2_field_V4L2_FIELD_NONE;

/// What the URI asks of a device.
#[derive(Clone, Debug)]
pub struct Request {
    pub wanted: Wanted,
    pub stated: Stated,
    pub encoding: (Option<Matrix>, Option<Range>),
    /// Names and values, in the order they are to be set.
    pub controls: Vec<(String, String)>,
}

/// What the device is going to do.
#[derive(Clone, Copy, Debug)]
pub struct Agreement {
    pub coding: Coding,
    /// Of the frames; those of JPEG when decoded.
    pub layout: Layout,
    /// Frames a second, where the device tells.
    pub fps: Option<f64>,
}

/// Sets controls, format and rate.
pub fn agree(device: &Device, request: &Request) -> Result<Agreement, Trouble> {
    let Request { wanted, stated, encoding, controls } = request;
    let refuse = |why| device.refuse(why);
    // First, because some of them (a rotation) change the formats.
    controls::set(&device.handle, controls).map_err(refuse)?;
    // Most cameras have no cable to listen to.
    if let Err(error @ (Errno::NOLINK | Errno::NOLCK | Errno::RANGE | Errno::BUSY)) =
        device.handle.adopt_timings()
    {
        return Err(device.trouble("cannot follow its input", error));
    }
    let choice = choose(&device.modes(*wanted, stated), *wanted, stated)
        .ok_or_else(|| refuse(no_such_mode(device, stated)))?;
    let asked = Format {
        fourcc: choice.fourcc,
        width: choice.width,
        height: choice.height,
        field: v4l2_field_V4L2_FIELD_NONE,
        ..Format::default()
    };
    let answer = device.handle.set_format(device.queue, asked);
    let answer = answer.map_err(|error| device.trouble("does not take a format", error))?;
    let (coding, layout) = answer::layout(&answer, &choice, stated, *encoding).map_err(refuse)?;
    let fps = set_rate(device, &choice, stated).map_err(refuse)?;
    Ok(Agreement { coding, layout, fps })
}

/// Asks for the rate and returns what it is, where the device tells.
fn set_rate(device: &Device, choice: &Choice, stated: &Stated) -> Result<Option<f64>, String> {
    if let Some(interval) = choice.interval
        && let Err(error) = device.handle.set_frame_interval(device.queue, interval)
    {
        log::debug!("{}: takes no rate: {error}", device.path.display());
    }
    let interval = device.handle.frame_interval(device.queue).ok().flatten();
    let found = interval.filter(|(a, b)| *a > 0 && *b > 0).map(rate);
    match (stated.fps, found) {
        (Some(fps), Some(found)) if !is_same(found, fps) => Err(format!(
            "answers with {} frames a second when asked for {fps} in {}x{}",
            shown(found),
            choice.width,
            choice.height
        )),
        (Some(fps), None) => Err(format!("has no say in its rate; take fps={fps} out of the URI")),
        _ => Ok(found),
    }
}

/// Says what the device offers instead.
fn no_such_mode(device: &Device, stated: &Stated) -> String {
    let card = &device.identity.card;
    let offers = device.offers();
    let readable =
        offers.iter().filter_map(|offer| Some((Coding::from_fourcc(offer.fourcc)?, offer)));
    let formats = readable.map(|(coding, offer)| {
        let sizes = offer.sizes.iter().map(|sizes| {
            let (Sizes::One(width, height) | Sizes::Steps { most: (width, height), .. }) = *sizes;
            let intervals = device.intervals(offer.fourcc, (width, height));
            let rates: Vec<String> = intervals.iter().map(Interval::to_string).collect();
            let at = if rates.is_empty() { "" } else { " at " };
            format!("{sizes}{at}{}", rates.join("|"))
        });
        format!("{}: {}", coding.name(), sizes.collect::<Vec<_>>().join(", "))
    });
    let formats: Vec<String> = formats.collect();
    if formats.is_empty() {
        let names: Vec<String> = offers.iter().map(|offer| letters(offer.fourcc)).collect();
        return format!(
            "({card}) has no format that can be read, only {}; a sensor's raw pictures come through a program that develops them and a pipe (pipe:-)",
            names.join(" ")
        );
    }
    let asked =
        if *stated == Stated::default() { "a usable size".into() } else { stated.to_string() };
    format!("({card}) does not offer {asked}; it offers {}", formats.join("; "))
}
