//! The display thread: composes what may be shown, presents it, listens to keys.

use super::handover::Taken;
use super::line::Line;
use super::shown::shown;
use super::statistics::{STAGES, Statistics, Summary};
use super::{Changes, PATIENCE, Round, RunError, Shot, milliseconds};
use crate::compose::{Compositor, Scene, Settings, Shown, Stage, Status};
use crate::display::{self, Display, DisplayError, Key, Size};
use crate::health::STALE_AFTER;
use crate::health::state::{Evidence, Health, State, judge};
use crate::health::watchdog::Watchdog;
use crate::journal::{Event, Journal};
use crate::metrics::Metrics;
use crate::network::model::Model;
use crate::record::Recorder;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// What the keys do, for help texts.
pub const KEYS: &str =
    "v view, + - mask strength, l legend, c one class, space pause, s snapshot, q quit";

pub struct Screen<'a> {
    model: Arc<Model>,
    displays: &'a mut [Box<dyn Display>],
    compositors: Vec<Compositor>,
    settings: Settings,
    status: Status,
    statistics: Statistics,
    snapshots: String,
    health: Health,
    /// A picture was drawn.
    drawn: bool,
    pub recorder: Option<Recorder>,
    pub journal: Option<&'a Journal>,
    metrics: &'a Metrics,
    drawn_at: Instant,
    /// The screens' sizes then: another one may be plugged in.
    sizes: Vec<Option<Size>>,
    /// Of the last frame that was shown.
    sequence: u64,
    /// Why there is no signal; empty when there is.
    cause: String,
    /// Which thread does not answer; empty when all do.
    failure: String,
    /// The trouble that was drawn.
    told: String,
}

