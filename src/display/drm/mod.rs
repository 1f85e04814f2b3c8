//! `drm:` shows pictures through the kernel's mode setting (KMS), without a desktop.
//!
//! A picture is written into a buffer that is not on the screen, and the card flips to it
//! between two refreshes. Cards without flips have one buffer, and are told when it changed.
//!
//! A screen that is pulled off, and another program that takes the card, do not end a run:
//! pictures are taken all the same, and the last one is shown as soon as there is a screen
//! again.

mod buffer;
mod card;
mod choice;

pub use card::{Found, list};
pub use choice::{Connector, Mode, Refusal, Status};

use super::console::Console;
use super::rotate::{Rotator, Turn};
use super::{Display, DisplayError, Key, Size};
use crate::config::uri::Uri;
use buffer::Buffer;
use card::{Card, Head, describe_mode};
use choice::{Asked, FlipError};
use drm::Device as _;
use drm::control::{ClipRect, Device as _, PageFlipFlags, crtc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The screen is looked after this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A flip takes one refresh of the screen; one that takes longer than this was lost.
const FLIP_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Our pictures are on the screen.
    Shown,
    /// The screen was pulled off.
    Unplugged,
    /// The card does not take our pictures: another program has it.
    Away,
}

pub struct Drm {
    /// The card's path, for messages.
    path: String,
    asked: Option<Asked>,
    turn: Turn,
    card: Rc<Card>,
    head: Head,
    /// Three where the card has memory for them: one on the screen, one in the queue, one to
    /// draw to. Two draw only when no flip is queued; a single one is drawn to in full sight.
    buffers: Vec<Buffer>,
    /// The buffer with the last picture.
    front: usize,
    rotator: Rotator,
    /// False when the buffers were exchanged since the picture was begun.
    begun: bool,
    state: State,
    looked_at: Instant,
    /// Whether a flip was asked for that has not been reported as done.
    flipping: bool,
    /// Whether a flip has ever worked.
    flipped: bool,
    missed: bool,
    /// Whether the driver wants to be told of drawing.
    dirty: bool,
    /// What the screen showed before.
    before: crtc::Info,
    // The last to go: the text comes back when the screen is free.
    console: Option<Console>,
}

impl Drm {
    /// `drm:/dev/dri/card0?connector=HDMI-A-1&mode=1280x720@60&rotate=90`, all of it optional.
    pub fn open(mut uri: Uri) -> Result<Drm, DisplayError> {
        let name = uri.take("connector");
        let asked = match uri.take("mode") {
            None => None,
            Some(text) => Some(Asked::read(&text).ok_or_else(|| {
                uri.refuse("mode", &text, "a mode, such as 1280x720 or 1280x720@60")
            })?),
        };
        let turn = Turn::take(&mut uri)?;
        let path = uri.path.clone();
        uri.finish()?;
        let (path, card, head) = card::find(&path, name.as_deref(), asked)
            .map_err(|(path, refusal)| failed(&path, refusal))?;
        let refuse = |refusal| failed(&path, refusal);
        let card = Rc::new(card);
        let before = card
            .get_crtc(head.crtc)
            .map_err(|error| refuse(Refusal::Kernel(error, "a look at the screen")))?;
        let buffers = buffers(&card, &head).map_err(refuse)?;
        let rotator = Rotator::new(turn, screen(&head));
        // The first to open a card is its master already; others may become it.
        let _ = card.acquire_master_lock();
        let mut drm = Drm {
            asked,
            turn,
            card,
            head,
            buffers,
            front: 0,
            rotator,
            begun: false,
            state: State::Away,
            looked_at: Instant::now(),
            flipping: false,
            flipped: false,
            missed: false,
            dirty: true,
            before,
            console: None,
            path,
        };
        // Black at first, so that what is wrong is known at once.
        drm.set_mode().map_err(|error| {
            let refusal = match choice::is_not_master(&error) {
                true => Refusal::NotMaster(error),
                false => Refusal::Kernel(error, "the mode"),
            };
            failed(&drm.path, refusal)
        })?;
        drm.console = Some(Console::hide());
        let (name, mode) = (&drm.head.name, describe_mode(&drm.head.mode));
        log::info!("{}: {name} shows {mode}, {} buffers", drm.path, drm.buffers.len());
        Ok(drm)
    }

