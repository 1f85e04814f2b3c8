//! The thread that looks after the others.

use super::{PATIENCE, Round};
use crate::health::pulse::{LOOK, SILENT};
use crate::health::throttle::Throttle;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often sysfs is read.
const HEAT: Duration = Duration::from_secs(5);
/// The display's time to say that another thread failed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Looks until the run is over. A camera whose driver keeps silent is lost; a thread that does
/// not answer at all fails the run. When it is the display, `abandon` has to end the process:
/// nobody else can.
pub fn run(round: &Round, live: bool, abandon: fn(&str)) {
    let mut read: Option<Instant> = None;
    let mut looked = Instant::now();
    while !round.is_over() {
        std::thread::sleep(LOOK.min(PATIENCE));
        if looked.elapsed() > LOOK + SILENT {
            log::warn!("the process stood still for {} s", looked.elapsed().as_secs());
            round.pulses.forgive();
        }
        looked = Instant::now();
        if read.is_none_or(|read| read.elapsed() >= HEAT) {
            read = Some(looked);
            let found = Throttle::read(Path::new("/sys"));
            *round.throttle.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
        let silence = round.pulses.capture.silence();
        if live && silence > SILENT {
            let seconds = silence.as_secs();
            round.signal.set_lost(&format!("the driver has not answered for {seconds} s"));
        }
        let slow = Duration::from_millis(round.slow_ms.load(Ordering::Relaxed));
        let Some(stalled) = round.pulses.stalled(slow) else { continue };
        if round.is_over() {
            return;
        }
        round.fail(&stalled);
        let end = Instant::now() + LAST_WORDS;
        while Instant::now() < end {
            if round.is_over() {
                return;
            }
            std::thread::sleep(LOOK);
        }
        return abandon(&stalled);
    }
}
