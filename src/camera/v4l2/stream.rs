//! A device that streams: its buffers go round between the driver, this loop, and those who
//! were lent one.

use super::super::mjpeg::Decoder;
use super::agreement::{Agreement, Request, agree};
use super::buffers::Mapping;
use super::clock::{Numbering, captured};
use super::device::Device;
use super::facts::Dequeued;
use super::kernel::monotonic_now;
use super::negotiate::{Coding, shown};
use super::trouble::Trouble;
use crate::frame::{Frame, Layout};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::sync::Arc;
use std::time::{Duration, Instant};
use v4l::sys::V4L2_BUF_FLAG_ERROR;

/// Buffers that are asked for: as many as are in use at once in a busy pipeline.
const BUFFERS: u32 = 6;
/// Fewer cannot stream.
const FEWEST: usize = 2;
/// Buffers that stay queued in the driver, or frames are lost: while fewer would, frames are
/// copied.
const KEPT: usize = 2;
/// Buffers that are looked at, whatever the driver says it has (the kernel's limit was 32).
const MOST: u32 = 32;
/// Events that are taken at once.
const MOST_EVENTS: u32 = 64;
/// The longest wait that is asked of the kernel at once.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// What became of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// A whole frame.
    Whole,
    /// A frame whose bytes are not all there.
    Short,
    /// Nothing that can be shown.
    Damaged,
}

pub struct Stream {
    device: Device,
    slots: Vec<Slot>,
    coding: Coding,
    layout: Layout,
    decoder: Decoder,
    /// Filled buffers, and events where the device has some.
    awaited: PollFlags,
    /// Whether damage was logged.
    told: bool,
    /// When the driver was told to begin.
    pub started: Instant,
}

struct Slot {
    memory: Arc<Mapping>,
    /// In the driver's hands.
    queued: bool,
}

impl Stream {
    /// Agrees with the device on a mode, maps the buffers and starts.
    pub fn start(device: Device, request: &Request) -> Result<Stream, Trouble> {
        let Agreement { coding, layout, fps } = agree(&device, request)?;
        let slots = map(&device).map_err(|error| device.trouble("gives no buffers", error))?;
        let refuse = |why| Err(device.refuse(why));
        if slots.len() < FEWEST {
            return refuse(format!("has {} buffers; at least {FEWEST} are needed", slots.len()));
        }
        let smallest = slots.iter().map(|slot| (*slot.memory).as_ref().len()).min().unwrap_or(0);
        if coding != Coding::Jpeg && smallest < layout.bytes() {
            let whole = layout.bytes();
            return refuse(format!("has buffers of {smallest} bytes for frames of {whole}"));
        }
        log::info!(
            "{}: {} ({}): {} {}x{}{}, {} buffers",
            device.path.display(),
            device.identity.card,
            device.identity.bus,
            coding.name(),
            layout.width,
            layout.height,
            fps.map(|fps| format!(" at {} frames a second", shown(fps))).unwrap_or_default(),
            slots.len()
        );
        let mut stream = Stream {
            device,
            slots,
            coding,
            layout,
            decoder: Decoder::default(),
            awaited: PollFlags::IN,
            told: false,
            started: Instant::now(),
        };
        stream.requeue()?;
        match stream.device.handle.subscribe_source_change() {
            Ok(()) => stream.awaited |= PollFlags::PRI,
            Err(error) => log::debug!("{}: tells no source changes: {error}", stream.name()),
        }
        let start = stream.device.handle.start(stream.device.queue);
        start.map_err(|error| stream.device.trouble("does not start streaming", error))?;
        stream.started = Instant::now();
        Ok(stream)
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    fn name(&self) -> std::path::Display<'_> {
        self.device.path.display()
    }

    fn gone(&self, what: &str) -> Trouble {
        Trouble::Gone(format!("{} {what}", self.name()))
    }

