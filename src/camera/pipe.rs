//! `pipe:-`: raw frames, one after the other, on standard input.
//!
//! The sender sets the pace: a full pipe makes it wait, so what is read is at most a frame
//! and a pipe's buffer old. What waited in the pipe, while the process was stopped for one, is as
//! old as it may be: a byte was not written before the pipe was last seen empty, nor before the
//! byte was read that is a pipe's buffer before it.

use super::pace::{Pace, later};
use super::{Arrival, Camera, CameraError};
use crate::config::uri::Uri;
use crate::frame::{Encoding, Frame, Layout, MAX_SIDE, PixelFormat};
use heapless::Deque;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The longest wait that is asked of the kernel at once: so exactly is known when bytes came.
const STEP: Duration = Duration::from_millis(10);
/// How long the rest of a frame is waited for that nobody wants any more.
const REST: Duration = Duration::from_millis(500);
/// What a pipe holds (pipe(7)).
const CAPACITY: u64 = 1 << 16;

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
pub struct PipeCamera<S: Read + AsFd> {
    source: S,
    name: String,
    layout: Layout,
    /// The frame that is coming, of which `found` bytes are there.
    data: Vec<u8>,
    found: usize,
    /// When its first byte came, or before.
    begun: Instant,
    /// Bytes read, and when so many were, the newest last.
    read: u64,
    marks: Deque<(u64, Instant), 16>,
    /// Nothing that is read from now on was written before.
    since: Instant,
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
            read: 0,
            marks: Deque::new(),
            since: begun,
            next: 0,
            ended: false,
        }
    }

    /// Waits until bytes, the end or an error can be read; false when the deadline came first.
    fn wait(&mut self, deadline: Instant) -> Result<bool, CameraError> {
        let mut wait = Duration::ZERO;
        loop {
            let asked = Instant::now();
            let timeout = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.source, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => {
                    self.since = asked;
                    self.marks.clear();
                }
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.unreadable(error.into())),
            }
            wait = deadline.saturating_duration_since(Instant::now()).min(STEP);
            if wait.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Bytes were read: says when their like can have been written.
    fn count(&mut self, bytes: usize) {
        self.read += bytes as u64;
        while let Some((at, time)) = self.marks.front()
            && at + CAPACITY <= self.read
        {
            self.since = self.since.max(*time);
            self.marks.pop_front();
        }
        if self.marks.back().is_none_or(|(at, _)| at + CAPACITY / 8 <= self.read) {
            // There is room: those that are left are an eighth apart.
            let _ = self.marks.push_back((self.read, Instant::now()));
        }
    }

    fn unreadable(&self, cause: std::io::Error) -> CameraError {
        let number = self.next;
        CameraError::failed(&self.name, format!("frame {number} cannot be read: {cause}"))
    }
}

impl<S: Read + AsFd> Drop for PipeCamera<S> {
    /// Who reads on shall begin with a whole frame.
    fn drop(&mut self) {
        let deadline = later(Instant::now(), REST);
        while self.found > 0
            && self.found < self.data.len()
            && matches!(self.wait(deadline), Ok(true))
        {
            match self.source.read(&mut self.data[self.found..]) {
                Ok(count) if count > 0 => self.found += count,
                _ => return,
            }
        }
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
                        self.begun = self.since;
                    }
                    self.found += count;
                    self.count(count);
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
    fn what_waited_in_the_pipe_is_as_old_as_it_may_be() {
        let (reader, mut writer) = pipe().unwrap();
        let (mut camera, mut frame) = camera(reader);
        let bytes = vec![0; layout().bytes()];
        for _ in 0..2 {
            assert_eq!(camera.read(&mut frame, SHORT).unwrap(), Arrival::Timeout);
            for _ in 0..3 {
                writer.write_all(&bytes).unwrap();
            }
            std::thread::sleep(Duration::from_millis(100));
            for _ in 0..3 {
                assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
                assert!(frame.captured.elapsed() >= Duration::from_millis(100));
            }
        }
        // A sender that is always ahead is as old as what fits into the pipe.
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![0; 3 * CAPACITY as usize]).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let (mut camera, mut frame) = self::camera(file);
        let mut last = Instant::now();
        let count = CAPACITY as usize / layout().bytes();
        for _ in 0..count + 1 {
            last = Instant::now();
            camera.read(&mut frame, LONG).unwrap();
        }
        for _ in 0..count + count / 7 {
            camera.read(&mut frame, LONG).unwrap();
        }
        assert!(frame.captured >= last);
    }

    #[test]
    fn who_reads_on_begins_with_a_whole_frame() {
        let (reader, mut writer) = pipe().unwrap();
        let again = reader.try_clone().unwrap();
        let (first, second) = (vec![1; layout().bytes()], vec![2; layout().bytes()]);
        let (mut camera, mut frame) = camera(reader);
        writer.write_all(&first[..9]).unwrap();
        assert_eq!(camera.read(&mut frame, SHORT).unwrap(), Arrival::Timeout);
        writer.write_all(&first[9..]).unwrap();
        writer.write_all(&second).unwrap();
        drop(camera);
        let (mut camera, _) = self::camera(again);
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
        assert_eq!(&frame.data[..], second);
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
