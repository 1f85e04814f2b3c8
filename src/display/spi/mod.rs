//! `spi:PANEL`: small panels on a serial bus, driven from user space.
//!
//! | PANEL | controller, pixels | wiring |
//! | --- | --- | --- |
//! | `st7789` | ST7789, 240x320 | serial, 4 lines (clock, data, chip select, D/C), 16 bits a pixel |
//! | `ili9341` | ILI9341, 240x320 | the same |
//! | `st7735s` | ST7735S, 128x160 from 2,1 | the same |
//! | `ili9486` | ILI9486, 320x480 | the same, but 18 bits a pixel in 3 bytes: it knows no other |
//! | `ili9486-shield` | ILI9486, 320x480 | the 3.5-inch shields of the Raspberry Pi: shift registers before the 16-bit parallel interface, 16 bits a pixel |
//!
//! | parameter | meaning | when not said |
//! | --- | --- | --- |
//! | `bus=PATH` | the SPI device | `/dev/spidev0.0` |
//! | `speed=HZ` | clock, 100 kHz to 125 MHz | 32 MHz; 16 MHz for `st7735s` and the shields |
//! | `dc=N` | line of D/C (also called RS, A0) | needed |
//! | `reset=N`, `backlight=N` | lines of reset and backlight | none |
//! | `chip=PATH` | the GPIO chip of these lines | the board's pin controller, else `/dev/gpiochip0` |
//! | `rotate=90\|180\|270` | turns the picture clockwise | 0 |
//! | `size=240x240` | pixels that can be seen, before turning | the controller's |
//! | `offset=X,Y` | the first of them in the controller's memory | 0,0; 2,1 for `st7735s` |
//! | `mirror`, `invert`, `bgr` | columns run the other way, colours are complements, red and blue change places | as the controller is by itself |
//!
//! What modules want: ST7789 `invert` (240x240: `size=240x240`; 135x240: `size=135x240` and
//! `offset=52,40`); ILI9341 and the shields `mirror&bgr`, these with `dc=24&reset=25`; ST7735S
//! `bgr`, of 80x160 `size=80x160&offset=26,1&invert`.

mod bus;
mod kernel;
mod panel;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use super::rotate::Turn;
use super::{Display, DisplayError};
use crate::config::uri::{Uri, UriError};
use bus::Wire;
use kernel::Wiring;
pub use kernel::list_chips;
use mipidsi::models::{ILI9341Rgb565, ILI9486Rgb565, ILI9486Rgb666, Model, ST7735s, ST7789};
use mipidsi::options::Rotation;
use panel::{Light, Mounting, Panel};
use std::path::PathBuf;

/// More lines than a GPIO chip has.
const LAST_LINE: u32 = 1023;

/// Which controller, and how it hangs on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    St7789,
    Ili9341,
    Ili9486,
    Ili9486Shield,
    St7735s,
}

const CONTROLLERS: [(&str, Controller); 5] = [
    ("st7789", Controller::St7789),
    ("ili9341", Controller::Ili9341),
    ("ili9486", Controller::Ili9486),
    ("ili9486-shield", Controller::Ili9486Shield),
    ("st7735s", Controller::St7735s),
];

impl Controller {
    /// Width and height of its memory.
    fn memory(self) -> (u16, u16) {
        match self {
            Controller::St7789 => ST7789::FRAMEBUFFER_SIZE,
            Controller::Ili9341 => ILI9341Rgb565::FRAMEBUFFER_SIZE,
            Controller::Ili9486 => ILI9486Rgb666::FRAMEBUFFER_SIZE,
            Controller::Ili9486Shield => ILI9486Rgb565::FRAMEBUFFER_SIZE,
            Controller::St7735s => ST7735s::FRAMEBUFFER_SIZE,
        }
    }

    /// Size and offset of the usual module.
    fn usual(self) -> [(u16, u16); 2] {
        match self {
            // The glass has fewer pixels than the memory.
            Controller::St7735s => [(128, 160), (2, 1)],
            _ => [self.memory(), (0, 0)],
        }
    }

    /// Clock in Hz that modules usually bear.
    fn speed(self) -> u32 {
        match self {
            Controller::St7735s | Controller::Ili9486Shield => 16_000_000,
            _ => 32_000_000,
        }
    }