    /// Waits for the newest filled buffer; None when none came until the deadline. It is out of
    /// the queue until it is delivered.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<Dequeued>, Trouble> {
        loop {
            self.requeue()?;
            if let Some(filled) = self.newest()? {
                return Ok(Some(filled));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let wait = Timespec {
                tv_sec: left.min(MAX_WAIT).as_secs() as _,
                tv_nsec: left.min(MAX_WAIT).subsec_nanos().into(),
            };
            let mut polled = [PollFd::new(&self.device.handle, self.awaited)];
            match poll(&mut polled, Some(&wait)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(self.device.trouble("cannot be waited for", error)),
            }
            let events = polled[0].revents();
            if events.contains(PollFlags::PRI) {
                self.take_events()?;
            }
            if events.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
                // Taking a buffer tells the cause.
                let last = self.newest()?;
                return last.map(Some).ok_or_else(|| self.gone("stopped streaming"));
            }
        }
    }

    /// Takes all filled buffers and gives back all but the newest: what the reader was too slow
    /// for leaves a gap in the sequence.
    fn newest(&mut self) -> Result<Option<Dequeued>, Trouble> {
        let mut newest: Option<Dequeued> = None;
        for _ in 0..self.slots.len() {
            let filled = match self.device.handle.dequeue(self.device.queue) {
                Ok(filled) => filled,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(self.device.trouble("gives no frame", error)),
            };
            match self.slots.get_mut(filled.index as usize) {
                Some(slot) if slot.queued => slot.queued = false,
                _ => {
                    return Err(
                        self.gone(&format!("gave buffer {}, which it had not", filled.index))
                    );
                }
            }
            if filled.flags & V4L2_BUF_FLAG_ERROR != 0 {
                self.tell_damage("the driver marks it so");
                self.enqueue(filled.index)?;
            } else if let Some(older) = newest.replace(filled) {
                self.enqueue(older.index)?;
            }
        }
        Ok(newest)
    }

    /// Brings a filled buffer into `frame`: lent if the driver has enough without it, else
    /// copied; JPEG decoded.
    pub fn deliver(
        &mut self,
        filled: &Dequeued,
        numbering: &mut Numbering,
        frame: &mut Frame,
    ) -> Result<Delivered, Trouble> {
        let memory = &self.slots[filled.index as usize].memory;
        let (start, end) = (filled.start as usize, filled.end as usize);
        // Nothing is there when the driver says that more is there than can be.
        let data = (**memory).as_ref().get(start..end).unwrap_or(&[]);
        let whole = self.layout.bytes();
        if self.coding == Coding::Jpeg {
            frame.reshape(self.layout);
            if let Err(error) = self.decoder.decode(data, self.layout, frame.data.own()) {
                self.enqueue(filled.index)?;
                self.tell_damage(&error.to_string());
                return Ok(Delivered::Damaged);
            }
            self.enqueue(filled.index)?;
        } else {
            let data = &data[..data.len().min(whole)];
            frame.layout = self.layout;
            frame.truth.clear();
            if start == 0 && self.queued() >= KEPT {
                frame.data.lend(memory.clone(), data.len());
            } else {
                let own = frame.data.own();
                own.clear();
                own.extend_from_slice(data);
                self.enqueue(filled.index)?;
            }
        }
        frame.sequence = numbering.number(filled.sequence);
        let (now, clock) = (Instant::now(), monotonic_now());
        frame.captured = captured(filled.stamp, filled.flags, now, clock, self.started);
        Ok(if frame.is_whole() { Delivered::Whole } else { Delivered::Short })
    }

    fn queued(&self) -> usize {
        self.slots.iter().filter(|slot| slot.queued).count()
    }

    /// Gives the driver what nobody holds any more.
    fn requeue(&mut self) -> Result<(), Trouble> {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if !slot.queued && Arc::get_mut(&mut slot.memory).is_some() {
                self.enqueue(index as u32)?;
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, index: u32) -> Result<(), Trouble> {
        let done = self.device.handle.enqueue(self.device.queue, index);
        done.map_err(|error| self.device.trouble("does not take a buffer back", error))?;
        self.slots[index as usize].queued = true;
        Ok(())
    }

    fn take_events(&mut self) -> Result<(), Trouble> {
        for _ in 0..MOST_EVENTS {
            match self.device.handle.source_changed() {
                Ok(true) => return Err(self.gone("has another picture format at its input now")),
                Ok(false) => {}
                // None is left, or the device is gone, which the next call tells.
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn tell_damage(&mut self, why: &str) {
        if !self.told {
            self.told = true;
            log::warn!("{}: a damaged frame ({why}); such frames are dropped", self.name());
        }
    }
}

impl Drop for Stream {
    /// The device is let go even while frames hold mappings, which keep its file open. What
    /// fails does so because the device is gone.
    fn drop(&mut self) {
        let Device { handle, queue, .. } = &self.device;
        let stopped = handle.stop(*queue);
        self.slots.clear();
        let freed = handle.request_buffers(*queue, 0);
        if let Err(error) = stopped.and(freed) {
            log::debug!("{}: closed: {error}", self.name());
        }
    }
}

/// Maps the driver's buffers.
fn map(device: &Device) -> Result<Vec<Slot>, Errno> {
    let Device { handle, queue, .. } = device;
    let count = handle.request_buffers(*queue, BUFFERS)?;
    let map_one = |index| {
        let (offset, length) = handle.buffer(*queue, index)?;
        let memory = Arc::new(Mapping::new(handle, offset, length)?);
        Ok(Slot { memory, queued: false })
    };
    (0..count.min(MOST)).map(map_one).collect()
}
