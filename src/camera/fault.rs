//! Faults for tests, injected around any camera by parameters of its URI.
//!
//! | parameter | fault |
//! | --- | --- |
//! | `fault.drop=P` | a frame is swallowed with probability P; the gap in the sequence stays |
//! | `fault.delay=MS` | a frame comes MS late, its capture time being the true one |
//! | `fault.delay_every=N` | only every Nth is late (1 when not said) |
//! | `fault.truncate=P` | the data ends at a random byte with probability P |
//! | `fault.noise=P` | a 64th of the bytes are random with probability P |
//! | `fault.stall=N` | after every N frames nothing comes, |
//! | `fault.stall_for=MS` | for so long (2000 when not said) |
//! | `fault.disconnect=N` | after every N frames the source is lost, |
//! | `fault.return=MS` | and can be opened again when so long has passed (1000 when not said) |
//! | `fault.seed=N` | other random numbers |
//! | `fault.file=PATH` | the faults are what the file says, now: these parameters, as in a URI |
//!
//! Example: `synthetic:portrait?fault.drop=0.1&fault.disconnect=100&fault.return=3000`.

use super::pace::{later, sleep_until};
use super::{Arrival, Camera, CameraError};
use crate::config::uri::{Uri, UriError};
use crate::frame::Frame;
use fastrand::Rng;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest delay, stall or absence, in milliseconds.
const MAX_MS: u64 = 3_600_000;
/// One byte of so many is random in a frame with noise.
const NOISE_SHARE: usize = 64;
/// What is read of a file with faults, in bytes.
const MAX_FILE: usize = 1024;

/// The faults a URI asks for.
#[derive(Clone, Debug)]
pub struct Faults {
    drop: f64,
    delay: Duration,
    delay_every: u64,
    truncate: f64,
    noise: f64,
    /// Frames until each, and how long it lasts.
    stall: Option<(u64, Duration)>,
    disconnect: Option<(u64, Duration)>,
    seed: u64,
    file: Option<Arc<File>>,
}

impl Faults {
    /// Takes the `fault.` parameters; nothing when there are none.
    pub fn take(uri: &mut Uri) -> Result<Option<Faults>, UriError> {
        let before = uri.clone();
        let share = |uri: &mut Uri, key| Ok(uri.take_in(key, 0.0..=1.0)?.unwrap_or(0.0));
        let ms = |uri: &mut Uri, key, otherwise| {
            let ms = uri.take_in(key, 0..=MAX_MS)?.unwrap_or(otherwise);
            Ok(Duration::from_millis(ms))
        };
        let frames = |uri: &mut Uri, key| uri.take_in(key, 1..=u64::MAX);
        let drop = share(uri, "fault.drop")?;
        let delay = ms(uri, "fault.delay", 0)?;
        let delay_every = frames(uri, "fault.delay_every")?.unwrap_or(1);
        let truncate = share(uri, "fault.truncate")?;
        let noise = share(uri, "fault.noise")?;
        let (stall, stall_for) = (frames(uri, "fault.stall")?, ms(uri, "fault.stall_for", 2000)?);
        let (gone, back) = (frames(uri, "fault.disconnect")?, ms(uri, "fault.return", 1000)?);
        let seed = uri.take_in("fault.seed", 0..=u64::MAX)?.unwrap_or(0);
        let file = uri.take("fault.file").map(|path| {
            let opened = File::open(&path).map(Arc::new);
            opened.map_err(|error| uri.refuse("fault.file", &path, &format!("readable: {error}")))
        });
        let file = file.transpose()?;
        let faults = Faults {
            drop,
            delay,
            delay_every,
            truncate,
            noise,
            stall: stall.map(|after| (after, stall_for)),
            disconnect: gone.map(|after| (after, back)),
            seed,
            file,
        };
        Ok(before.has_prefix("fault.").then_some(faults))
    }
}

/// A camera with faults.
pub struct FaultyCamera {
    inner: Box<dyn Camera>,
    faults: Faults,
    random: Rng,
    /// Frames since the source was opened, stalled or delayed.
    since_open: u64,
    since_stall: u64,
    since_delay: u64,
    stalled_until: Option<Instant>,
    /// When a source that is lost may come back.
    back: Option<Instant>,
    /// A late frame and when it is to come.
    late: Option<(Frame, Instant)>,
    /// The buffer of the late frame before.
    spare: Option<Frame>,
    /// What the file said.
    said: String,
}

impl FaultyCamera {
    pub fn new(inner: Box<dyn Camera>, faults: Faults) -> FaultyCamera {
        let random = Rng::with_seed(faults.seed);
        FaultyCamera {
            inner,
            faults,
            random,
            since_open: 0,
            since_stall: 0,
            since_delay: 0,
            stalled_until: None,
            back: None,
            late: None,
            spare: None,
            said: String::new(),
        }
    }

