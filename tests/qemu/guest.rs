//! Runs inside the guest: what a shell script cannot do to the kernel's vivid driver, which plays
//! the camera.
//!
//! * `guest feed FORMAT WIDTH HEIGHT FILE` puts the raw frames of FILE on vivid's video output,
//!   again and again, and its input reads them back byte for byte: what an application captures
//!   there is FILE. Never ends.
//! * `guest set CONTROL VALUE` sets a control of the camera by its name, for faults.
//! * `guest stamp` copies lines from standard input, each after the kernel's uptime in seconds.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::mem;
use v4l::control::{Control, Type, Value};
use v4l::format::{Colorspace, FieldOrder, Format, FourCC, Quantization};
use v4l::sys::{v4l2_dv_timings, v4l2_enum_dv_timings};
use v4l::v4l2::vidioc::{VIDIOC_ENUM_DV_TIMINGS, VIDIOC_S_DV_TIMINGS};
use v4l::video::Output;
use v4l::{Device, v4l2};

// vivid makes its input first.
const INPUT: &str = "/dev/video0";
const OUTPUT: &str = "/dev/video1";

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(|argument| &**argument).collect();
    match arguments[..] {
        ["feed", format, width, height, file] => {
            feed(format, width.parse()?, height.parse()?, file)
        }
        ["set", control, value] => set(&Device::with_path(INPUT)?, control, value.parse()?),
        ["stamp"] => stamp(),
        _ => Err(format!("{arguments:?}: expected feed, set or stamp").into()),
    }
}

fn feed(format: &str, width: u32, height: u32, file: &str) -> Outcome {
    let frames = std::fs::read(file)?;
    let (input, output) = (Device::with_path(INPUT)?, Device::with_path(OUTPUT)?);
    // The cable between output and input carries one set of timings.
    let timings = timings(&output, width, height)?;
    set_timings(&output, timings)?;
    set(&input, "Loop Video", 1)?;
    set_timings(&input, timings)?;
    // No text over the picture.
    set(&input, "OSD Text Mode", 2)?;
    let wanted: [u8; 4] = format.as_bytes().try_into()?;
    let format = Output::set_format(
        &output,
        &Format {
            field_order: FieldOrder::Progressive,
            colorspace: Colorspace::SMPTE170M,
            quantization: Quantization::LimitedRange,
            ..Format::new(width, height, FourCC::new(&wanted))
        },
    )?;
    if (format.fourcc.repr, format.width, format.height) != (wanted, width, height) {
        return Err(format!("vivid's output became\n{format}").into());
    }
    let size = format.size as usize;
    if frames.is_empty() || !frames.len().is_multiple_of(size) {
        return Err(format!("{file}: {} bytes, expected frames of {size}", frames.len()).into());
    }
    drop((input, output));
    let mut output = File::options().write(true).open(OUTPUT)?;
    println!("feeding {} frames of {size} bytes", frames.len() / size);
    loop {
        for frame in frames.chunks_exact(size) {
            output.write_all(frame)?;
        }
    }
}

/// The device's own timings for a size: progressive, the slowest there are up to 60 Hz.
fn timings(device: &Device, width: u32, height: u32) -> Result<v4l2_dv_timings, Box<dyn Error>> {
    for index in 0.. {
        // SAFETY: all zeros are a value of this structure of integers.
        let mut entry: v4l2_enum_dv_timings = unsafe { mem::zeroed() };
        entry.index = index;
        let argument = (&raw mut entry).cast();
        // SAFETY: the argument is the structure this call fills.
        if unsafe { v4l2::ioctl(device.handle().fd(), VIDIOC_ENUM_DV_TIMINGS, argument) }.is_err()
        {
            break;
        }
        // SAFETY: BT timings are the only kind there is, and any bits are a value.
        let bt = unsafe { entry.timings.__bindgen_anon_1.bt };
        if (bt.width, bt.height, bt.interlaced) == (width, height, 0) && bt.pixelclock < 80_000_000 {
            return Ok(entry.timings);
        }
    }
    Err(format!("vivid has no timings for {width}x{height}").into())
}

fn set_timings(device: &Device, mut timings: v4l2_dv_timings) -> io::Result<()> {
    let argument = (&raw mut timings).cast();
    // SAFETY: the argument is the structure this call reads and writes.
    unsafe { v4l2::ioctl(device.handle().fd(), VIDIOC_S_DV_TIMINGS, argument) }
}

fn set(device: &Device, name: &str, value: i64) -> Outcome {
    let controls = device.query_controls()?;
    let found = controls.iter().find(|control| control.name == name);
    let control = found.ok_or_else(|| {
        let names: Vec<&str> = controls.iter().map(|control| &*control.name).collect();
        format!("no control {name:?} among {names:?}")
    })?;
    let value = match control.typ {
        Type::Boolean => Value::Boolean(value != 0),
        _ => Value::Integer(value),
    };
    Ok(device.set_control(Control { id: control.id, value })?)
}

fn stamp() -> Outcome {
    let mut clock = String::new();
    for line in io::stdin().lock().lines() {
        clock.clear();
        File::open("/proc/uptime")?.read_to_string(&mut clock)?;
        let uptime = clock.split(' ').next().unwrap_or_default();
        println!("{uptime} {}", line?);
    }
    Ok(())
}
