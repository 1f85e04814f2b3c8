//! The camera: frames at their pace into segcam's standard input, as long as it is told to.

use super::picture::{FORMATS, Format, paint};
use std::io::Write;
use std::process::ChildStdin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(20);

pub struct Feed {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    /// When each frame began to be written.
    fed: Vec<Instant>,
    format: Format,
    paused: bool,
    /// It is paused, and nothing is on its way.
    idle: bool,
    /// The next frame stops in its midst for so long.
    tear: Option<Duration>,
    /// Frames that come at once.
    burst: u32,
    over: bool,
}

impl Feed {
    pub fn start(mut pipe: ChildStdin) -> Feed {
        let shared = Arc::new(Mutex::new(Shared {
            fed: Vec::new(),
            format: FORMATS[0],
            paused: false,
            idle: false,
            tear: None,
            burst: 0,
            over: false,
        }));
        let feed = Feed { shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut due = Instant::now();
            loop {
                let mut told = shared.lock().unwrap();
                if told.over {
                    return;
                }
                told.idle = told.paused;
                if told.paused {
                    drop(told);
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                paint(told.format, told.fed.len() as u32, &mut bytes);
                let tear = told.tear.take();
                let at_once = told.burst > 0;
                told.burst = told.burst.saturating_sub(1);
                told.fed.push(Instant::now());
                drop(told);
                let (first, rest) = bytes.split_at(tear.map_or(0, |_| bytes.len() / 2));
                let written = pipe.write_all(first).and_then(|()| {
                    std::thread::sleep(tear.unwrap_or_default());
                    pipe.write_all(rest)
                });
                if written.is_err() {
                    return;
                }
                due = if at_once { Instant::now() } else { (due + PACE).max(Instant::now()) };
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        feed
    }

    fn told(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    /// When a frame was fed.
    pub fn fed(&self, number: u32) -> Option<Instant> {
        self.told().fed.get(number as usize).copied()
    }

    /// Stops between two frames, when the last one is taken; when it was fed.
    pub fn pause(&self) -> Instant {
        self.told().paused = true;
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let told = self.told();
            if told.idle || Instant::now() > end {
                return told.fed.last().copied().unwrap_or_else(Instant::now);
            }
            drop(told);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn resume(&self) {
        let mut told = self.told();
        (told.paused, told.idle) = (false, false);
    }

    pub fn change(&self, format: Format) {
        self.told().format = format;
    }

    pub fn format(&self) -> Format {
        self.told().format
    }

    pub fn tear(&self, pause: Duration) {
        self.told().tear = Some(pause);
    }

    pub fn burst(&self, frames: u32) {
        self.told().burst = frames;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.told().over = true;
    }
}
