//! A camera's JPEG; the first byte chooses the size that was agreed on. Then the same bytes as a
//! picture file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcam::camera::mjpeg::Decoder;
use segcam::camera::read_picture;
use segcam::frame::{Frame, Layout, PixelFormat};
use segcam_fuzz::scratch;
use std::path::PathBuf;
use std::sync::OnceLock;

/// As seeds.py has them.
const SIZES: [(u32, u32); 4] = [(16, 16), (40, 24), (17, 9), (64, 48)];

static FILE: OnceLock<PathBuf> = OnceLock::new();

fn file() -> &'static PathBuf {
    FILE.get_or_init(|| scratch().join("picture"))
}

fuzz_target!(init: file(), |bytes: &[u8]| {
    let Some((size, picture)) = bytes.split_first() else { return };
    let (width, height) = SIZES[usize::from(*size) % SIZES.len()];
    let layout = Layout::packed(PixelFormat::Rgb, width, height).expect("a size that can be");
    let mut out = vec![0; layout.bytes()];
    let mut decoder = Decoder::default();
    // Its buffer is kept from picture to picture.
    for _ in 0..2 {
        if let Err(error) = decoder.decode(picture, layout, &mut out) {
            assert!(!error.to_string().is_empty());
        }
    }
    std::fs::write(file(), picture).expect("/dev/shm has room");
    let mut frame = Frame::empty();
    if read_picture(file(), &mut frame).is_ok() {
        assert!(frame.is_whole());
    }
});
