//! A webcam on USB: MJPEG through the kernel's uvcvideo driver, plugged out and in again.

use crate::board::{Board, Kit, Machine};
use crate::screens::{Alike, Expected, frame, says_no_signal};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use segcam::camera::{self, Wanted};
use segcam::display::Size;
use segcam::frame::Frame;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn a_webcam_of_mjpeg_is_shown_and_may_be_plugged_out_and_in() {
    let person = frame("rgb24", 640, 480, 100);
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, 90);
    encoder.write_image(&person.data, 640, 480, ExtendedColorType::Rgb8).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("person.jpg");
    std::fs::write(&path, &jpeg).unwrap();
    let mut decoded = Frame::empty();
    let uri = format!("file:{}", path.display());
    camera::open(&uri, Wanted::default()).unwrap().read(&mut decoded, PATIENCE).unwrap();

    let mut kit = Kit::new().modules(&["virtio_pci", "virtio_gpu", "vhci_hcd", "uvcvideo"]);
    kit.add("frames/person.jpg", &jpeg);
    let machine = Machine::Virt { card: "virtio-gpu-pci,xres=800,yres=480" };
    let mut board = Board::boot("usb", machine, kit);
    let plug_in = "guest webcam 640 480 /frames/person.jpg >/tmp/webcam 2>&1 & webcam=$!";
    board.run(plug_in);
    board.run("wait_for '[ -e /dev/video0 ]'");
    let camera = "v4l2:?format=mjpeg";
    board.start(camera, "drm:");
    let size = Size { width: 800, height: 480 };
    let expected = Expected::of(&decoded, camera, size, &board.folder);
    // Two decoders of JPEG round differently.
    expected.wait_for(&mut board, Alike::Nearly, "webcam", PATIENCE);

    board.run("kill $webcam");
    board.wait_for("plugged-out", says_no_signal);
    board.run(plug_in);
    expected.wait_for(&mut board, Alike::Nearly, "plugged-in-again", PATIENCE);
    println!("{}", board.log());
    board.stop();
}