    /// Takes the faults that the file says now.
    fn follow(&mut self) {
        let Some(file) = &self.faults.file else { return };
        let mut said = [0; MAX_FILE];
        let length = file.read_at(&mut said, 0).unwrap_or(0);
        let said = str::from_utf8(&said[..length]).unwrap_or_default().trim();
        if said == self.said {
            return;
        }
        self.said = said.to_owned();
        let none = "fault:?fault.seed=0&";
        let uri = Uri::parse(&format!("{none}{said}"), "faults", &["fault"], none);
        let taken = uri.and_then(|mut uri| {
            let faults = Faults::take(&mut uri)?;
            uri.finish().map(|()| faults)
        });
        match taken {
            Ok(faults) => {
                let file = self.faults.file.take();
                self.faults = Faults { file, ..faults.unwrap_or_else(|| self.faults.clone()) };
            }
            Err(error) => log::warn!("fault.file: {error}"),
        }
    }

    fn happens(&mut self, probability: f64) -> bool {
        // Drawn even when it cannot happen, so that one fault does not move another.
        self.random.f64() < probability
    }

    fn lost(&self, cause: &str) -> CameraError {
        CameraError::Lost { source_name: self.inner.name().to_owned(), cause: cause.to_owned() }
    }

    fn damage(&mut self, frame: &mut Frame) {
        if self.happens(self.faults.truncate) {
            frame.data.truncate(self.random.usize(0..frame.data.len().max(1)));
        }
        if self.happens(self.faults.noise) {
            for _ in 0..frame.data.len().div_ceil(NOISE_SHARE) {
                let at = self.random.usize(0..frame.data.len());
                frame.data[at] = self.random.u8(..);
            }
        }
    }

    /// Begins a disconnection or a stall where it is due.
    fn count(&mut self) {
        (self.since_open, self.since_stall) = (self.since_open + 1, self.since_stall + 1);
        let now = Instant::now();
        if let Some((after, lasts)) = self.faults.disconnect
            && self.since_open >= after
        {
            self.back = Some(now + lasts);
        }
        if let Some((after, lasts)) = self.faults.stall
            && self.since_stall >= after
        {
            (self.since_stall, self.stalled_until) = (0, Some(now + lasts));
        }
    }
}

impl Camera for FaultyCamera {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn is_live(&self) -> bool {
        self.inner.is_live()
    }

