//! The kernel's vivid driver: its video input reads back byte for byte what its output is given.

use super::Outcome;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::error::Error;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use v4l::Device;
use v4l::control::{Control, Type, Value};
use v4l::format::{Colorspace, FieldOrder, FourCC, Quantization};
use v4l::sys::{
    v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_OUTPUT as VIDEO_OUTPUT, v4l2_buffer, v4l2_dv_timings,
    v4l2_enum_dv_timings, v4l2_format, v4l2_format__bindgen_ty_1 as AnyFormat,
    v4l2_memory_V4L2_MEMORY_MMAP as MMAP, v4l2_pix_format, v4l2_requestbuffers,
};
use v4l::v4l2;
use v4l::v4l2::vidioc::*;

// vivid makes its input first.
const INPUT: &str = "/dev/video0";
const OUTPUT: &str = "/dev/video1";

/// Puts raw frames on vivid's video output, again and again. Never ends.
pub fn feed(format: &str, width: u32, height: u32, file: &str) -> Outcome {
    let frames = std::fs::read(file)?;
    let open = |path| File::options().read(true).write(true).open(path);
    let (input, output) = (open(INPUT)?, open(OUTPUT)?);
    // The cable between output and input carries one set of timings.
    let timings = timings(&output, width, height)?;
    call(&output, VIDIOC_S_DV_TIMINGS, timings)?;
    set("Loop Video", 1)?;
    call(&input, VIDIOC_S_DV_TIMINGS, timings)?;
    // No text over the picture.
    set("OSD Text Mode", 2)?;
    let size = set_format(&output, format, width, height)?;
    if frames.is_empty() || !frames.len().is_multiple_of(size) {
        return Err(format!("{file}: {} bytes, expected frames of {size}", frames.len()).into());
    }
    stream(&output, &frames, size)
}

/// Sets the output's format; the size of a frame in bytes.
fn set_format(output: &File, name: &str, width: u32, height: u32) -> Result<usize, Box<dyn Error>> {
    let name: [u8; 4] = name.as_bytes().try_into()?;
    let pix = v4l2_pix_format {
        width,
        height,
        pixelformat: FourCC::new(&name).into(),
        field: FieldOrder::Progressive as u32,
        colorspace: Colorspace::SMPTE170M as u32,
        quantization: Quantization::LimitedRange as u32,
        ..zeroed()
    };
    let request = v4l2_format { type_: VIDEO_OUTPUT, fmt: AnyFormat { pix } };
    let answer = call(output, VIDIOC_S_FMT, request)?;
    // SAFETY: for this type of buffer `pix` is the valid one of the union.
    let found = unsafe { answer.fmt.pix };
    if (found.pixelformat, found.width, found.height) != (pix.pixelformat, width, height) {
        let (name, width, height) = (FourCC::from(found.pixelformat), found.width, found.height);
        return Err(format!("vivid's output became {name} {width}x{height}").into());
    }
    Ok(found.sizeimage as usize)
}

/// Queues the frames one after the other, for ever.
fn stream(output: &File, frames: &[u8], size: usize) -> Outcome {
    let request = v4l2_requestbuffers { count: 4, type_: VIDEO_OUTPUT, memory: MMAP, ..zeroed() };
    let request = call(output, VIDIOC_REQBUFS, request)?;
    let any = |index| v4l2_buffer { index, type_: VIDEO_OUTPUT, memory: MMAP, ..zeroed() };
    let mut frames = frames.chunks_exact(size).cycle();
    let mut mappings = Vec::new();
    for index in 0..request.count {
        let buffer = call(output, VIDIOC_QUERYBUF, any(index))?;
        // SAFETY: QUERYBUF makes `offset` the valid one of the union.
        let offset = unsafe { buffer.m.offset };
        let mapping = map(output, buffer.length as usize, offset)?;
        queue(output, index, mapping, frames.next().unwrap_or_default())?;
        mappings.push(mapping);
    }
    call(output, VIDIOC_STREAMON, VIDEO_OUTPUT)?;
    println!("streaming");
    loop {
        let buffer = call(output, VIDIOC_DQBUF, any(0))?;
        let mapping = &mut mappings[buffer.index as usize];
        queue(output, buffer.index, mapping, frames.next().unwrap_or_default())?;
    }
}

fn queue(output: &File, index: u32, mapping: &mut [u8], frame: &[u8]) -> io::Result<()> {
    mapping[..frame.len()].copy_from_slice(frame);
    let buffer = v4l2_buffer {
        index,
        type_: VIDEO_OUTPUT,
        memory: MMAP,
        bytesused: frame.len() as u32,
        field: FieldOrder::Progressive as u32,
        ..zeroed()
    };
    call(output, VIDIOC_QBUF, buffer).map(|_| ())
}

/// The memory of one of the device's buffers, mapped for the rest of the program.
fn map(device: &File, length: usize, offset: u32) -> io::Result<&'static mut [u8]> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, at an address the kernel chooses, that is never unmapped.
    unsafe {
        let start = mmap(null_mut(), length, access, MapFlags::SHARED, device, offset.into())?;
        Ok(std::slice::from_raw_parts_mut(start.cast(), length))
    }
}

/// The device's own timings for a size, progressive, at up to 60 Hz.
fn timings(device: &File, width: u32, height: u32) -> Result<v4l2_dv_timings, Box<dyn Error>> {
    for index in 0.. {
        let request = v4l2_enum_dv_timings { index, ..zeroed() };
        let Ok(entry) = call(device, VIDIOC_ENUM_DV_TIMINGS, request) else { break };
        // SAFETY: BT timings are the only kind there is, and any bits are a value.
        let bt = unsafe { entry.timings.__bindgen_anon_1.bt };
        if (bt.width, bt.height, bt.interlaced) == (width, height, 0) && bt.pixelclock < 80_000_000
        {
            return Ok(entry.timings);
        }
    }
    Err(format!("vivid has no timings for {width}x{height}").into())
}

pub fn set(name: &str, value: i64) -> Outcome {
    let device = Device::with_path(INPUT)?;
    let controls = device.query_controls()?;
    let found = controls.iter().find(|control| control.name == name);
    let control = found.ok_or_else(|| {
        let names: Vec<&str> = controls.iter().map(|control| &*control.name).collect();
        format!("no control {name:?} among {names:?}")
    })?;
    let value = match control.typ {
        Type::Boolean => Value::Boolean(value != 0),
        Type::Button => Value::None,
        _ => Value::Integer(value),
    };
    Ok(device.set_control(Control { id: control.id, value })?)
}

fn zeroed<T>() -> T {
    // SAFETY: used for the kernel's structures alone, for which all zeros are a value.
    unsafe { mem::zeroed() }
}

/// One call of V4L2, with the structure it reads and writes.
fn call<T>(device: &File, request: _IOC_TYPE, mut argument: T) -> io::Result<T> {
    // SAFETY: each request here is called with the structure that videodev2.h gives for it.
    unsafe { v4l2::ioctl(device.as_raw_fd(), request, (&raw mut argument).cast())? };
    Ok(argument)
}
