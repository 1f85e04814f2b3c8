//! `pipe:-`: raw frames, one after the other, on standard input.
//!
//! The sender sets the pace: a full pipe makes it wait, so what is read is at most a frame
//! and a pipe's buffer old.

use super::pace::{Pace, later};
use super::{Arrival, Camera, CameraError};
use crate::config::uri::Uri;
use crate::frame::{Encoding, Frame, Layout, MAX_SIDE, PixelFormat};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The longest wait that is asked of the kernel at once.
const MAX_WAIT: Duration = Duration::from_secs(3600);

pub fn open(mut uri: Uri) -> Result<PipeCamera<File>, CameraError> {
    if uri.path != "-" {
        return Err(uri.refuse_path("- (standard input)").into());
    }
    let layout = take_layout(&mut uri)?;
    if let Some(fps) = Pace::take_fps(&mut uri)? {
        log::debug!("{}: {fps} frames a second are announced", uri.text());
    }
    let name = uri.text().to_owned();
    uri.finish()?;
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let message = "standard input is a terminal; send frames into it: SENDER | segcam run --camera pipe:-?…";
        return Err(CameraError::failed(&name, message));
    }
    // A handle of our own, because the standard one holds back bytes that poll cannot see.
    let source = stdin.as_fd().try_clone_to_owned().map_err(|cause| {
        CameraError::failed(&name, format!("standard input cannot be taken: {cause}"))
    })?;
    Ok(PipeCamera::new(File::from(source), name, layout))
}

fn take_layout(uri: &mut Uri) -> Result<Layout, CameraError> {
    let formats = PixelFormat::ALL.map(|format| (format.name(), format));
    let format = uri.take_one_of("format", &formats)?;
    let width = uri.take_in("width", 1..=MAX_SIDE)?;
    let height = uri.take_in("height", 1..=MAX_SIDE)?;
    let format = format.ok_or_else(|| uri.missing("format", "yuv420"))?;
    let width = width.ok_or_else(|| uri.missing("width", "640"))?;
    let height = height.ok_or_else(|| uri.missing("height", "480"))?;
    let stride = uri.take_in("stride", 1..=8 * MAX_SIDE as usize)?;
    let stride = stride.unwrap_or_else(|| format.min_stride(width));
    let encoding = super::encoding_or(super::take_encoding(uri)?, Encoding::default());
    Layout::strided(format, width, height, stride)
        .map(|layout| layout.with_encoding(encoding))
        .map_err(CameraError::layout(uri.text()))
}

/// Raw frames from anything that can be polled.
pub struct PipeCamera<S> {
    source: S,
    name: String,
    layout: Layout,
    /// The frame that is coming, of which `found` bytes are there.
    data: Vec<u8>,
    found: usize,
    /// When its first byte came.
    begun: Instant,
    next: u64,
    ended: bool,
}

impl<S: Read + AsFd> PipeCamera<S> {
    pub fn new(source: S, name: String, layout: Layout) -> PipeCamera<S> {
        let begun = Instant::now();
        PipeCamera {
            source,
            name,
            layout,
            data: Vec::new(),
            found: 0,
            begun,
            next: 0,
            ended: false,
        }
    }

    /// Waits until bytes, the end or an error can be read; false when the deadline came first.
    fn wait(&self, deadline: Instant) -> Result<bool, CameraError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = Timespec {
                tv_sec: left.min(MAX_WAIT).as_secs() as _,
                tv_nsec: left.min(MAX_WAIT).subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&self.source, PollFlags::IN)], Some(&wait)) {
                Ok(0) if left > MAX_WAIT => {}
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) if left.is_zero() => return Ok(false),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.unreadable(error.into())),
            }
        }
    }

    fn unreadable(&self, cause: std::io::Error) -> CameraError {
        let number = self.next;
        CameraError::failed(&self.name, format!("frame {number} cannot be read: {cause}"))
    }
}

