//! A clip behind a line of the URI's parameters, read to its end or for eight frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcam::camera::{Arrival, Wanted, open};
use segcam::frame::Frame;
use segcam_fuzz::scratch;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

static FILE: OnceLock<PathBuf> = OnceLock::new();

fn file() -> &'static PathBuf {
    FILE.get_or_init(|| scratch().join("clip.y4m"))
}

fuzz_target!(init: file(), |bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (parameters, clip) = (&bytes[..end], &bytes[end + 1..]);
    let Ok(parameters) = std::str::from_utf8(parameters) else { return };
    // Pictures are another target's.
    if !clip.starts_with(b"YUV") || parameters.contains("fault.") {
        return;
    }
    std::fs::write(file(), clip).expect("/dev/shm has room");
    let uri = format!("file:{}?{parameters}", file().display());
    let Ok(mut camera) = open(&uri, Wanted::default()) else { return };
    let mut frame = Frame::empty();
    for _ in 0..8 {
        match camera.read(&mut frame, Duration::ZERO) {
            Ok(Arrival::Frame) => assert!(frame.is_whole()),
            Ok(Arrival::Timeout) => {}
            Ok(Arrival::End) | Err(_) => break,
        }
    }
    let _ = camera.reopen();
});
