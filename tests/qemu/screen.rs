//! Graphics cards: what the camera sees is on the screen, in every format.

use crate::board::{Board, Kit, Machine};
use crate::device::{CABLE, FORMATS, Feed, HD, VGA};
use crate::screens::{Alike, golden};
use segcam::display::Size;

const SIZE: Size = Size { width: 800, height: 480 };
const VIRTIO: &str = "virtio-gpu-pci,xres=800,yres=480";

/// A virt board with a graphics card, the card's driver, a camera, and pictures for it.
fn boot(name: &str, card: &str, driver: &str, feeds: &[Feed]) -> Board {
    let mut kit = Kit::new().modules(&["virtio_pci", driver, "vivid"]).with(CABLE);
    feeds.iter().for_each(|feed| feed.add_to(&mut kit));
    Board::boot(name, Machine::Virt { card }, kit)
}

/// All formats in these sizes, each with a picture of its own.
fn feeds(sizes: &[(u32, u32)]) -> Vec<Feed> {
    let pairs = sizes.iter().flat_map(|size| FORMATS.map(|format| (format, *size)));
    pairs.zip(0..).map(|((format, size), at)| Feed::new(format, size, 40 * at)).collect()
}

/// The shortest one: from the start of QEMU to its verdict in 25 seconds.
#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn virt_shows_its_camera() {
    let feed = Feed::new(FORMATS[0], VGA, 30);
    let mut board = boot("virt", VIRTIO, "virtio_gpu", std::slice::from_ref(&feed));
    let shown = board.show(&feed, "drm:", SIZE, Alike::Exactly);
    golden("qemu-virt", &shown);
    println!("virt: verdict after {:.1} s", board.started.elapsed().as_secs_f32());
}

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn virtio_gpu_through_kms() {
    let feeds = feeds(&[VGA, HD]);
    let mut board = boot("virtio-drm", VIRTIO, "virtio_gpu", &feeds);
    for feed in &feeds {
        board.show(feed, "drm:", SIZE, Alike::Exactly);
    }
}

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn virtio_gpu_as_framebuffer() {
    let feeds = feeds(&[VGA]);
    let mut board = boot("virtio-fbdev", VIRTIO, "virtio_gpu", &feeds);
    for feed in &feeds {
        board.show(feed, "fbdev:", SIZE, Alike::Exactly);
    }
}

/// This card has no page flips by hardware, and answers ENOSYS to DIRTYFB.
#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn bochs_display() {
    let feeds = [Feed::new(FORMATS[0], VGA, 50), Feed::new(FORMATS[1], HD, 60)];
    let card = "bochs-display,edid=on,xres=800,yres=480,romfile=";
    let mut board = boot("bochs", card, "bochs", &feeds);
    board.show(&feeds[0], "drm:", SIZE, Alike::Exactly);
    board.show(&feeds[1], "fbdev:", SIZE, Alike::Exactly);
}
