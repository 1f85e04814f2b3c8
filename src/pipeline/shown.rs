//! What may be on the screen, and by what that is judged.

use super::Shot;
use crate::compose::{Shown, Status};
use crate::health::state::Evidence;
use std::time::Duration;

/// A mask up to an age of `limit`, or words.
pub fn shown<'a>(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::Settings;
    use crate::frame::Frame;
    use crate::health::STALE_AFTER;
    use crate::health::state::{State, judge};
    use crate::segment::Segmented;
    use std::time::Instant;

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
