//! The display thread: composes what may be shown, presents it, listens to keys.

use super::handover::Taken;
use super::statistics::{STAGES, Statistics, Summary};
use super::{PATIENCE, Round, RunError, Shot, age};
use crate::compose::{Compositor, Scene, Settings, Shown, Stage, Status};
use crate::display::{self, Display, DisplayError, Key, Size};
use crate::health::STALE_AFTER;
use crate::health::watchdog::Watchdog;
use crate::network::model::Model;
use crate::record::Recorder;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What the keys do, for help texts.
pub const KEYS: &str =
    "v view, + - mask strength, l legend, c one class, space pause, s snapshot, q quit";

/// The last state that was drawn, to draw the next only when it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    Nothing,
    Starting,
    Live,
    Stale,
    NoSignal,
}

pub struct Screen {
    model: Arc<Model>,
    displays: Vec<Box<dyn Display>>,
    compositors: Vec<Compositor>,
    settings: Settings,
    status: Status,
    statistics: Statistics,
    snapshots: String,
    pub recorder: Option<Recorder>,
    drawn: Drawn,
    drawn_at: Instant,
    /// The screens' sizes then: another one may be plugged in.
    sizes: Vec<Option<Size>>,
    /// Of the last frame that was shown.
    sequence: u64,
    /// Why there is no signal; empty when there is.
    cause: String,
}

impl Screen {
    pub fn new(
        model: &Arc<Model>,
        displays: Vec<Box<dyn Display>>,
        camera: String,
        settings: Settings,
        snapshots: String,
    ) -> Screen {
        let status = Status {
            model: model.name.clone(),
            camera,
            stages: STAGES.map(|name| Stage { name, milliseconds: 0.0 }).to_vec(),
            ..Status::default()
        };
        Screen {
            model: Arc::clone(model),
            compositors: displays.iter().map(|_| Compositor::default()).collect(),
            displays,
            settings,
            status,
            statistics: Statistics::new(model.classes.len()),
            snapshots,
            recorder: None,
            drawn: Drawn::Nothing,
            drawn_at: Instant::now(),
            sizes: Vec::new(),
            sequence: 0,
            cause: String::new(),
        }
    }

    pub fn run(
        mut self,
        round: &Round,
        frames: Option<u64>,
        stop: &AtomicBool,
        mut json: Option<&mut dyn Write>,
        mut watchdog: Watchdog,
    ) -> Result<Summary, RunError> {
        let mut current: Option<Shot> = None;
        loop {
            let arrived = match round.results.take(self.wait(current.as_ref())) {
                Taken::Item(shot) if self.settings.paused && current.is_some() => {
                    round.spend(shot);
                    None
                }
                Taken::Item(shot) => Some(shot),
                Taken::Timeout => None,
                Taken::Closed => break,
            };
            if stop.load(Ordering::Relaxed) || self.keys(current.as_ref())? {
                break;
            }
            self.status.dropped = round.dropped.load(Ordering::Relaxed);
            let no_signal = round.signal.lost(&mut self.cause);
            let fresh = arrived.is_some();
            if let Some(shot) = arrived
                && let Some(old) = current.replace(shot)
            {
                round.spend(old);
            }
            // What is not shown again must not hold the camera's memory: mapped, it would keep the
            // lost device open, and its name taken when it comes back.
            if no_signal && let Some(shot) = current.take() {
                round.dropped.fetch_add(u64::from(fresh), Ordering::Relaxed);
                round.spend(shot);
            }
            match &current {
                Some(shot) if fresh => {
                    self.show(Some(shot), false)?;
                    self.count(shot, json.as_deref_mut())?;
                    watchdog.beat();
                }
                current => {
                    self.refresh(current.as_ref(), no_signal)?;
                    // A mask that no newer one follows is no sign of life.
                    if self.drawn == Drawn::NoSignal || self.settings.paused {
                        watchdog.beat();
                    }
                }
            }
            if frames.is_some_and(|frames| self.statistics.frames() >= frames) {
                break;
            }
        }
        for display in &mut self.displays {
            display.finish()?;
        }
        let dropped = round.dropped.load(Ordering::Relaxed);
        Ok(self.statistics.summary(&self.model.classes, dropped))
    }

    /// Until the mask on the screen goes stale, at most [`PATIENCE`].
    fn wait(&self, current: Option<&Shot>) -> Duration {
        match current {
            Some(shot) if self.drawn == Drawn::Live => {
                let left = self.settings.stale_after.saturating_sub(age(shot));
                left.clamp(Duration::from_millis(1), PATIENCE)
            }
            _ => PATIENCE,
        }
    }