    /// Puts the front buffer on the screen, and everything else that a screen needs.
    fn set_mode(&mut self) -> io::Result<()> {
        let Head { connector, crtc, mode, .. } = self.head;
        let front = self.buffers[self.front].framebuffer();
        self.card.set_crtc(crtc, front, (0, 0), &[connector], Some(mode))?;
        self.state = State::Shown;
        Ok(())
    }

    /// Sets the mode anew; where that fails the screen is another's until it works.
    fn reset(&mut self) {
        if let Err(error) = self.set_mode() {
            if self.state != State::Away {
                log::warn!("{}: {}: shows nothing: {error}", self.path, self.head.name);
            }
            self.state = State::Away;
        }
    }

    /// Once a second: sees whether the screen is there, and takes it back when it can.
    fn look(&mut self) -> Result<(), DisplayError> {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.looked_at = Instant::now();
        let there = self
            .card
            .has(&self.head)
            .map_err(|error| failed(&self.path, Refusal::Kernel(error, "a look at the screen")))?;
        if self.state == State::Unplugged || !there {
            self.replug();
        } else if self.state == State::Away {
            // Refused while another program is the master.
            let _ = self.card.acquire_master_lock();
            self.reset();
            if self.state == State::Shown {
                log::info!("{}: {}: shows pictures again", self.path, self.head.name);
            }
        }
        Ok(())
    }

    /// Takes what hangs on the connector now; without its mode, the screen's own choice.
    fn replug(&mut self) {
        let name = Some(self.head.name.as_str());
        let found = match self.card.head(name, self.asked) {
            Err(Refusal::NoSuchMode { .. }) => self.card.head(name, None),
            found => found,
        };
        let head = match found {
            Ok(head) => head,
            Err(refusal) => {
                if self.state != State::Unplugged {
                    log::warn!("{}: {refusal}", self.path);
                }
                self.state = State::Unplugged;
                return;
            }
        };
        if head.mode.size() != self.head.mode.size() {
            match buffers(&self.card, &head) {
                Ok(buffers) => self.buffers = buffers,
                Err(refusal) => {
                    if self.state != State::Unplugged {
                        log::warn!("{}: {refusal}", self.path);
                    }
                    self.state = State::Unplugged;
                    return;
                }
            }
            (self.front, self.begun) = (0, false);
            self.rotator = Rotator::new(self.turn, screen(&head));
        }
        self.head = head;
        let mode = describe_mode(&self.head.mode);
        log::info!("{}: {}: there is a screen again: {mode}", self.path, self.head.name);
        let _ = self.card.acquire_master_lock();
        self.reset();
    }

    /// The buffer that is drawn to.
    fn back(&self) -> usize {
        (self.front + 1) % self.buffers.len()
    }

