//! The harness itself: a picture put on the screen without segcam is found there.

use crate::board::{Board, Kit, Machine};
use crate::screens::{Alike, Expected, frame};
use segcam::display::Size;
use std::time::Duration;

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn what_is_written_to_the_framebuffer_is_in_the_screendump() {
    let size = Size { width: 800, height: 480 };
    let folder = tempfile::tempdir().unwrap();
    let expected = Expected::of(&frame("yuyv", 640, 480, 3), "camera", size, folder.path());
    let mut kit = Kit::new().modules(&["virtio_pci", "virtio_gpu"]);
    kit.add("picture", &expected.bytes());
    let machine = Machine::Virt { card: "virtio-gpu-pci,xres=800,yres=480" };
    let mut board = Board::boot("console", machine, kit);
    board.run("cat /picture >/dev/fb0");
    expected.wait_for(&mut board, Alike::Exactly, "framebuffer", Duration::from_secs(5));
    assert_eq!(board.attempt("false").0, 1);
}
