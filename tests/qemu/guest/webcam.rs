//! A USB camera made of software: a USB Video Class 1.0 device with one MJPEG format and a bulk
//! endpoint, spoken to the kernel's USB/IP client (vhci_hcd) over a socket.
//!
//! The kernel's own gadget camera (f_uvc) needs isochronous transfers, which its emulated
//! controllers (dummy_hcd, usbip-vudc) do not have.
//!
//! Sources: USB 2.0, chapter 9; USB Video Class 1.0, sections 3, 4.3 and 2.4.3; kernel
//! Documentation/usb/usbip_protocol.rst.

use super::Outcome;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

const ATTACH: &str = "/sys/devices/platform/vhci_hcd.0/attach";
const HIGH_SPEED: u32 = 3;

/// Bytes of a payload, and its header's.
const PAYLOAD: u32 = 16_384;
const HEADER: usize = 2;
/// In units of 100 ns: 30 frames a second.
const INTERVAL: u32 = 333_333;

// Kinds of message of USB/IP.
const SUBMIT: u32 = 1;
const UNLINK: u32 = 2;
const SUBMITTED: u32 = 3;
const UNLINKED: u32 = 4;
/// The error that a stalled endpoint gives (-EPIPE).
const STALL: i32 = -32;

/// Plugs the camera in and answers for it until the kernel lets go.
pub fn serve(width: u16, height: u16, file: &str) -> Outcome {
    let mut camera =
        Webcam { width, height, picture: fs::read(file)?, at: 0, odd: false, due: Instant::now() };
    let (kernel, mut socket) = UnixStream::pair()?;
    // Port, socket, device's number, speed.
    fs::write(ATTACH, format!("0 {} {} {HIGH_SPEED}", kernel.as_raw_fd(), 0x1_0002))?;
    drop(kernel);
    println!("plugged in");
    loop {
        let mut message = [0; 48];
        socket.read_exact(&mut message)?;
        let word = |at: usize| {
            u32::from_be_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]])
        };
        let (kind, number, is_in, endpoint) = (word(0), word(4), word(12) == 1, word(16));
        let (status, data, length) = match kind {
            SUBMIT => {
                let length = word(24) as usize;
                if !is_in {
                    io::copy(&mut (&socket).take(length as u64), &mut io::sink())?;
                }
                let answer = match endpoint {
                    0 => camera.control(&message[40..48]),
                    _ => Some(camera.payload(length)),
                };
                let status = if answer.is_some() { 0 } else { STALL };
                let mut data = answer.unwrap_or_default();
                data.truncate(if is_in { length } else { 0 });
                let length = if is_in { data.len() } else { length };
                (status, data, length)
            }
            // Every request was answered when it came.
            UNLINK => (0, Vec::new(), 0),
            _ => return Err(format!("USB/IP message {kind}").into()),
        };
        let kind = if kind == SUBMIT { SUBMITTED } else { UNLINKED };
        let mut answer = Vec::with_capacity(48 + data.len());
        for word in [kind, number, 0, 0, 0, status as u32, length as u32, 0, 0, 0, 0, 0] {
            answer.extend(word.to_be_bytes());
        }
        answer.extend(data);
        socket.write_all(&answer)?;
    }
}

struct Webcam {
    width: u16,
    height: u16,
    picture: Vec<u8>,
    /// What of the picture is sent.
    at: usize,
    /// Changes with each frame.
    odd: bool,
    /// When the next frame begins.
    due: Instant,
}

impl Webcam {
    /// The next piece of the picture with its header.
    fn payload(&mut self, length: usize) -> Vec<u8> {
        if self.at == 0 {
            sleep(self.due.saturating_duration_since(Instant::now()));
            self.due = Instant::now() + Duration::from_nanos(u64::from(INTERVAL) * 100);
        }
        let room = length.min(PAYLOAD as usize) - HEADER;
        let end = self.picture.len().min(self.at + room);
        let is_last = end == self.picture.len();
        // End of header, end of frame, frame identifier.
        let mut bytes = vec![HEADER as u8, 0x80 | u8::from(is_last) << 1 | u8::from(self.odd)];
        bytes.extend(&self.picture[self.at..end]);
        self.at = end;
        if is_last {
            (self.at, self.odd) = (0, !self.odd);
        }
        bytes
    }

