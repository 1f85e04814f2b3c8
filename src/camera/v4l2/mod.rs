//! `v4l2:`: cameras of the kernel's Video4Linux 2.
//!
//! A [`device`] is found; [`agreement`] sets its [`controls`] and a mode, which [`negotiate`]
//! chooses by what it costs and [`answer`] checks when the driver has spoken. The [`stream`] goes
//! round with the driver's [`buffers`], and [`clock`] makes sense of its counters. [`kernel`]
//! holds the calls, [`facts`] what they return, [`trouble`] what is wrong, in words.

mod agreement;
mod answer;
mod buffers;
mod clock;
mod controls;
mod device;
mod facts;
mod kernel;
mod negotiate;
mod stream;
mod trouble;

pub use device::{ControlSummary, Facts, FormatFacts, Listing, list};

use super::pace::{Pace, later};
use super::{Arrival, Camera, CameraError, Wanted};
use crate::config::uri::Uri;
use crate::frame::{Frame, MAX_SIDE};
use agreement::Request;
use clock::Numbering;
use device::Known;
use negotiate::{Coding, Stated};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stream::{Delivered, Stream};
use trouble::Trouble;

/// How long a camera may give no whole frame, and how long at first: many need to warm up.
const TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames that may be missing at a stated rate that is very slow.
const MISSING: f64 = 4.0;

/// Opens the device; one that is not there is lost and may be opened again later.
pub fn open(mut uri: Uri, wanted: Wanted) -> Result<V4l2Camera, CameraError> {
    let controls = uri.take_prefixed("control.");
    let stated = Stated {
        coding: uri.take_one_of("format", &Coding::WORDS)?,
        width: uri.take_in("width", 1..=MAX_SIDE)?,
        height: uri.take_in("height", 1..=MAX_SIDE)?,
        fps: Pace::take_fps(&mut uri)?,
    };
    let timeout = uri.take_in("timeout", 100..=3_600_000)?.map(Duration::from_millis);
    let timeout = timeout.unwrap_or_else(|| {
        let slow = stated.fps.map(|fps| Duration::from_secs_f64(MISSING / fps));
        slow.unwrap_or_default().max(TIMEOUT)
    });
    let encoding = super::take_encoding(&mut uri)?;
    let name = uri.text().to_owned();
    let path = Some(PathBuf::from(&uri.path)).filter(|path| !path.as_os_str().is_empty());
    uri.finish()?;
    let mut camera = V4l2Camera {
        name,
        path,
        timeout,
        request: Request { wanted, stated, encoding, controls },
        known: None,
        stream: None,
        last_whole: None,
        numbering: Numbering::default(),
        trouble: String::new(),
    };
    match camera.connect() {
        Ok(()) => {}
        Err(Trouble::Gone(why)) => {
            log::warn!("{why}; waiting for it");
            camera.trouble = why;
        }
        Err(Trouble::Forbidden(why) | Trouble::Refused(why)) => {
            return Err(CameraError::failed(&camera.name, why));
        }
    }
    Ok(camera)
}

pub struct V4l2Camera {
    name: String,
    /// As stated; None: the first that captures.
    path: Option<PathBuf>,
    timeout: Duration,
    request: Request,
    /// The device that was open last.
    known: Option<Known>,
    stream: Option<Stream>,
    last_whole: Option<Instant>,
    numbering: Numbering,
    /// Why there is no stream.
    trouble: String,
}

impl V4l2Camera {
    fn connect(&mut self) -> Result<(), Trouble> {
        let device = device::find(self.path.as_deref(), self.known.as_ref())?;
        let known = Known {
            path: device.path.clone(),
            card: device.identity.card.clone(),
            bus: device.identity.bus.clone(),
        };
        if let Some(before) = &self.known {
            if before.card != known.card || before.bus != known.bus {
                log::warn!(
                    "{}: another device than before: {} ({})",
                    known.path.display(),
                    known.card,
                    known.bus
                );
            } else if before.path != known.path {
                log::warn!("{} is {} now", before.path.display(), known.path.display());
            }
        }
        self.stream = Some(Stream::start(device, &self.request)?);
        self.known = Some(known);
        self.last_whole = None;
        self.numbering.restart();
        Ok(())
    }

