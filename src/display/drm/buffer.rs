//! Memory of a card that can be shown: a dumb buffer, its framebuffer and its mapping.

use super::card::Card;
use super::choice::Refusal;
use drm::buffer::{Buffer as _, DrmFourcc};
use drm::control::dumbbuffer::{DumbBuffer, DumbMapping};
use drm::control::{Device as _, framebuffer};
use std::io;
use std::rc::Rc;

/// XRGB8888, black at first.
pub struct Buffer {
    card: Rc<Card>,
    dumb: DumbBuffer,
    framebuffer: Option<framebuffer::Handle>,
    /// Only written: reading is slow where it is write-combined.
    mapping: Option<DumbMapping<'static>>,
    pitch: usize,
}

impl Buffer {
    /// Of `width` and `height` pixels.
    pub fn new(card: &Rc<Card>, (width, height): (u16, u16)) -> Result<Buffer, Refusal> {
        let refuse = |error| Refusal::Kernel(error, "a buffer for the screen");
        let size = (width.into(), height.into());
        let dumb = card.create_dumb_buffer(size, DrmFourcc::Xrgb8888, 32).map_err(refuse)?;
        let pitch = dumb.pitch() as usize;
        let card = Rc::clone(card);
        // From here on dropping it gives all back.
        let mut buffer = Buffer { card, dumb, framebuffer: None, mapping: None, pitch };
        buffer.framebuffer =
            Some(buffer.card.add_framebuffer(&buffer.dumb, 24, 32).map_err(refuse)?);
        // The crate ties a mapping to a borrowed description; these few bytes, left behind with
        // each new mode, spare mapping the buffer for each picture.
        let description = Box::leak(Box::new(buffer.dumb));
        let mapping = buffer.card.map_dumb_buffer(description).map_err(refuse)?;
        if pitch < 4 * usize::from(width) || mapping.len() / pitch < usize::from(height) {
            let lie = io::Error::other("a buffer smaller than it was asked for");
            return Err(refuse(lie));
        }
        buffer.mapping = Some(mapping);
        Ok(buffer)
    }

    pub fn framebuffer(&self) -> Option<framebuffer::Handle> {
        self.framebuffer
    }

    /// Writes pixels of 4 bytes (blue, green, red, unused) from column `x` of row `y` on.
    pub fn write(&mut self, x: usize, y: usize, pixels: &[u8]) {
        let begin = y * self.pitch + 4 * x;
        let place = self.mapping.as_mut().and_then(|it| it.get_mut(begin..begin + pixels.len()));
        if let Some(place) = place {
            place.copy_from_slice(pixels);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.mapping = None;
        let destroyed = self.framebuffer.map(|handle| self.card.destroy_framebuffer(handle));
        let freed = self.card.destroy_dumb_buffer(self.dumb);
        if let Err(error) = destroyed.unwrap_or(Ok(())).and(freed) {
            log::debug!("a screen's buffer cannot be given back: {error}");
        }
    }
}