    fn read(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, CameraError> {
        let deadline = later(Instant::now(), timeout);
        self.follow();
        if self.back.is_some() {
            return Err(self.lost("fault.disconnect"));
        }
        if let Some(until) = self.stalled_until {
            sleep_until(until.min(deadline));
            if until > deadline {
                return Ok(Arrival::Timeout);
            }
            self.stalled_until = None;
        }
        loop {
            if let Some((mut held, due)) = self.late.take() {
                sleep_until(due.min(deadline));
                if due > deadline {
                    self.late = Some((held, due));
                    return Ok(Arrival::Timeout);
                }
                std::mem::swap(frame, &mut held);
                self.spare = Some(held);
                self.count();
                return Ok(Arrival::Frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.inner.read(frame, left)? {
                Arrival::Frame => {}
                other => return Ok(other),
            }
            if self.happens(self.faults.drop) {
                // A source that waits for its reader could go on for ever.
                if Instant::now() > deadline {
                    return Ok(Arrival::Timeout);
                }
                continue;
            }
            self.damage(frame);
            self.since_delay += 1;
            if self.faults.delay.is_zero() || self.since_delay < self.faults.delay_every {
                self.count();
                return Ok(Arrival::Frame);
            }
            self.since_delay = 0;
            let mut held = self.spare.take().unwrap_or_else(|| Frame::new(frame.layout));
            std::mem::swap(frame, &mut held);
            self.late = Some((held, later(Instant::now(), self.faults.delay)));
        }
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        match self.back {
            Some(back) if Instant::now() < back => Err(self.lost("fault.return has not passed")),
            Some(_) => {
                (self.back, self.since_open) = (None, 0);
                Ok(())
            }
            None => self.inner.reopen(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{self, Wanted};
    use crate::frame::{Layout, PixelFormat};

    const LONG: Duration = Duration::from_secs(10);

    fn open(faults: &str) -> (Box<dyn Camera>, Frame) {
        let uri = format!("synthetic:portrait?width=32&height=24&fps=0&{faults}");
        let layout = Layout::packed(PixelFormat::Rgb, 1, 1).unwrap();
        (camera::open(&uri, Wanted::default()).unwrap(), Frame::new(layout))
    }

    #[test]
    fn dropped_frames_leave_gaps_and_the_same_seed_drops_the_same() {
        let sequence = |faults: &str| -> Vec<u64> {
            let (mut camera, mut frame) = open(faults);
            let mut next = || {
                assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
                frame.sequence
            };
            (0..200).map(|_| next()).collect()
        };
        let found = sequence("fault.drop=0.5");
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        assert!((300..500).contains(&found[199]), "{}", found[199]);
        assert_eq!(found, sequence("fault.drop=0.5"));
        assert_ne!(found, sequence("fault.drop=0.5&fault.seed=1"));
        let (mut camera, mut frame) = open("fault.drop=1");
        let arrival = camera.read(&mut frame, Duration::from_millis(5)).unwrap();
        assert_eq!(arrival, Arrival::Timeout);
    }

    #[test]
    fn a_late_frame_is_old_and_complete() {
        let (mut camera, mut frame) = open("fault.delay=150&fault.delay_every=2");
        let (mut whole, mut plain) = open("");
        for n in 0..4 {
            let start = Instant::now();
            if n % 2 == 1 {
                let arrival = camera.read(&mut frame, Duration::from_millis(1)).unwrap();
                assert_eq!(arrival, Arrival::Timeout);
            }
            assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
            whole.read(&mut plain, LONG).unwrap();
            assert_eq!((frame.sequence, &frame.data[..]), (n, &plain.data[..]));
            if n % 2 == 1 {
                assert!(start.elapsed() >= Duration::from_millis(150));
                assert!(frame.captured.elapsed() >= Duration::from_millis(150));
            }
        }
    }

    #[test]
    fn damaged_frames_are_short_or_changed() {
        let (mut camera, mut frame) = open("fault.truncate=1");
        for _ in 0..50 {
            camera.read(&mut frame, LONG).unwrap();
            assert!(!frame.is_whole());
        }
        let (mut camera, mut frame) = open("fault.noise=1");
        let (mut clean, mut plain) = open("");
        camera.read(&mut frame, LONG).unwrap();
        clean.read(&mut plain, LONG).unwrap();
        let changed = frame.data.iter().zip(&plain.data[..]).filter(|(a, b)| a != b).count();
        assert!((20..=36).contains(&changed), "{changed} of 2304 bytes");
    }

    #[test]
    fn a_lost_source_comes_back_when_its_time_has_passed() {
        let (mut camera, mut frame) = open("fault.disconnect=3&fault.return=200");
        for round in 0..2 {
            for _ in 0..3 {
                assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
            }
            for _ in 0..2 {
                let error = camera.read(&mut frame, LONG).unwrap_err();
                assert!(matches!(error, CameraError::Lost { .. }), "round {round}: {error}");
            }
            assert!(camera.reopen().is_err());
            std::thread::sleep(Duration::from_millis(210));
            camera.reopen().unwrap();
        }
        assert_eq!(frame.sequence, 5);
    }

    #[test]
    fn a_stall_is_silence_and_ends() {
        let (mut camera, mut frame) = open("fault.stall=2&fault.stall_for=200");
        let mut read = |ms| camera.read(&mut frame, Duration::from_millis(ms)).unwrap();
        assert_eq!([read(1000), read(1000)], [Arrival::Frame; 2]);
        assert_eq!(read(5), Arrival::Timeout);
        assert_eq!(read(1000), Arrival::Frame);
    }

    #[test]
    fn faults_come_and_go_with_what_a_file_says() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let said = |faults| std::fs::write(file.path(), faults).unwrap();
        let (mut camera, mut frame) = open(&format!("fault.file={}", file.path().display()));
        let mut read = || camera.read(&mut frame, Duration::from_millis(5));
        assert_eq!(read().unwrap(), Arrival::Frame);
        said("fault.drop=1\n");
        assert_eq!(read().unwrap(), Arrival::Timeout);
        said("fault.drip=1");
        assert_eq!(read().unwrap(), Arrival::Timeout, "what is wrong changes nothing");
        said("");
        assert_eq!(read().unwrap(), Arrival::Frame);
        said("fault.disconnect=1&fault.return=0");
        assert_eq!(read().unwrap(), Arrival::Frame);
        assert!(matches!(read(), Err(CameraError::Lost { .. })));
        said("");
        camera.reopen().unwrap();
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
    }

    #[test]
    fn wrong_faults_are_named() {
        let error = |faults: &str| {
            camera::open(&format!("synthetic:portrait?{faults}"), Wanted::default())
                .err()
                .unwrap()
                .to_string()
        };
        assert!(error("fault.drop=2").contains("fault.drop=2 is not a number from 0 to 1"));
        assert!(error("fault.dorp=1").contains("did you mean \"fault.drop\"?"));
        assert!(error("fault.disconnect=0").contains("fault.disconnect=0 is not"));
        assert!(error("fault.file=/none").contains("fault.file=/none is not readable: "));
    }
}
