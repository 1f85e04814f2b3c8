//! The kernel's calls on a V4L2 device, as functions of plain values: structures, unions and
//! pointers stay in this file. What comes back is what the driver said, unchecked.
//!
//! Source: linux/videodev2.h and the kernel's "Video for Linux API".

#![allow(unsafe_code)]

use super::facts::{ControlFacts, ControlKind, Dequeued, Format, Identity, Queue, SizeSteps};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use v4l::sys::*;
use v4l::v4l2::vidioc::{self, _IOC_TYPE as Request};

/// A structure that any bytes are a value of, so that the kernel may write what it likes.
///
/// # Safety
/// Only for integers, and arrays, structures and unions of them and of raw pointers.
unsafe trait Plain: Sized {
    /// All bytes zero, as the API wants what is reserved or not said.
    fn zeroed() -> Self {
        // SAFETY: every byte pattern is a value of a plain structure.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($name:ty)*) => {
        // SAFETY: the bindings of videodev2.h hold integers, arrays, unions and raw pointers.
        $(unsafe impl Plain for $name {})*
    };
}
plain!(v4l2_capability v4l2_fmtdesc v4l2_frmsizeenum v4l2_frmivalenum v4l2_format v4l2_streamparm);
plain!(v4l2_requestbuffers v4l2_buffer v4l2_plane v4l2_query_ext_ctrl v4l2_querymenu u32);
plain!(v4l2_ext_control v4l2_ext_controls v4l2_event v4l2_event_subscription);
plain!(v4l2_dv_timings);

/// Planes that a buffer can have (`VIDEO_MAX_PLANES`).
const MAX_PLANES: usize = 8;

