//! The display thread: composes what may be shown, presents it, listens to keys.

use super::handover::Taken;
use super::statistics::{STAGES, Statistics, Summary};
use super::{Changes, PATIENCE, Round, RunError, Shot};
use crate::compose::{Compositor, Scene, Settings, Shown, Stage, Status};
use crate::display::{self, Display, DisplayError, Key, Size};
use crate::health::STALE_AFTER;
use crate::health::state::{Evidence, Health, State, judge};
use crate::health::watchdog::Watchdog;
use crate::journal::{Event, Journal};
use crate::network::model::Model;
use crate::record::Recorder;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
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
            self.status.dropped = round.dropped.load(Ordering::Relaxed);
            self.trouble(round, changes);
            let no_signal = round.signal.lost(&mut self.cause);
            if round.failed(&mut self.failure) {
                self.show(None)?;
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
        self.statistics.begin_classes(model.classes.len());
        if let Some(journal) = self.journal {
            let (model, model_sha256) = (model.name.clone(), model.sha256.clone());
            journal.tell(Event::Model { model, model_sha256 });
        }
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
        let line = Line {
            frame: mask.frame().sequence,
            age_ms: milliseconds(mask.age()),
            state: self.health.state().name(),
            dropped: self.status.dropped,
            stages: Stages(&self.status.stages),
            classes: Classes(&self.model, mask.shares()),
        };
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

/// What may be on the screen now, a mask up to an age of `limit`, and by what that is judged.
fn shown<'a>(
    current: Option<&'a Shot>,
    failure: &'a str,
    cause: &'a str,
    status: &'a Status,
    limit: Duration,
) -> (Shown<'a>, Evidence<'a>) {
    let some = |text: &'a str| (!text.is_empty()).then_some(text);
    let result = current.map(|shot| Shown::result(&shot.segmented, limit));
    let evidence = Evidence {
        failed: some(failure),
        lost: some(cause),
        newest: current.map(|shot| shot.segmented.age()),
        fresh: matches!(result, Some(Shown::Live(_))),
        limit,
        trouble: &status.trouble,
    };
    let shown = match (evidence.failed, evidence.lost, result) {
        (Some(reason), ..) => Shown::Failed { reason },
        (_, Some(cause), _) => Shown::NoSignal { camera: &status.camera, cause },
        (_, _, Some(result)) => result,
        (_, _, None) => Shown::Starting,
    };
    (shown, evidence)
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
    use crate::segment::Segmented;

    fn shot(age: Duration) -> Shot {
        let mut frame = Frame::empty();
        frame.captured = Instant::now().checked_sub(age).unwrap();
        Shot { segmented: Segmented::labelled(frame), model: None }
    }

    #[test]
    fn a_failure_comes_first_then_the_camera_then_a_pause_then_age() {
        let (fresh, old) = (shot(Duration::ZERO), shot(2 * STALE_AFTER));
        let status = Status::default();
        let drawn = |current, failure, cause, paused| {
            let settings = Settings { paused, ..Settings::default() };
            let (shown, evidence) = shown(current, failure, cause, &status, settings.age_limit());
            let live = matches!(shown, Shown::Live(_));
            assert_eq!(live, judge(&evidence).is_live());
            judge(&evidence)
        };
        for current in [None, Some(&fresh), Some(&old)] {
            for paused in [false, true] {
                assert_eq!(drawn(current, "", "unplugged", paused), State::NoSignal);
                assert_eq!(drawn(current, "stuck", "unplugged", paused), State::Failed);
            }
        }
        assert_eq!(drawn(None, "", "", false), State::Starting);
        assert_eq!(drawn(Some(&fresh), "", "", false), State::Live);
        assert_eq!(drawn(Some(&old), "", "", false), State::Stale);
        assert_eq!(drawn(Some(&old), "", "", true), State::Live);
    }
}