    /// Draws anew what changed without a new result: a mask gone stale, a camera gone, another
    /// screen.
    fn refresh(&mut self, current: Option<&Shot>, no_signal: bool) -> Result<(), DisplayError> {
        let sizes = self.displays.iter().map(|display| display.size());
        let exchanged = self.drawn != Drawn::Nothing && !sizes.eq(self.sizes.iter().copied());
        let due = match (no_signal, current) {
            (true, _) => self.drawn != Drawn::NoSignal,
            (false, None) => match self.drawn {
                Drawn::Nothing => self.drawn_at.elapsed() >= STALE_AFTER,
                drawn => drawn == Drawn::NoSignal,
            },
            (false, Some(shot)) if age(shot) <= self.settings.age_limit() => {
                self.drawn != Drawn::Live
            }
            // The age goes on counting.
            (false, Some(_)) => self.drawn != Drawn::Stale || self.drawn_at.elapsed() >= PATIENCE,
        };
        if due || exchanged { self.show(current, no_signal) } else { Ok(()) }
    }

    fn show(&mut self, current: Option<&Shot>, no_signal: bool) -> Result<(), DisplayError> {
        if let Some(shot) = current {
            let times = [shot.times.prepare, shot.times.network, shot.times.decode];
            for (stage, time) in self.status.stages.iter_mut().zip(times) {
                stage.milliseconds = milliseconds(time);
            }
        }
        self.status.frames_per_second = self.statistics.frames_per_second();
        let signal = if no_signal { Err((&*self.status.camera, &*self.cause)) } else { Ok(()) };
        let (shown, drawn) = shown(current, signal, self.settings.age_limit());
        let scene = Scene {
            shown,
            classes: &self.model.classes,
            status: &self.status,
            settings: &self.settings,
        };
        self.sizes.clear();
        self.sizes.extend(self.displays.iter().map(|display| display.size()));
        if let Some(shot) = current {
            self.sequence = shot.frame.sequence;
        }
        let (composed, presented) =
            draw(&mut self.displays, &mut self.compositors, &scene, self.sequence)?;
        self.status.stages[3].milliseconds = milliseconds(composed);
        self.status.stages[4].milliseconds = milliseconds(presented);
        (self.drawn, self.drawn_at) = (drawn, Instant::now());
        Ok(())
    }

    fn count(&mut self, shot: &Shot, json: Option<&mut (dyn Write + '_)>) -> Result<(), RunError> {
        self.statistics.add(&self.status.stages, &shot.shares, Instant::now());
        self.statistics.compare(&shot.frame.truth, &shot.labels.ids);
        let line = Line {
            frame: shot.frame.sequence,
            age_ms: milliseconds(age(shot)),
            state: if self.drawn == Drawn::Live { "live" } else { "stale" },
            dropped: self.status.dropped,
            stages: Stages(&self.status.stages),
            classes: Classes(&self.model, &shot.shares),
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&self.model, &shot.frame, &shot.labels, &line);
        }
        let Some(json) = json else { return Ok(()) };
        serde_json::to_writer(&mut *json, &line).map_err(|error| RunError::Output(error.into()))?;
        json.write_all(b"\n").and_then(|()| json.flush()).map_err(RunError::Output)
    }

    /// Does what the keys say; true to quit.
    fn keys(&mut self, current: Option<&Shot>) -> Result<bool, DisplayError> {
        let mut pressed = false;
        for index in 0..self.displays.len() {
            while let Some(key) = self.displays[index].key() {
                pressed = true;
                let settings = &mut self.settings;
                match key {
                    Key::Quit => return Ok(true),
                    Key::View => settings.view = settings.view.next(),
                    Key::MoreAlpha => settings.alpha = settings.alpha.saturating_add(16),
                    Key::LessAlpha => settings.alpha = settings.alpha.saturating_sub(16),
                    Key::Legend => settings.legend = !settings.legend,
                    Key::Pause => settings.paused = !settings.paused,
                    Key::Class => {
                        let next = settings.only.map_or(0, |class| usize::from(class) + 1);
                        settings.only = (next < self.model.classes.len()).then_some(next as u8);
                    }
                    // A full disk is no reason to stop watching.
                    Key::Snapshot => {
                        if let Err(error) = self.snapshot(current) {
                            log::warn!("no snapshot: {error}");
                        }
                    }
                }
            }
        }
        if pressed && self.drawn != Drawn::Nothing {
            let no_signal = self.drawn == Drawn::NoSignal;
            self.show(current, no_signal)?;
        }
        Ok(false)
    }