impl<'a> Screen<'a> {
    pub fn new(
        model: &Arc<Model>,
        displays: &'a mut [Box<dyn Display>],
        camera: String,
        settings: Settings,
        snapshots: String,
        metrics: &'a Metrics,
    ) -> Screen<'a> {
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
            health: Health::default(),
            drawn: false,
            recorder: None,
            journal: None,
            metrics,
            drawn_at: Instant::now(),
            sizes: Vec::new(),
            sequence: 0,
            cause: String::new(),
            failure: String::new(),
            told: String::new(),
        }
    }

    pub fn run(
        mut self,
        round: &Round,
        frames: Option<u64>,
        stop: &AtomicBool,
        changes: &Changes,
        mut json: Option<&mut dyn Write>,
        watchdog: &mut Watchdog,
    ) -> Result<Summary, RunError> {
        let mut current: Option<Shot> = None;
        loop {
            round.pulses.display.beat();
            let arrived = match round.results.take(self.wait(current.as_ref())) {
                Taken::Item(shot) if self.settings.paused && current.is_some() => {
                    round.spend(shot);
                    None
                }
                Taken::Item(shot) => Some(shot),
                Taken::Timeout => None,
                Taken::Closed => break,
            };
            if changes.again() {
                // Until the next run has a picture, none is live.
                self.show(None)?;
                break;
            }
            if stop.load(Ordering::Relaxed) || self.keys(current.as_ref())? {
                break;
            }
            let dropped = round.dropped.load(Ordering::Relaxed);
            let before = std::mem::replace(&mut self.status.dropped, dropped);
            self.metrics.count(|figures| figures.dropped += dropped - before.min(dropped));
            self.trouble(round, changes);
            let no_signal = round.signal.lost(&mut self.cause);
            if round.failed(&mut self.failure) {
                self.show(None)?;
                self.report(None);
                return Err(RunError::Stalled(self.failure));
            }
            let fresh = arrived.is_some();
            if let Some(shot) = &arrived {
                self.follow(shot);
            }
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
                    self.show(Some(shot))?;
                    self.count(shot, json.as_deref_mut())?;
                    watchdog.beat();
                }
                current => {
                    self.refresh(current.as_ref())?;
                    // A mask that no newer one follows is no sign of life.
                    if self.health.state() == State::NoSignal || self.settings.paused {
                        watchdog.beat();
                    }
                }
            }
            self.report(current.as_ref());
            if frames.is_some_and(|frames| self.statistics.frames() >= frames) {
                break;
            }
        }
        for display in self.displays.iter_mut() {
            display.finish()?;
        }
        let dropped = round.dropped.load(Ordering::Relaxed);
        Ok(self.statistics.summary(&self.model.classes, dropped))
    }

    /// Takes up the model that a result is of.
    fn follow(&mut self, shot: &Shot) {
        let Some(model) = shot.model.as_ref().filter(|model| !Arc::ptr_eq(model, &self.model))
        else {
            return;
        };
        self.model = Arc::clone(model);
        self.status.model.clone_from(&model.name);
        self.settings.only = None;
        self.metrics.count(|figures| {
            figures.model.clone_from(&model.name);
            figures.model_sha256.clone_from(&model.sha256);
            figures.reloads += 1;
        });
        self.statistics.begin_classes(model.classes.len());
        if let Some(journal) = self.journal {
            let (model, model_sha256) = (model.name.clone(), model.sha256.clone());
            journal.tell(Event::Model { model, model_sha256 });
        }
    }

    /// What is on the screen now, in figures.
    fn report(&self, current: Option<&Shot>) {
        self.metrics.show(|figures| {
            if self.drawn {
                figures.enter(self.health.state());
            }
            figures.age = current.map(|shot| shot.segmented.age());
            figures.frames_per_second = self.status.frames_per_second;
            figures.celsius = self.status.celsius;
        });
    }

    /// Says what is wrong while masks are fresh.
    fn trouble(&mut self, round: &Round, changes: &Changes) {
        let throttle = round.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        self.status.celsius = throttle.celsius;
        let trouble = &mut self.status.trouble;
        trouble.clear();
        changes.write_refused(trouble);
        if let Some(held_back) = throttle.held_back.filter(|_| trouble.is_empty()) {
            trouble.push_str(held_back);
        }
        if trouble.is_empty() && round.not_numbers.load(Ordering::Relaxed) > 0 {
            trouble.push_str("the network's scores are not numbers (NaN)");
        }
    }

    /// Until the mask on the screen goes stale, at most [`PATIENCE`].
    fn wait(&self, current: Option<&Shot>) -> Duration {
        match current {
            Some(shot) if self.health.state().is_live() => {
                let left = self.settings.stale_after.saturating_sub(shot.segmented.age());
                left.clamp(Duration::from_millis(1), PATIENCE)
            }
            _ => PATIENCE,
        }
    }

    /// Draws anew what changed without a new result: a mask gone stale, a camera gone, another
    /// screen.
    fn refresh(&mut self, current: Option<&Shot>) -> Result<(), DisplayError> {
        let sizes = self.displays.iter().map(|display| display.size());
        let exchanged = self.drawn && !sizes.eq(self.sizes.iter().copied());
        let due = match judge(&self.shown(current).1) {
            // What comes at once needs no word before it.
            State::Starting if !self.drawn => self.drawn_at.elapsed() >= STALE_AFTER,
            state if !self.drawn || state != self.health.state() => true,
            // The age goes on counting.
            State::Stale => self.drawn_at.elapsed() >= PATIENCE,
            _ => self.told != self.status.trouble,
        };
        if due || exchanged { self.show(current) } else { Ok(()) }
    }

    fn shown<'b>(&'b self, current: Option<&'b Shot>) -> (Shown<'b>, Evidence<'b>) {
        let limit = self.settings.age_limit();
        shown(current, &self.failure, &self.cause, &self.status, limit)
    }

    fn show(&mut self, current: Option<&Shot>) -> Result<(), DisplayError> {
        if let Some(shot) = current {
            let times = shot.segmented.times();
            let times = [times.prepare, times.network, times.decode];
            for (stage, time) in self.status.stages.iter_mut().zip(times) {
                stage.milliseconds = milliseconds(time);
            }
        }
        self.status.frames_per_second = self.statistics.frames_per_second();
        let limit = self.settings.age_limit();
        let (shown, evidence) = shown(current, &self.failure, &self.cause, &self.status, limit);
        let scene = Scene {
            shown,
            classes: &self.model.classes,
            status: &self.status,
            settings: &self.settings,
        };
        self.sizes.clear();
        self.sizes.extend(self.displays.iter().map(|display| display.size()));
        if let Some(shot) = current {
            self.sequence = shot.segmented.frame().sequence;
        }
        let (composed, presented) =
            draw(self.displays, &mut self.compositors, &scene, self.sequence)?;
        if let Some((transition, cause)) = self.health.enter(judge(&evidence), &evidence)
            && let Some(journal) = self.journal
        {
            let (from, to) = (transition.from.name(), transition.to.name());
            journal.tell(Event::State { from, to, cause });
        }
        self.status.stages[3].milliseconds = milliseconds(composed);
        self.status.stages[4].milliseconds = milliseconds(presented);
        (self.drawn, self.drawn_at) = (true, Instant::now());
        self.told.clone_from(&self.status.trouble);
        Ok(())
    }

    fn count(&mut self, shot: &Shot, json: Option<&mut (dyn Write + '_)>) -> Result<(), RunError> {
        let Some(mask) = shot.segmented.mask(Duration::MAX) else { return Ok(()) };
        self.statistics.add(&self.status.stages, mask.shares(), Instant::now());
        self.statistics.compare(&mask.frame().truth, &mask.labels().ids);
        let line = Line::new(&mask, &self.model, self.health.state(), &self.status);
        self.metrics.count(|figures| {
            figures.frames += 1;
            figures.masks += u64::from(self.health.state().is_live());
            figures.inference += shot.segmented.times().network;
        });
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&self.model, mask.frame(), mask.labels(), &line);
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
        if pressed && self.drawn {
            self.show(current)?;
        }
        Ok(false)
    }

    fn snapshot(&mut self, current: Option<&Shot>) -> Result<(), DisplayError> {
        let Some(shot) = current else { return Ok(()) };
        let uri = format!("png:{}?prefix=snapshot-", self.snapshots);
        let mut displays = [display::open(&uri)?];
        let scene = Scene {
            shown: self.shown(current).0,
            classes: &self.model.classes,
            status: &self.status,
            settings: &self.settings,
        };
        draw(&mut displays, &mut [Compositor::default()], &scene, shot.segmented.frame().sequence)?;
        displays[0].finish()
    }
}

/// Composes once for each size of screen and presents on all. The times of both.
fn draw(
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
