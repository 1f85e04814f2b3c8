//! `replay:`: the frames of a recording, byte for byte.

use super::pace::{Pace, later, sleep_until};
use super::{Arrival, Camera, CameraError};
use crate::config::uri::Uri;
use crate::frame::Frame;
use crate::record::{Folder, Record, Segment, Step};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longer gaps between recorded frames are passed over faster.
const LONGEST_GAP: Duration = Duration::from_secs(10);
/// Damaged places that are named; a recording could be made of nothing else.
const NAMED: u32 = 10;

/// When frames come, where the source is live.
enum Clock {
    Recorded,
    Every(Duration),
}

pub struct ReplayCamera {
    name: String,
    path: PathBuf,
    folder: Folder,
    /// Segments to read.
    numbers: VecDeque<u32>,
    segment: Option<Segment>,
    record: Record,
    /// `record` has a frame that was not handed out.
    is_ready: bool,
    clock: Option<Clock>,
    /// When the last frame came, and its time in the recording.
    last: Option<(Instant, Duration)>,
    damaged: u32,
}

pub fn open(mut uri: Uri) -> Result<ReplayCamera, CameraError> {
    if uri.path.is_empty() {
        return Err(uri.refuse_path("the folder of a recording").into());
    }
    let name = uri.text().to_owned();
    let clock = match uri.clone().take("fps").as_deref() {
        Some("") => uri.take("fps").map(|_| Clock::Recorded),
        _ => Pace::take_fps(&mut uri)?.map(|fps| Clock::Every(Duration::from_secs_f64(1.0 / fps))),
    };
    let path = PathBuf::from(&uri.path);
    uri.finish()?;
    let (folder, numbers) = Folder::open(&path)?;
    Ok(ReplayCamera {
        name,
        path,
        folder,
        numbers: numbers.into(),
        segment: None,
        record: Record::default(),
        is_ready: false,
        clock,
        last: None,
        damaged: 0,
    })
}

impl ReplayCamera {
    /// Reads the next whole frame; false at the end.
    fn advance(&mut self) -> Result<bool, CameraError> {
        loop {
            let Some(segment) = &mut self.segment else {
                let Some(number) = self.numbers.pop_front() else { return Ok(false) };
                match Segment::open(&self.folder, number) {
                    Ok(segment) => self.segment = Some(segment),
                    Err(cause) => self.name_damage(&format!(
                        "{}: cannot be read: {cause}",
                        crate::record::name(number)
                    )),
                }
                continue;
            };
            match segment.next(&mut self.record) {
                Ok(Step::Frame) => return Ok(true),
                Ok(Step::Damaged(damage)) => self.name_damage(&damage.to_string()),
                Ok(Step::End { torn }) => {
                    if torn > 0 {
                        log::info!("{}: its last {torn} bytes are torn", segment.name);
                    }
                    self.segment = None;
                }
                Err(cause) => {
                    let message = format!("{}: cannot be read: {cause}", segment.name);
                    return Err(CameraError::failed(&self.name, message));
                }
            }
        }
    }

    fn name_damage(&mut self, damage: &str) {
        self.damaged += 1;
        match self.damaged {
            ..=NAMED => log::warn!("{}: {damage}; passed over", self.path.display()),
            _ => log::debug!("{}: {damage}; passed over", self.path.display()),
        }
    }

    /// When the frame in `record` is due; None: at once.
    fn due(&self) -> Option<Instant> {
        let (clock, (came, at)) = (self.clock.as_ref()?, self.last?);
        let gap = match clock {
            // Another run's times begin anew.
            Clock::Recorded => self.record.captured.saturating_sub(at).min(LONGEST_GAP),
            Clock::Every(period) => *period,
        };
        let due = later(came, gap);
        // Late by more than a frame: it is played slower rather than ever later.
        (later(due, gap) >= Instant::now()).then_some(due)
    }
}

impl Camera for ReplayCamera {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_live(&self) -> bool {
        self.clock.is_some()
    }

    fn read(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, CameraError> {
        let deadline = later(Instant::now(), timeout);
        if !self.is_ready {
            if !self.advance()? {
                return Ok(Arrival::End);
            }
            self.is_ready = true;
        }
        let due = self.due();
        if due.is_some_and(|due| due > deadline) {
            sleep_until(deadline);
            return Ok(Arrival::Timeout);
        }
        let due = due.unwrap_or_else(Instant::now);
        sleep_until(due);
        self.is_ready = false;
        self.last = Some((due, self.record.captured));
        frame.reshape(self.record.layout);
        std::mem::swap(frame.data.own(), &mut self.record.picture);
        (frame.sequence, frame.captured) = (self.record.frame, due);
        Ok(Arrival::Frame)
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        Ok(())
    }
}
