//! The capture thread: reads the camera, and opens it again when it was lost.

use super::handover::Taken;
use super::{PATIENCE, Round, RunError, SHOTS, Shot};
use crate::camera::{Arrival, Camera, CameraError};
use crate::health::Backoff;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub fn run(mut camera: Box<dyn Camera>, round: &Round) -> Result<(), RunError> {
    let patient = !camera.is_live();
    let mut made = 0;
    let mut last: Option<u64> = None;
    let mut damaged = 0u64;
    while let Some(mut shot) = empty_shot(round, &mut made) {
        loop {
            if round.is_over() {
                return Ok(());
            }
            round.pulses.capture.beat();
            let frame = shot.segmented.frame_mut();
            match camera.read(frame, PATIENCE) {
                Ok(Arrival::Frame) if frame.is_whole() => break,
                Ok(Arrival::Frame) => {
                    damaged += 1;
                    round.dropped.fetch_add(1, Ordering::Relaxed);
                    if damaged == 1 {
                        let (found, whole) = (frame.data.len(), frame.layout.bytes());
                        log::warn!(
                            "{}: a frame of {found} bytes, expected {whole}; such frames are dropped",
                            camera.name()
                        );
                    }
                }
                Ok(Arrival::Timeout) => {}
                Ok(Arrival::End) => return Ok(()),
                Err(CameraError::Lost { cause, .. }) => {
                    round.signal.set_lost(&cause);
                    if !reopen(&mut *camera, round) {
                        return Ok(());
                    }
                    last = None;
                }
                Err(error) => return Err(error.into()),
            }
        }
        round.signal.set_back();
        let sequence = shot.segmented.frame().sequence;
        if let Some(last) = last {
            let gap = sequence.saturating_sub(last + 1);
            round.dropped.fetch_add(gap, Ordering::Relaxed);
        }
        last = Some(sequence);
        round.pass(&round.fresh, shot, patient, &round.pulses.capture);
    }
    Ok(())
}

/// A shot to fill: a spent one, a new one while there are few, or the oldest that waits.
fn empty_shot(round: &Round, made: &mut usize) -> Option<Shot> {
    if let Taken::Item(shot) = round.spent.take(Duration::ZERO) {
        return Some(shot);
    }
    if *made < SHOTS {
        *made += 1;
        return Some(Shot::default());
    }
    loop {
        round.pulses.capture.beat();
        match round.spent.take(PATIENCE) {
            Taken::Item(shot) => return Some(shot),
            Taken::Timeout if !round.is_over() => {}
            _ => return None,
        }
    }
}

/// Tries until the camera is back; false when the run ended before.
fn reopen(camera: &mut dyn Camera, round: &Round) -> bool {
    let mut backoff = Backoff::default();
    loop {
        let until = Instant::now() + backoff.step();
        while Instant::now() < until {
            if round.is_over() {
                return false;
            }
            round.pulses.capture.beat();
            std::thread::sleep(PATIENCE.min(until.saturating_duration_since(Instant::now())));
        }
        match camera.reopen() {
            Ok(()) => return true,
            Err(error) => log::debug!("{error}"),
        }
    }
}