    fn snapshot(&mut self, current: Option<&Shot>) -> Result<(), DisplayError> {
        let Some(shot) = current else { return Ok(()) };
        let uri = format!("png:{}?prefix=snapshot-", self.snapshots);
        let mut displays = [display::open(&uri)?];
        let (shown, _) = shown(current, Ok(()), self.settings.age_limit());
        let scene = Scene {
            shown,
            classes: &self.model.classes,
            status: &self.status,
            settings: &self.settings,
        };
        draw(&mut displays, &mut [Compositor::default()], &scene, shot.frame.sequence)?;
        displays[0].finish()
    }
}

/// What may be on the screen now, a mask up to an age of `limit`. `signal` is the camera's name
/// and what became of it when it is gone.
fn shown<'a>(
    current: Option<&'a Shot>,
    signal: Result<(), (&'a str, &'a str)>,
    limit: Duration,
) -> (Shown<'a>, Drawn) {
    match (signal, current) {
        (Err((camera, cause)), _) => (Shown::NoSignal { camera, cause }, Drawn::NoSignal),
        (_, None) => (Shown::Starting, Drawn::Starting),
        (_, Some(shot)) => {
            let Shot { frame, labels, shares, .. } = shot;
            let shown = Shown::by_age(frame, labels, shares, age(shot), limit);
            let drawn = match shown {
                Shown::Live { .. } => Drawn::Live,
                _ => Drawn::Stale,
            };
            (shown, drawn)
        }
    }
}

/// Composes once for each size of screen and presents on all. The times of both.
pub(super) fn draw(
    displays: &mut [Box<dyn Display>],
    compositors: &mut [Compositor],
    scene: &Scene,
    sequence: u64,
) -> Result<(Duration, Duration), DisplayError> {
    let start = Instant::now();
    for first in 0..displays.len() {
        let screen = displays[first].size();
        let same = |display: &dyn Display| display.size() == screen;
        if displays[..first].iter().any(|display| same(&**display)) {
            continue;
        }
        let compositor = &mut compositors[first];
        let size: Size = compositor.size(scene, screen);
        for display in displays.iter_mut().filter(|display| same(&***display)) {
            display.begin(size)?;
        }
        compositor.compose(scene, screen, &mut |y, row| {
            for display in displays.iter_mut().filter(|display| display.size() == screen) {
                display.write_row(y, row);
            }
        });
    }
    let composed = start.elapsed();
    for display in displays.iter_mut() {
        display.present(sequence)?;
    }
    Ok((composed, start.elapsed() - composed))
}

fn milliseconds(time: Duration) -> f32 {
    time.as_secs_f32() * 1e3
}

/// One shown frame as JSON.
#[derive(Serialize)]
struct Line<'a> {
    frame: u64,
    age_ms: f32,
    state: &'static str,
    dropped: u64,
    stages: Stages<'a>,
    classes: Classes<'a>,
}

struct Stages<'a>(&'a [Stage]);

impl Serialize for Stages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|stage| (stage.name, stage.milliseconds)))
    }
}

struct Classes<'a>(&'a Model, &'a [f32]);

impl Serialize for Classes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (class, share) in self.0.classes.iter().zip(self.1).filter(|(_, share)| **share > 0.0) {
            map.serialize_entry(&class.name, share)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn shot(age: Duration) -> Shot {
        let mut frame = Frame::empty();
        frame.captured = Instant::now().checked_sub(age).unwrap();
        Shot { frame, labels: Default::default(), times: Default::default(), shares: Vec::new() }
    }

    #[test]
    fn a_lost_camera_comes_before_a_pause_and_a_pause_before_age() {
        let (fresh, old) = (shot(Duration::ZERO), shot(2 * STALE_AFTER));
        let drawn = |current, signal, paused| {
            let settings = Settings { paused, ..Settings::default() };
            shown(current, signal, settings.age_limit()).1
        };
        let lost = Err(("camera", "unplugged"));
        for current in [None, Some(&fresh), Some(&old)] {
            for paused in [false, true] {
                assert_eq!(drawn(current, lost, paused), Drawn::NoSignal);
            }
        }
        assert_eq!(drawn(None, Ok(()), false), Drawn::Starting);
        assert_eq!(drawn(Some(&fresh), Ok(()), false), Drawn::Live);
        assert_eq!(drawn(Some(&old), Ok(()), false), Drawn::Stale);
        assert_eq!(drawn(Some(&old), Ok(()), true), Drawn::Live);
    }
}
