//! The wire to a panel's controller: commands and data, told apart by the level of a line (D/C),
//! in messages of a limited size.

use mipidsi::interface::{Interface, InterfaceKind};
use std::io;
use std::thread::sleep;
use std::time::Duration;

/// SLPOUT of the MIPI display command set.
const SLEEP_OUT: u8 = 0x11;

/// What a byte is by the level of the D/C line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Low.
    Command,
    /// High: parameters and pixels.
    Data,
}

/// Bytes out, chip select active for the length of a message.
pub trait Wire {
    /// The largest message in bytes; at least 64, so that parameters of a command are one.
    fn limit(&self) -> usize;

    /// Sends a message of at most [`Wire::limit`] bytes.
    fn send(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<()>;
}

/// Serial interface of 4 lines (clock, data, chip select, D/C), words of 8 bits; or `WIDE`: shift
/// registers between it and the controller's parallel interface, so that each command and
/// parameter takes 16 bits, high byte first, and so does a pixel.
pub struct Bus<W, const WIDE: bool> {
    wire: W,
    buffer: Box<[u8]>,
}

impl<W: Wire, const WIDE: bool> Bus<W, WIDE> {
    pub fn new(wire: W) -> Bus<W, WIDE> {
        let buffer = vec![0; wire.limit()].into();
        Bus { wire, buffer }
    }

    /// Sends commands or parameters with the width that a register has.
    fn send_words(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        if !WIDE {
            return self.wire.send(kind, bytes);
        }
        let words = self.buffer.chunks_exact_mut(2).zip(bytes);
        let length = 2 * words.map(|(word, byte)| word.copy_from_slice(&[0, *byte])).count();
        self.wire.send(kind, &self.buffer[..length])
    }
}

impl<W: Wire, const WIDE: bool> Interface for Bus<W, WIDE> {
    type Word = u8;
    type Error = io::Error;

    const KIND: InterfaceKind =
        if WIDE { InterfaceKind::Parallel16Bit } else { InterfaceKind::Serial4Line };

    fn send_command(&mut self, command: u8, parameters: &[u8]) -> io::Result<()> {
        self.send_words(Kind::Command, &[command])?;
        if !parameters.is_empty() {
            self.send_words(Kind::Data, parameters)?;
        }
        if command == SLEEP_OUT {
            // All of these controllers want 5 ms before the next command.
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn send_pixels<const N: usize>(
        &mut self,
        pixels: impl IntoIterator<Item = [u8; N]>,
    ) -> io::Result<()> {
        let mut pixels = pixels.into_iter();
        // Whole pixels: chip select rises between messages.
        let most = self.wire.limit() / N * N;
        loop {
            let places = self.buffer[..most].chunks_exact_mut(N);
            let filled =
                places.zip(&mut pixels).map(|(place, pixel)| place.copy_from_slice(&pixel));
            let length = N * filled.count();
            if length > 0 {
                self.wire.send(Kind::Data, &self.buffer[..length])?;
            }
            if length < most {
                return Ok(());
            }
        }
    }

    fn send_repeated_pixel<const N: usize>(
        &mut self,
        pixel: [u8; N],
        count: u32,
    ) -> io::Result<()> {
        self.send_pixels((0..count).map(|_| pixel))
    }
}
