//! Boots whole boards in QEMU and looks at their screens: `tests/qemu/run` calls this with what it
//! needs.
//!
//! A board is a kernel from Debian's package and a file system made here ([`initramfs`]): busybox,
//! kernel modules, segcam, and a small helper program (`guest`) that puts pictures into the camera
//! of the kernel's vivid driver, or plays a webcam on USB. The guest's first process (`init`) does
//! what the host says, one line of shell at a time ([`board`]). The host asks QEMU for the screen
//! ([`qmp`]) and compares it with what segcam draws of the same frame here ([`screens`]).
//!
//! Consoles' logs and pictures are kept in `target/tmp/qemu/NAME`.

mod board;
mod card;
mod console;
mod device;
mod faults;
mod image;
mod initramfs;
mod panels;
mod qmp;
mod raspi3;
mod screen;
mod screens;
mod soak;
mod usb;

// Shared with tests/host: frames that carry their number, and the network for them.
#[allow(dead_code)]
#[path = "../host/onnx.rs"]
mod onnx;
#[allow(dead_code)]
#[path = "../host/soak/picture.rs"]
mod picture;