/// An open device.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Handle {
    /// Opens without waiting, neither now nor when a buffer is taken.
    pub fn open(path: &Path) -> Result<Handle> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(Handle(rustix::fs::open(path, flags, Mode::empty())?))
    }

    fn call<T: Plain>(&self, request: Request, argument: &mut T) -> Result<()> {
        // The size is part of the request's number: what the kernel reads and writes.
        let size = (request as usize >> 16) & 0x3fff;
        assert_eq!(size, size_of::<T>(), "the request {request:#x} is for another structure");
        loop {
            // SAFETY: the file is open, the argument has the size that the request names, any
            // bytes are a value of it, and the pointers in it are good for what it says of them
            // (see the functions that set one).
            let done = unsafe {
                v4l::v4l2::ioctl(self.0.as_raw_fd(), request, (&raw mut *argument).cast())
            };
            match done.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)) {
                Err(Errno::INTR) => {}
                done => return done,
            }
        }
    }

    pub fn identity(&self) -> Result<Identity> {
        let mut found = v4l2_capability::zeroed();
        self.call(vidioc::VIDIOC_QUERYCAP, &mut found)?;
        let of_node = found.capabilities & V4L2_CAP_DEVICE_CAPS != 0;
        Ok(Identity {
            driver: text(&found.driver),
            card: text(&found.card),
            bus: text(&found.bus_info),
            capabilities: if of_node { found.device_caps } else { found.capabilities },
        })
    }

    /// The fourcc of format `index`; EINVAL behind the last.
    pub fn fourcc(&self, queue: Queue, index: u32) -> Result<u32> {
        let mut found = v4l2_fmtdesc { index, type_: queue.number(), ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_ENUM_FMT, &mut found)?;
        Ok(found.pixelformat)
    }

    pub fn size(&self, fourcc: u32, index: u32) -> Result<SizeSteps> {
        let mut found = v4l2_frmsizeenum { index, pixel_format: fourcc, ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_ENUM_FRAMESIZES, &mut found)?;
        // SAFETY: both members are integers, and all bytes of the union were set.
        let (one, steps) =
            unsafe { (found.__bindgen_anon_1.discrete, found.__bindgen_anon_1.stepwise) };
        Ok(if found.type_ == v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
            let size = (one.width, one.height);
            SizeSteps { least: size, most: size, step: (1, 1) }
        } else {
            SizeSteps {
                least: (steps.min_width, steps.min_height),
                most: (steps.max_width, steps.max_height),
                step: (steps.step_width, steps.step_height),
            }
        })
    }

    /// The shortest and the longest of interval `index`, as fractions of a second.
    pub fn interval(
        &self,
        fourcc: u32,
        (width, height): (u32, u32),
        index: u32,
    ) -> Result<[(u32, u32); 2]> {
        let pixel_format = fourcc;
        let mut found = v4l2_frmivalenum { index, pixel_format, width, height, ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut found)?;
        // SAFETY: both members are integers, and all bytes of the union were set.
        let (one, steps) =
            unsafe { (found.__bindgen_anon_1.discrete, found.__bindgen_anon_1.stepwise) };
        let fraction = |of: v4l2_fract| (of.numerator, of.denominator);
        Ok(if found.type_ == v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
            [fraction(one); 2]
        } else {
            [fraction(steps.min), fraction(steps.max)]
        })
    }

    /// Sets the timings that an HDMI input finds on its cable. ENOLINK, ENOLCK and ERANGE tell
    /// what is wrong there; other errors, that the device has no such input.
    pub fn adopt_timings(&self) -> Result<()> {
        let mut timings = v4l2_dv_timings::zeroed();
        self.call(vidioc::VIDIOC_QUERY_DV_TIMINGS, &mut timings)?;
        self.call(vidioc::VIDIOC_S_DV_TIMINGS, &mut timings)
    }

    pub fn format(&self, queue: Queue) -> Result<Format> {
        let mut format = v4l2_format { type_: queue.number(), ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_G_FMT, &mut format)?;
        Ok(plain_format(queue, &format))
    }

    /// Asks for fourcc, size and field of `wanted`; returns what the driver made of it.
    pub fn set_format(&self, queue: Queue, wanted: Format) -> Result<Format> {
        let mut format = v4l2_format { type_: queue.number(), ..Plain::zeroed() };
        match queue {
            Queue::Single => {
                format.fmt.pix = v4l2_pix_format {
                    width: wanted.width,
                    height: wanted.height,
                    pixelformat: wanted.fourcc,
                    field: wanted.field,
                    priv_: V4L2_PIX_FMT_PRIV_MAGIC,
                    // SAFETY: all bytes of the union are zero.
                    ..unsafe { format.fmt.pix }
                }
            }
            Queue::Multi => {
                format.fmt.pix_mp = v4l2_pix_format_mplane {
                    width: wanted.width,
                    height: wanted.height,
                    pixelformat: wanted.fourcc,
                    field: wanted.field,
                    // SAFETY: all bytes of the union are zero.
                    ..unsafe { format.fmt.pix_mp }
                }
            }
        }
        self.call(vidioc::VIDIOC_S_FMT, &mut format)?;
        Ok(plain_format(queue, &format))
    }

    /// Time between frames, as a fraction of a second; None when the driver has no say in it.
    pub fn frame_interval(&self, queue: Queue) -> Result<Option<(u32, u32)>> {
        let mut found = v4l2_streamparm { type_: queue.number(), ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_G_PARM, &mut found)?;
        // SAFETY: integers, and all bytes of the union were set.
        let capture = unsafe { found.parm.capture };
        let time = capture.timeperframe;
        let settable = capture.capability & V4L2_CAP_TIMEPERFRAME != 0;
        Ok(settable.then_some((time.numerator, time.denominator)))
    }

    pub fn set_frame_interval(&self, queue: Queue, time: (u32, u32)) -> Result<()> {
        let mut wanted = v4l2_streamparm { type_: queue.number(), ..Plain::zeroed() };
        wanted.parm.capture = v4l2_captureparm {
            timeperframe: v4l2_fract { numerator: time.0, denominator: time.1 },
            // SAFETY: all bytes of the union are zero.
            ..unsafe { wanted.parm.capture }
        };
        self.call(vidioc::VIDIOC_S_PARM, &mut wanted)
    }

    /// The first control whose id is larger than `id`.
    pub fn control_after(&self, id: u32) -> Result<ControlFacts> {
        let mut found =
            v4l2_query_ext_ctrl { id: id | V4L2_CTRL_FLAG_NEXT_CTRL, ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_QUERY_EXT_CTRL, &mut found)?;
        Ok(ControlFacts {
            id: found.id,
            title: text(&found.name.map(|letter| letter as u8)),
            kind: ControlKind::new(found.type_),
            least: found.minimum,
            most: found.maximum,
            step: found.step,
            default: found.default_value,
            flags: found.flags,
        })
    }

    /// An entry of a menu: its name, or its number in an integer menu.
    pub fn menu_entry(&self, id: u32, index: u32, kind: ControlKind) -> Result<String> {
        let mut found = v4l2_querymenu { id, index, ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_QUERYMENU, &mut found)?;
        // SAFETY: integers, and all bytes of the union were set.
        let (name, value) = unsafe { (found.__bindgen_anon_1.name, found.__bindgen_anon_1.value) };
        Ok(if kind == ControlKind::Numbers { value.to_string() } else { text(&name) })
    }

    pub fn control(&self, id: u32, kind: ControlKind) -> Result<i64> {
        let mut control = v4l2_ext_control { id, ..Plain::zeroed() };
        self.call_control(vidioc::VIDIOC_G_EXT_CTRLS, &mut control)?;
        // SAFETY: integers; what the kernel did not set is zero.
        let (value, wide) =
            unsafe { (control.__bindgen_anon_1.value, control.__bindgen_anon_1.value64) };
        Ok(match kind {
            ControlKind::Wide => wide,
            ControlKind::Mask => i64::from(value as u32),
            _ => value.into(),
        })
    }

    /// Sets a control that holds one value.
    pub fn set_control(&self, id: u32, value: i64, kind: ControlKind) -> Result<()> {
        let mut control = v4l2_ext_control { id, ..Plain::zeroed() };
        if kind == ControlKind::Wide {
            control.__bindgen_anon_1.value64 = value;
        } else {
            // Bit masks use all 32 bits.
            control.__bindgen_anon_1.value = value as i32;
        }
        self.call_control(vidioc::VIDIOC_S_EXT_CTRLS, &mut control)
    }

    fn call_control(&self, request: Request, control: &mut v4l2_ext_control) -> Result<()> {
        let mut all = v4l2_ext_controls { count: 1, controls: control, ..Plain::zeroed() };
        // The pointer is good for the one control it says.
        self.call(request, &mut all)
    }

    /// Asks for so many buffers to be mapped; 0 gives them up. Returns how many there are.
    pub fn request_buffers(&self, queue: Queue, count: u32) -> Result<u32> {
        let memory = v4l2_memory_V4L2_MEMORY_MMAP;
        let mut request =
            v4l2_requestbuffers { count, type_: queue.number(), memory, ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    /// Where buffer `index` is to be mapped from, and its length.
    pub fn buffer(&self, queue: Queue, index: u32) -> Result<(u32, u32)> {
        let (buffer, plane) = self.call_buffer(vidioc::VIDIOC_QUERYBUF, queue, index)?;
        // SAFETY: integers, set by the kernel for mapped buffers.
        let (offset, of_plane) = unsafe { (buffer.m.offset, plane.m.mem_offset) };
        Ok(match queue {
            Queue::Single => (offset, buffer.length),
            Queue::Multi => (of_plane, plane.length),
        })
    }

    pub fn enqueue(&self, queue: Queue, index: u32) -> Result<()> {
        self.call_buffer(vidioc::VIDIOC_QBUF, queue, index).map(drop)
    }

    /// EAGAIN while none is filled.
    pub fn dequeue(&self, queue: Queue) -> Result<Dequeued> {
        let (buffer, plane) = self.call_buffer(vidioc::VIDIOC_DQBUF, queue, 0)?;
        let (start, end) = match queue {
            Queue::Single => (0, buffer.bytesused),
            Queue::Multi => (plane.data_offset, plane.bytesused),
        };
        let stamp = buffer.timestamp;
        let seconds = u64::try_from(stamp.tv_sec).unwrap_or(0);
        let micros = u32::try_from(stamp.tv_usec).unwrap_or(0).min(999_999);
        Ok(Dequeued {
            index: buffer.index,
            start,
            end,
            flags: buffer.flags,
            sequence: buffer.sequence,
            stamp: Duration::new(seconds, 1000 * micros),
        })
    }

    fn call_buffer(
        &self,
        request: Request,
        queue: Queue,
        index: u32,
    ) -> Result<(v4l2_buffer, v4l2_plane)> {
        let mut planes = [v4l2_plane::zeroed(); MAX_PLANES];
        let mut buffer = v4l2_buffer {
            index,
            type_: queue.number(),
            memory: v4l2_memory_V4L2_MEMORY_MMAP,
            ..Plain::zeroed()
        };
        if queue == Queue::Multi {
            // Good for as many planes as the length says, which is as many as a buffer can have.
            buffer.m.planes = planes.as_mut_ptr();
            buffer.length = MAX_PLANES as u32;
        }
        self.call(request, &mut buffer)?;
        Ok((buffer, planes[0]))
    }

    pub fn start(&self, queue: Queue) -> Result<()> {
        self.call(vidioc::VIDIOC_STREAMON, &mut queue.number())
    }

    pub fn stop(&self, queue: Queue) -> Result<()> {
        self.call(vidioc::VIDIOC_STREAMOFF, &mut queue.number())
    }

    /// Asks to be told when the source changes its format.
    pub fn subscribe_source_change(&self) -> Result<()> {
        let type_ = V4L2_EVENT_SOURCE_CHANGE;
        let mut subscription = v4l2_event_subscription { type_, ..Plain::zeroed() };
        self.call(vidioc::VIDIOC_SUBSCRIBE_EVENT, &mut subscription)
    }

    /// Takes an event; true when it is a change of the source. ENOENT when there is none.
    pub fn source_changed(&self) -> Result<bool> {
        let mut event = v4l2_event::zeroed();
        self.call(vidioc::VIDIOC_DQEVENT, &mut event)?;
        Ok(event.type_ == V4L2_EVENT_SOURCE_CHANGE)
    }
}

fn plain_format(queue: Queue, format: &v4l2_format) -> Format {
    match queue {
        Queue::Single => {
            // SAFETY: integers, and all bytes of the union were set.
            let (pix, ycbcr) =
                unsafe { (format.fmt.pix, format.fmt.pix.__bindgen_anon_1.ycbcr_enc) };
            // Without the kernel's mark, the members behind it mean nothing.
            let extended = pix.priv_ == V4L2_PIX_FMT_PRIV_MAGIC;
            Format {
                fourcc: pix.pixelformat,
                width: pix.width,
                height: pix.height,
                field: pix.field,
                stride: pix.bytesperline,
                bytes: pix.sizeimage,
                planes: 1,
                colorspace: pix.colorspace,
                ycbcr: if extended { ycbcr } else { 0 },
                quantization: if extended { pix.quantization } else { 0 },
            }
        }
        Queue::Multi => {
            // SAFETY: integers, and all bytes of the union were set.
            let (pix, ycbcr) =
                unsafe { (format.fmt.pix_mp, format.fmt.pix_mp.__bindgen_anon_1.ycbcr_enc) };
            let plane = pix.plane_fmt;
            Format {
                fourcc: pix.pixelformat,
                width: pix.width,
                height: pix.height,
                field: pix.field,
                stride: plane[0].bytesperline,
                bytes: plane[0].sizeimage,
                planes: pix.num_planes.into(),
                colorspace: pix.colorspace,
                ycbcr: ycbcr.into(),
                quantization: pix.quantization.into(),
            }
        }
    }
}

/// A string of the kernel's: up to the first zero, what is not printable ASCII replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
    bytes[..end].iter().map(shown).collect::<String>().trim().to_owned()
}

/// The clock of the kernel's time stamps.
pub fn monotonic_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}