    fn lost(&self) -> CameraError {
        CameraError::Lost { source_name: self.name.clone(), cause: self.trouble.clone() }
    }

    fn read_stream(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, Trouble> {
        let Some(stream) = &mut self.stream else {
            return Err(Trouble::Gone(self.trouble.clone()));
        };
        let deadline = later(Instant::now(), timeout);
        let (since, patience) = match self.last_whole {
            Some(last) => (last, self.timeout),
            None => (stream.started, self.timeout.max(FIRST_TIMEOUT)),
        };
        let limit = later(since, patience);
        loop {
            let delivered = match stream.next(deadline.min(limit))? {
                Some(filled) => Some(stream.deliver(&filled, &mut self.numbering, frame)?),
                None => None,
            };
            if delivered == Some(Delivered::Whole) {
                self.last_whole = Some(Instant::now());
                return Ok(Arrival::Frame);
            }
            if Instant::now() >= limit {
                let (path, seconds) = (stream.device().path.display(), patience.as_secs_f64());
                return Err(Trouble::Gone(format!(
                    "{path} gave no whole frame for {seconds:.1} s"
                )));
            }
            match delivered {
                Some(Delivered::Short) => return Ok(Arrival::Frame),
                Some(_) => {}
                None => return Ok(Arrival::Timeout),
            }
        }
    }
}

impl Camera for V4l2Camera {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_live(&self) -> bool {
        true
    }

    fn read(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, CameraError> {
        frame.data.give_back();
        self.read_stream(frame, timeout).map_err(|trouble| {
            // Closed at once, so that the device is free for whoever brings it back.
            self.stream = None;
            self.trouble = trouble.to_string();
            self.lost()
        })
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        self.stream = None;
        self.connect().map_err(|trouble| {
            let trouble = trouble.to_string();
            if trouble != self.trouble {
                log::info!("{trouble}");
                self.trouble = trouble;
            }
            self.lost()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CameraError, Wanted, open};
    use super::*;

    fn refused(uri: &str) -> String {
        open(uri, Wanted::default()).err().expect(uri).to_string()
    }

    #[test]
    fn wrong_parameters_say_what_would_be_right() {
        assert!(refused("v4l2:/dev/none?format=h264").contains("yuv420 rgb24 bgr24 grey mjpeg"));
        assert!(refused("v4l2:/dev/none?width=0").contains("1 to 16384"));
        assert!(refused("v4l2:/dev/none?fps=-1").contains("fps=-1 is not"));
        assert!(refused("v4l2:/dev/none?timeout=5").contains("100 to 3600000"));
        assert!(refused("v4l2:/dev/none?widht=5").contains("did you mean \"width\"?"));
        assert!(refused("v4l2:/dev/none?matrix=2020").contains("one of 601 709"));
        assert!(refused("v4l2:/dev/null").contains("not a video device"));
    }

    #[test]
    fn a_device_that_is_not_there_is_a_lost_one() {
        let mut camera = open("v4l2:/dev/video-none?control.gain=1", Wanted::default()).unwrap();
        let is_lost = |result: Result<(), CameraError>| match result {
            Err(CameraError::Lost { cause, .. }) => cause.contains("/dev/video-none is not there"),
            _ => false,
        };
        let mut frame = Frame::empty();
        assert!(is_lost(camera.read(&mut frame, Duration::ZERO).map(drop)));
        assert!(is_lost(camera.reopen()));
        assert!(is_lost(camera.read(&mut frame, Duration::ZERO).map(drop)));
        assert!(camera.is_live() && camera.name().starts_with("v4l2:/dev/video-none"));
    }
}
