//! A panel as a [`Display`]: keeps what it shows, and sends the rows that changed.

use super::bus::{Bus, Wire};
use crate::display::{Display, DisplayError, Size};
use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::pixelcolor::raw::RawU16;
use linux_embedded_hal::Delay;
use mipidsi::interface::InterfacePixelFormat;
use mipidsi::models::Model;
use mipidsi::options::{ColorInversion, ColorOrder, Orientation, Rotation};
use mipidsi::{Builder, InitError, NoResetPin};
use std::io;

/// How a panel is mounted and wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounting {
    /// Width and height of what can be seen, as the controller counts when nothing is turned.
    pub size: (u16, u16),
    /// Column and row of its first pixel in the controller's memory.
    pub offset: (u16, u16),
    /// Turns the picture clockwise.
    pub rotation: Rotation,
    /// The panel's columns run from right to left.
    pub mirror: bool,
    /// The panel shows the complement of what it is sent.
    pub invert: bool,
    /// The panel's subpixels stand blue, green, red.
    pub bgr: bool,
}

/// Switches the backlight.
pub type Light = Box<dyn FnMut(bool) -> io::Result<()>>;

/// A panel that is awake. `WIDE` is the [`Bus`]'s.
pub struct Panel<W: Wire, const WIDE: bool, M: Model>
where
    M::ColorFormat: InterfacePixelFormat<u8>,
{
    name: String,
    controller: mipidsi::Display<Bus<W, WIDE>, M, NoResetPin>,
    light: Light,
    lit: bool,
    size: Size,
    /// The picture, row by row: red 5 bits, green 6, blue 5.
    pixels: Vec<u16>,
    /// By row: differs from what the panel shows.
    changed: Vec<bool>,
}

impl<W: Wire, const WIDE: bool, M: Model> Panel<W, WIDE, M>
where
    M::ColorFormat: InterfacePixelFormat<u8> + From<Rgb565>,
{
    /// Resets and initializes the controller. The light stays off until there is a picture.
    pub fn open(
        name: &str,
        model: M,
        wire: W,
        light: Light,
        mounting: &Mounting,
    ) -> Result<Self, DisplayError> {
        let &Mounting { size, offset, rotation, mirror, invert, bgr } = mounting;
        let order = if bgr { ColorOrder::Bgr } else { ColorOrder::Rgb };
        let inversion = if invert { ColorInversion::Inverted } else { ColorInversion::Normal };
        let controller = Builder::new(model, Bus::new(wire))
            .display_size(size.0, size.1)
            .display_offset(offset.0, offset.1)
            .orientation(Orientation { rotation, mirrored: mirror })
            .color_order(order)
            .invert_colors(inversion)
            .init(&mut Delay)
            .map_err(|error| match error {
                InitError::Interface(cause) => lost(name, cause),
                InitError::ResetPin(never) => match never {},
                InitError::InvalidConfiguration(found) => DisplayError::Failed {
                    display: name.to_owned(),
                    message: format!(
                        "the controller cannot show {}x{} pixels from {},{} ({found:?})",
                        size.0, size.1, offset.0, offset.1
                    ),
                },
            })?;
        let (width, height) =
            if rotation.is_vertical() { (size.1, size.0) } else { (size.0, size.1) };
        Ok(Panel {
            name: name.to_owned(),
            controller,
            light,
            lit: false,
            size: Size { width: width.into(), height: height.into() },
            pixels: vec![0; usize::from(width) * usize::from(height)],
            changed: vec![true; height.into()],
        })
    }

    /// Sends each run of changed rows through a window of its own.
    fn send(&mut self) -> io::Result<()> {
        let width = self.size.width as usize;
        let mut first = 0;
        // Sides are 16-bit numbers: so is a row's.
        for run in self.changed.chunk_by_mut(|a, b| a == b) {
            let end = first + run.len();
            if run[0] {
                let pixels = self.pixels[first * width..end * width].iter();
                let colors = pixels.map(|pixel| Rgb565::from(RawU16::new(*pixel)).into());
                let (right, bottom) = (width as u16 - 1, end as u16 - 1);
                self.controller.set_pixels(0, first as u16, right, bottom, colors)?;
                run.fill(false);
            }
            first = end;
        }
        if !self.lit {
            (self.light)(true)?;
            self.lit = true;
        }
        Ok(())
    }
}

fn lost(name: &str, cause: io::Error) -> DisplayError {
    DisplayError::Io { display: name.to_owned(), cause }
}

impl<W: Wire, const WIDE: bool, M: Model> Display for Panel<W, WIDE, M>
where
    M::ColorFormat: InterfacePixelFormat<u8> + From<Rgb565>,
{
    fn size(&self) -> Option<Size> {
        Some(self.size)
    }

    fn begin(&mut self, _: Size) -> Result<(), DisplayError> {
        Ok(())
    }

    fn write_row(&mut self, y: u32, row: &[u8]) {
        let (width, y) = (self.size.width as usize, y as usize);
        let Some(changed) = self.changed.get_mut(y) else { return };
        let mut difference = 0;
        for (pixel, &[blue, green, red, _]) in
            self.pixels[y * width..][..width].iter_mut().zip(row.as_chunks().0)
        {
            let new = u16::from(red >> 3) << 11 | u16::from(green >> 2) << 5 | u16::from(blue >> 3);
            difference |= new ^ *pixel;
            *pixel = new;
        }
        *changed |= difference != 0;
    }

    fn present(&mut self, _: u64) -> Result<(), DisplayError> {
        self.send().map_err(|cause| lost(&self.name, cause))
    }
}

/// Dark and asleep.
impl<W: Wire, const WIDE: bool, M: Model> Drop for Panel<W, WIDE, M>
where
    M::ColorFormat: InterfacePixelFormat<u8>,
{
    fn drop(&mut self) {
        let dark = (self.light)(false).and_then(|()| self.controller.sleep(&mut Delay));
        if let Err(cause) = dark {
            log::error!("{}: cannot be switched off: {cause}", self.name);
        }
    }
}