    /// Answers a request to the device; None where it does not know it.
    fn control(&self, setup: &[u8]) -> Option<Vec<u8>> {
        let (kind, request, selector, value) = (setup[0], setup[1], setup[2], setup[3]);
        let interface = setup[4];
        match (kind, request) {
            // Descriptors.
            (0x80, 6) => match (value, selector) {
                (1, _) => Some(DEVICE.to_vec()),
                (2, _) => Some(self.configuration()),
                (3, 0) => Some(vec![4, 3, 0x09, 0x04]),
                (3, _) => Some(text("segcam test camera")),
                _ => None,
            },
            // Status, features, configuration, alternate setting.
            (0x80..=0x82, 0) => Some(vec![0, 0]),
            (0x00..=0x02, 1 | 3 | 9 | 11) => Some(Vec::new()),
            // Probe and commit: there is one choice. Set, get (now, least, most, usual), length,
            // what can be done.
            (0x21, 1) if interface == 1 && matches!(value, 1 | 2) => Some(Vec::new()),
            (0xa1, 0x81..=0x83 | 0x87) if interface == 1 => Some(self.probe()),
            (0xa1, 0x85) if interface == 1 => Some(vec![26, 0]),
            (0xa1, 0x86) if interface == 1 => Some(vec![3]),
            _ => None,
        }
    }

    fn frame_bytes(&self) -> u32 {
        2 * u32::from(self.width) * u32::from(self.height)
    }

    fn probe(&self) -> Vec<u8> {
        // The interval is fixed; format 1, frame 1; no key frames, no quality, no delay.
        let mut bytes = vec![1, 0, 1, 1];
        bytes.extend(INTERVAL.to_le_bytes());
        bytes.extend([0; 10]);
        bytes.extend(self.frame_bytes().to_le_bytes());
        bytes.extend(PAYLOAD.to_le_bytes());
        bytes
    }

    fn configuration(&self) -> Vec<u8> {
        let [width, height] = [self.width, self.height].map(u16::to_le_bytes);
        let mut frame = vec![30, 0x24, 7, 1, 0, width[0], width[1], height[0], height[1]];
        let rate = self.frame_bytes() * 8;
        for number in [rate, rate, self.frame_bytes(), INTERVAL] {
            frame.extend(number.to_le_bytes());
        }
        frame.push(1);
        frame.extend(INTERVAL.to_le_bytes());

        // A video function of two interfaces: control and streaming.
        let mut bytes = vec![8, 0x0b, 0, 2, 0x0e, 3, 0, 2];
        // Control: header, camera 1, output 2 from it.
        bytes.extend([9, 4, 0, 0, 0, 0x0e, 1, 0, 0]);
        bytes.extend([13, 0x24, 1, 0, 1, 40, 0, 0, 0x6c, 0xdc, 2, 1, 1]);
        bytes.extend([18, 0x24, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
        bytes.extend([9, 0x24, 3, 2, 1, 1, 0, 1, 0]);
        // Streaming: header, MJPEG with one size, colours of sRGB in BT.601, a bulk endpoint.
        bytes.extend([9, 4, 1, 0, 1, 0x0e, 2, 0, 0]);
        bytes.extend([14, 0x24, 1, 1, 14 + 11 + 30 + 6, 0, 0x81, 0, 2, 0, 0, 0, 1, 0]);
        bytes.extend([11, 0x24, 6, 1, 1, 1, 1, 0, 0, 0, 0]);
        bytes.extend(frame);
        bytes.extend([6, 0x24, 0x0d, 1, 1, 4]);
        bytes.extend([7, 5, 0x81, 2, 0, 2, 0]);

        let length = (9 + bytes.len() as u16).to_le_bytes();
        let mut all = vec![9, 2, length[0], length[1], 2, 1, 0, 0x80, 50];
        all.extend(bytes);
        all
    }
}

/// USB 2.0, several interfaces in a function, 64 bytes at endpoint 0, one configuration.
const DEVICE: [u8; 18] = [18, 1, 0, 2, 0xef, 2, 1, 64, 0x6b, 0x1d, 0x02, 0x01, 0, 1, 1, 2, 0, 1];

/// A text descriptor.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![2 + 2 * text.len() as u8, 3];
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    bytes
}
