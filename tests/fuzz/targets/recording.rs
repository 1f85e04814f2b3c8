//! A segment of a recording is replayed and verified. Mutations mostly get right checksums, or
//! none would come further than those.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use segcam::camera::{Arrival, Wanted, open};
use segcam::frame::Frame;
use segcam::network::model::ModelArguments;
use segcam::record::{name, verify};
use segcam_fuzz::{scratch, tiny};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// The segments' folder, and the network that made the seeds.
static PLACE: OnceLock<(PathBuf, ModelArguments)> = OnceLock::new();

fn place() -> &'static (PathBuf, ModelArguments) {
    PLACE.get_or_init(|| {
        let place = scratch();
        let folder = place.join("recording");
        std::fs::create_dir_all(&folder).expect("/dev/shm can be written to");
        (folder, tiny(&place, &[]))
    })
}

fuzz_target!(init: place(), |bytes: &[u8]| {
    let (folder, model) = place();
    std::fs::write(folder.join(name(1)), bytes).expect("/dev/shm has room");
    let uri = format!("replay:{}", folder.display());
    let mut camera = open(&uri, Wanted::default()).expect("there is a segment");
    let (mut frame, mut frames) = (Frame::empty(), 0);
    while let Arrival::Frame = camera.read(&mut frame, Duration::ZERO).expect("it can be read") {
        assert!(frame.is_whole());
        frames += 1;
    }
    match verify::verify(folder, std::slice::from_ref(model)) {
        Ok(report) => {
            assert_eq!(report.frames, frames);
            assert_eq!(report.equal + report.different, frames);
            assert!(report.to_string().ends_with('\n'));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if !seed.is_multiple_of(8) {
        correct(&mut data[..size]);
    }
    size
});

/// Gives all that begins like a header or frame, and lies inside, the checksums it should have.
fn correct(data: &mut [u8]) {
    const HEAD: usize = 40;
    let mut at = 0;
    while let Some(head) = data.get(at..at + HEAD) {
        if !head.starts_with(b"\x89sgcm") {
            at += 1;
            continue;
        }
        let length = |from: usize| {
            head[from..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
        };
        let end = at + HEAD + length(24) + length(28) + length(32);
        let payload = data.get(at + HEAD..end).map(crc32fast::hash);
        if let Some(payload) = payload {
            data[at + 12..at + 16].copy_from_slice(&payload.to_le_bytes());
        }
        let sum = crc32fast::hash(&data[at + 12..at + HEAD]);
        data[at + 8..at + 12].copy_from_slice(&sum.to_le_bytes());
        at = if payload.is_some() { end } else { at + HEAD };
    }
}