impl<S: Read + AsFd + Send> Camera for PipeCamera<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_live(&self) -> bool {
        true
    }

    fn read(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, CameraError> {
        let deadline = later(Instant::now(), timeout);
        let expected = self.layout.bytes();
        self.data.resize(expected, 0);
        while self.found < expected {
            if self.ended {
                return Ok(Arrival::End);
            }
            if !self.wait(deadline)? {
                return Ok(Arrival::Timeout);
            }
            match self.source.read(&mut self.data[self.found..]) {
                Ok(0) => {
                    self.ended = true;
                    if self.found > 0 {
                        log::warn!(
                            "{}: the input ends within frame {}: found {} of {expected} bytes; check format, width, height and stride",
                            self.name,
                            self.next,
                            self.found,
                        );
                    }
                }
                Ok(count) => {
                    if self.found == 0 {
                        self.begun = Instant::now();
                    }
                    self.found += count;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(self.unreadable(error)),
            }
        }
        frame.reshape(self.layout);
        std::mem::swap(frame.data.own(), &mut self.data);
        (frame.sequence, frame.captured) = (self.next, self.begun);
        (self.next, self.found) = (self.next + 1, 0);
        Ok(Arrival::Frame)
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        let message = "standard input cannot be opened again; start segcam again";
        Err(CameraError::failed(&self.name, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Write, pipe};

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(5);

    fn layout() -> Layout {
        Layout::packed(PixelFormat::I420, 5, 3).unwrap()
    }

    fn camera<S: Read + AsFd>(source: S) -> (PipeCamera<S>, Frame) {
        (PipeCamera::new(source, "pipe:-".into(), layout()), Frame::new(layout()))
    }

    #[test]
    fn frames_come_whole_however_the_bytes_are_cut() {
        let (reader, mut writer) = pipe().unwrap();
        let (mut camera, mut frame) = camera(reader);
        let bytes: Vec<u8> = (0..layout().bytes() as u8).collect();
        assert_eq!(camera.read(&mut frame, SHORT).unwrap(), Arrival::Timeout);
        writer.write_all(&bytes[..7]).unwrap();
        assert_eq!(camera.read(&mut frame, SHORT).unwrap(), Arrival::Timeout);
        writer.write_all(&bytes[7..]).unwrap();
        writer.write_all(&bytes[..20]).unwrap();
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
        assert_eq!((&frame.data[..], frame.sequence), (bytes.as_slice(), 0));
        writer.write_all(&bytes[20..]).unwrap();
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
        assert_eq!((&frame.data[..], frame.sequence), (bytes.as_slice(), 1));
        drop(writer);
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::End);
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::End);
        assert!(camera.reopen().is_err());
    }

    #[test]
    fn a_timeout_is_kept_though_bytes_trickle() {
        let (reader, mut writer) = pipe().unwrap();
        let trickle = std::thread::spawn(move || {
            for _ in 0..20 {
                let _ = writer.write_all(&[0]);
                std::thread::sleep(SHORT);
            }
        });
        let (mut camera, mut frame) = camera(reader);
        let start = Instant::now();
        let arrival = camera.read(&mut frame, Duration::from_millis(30)).unwrap();
        assert_eq!(arrival, Arrival::Timeout);
        assert!(start.elapsed() < Duration::from_secs(2));
        trickle.join().unwrap();
    }

    #[test]
    fn every_cut_of_a_file_ends_after_its_whole_frames() {
        let size = layout().bytes();
        for cut in 0..=3 * size {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![7; cut]).unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            let (mut camera, mut frame) = camera(file);
            let mut count = 0;
            while camera.read(&mut frame, LONG).unwrap() == Arrival::Frame {
                assert!(frame.is_whole());
                count += 1;
            }
            assert_eq!((count, camera.found), (cut / size, cut % size));
        }
    }

    #[test]
    fn nothing_is_allocated_after_the_first_frames() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; 10 * layout().bytes()]).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let (mut camera, mut frame) = camera(file);
        let mut read = || assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
        read();
        let found = allocation_counter::measure(|| (0..9).for_each(|_| read()));
        assert_eq!(found.count_total, 0);
    }

    #[test]
    fn what_is_not_readable_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (mut camera, mut frame) = camera(File::open(directory.path()).unwrap());
        let error = camera.read(&mut frame, LONG).unwrap_err().to_string();
        assert!(error.starts_with("pipe:-: frame 0 cannot be read: "), "{error}");
    }
}
