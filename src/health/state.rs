//! The states a device can be in, and the rule that tells which it is.

use std::time::Duration;

/// What the screen says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing was shown yet, or not since the camera came back.
    #[default]
    Starting,
    /// A fresh mask.
    Live,
    /// A fresh mask, but something is not as it should be.
    Degraded,
    /// The newest result is too old to be shown.
    Stale,
    /// The camera is gone.
    NoSignal,
    /// There is no network to run, or another part of the configuration is wrong.
    NoModel,
    /// A thread does not answer: the process ends.
    Failed,
}

impl State {
    pub const ALL: [State; 7] = [
        State::Starting,
        State::Live,
        State::Degraded,
        State::Stale,
        State::NoSignal,
        State::NoModel,
        State::Failed,
    ];

    /// As logs and JSON write it.
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Live => "live",
            State::Degraded => "degraded",
            State::Stale => "stale",
            State::NoSignal => "no signal",
            State::NoModel => "no model",
            State::Failed => "failed",
        }
    }

    /// A fresh mask is on the screen.
    pub fn is_live(self) -> bool {
        matches!(self, State::Live | State::Degraded)
    }
}

/// What there is to judge by. Texts are the causes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// The thread that does not answer.
    pub failed: Option<&'a str>,
    /// What became of the camera.
    pub lost: Option<&'a str>,
    /// The age of the newest result's frame; None: there is none.
    pub newest: Option<Duration>,
    /// It is there to be drawn.
    pub fresh: bool,
    /// How old a mask may be.
    pub limit: Duration,
    /// What else is wrong; empty: nothing.
    pub trouble: &'a str,
}

/// The worst that the evidence says.
pub fn judge(evidence: &Evidence) -> State {
    match *evidence {
        Evidence { failed: Some(_), .. } => State::Failed,
        Evidence { lost: Some(_), .. } => State::NoSignal,
        Evidence { newest: None, .. } => State::Starting,
        Evidence { fresh: false, .. } => State::Stale,
        Evidence { trouble: "", .. } => State::Live,
        _ => State::Degraded,
    }
}

/// A change of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    pub from: State,
    pub to: State,
}

/// The state now.
#[derive(Debug, Default)]
pub struct Health {
    state: State,
}

impl Health {
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes what is shown now; a change is logged once, and comes back, with what caused it.
    pub fn enter(&mut self, state: State, evidence: &Evidence) -> Option<(Transition, String)> {
        let from = std::mem::replace(&mut self.state, state);
        if from == state {
            return None;
        }
        let age = evidence.newest.unwrap_or_default().as_millis();
        let cause = match state {
            State::Failed => evidence.failed.unwrap_or_default().to_owned(),
            State::NoSignal => evidence.lost.unwrap_or_default().to_owned(),
            State::Stale => format!(
                "the newest result is {age} ms old, {} are allowed",
                evidence.limit.as_millis()
            ),
            State::Degraded => evidence.trouble.to_owned(),
            State::Live => format!("a result {age} ms old"),
            State::Starting | State::NoModel => String::new(),
        };
        let level = match state {
            State::Failed => log::Level::Error,
            State::Stale | State::Degraded => log::Level::Warn,
            // That the camera is gone was told where it was seen.
            State::Starting | State::Live | State::NoSignal | State::NoModel => log::Level::Info,
        };
        log::log!(level, "{} -> {}: {cause}", from.name(), state.name());
        Some((Transition { from, to: state }, cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_told() {
        let limit = Duration::from_millis(500);
        let fine = Evidence { newest: Some(limit), fresh: true, limit, ..Evidence::default() };
        assert_eq!(judge(&fine), State::Live);
        let troubled = Evidence { trouble: "hot", ..fine };
        assert_eq!(judge(&troubled), State::Degraded);
        let old = Evidence { fresh: false, ..troubled };
        assert_eq!(judge(&old), State::Stale);
        let none = Evidence { newest: None, ..old };
        assert_eq!(judge(&none), State::Starting);
        for evidence in [fine, troubled, old, none] {
            let lost = Evidence { lost: Some("unplugged"), ..evidence };
            assert_eq!(judge(&lost), State::NoSignal);
            let failed = Evidence { failed: Some("inference"), ..lost };
            assert_eq!(judge(&failed), State::Failed);
        }
    }

    #[test]
    fn only_changes_are_told() {
        let mut health = Health::default();
        let evidence = Evidence::default();
        assert_eq!(health.enter(State::Starting, &evidence), None);
        let (changed, _) = health.enter(State::Live, &evidence).unwrap();
        assert_eq!((changed.from, changed.to), (State::Starting, State::Live));
        assert_eq!(health.enter(State::Live, &evidence), None);
    }
}