    /// Waits for the last flip to be done, but not for ever.
    fn wait(&mut self) {
        if !std::mem::take(&mut self.flipping) {
            return;
        }
        let deadline = Instant::now() + FLIP_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (seconds, nanoseconds) = (left.as_secs() as i64, left.subsec_nanos().into());
            let timeout = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
            let mut ready = [PollFd::new(&*self.card, PollFlags::IN)];
            match poll(&mut ready, Some(&timeout)) {
                Ok(0) if left.is_zero() => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
            let mut events = [0; 1024];
            match rustix::io::read(&*self.card, &mut events) {
                Ok(length) if choice::has_flip(&events[..length]) => return,
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if !std::mem::replace(&mut self.missed, true) {
            log::warn!(
                "{}: {}: the driver lost a page flip; pictures may come late or torn",
                self.path,
                self.head.name
            );
        }
    }

    /// Shows the front buffer after the screen's current refresh.
    fn flip(&mut self) {
        let Some(framebuffer) = self.buffers[self.front].framebuffer() else { return };
        let flags = PageFlipFlags::EVENT;
        let Err(error) = self.card.page_flip(self.head.crtc, framebuffer, flags, None) else {
            (self.flipping, self.flipped) = (true, true);
            return;
        };
        match choice::flip_error(&error, self.flipped) {
            FlipError::Never => {
                log::info!("{}: draws in full sight: no page flips: {error}", self.path);
                // When it cannot be shown, the one on the screen has to do.
                if self.set_mode().is_err() {
                    self.front = (self.front + self.buffers.len() - 1) % self.buffers.len();
                }
                self.buffers.swap(0, self.front);
                self.buffers.truncate(1);
                self.front = 0;
            }
            FlipError::Reset => {
                log::debug!("{}: page flip: {error}", self.path);
                self.reset();
            }
            FlipError::Away => self.lose(&error),
        }
    }

    /// Tells the driver that the single buffer changed.
    fn tell(&mut self) {
        let Some(framebuffer) = self.buffers[self.front].framebuffer() else { return };
        let (width, height) = self.head.mode.size();
        let whole = [ClipRect::new(0, 0, width, height)];
        match self.card.dirty_framebuffer(framebuffer, &whole) {
            Ok(()) => {}
            Err(error) if choice::is_unsupported(&error) => self.dirty = false,
            Err(error) if choice::is_not_master(&error) => self.lose(&error),
            Err(error) => log::debug!("{}: a changed picture: {error}", self.path),
        }
    }

    fn lose(&mut self, error: &io::Error) {
        log::warn!("{}: another program took the screen: {error}", self.path);
        self.state = State::Away;
    }
}

/// As many buffers as are of use and the card has memory for.
fn buffers(card: &Rc<Card>, head: &Head) -> Result<Vec<Buffer>, Refusal> {
    let size = head.mode.size();
    let mut buffers = vec![Buffer::new(card, size)?];
    buffers.extend((1..3).map_while(|_| Buffer::new(card, size).ok()));
    Ok(buffers)
}

fn screen(head: &Head) -> Size {
    let (width, height) = head.mode.size();
    Size { width: width.into(), height: height.into() }
}

fn failed(path: &str, refusal: Refusal) -> DisplayError {
    DisplayError::Failed { display: path.to_owned(), message: refusal.to_string() }
}

impl Display for Drm {
    /// Changes when another screen is plugged in.
    fn size(&self) -> Option<Size> {
        Some(self.turn.size(screen(&self.head)))
    }

    fn begin(&mut self, _: Size) -> Result<(), DisplayError> {
        if self.buffers.len() < 3 {
            self.wait();
        }
        self.begun = true;
        Ok(())
    }

    fn write_row(&mut self, y: u32, row: &[u8]) {
        let back = self.back();
        let buffer = &mut self.buffers[back];
        self.rotator.write_row(y, row, |x, y, pixels| buffer.write(x, y, pixels));
    }

    fn present(&mut self, _: u64) -> Result<(), DisplayError> {
        self.look()?;
        if !self.begun {
            return Ok(());
        }
        self.wait();
        self.front = self.back();
        match (self.state, self.buffers.len()) {
            (State::Shown, 1) if self.dirty => self.tell(),
            (State::Shown, 2..) => self.flip(),
            // The last picture waits for a screen.
            _ => {}
        }
        Ok(())
    }

    /// Has no keys, but is asked for them all the time: a screen comes back with its picture
    /// even when no new one is drawn.
    fn key(&mut self) -> Option<Key> {
        if let Err(error) = self.look() {
            log::debug!("{error}");
        }
        None
    }
}

impl Drop for Drm {
    fn drop(&mut self) {
        self.wait();
        let (mode, framebuffer) = (self.before.mode(), self.before.framebuffer());
        let connectors = [self.head.connector];
        // What the screen showed, or nothing. When that is gone, the kernel brings its own
        // console back as the card is closed.
        let restored = match (mode, framebuffer) {
            (Some(_), Some(_)) => self.card.set_crtc(
                self.before.handle(),
                framebuffer,
                self.before.position(),
                &connectors,
                mode,
            ),
            _ => self.card.set_crtc(self.before.handle(), None, (0, 0), &[], None),
        };
        if let Err(error) = restored.and_then(|()| self.card.release_master_lock()) {
            log::debug!("{}: {error}", self.path);
        }
    }
}
