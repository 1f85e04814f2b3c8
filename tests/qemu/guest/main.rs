//! Runs inside the guest: what a shell script cannot do.
//!
//! * `guest feed FORMAT WIDTH HEIGHT FILE`: FILE is what the kernel's vivid camera sees.
//! * `guest set CONTROL VALUE` sets a control of that camera by its name, for faults.
//! * `guest webcam WIDTH HEIGHT FILE` plugs in a USB camera that sends FILE, a JPEG picture; it is
//!   plugged out when this ends.
//! * `guest stamp` copies lines from standard input, each after the kernel's uptime in seconds.

mod vivid;
mod webcam;

use std::error::Error;
use std::io::BufRead;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(|argument| &**argument).collect();
    match arguments[..] {
        ["feed", format, width, height, file] => {
            vivid::feed(format, width.parse()?, height.parse()?, file)
        }
        ["set", control, value] => vivid::set(control, value.parse()?),
        ["webcam", width, height, file] => webcam::serve(width.parse()?, height.parse()?, file),
        ["stamp"] => stamp(),
        _ => Err(format!("{arguments:?}: expected feed, set, webcam or stamp").into()),
    }
}

fn stamp() -> Outcome {
    for line in std::io::stdin().lock().lines() {
        let clock = std::fs::read_to_string("/proc/uptime")?;
        println!("{} {}", clock.split(' ').next().unwrap_or_default(), line?);
    }
    Ok(())
}
