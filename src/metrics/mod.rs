//! Current figures in a file, for a collector that reads files: Prometheus' node exporter with its
//! textfile collector for one. segcam itself serves nothing.
//!
//! The format is Prometheus' text format 0.0.4 ("Exposition formats", prometheus.io). The file is
//! replaced whole, once a second and when the state changes, by a thread of its own. It is told to
//! by who draws, never by a timer: when the screen hangs, `segcam_updated_timestamp_seconds` stays behind the
//! clock. After the end no state is 1.

mod text;

use crate::files;
use crate::health::State;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two writes in one state.
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts since the start of the process, and what holds now.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub board: String,
    pub model: String,
    /// SHA-256 of the ONNX file, in hexadecimal.
    pub model_sha256: String,
    /// None: nothing runs.
    pub state: Option<State>,
    /// Pictures with a result that were shown.
    pub frames: u64,
    /// Those whose mask was fresh enough to be drawn.
    pub masks: u64,
    /// Captured, and never shown.
    pub dropped: u64,
    /// What the networks of the shown frames took.
    pub inference: Duration,
    /// The newest result's, since its capture.
    pub age: Option<Duration>,
    pub frames_per_second: f32,
    pub celsius: Option<f32>,
    /// Times that a lost camera came back.
    pub reconnects: u64,
    /// How often each state was entered, in the order of [`State::ALL`].
    pub entered: [u64; State::ALL.len()],
    /// Changes of the model or the settings that were taken, and those that were not.
    pub reloads: u64,
    pub refused: u64,
}

impl Figures {
    /// Takes a change of the state.
    pub fn enter(&mut self, state: State) {
        let from = self.state.replace(state);
        if from == Some(state) {
            return;
        }
        if from == Some(State::NoSignal) && state != State::Failed {
            self.reconnects += 1;
        }
        let at = State::ALL.iter().position(|known| *known == state);
        if let Some(entered) = at.and_then(|at| self.entered.get_mut(at)) {
            *entered += 1;
        }
    }
}

/// Where figures go. The default is nowhere.
#[derive(Debug, Default)]
pub struct Metrics(Option<Told>);

#[derive(Debug)]
struct Told {
    now: Arc<Mutex<Now>>,
    wake: SyncSender<()>,
    writer: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Now {
    figures: Figures,
    /// The last write that was asked for, and its state.
    asked: Option<(Instant, Option<State>)>,
}

impl Metrics {
    /// Writes to that file from now on. One that cannot be written is logged once, and tried again.
    pub fn start(path: &Path) -> std::io::Result<Metrics> {
        let now = Arc::new(Mutex::new(Now::default()));
        let (wake, woken) = sync_channel(1);
        let mut pen = Pen { path: path.to_owned(), failed: false };
        let figures = Arc::clone(&now);
        let thread = std::thread::Builder::new().name("metrics".to_owned());
        let writer = thread.spawn(move || {
            for () in woken {
                let figures = lock(&figures).figures.clone();
                pen.write(&figures);
            }
            // The last words.
            let figures = Figures { state: None, age: None, ..lock(&figures).figures.clone() };
            pen.write(&figures);
        })?;
        Ok(Metrics(Some(Told { now, wake, writer })))
    }

    /// Changes figures, which are written when next somebody shows something.
    pub fn count(&self, change: impl FnOnce(&mut Figures)) {
        if let Some(told) = &self.0 {
            change(&mut lock(&told.now).figures);
        }
    }

    /// Changes figures after something was shown, and has them written when that is due. Never
    /// waits.
    pub fn show(&self, change: impl FnOnce(&mut Figures)) {
        let Some(told) = &self.0 else { return };
        let mut now = lock(&told.now);
        change(&mut now.figures);
        let state = now.figures.state;
        if now.asked.is_none_or(|(at, told)| told != state || at.elapsed() >= INTERVAL) {
            now.asked = Some((Instant::now(), state));
            // One that waits already will find this, too.
            let _ = told.wake.try_send(());
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        if let Some(Told { wake, writer, .. }) = self.0.take() {
            drop(wake);
            // What it had to write is written.
            let _ = writer.join();
        }
    }
}

fn lock(now: &Mutex<Now>) -> std::sync::MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Pen {
    path: PathBuf,
    failed: bool,
}

impl Pen {
    /// Without a sync: after a power cut there is nothing to tell.
    fn write(&mut self, figures: &Figures) {
        let written = files::write_unsynced(&self.path, text::render(figures).as_bytes());
        match &written {
            Err(error) if !self.failed => log::warn!("--metrics: {error}"),
            Ok(()) if self.failed => log::warn!("--metrics: it is written again"),
            _ => {}
        }
        self.failed = written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_is_written_at_once_then_once_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segcam.prom");
        let metrics = Metrics::start(&path).unwrap();
        metrics.count(|figures| figures.refused = 7);
        assert!(!path.exists(), "nothing was shown");
        let until = |wanted: &str| {
            let begun = Instant::now();
            while !std::fs::read_to_string(&path).unwrap_or_default().contains(wanted) {
                assert!(begun.elapsed() < Duration::from_secs(30), "no {wanted}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        metrics.show(|figures| figures.enter(State::Live));
        until("segcam_state{state=\"live\"} 1\n");
        until("segcam_reloads_total{result=\"refused\"} 7\n");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(100) {
            metrics.show(|figures| figures.frames += 1);
        }
        assert!(std::fs::read_to_string(&path).unwrap().contains("segcam_frames_total 0\n"));
        metrics.show(|figures| figures.enter(State::Stale));
        until("segcam_state{state=\"stale\"} 1\n");
        drop(metrics);
        let last = std::fs::read_to_string(&path).unwrap();
        assert!(last.contains("segcam_state{state=\"stale\"} 0\n"), "{last}");
        assert!(last.contains("segcam_state_entered_total{state=\"stale\"} 1\n"), "{last}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_camera_that_comes_back_is_counted() {
        let mut figures = Figures::default();
        for state in [State::NoSignal, State::NoSignal, State::Starting, State::Live] {
            figures.enter(state);
        }
        assert_eq!(figures.reconnects, 1);
        assert_eq!(figures.entered, [1, 1, 0, 0, 1, 0, 0]);
        figures.enter(State::NoSignal);
        figures.enter(State::Failed);
        assert_eq!(figures.reconnects, 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_stops_nothing() {
        let metrics = Metrics::start(Path::new("/proc/none/segcam.prom")).unwrap();
        metrics.show(|figures| figures.enter(State::Live));
        drop(metrics);
        Metrics::default().show(|_| panic!("nobody asks for them"));
    }
}
