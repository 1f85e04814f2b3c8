//! Raw frames on standard input, behind a byte that chooses how they are fitted and a line of the
//! URI's parameters; each is labelled.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcam::camera::{Arrival, Wanted, open};
use segcam::decode::LabelMap;
use segcam::frame::Frame;
use segcam::network::model;
use segcam::segment::Segmenter;
use segcam_fuzz::{scratch, tiny};
use std::cell::RefCell;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const FITS: [&str; 4] = ["crop", "stretch", "letterbox", "tile"];

struct Bench {
    file: PathBuf,
    segmenters: Vec<Segmenter>,
}

impl Bench {
    fn new() -> Bench {
        let folder = scratch();
        let of_fit = |fit: &&str| {
            let named = tiny(&folder, &[&format!("input.fit={fit}")]);
            let model = model::open(&named).expect("the tiny network loads");
            Segmenter::new(Arc::new(model)).expect("the tiny network runs")
        };
        Bench { file: folder.join("frames"), segmenters: FITS.iter().map(of_fit).collect() }
    }
}

thread_local!(static BENCH: RefCell<Bench> = RefCell::new(Bench::new()));

fuzz_target!(|bytes: &[u8]| {
    let Some((fit, rest)) = bytes.split_first() else { return };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(parameters) = std::str::from_utf8(&rest[..end]) else { return };
    if parameters.contains("fault.") {
        return;
    }
    BENCH.with_borrow_mut(|bench| {
        std::fs::write(&bench.file, &rest[end + 1..]).expect("/dev/shm has room");
        let file = File::open(&bench.file).expect("it was written");
        rustix::stdio::dup2_stdin(&file).expect("there is a standard input");
        let uri = format!("pipe:-?{parameters}");
        let Ok(mut camera) = open(&uri, Wanted::default()) else { return };
        let segmenter = &mut bench.segmenters[usize::from(*fit) % FITS.len()];
        let (mut frame, mut labels) = (Frame::empty(), LabelMap::default());
        for _ in 0..4 {
            match camera.read(&mut frame, Duration::from_secs(1)) {
                Ok(Arrival::Frame) => {
                    assert!(frame.is_whole());
                    if segmenter.segment(&frame, &mut labels).is_ok() {
                        let (width, height) = (frame.width() as usize, frame.height() as usize);
                        assert_eq!(labels.ids.len(), width * height);
                    }
                }
                Ok(Arrival::Timeout) => panic!("a file is always ready"),
                Ok(Arrival::End) | Err(_) => break,
            }
        }
    });
});