    fn open(
        self,
        name: &str,
        wire: impl Wire + 'static,
        light: Light,
        mounting: &Mounting,
    ) -> Result<Box<dyn Display>, DisplayError> {
        const WIDE: bool = true;
        const NARROW: bool = false;
        Ok(match self {
            Controller::St7789 => {
                Box::new(Panel::<_, NARROW, _>::open(name, ST7789, wire, light, mounting)?)
            }
            Controller::Ili9341 => {
                Box::new(Panel::<_, NARROW, _>::open(name, ILI9341Rgb565, wire, light, mounting)?)
            }
            Controller::Ili9486 => {
                Box::new(Panel::<_, NARROW, _>::open(name, ILI9486Rgb666, wire, light, mounting)?)
            }
            Controller::Ili9486Shield => {
                Box::new(Panel::<_, WIDE, _>::open(name, ILI9486Rgb565, wire, light, mounting)?)
            }
            Controller::St7735s => {
                Box::new(Panel::<_, NARROW, _>::open(name, ST7735s, wire, light, mounting)?)
            }
        })
    }
}

/// What a URI asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    controller: Controller,
    mounting: Mounting,
    wiring: Wiring,
}

/// Opens the panel that `uri` names.
pub fn open(uri: Uri) -> Result<Box<dyn Display>, DisplayError> {
    let Wanted { name, controller, mounting, wiring } = read(uri)?;
    let (spi, light) = kernel::open(&wiring)
        .map_err(|message| DisplayError::Failed { display: name.clone(), message })?;
    controller.open(&name, spi, light, &mounting)
}

fn read(mut uri: Uri) -> Result<Wanted, UriError> {
    let Some((_, controller)) = CONTROLLERS.iter().find(|(name, _)| *name == uri.path) else {
        let names = CONTROLLERS.map(|(name, _)| name);
        return Err(uri.refuse_path(format!("a panel; there are {}", names.join(" "))));
    };
    let controller = *controller;
    let bus = uri.take("bus").unwrap_or_else(|| "/dev/spidev0.0".to_owned()).into();
    let speed = uri.take_in("speed", 100_000..=125_000_000)?.unwrap_or(controller.speed());
    let chip = uri.take("chip").map(PathBuf::from);
    let dc = uri.take_in("dc", 0..=LAST_LINE)?.ok_or_else(|| uri.missing("dc", "25"))?;
    let reset = uri.take_in("reset", 0..=LAST_LINE)?;
    let backlight = uri.take_in("backlight", 0..=LAST_LINE)?;
    let twice = [("reset", reset, None), ("backlight", backlight, reset)];
    for (key, line, other) in twice {
        if let Some(line) = line.filter(|line| *line == dc || other == Some(*line)) {
            return Err(uri.refuse(key, &line.to_string(), "a line of its own"));
        }
    }
    let wiring = Wiring { bus, speed, chip, dc, reset, backlight };
    let rotation = match Turn::take(&mut uri)? {
        Turn::None => Rotation::Deg0,
        Turn::Quarter => Rotation::Deg90,
        Turn::Half => Rotation::Deg180,
        Turn::ThreeQuarters => Rotation::Deg270,
    };
    let memory = controller.memory();
    let [usual, usual_offset] = controller.usual();
    let size = match uri.take("size") {
        None => usual,
        Some(text) => pair(&text, 'x')
            .filter(|size| 0 < size.0 && size.0 <= memory.0 && 0 < size.1 && size.1 <= memory.1)
            .ok_or_else(|| {
                let expected = format!("a size from 1x1 to {}x{}", memory.0, memory.1);
                uri.refuse("size", &text, &expected)
            })?,
    };
    let room = (memory.0 - size.0, memory.1 - size.1);
    let fits = |offset: &(u16, u16)| offset.0 <= room.0 && offset.1 <= room.1;
    let offset = match uri.take("offset") {
        None => Some(usual_offset).filter(fits).unwrap_or_default(),
        Some(text) => pair(&text, ',').filter(fits).ok_or_else(|| {
            let expected = format!("an offset from 0,0 to {},{} for this size", room.0, room.1);
            uri.refuse("offset", &text, &expected)
        })?,
    };
    let mounting = Mounting {
        size,
        offset,
        rotation,
        mirror: uri.take_flag("mirror")?,
        invert: uri.take_flag("invert")?,
        bgr: uri.take_flag("bgr")?,
    };
    let name = uri.text().to_owned();
    uri.finish()?;
    Ok(Wanted { name, controller, mounting, wiring })
}

/// Two numbers.
fn pair(text: &str, between: char) -> Option<(u16, u16)> {
    let (first, second) = text.split_once(between)?;
    Some((first.parse().ok()?, second.parse().ok()?))
}
