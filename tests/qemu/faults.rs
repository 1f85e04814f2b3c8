//! What happens to the picture when the camera fails: NO SIGNAL in time, and the picture back by
//! itself when the fault is over.

use crate::board::{Board, Kit, Machine};
use crate::device::WEBCAM;
use crate::screens::{differences, has_bar, says_no_signal};
use image::RgbImage;
use std::fmt::Write as _;

/// A camera that says it is gone is told to be gone at once: this is the time a slow guest may
/// take for it, in seconds of its own.
const AT_ONCE: f64 = 2.0;
/// One that merely stops is given 2 s.
const AFTER_SILENCE: f64 = 2.0 + AT_ONCE;
/// The longest pause between two attempts to open the camera is 2 s, and one of them fails here;
/// the rest is for inference, which takes seconds here and holds a frame of the lost camera.
const RETURN: f64 = 2.0 * 2.0 + 12.0;

/// A fault and its end, each a line of shell in the guest.
struct Fault {
    name: &'static str,
    begin: &'static str,
    end: Option<&'static str>,
    /// Seconds until the screen must say NO SIGNAL; None where it must not.
    limit: Option<f64>,
}

const FAULTS: [Fault; 8] = [
    Fault {
        name: "half of the buffers dropped",
        begin: "guest set 'Percentage of Dropped Buffers' 50; sleep 3",
        end: Some("guest set 'Percentage of Dropped Buffers' 0"),
        limit: None,
    },
    Fault {
        name: "a buffer marked damaged",
        begin: "guest set 'Inject V4L2_BUF_FLAG_ERROR' 1; sleep 3",
        end: None,
        limit: None,
    },
    Fault {
        name: "all buffers dropped",
        begin: "guest set 'Percentage of Dropped Buffers' 100",
        end: Some("guest set 'Percentage of Dropped Buffers' 0"),
        limit: Some(AFTER_SILENCE),
    },
    Fault {
        name: "disconnected",
        begin: "guest set Disconnect 1",
        end: None,
        limit: Some(AT_ONCE),
    },
    Fault {
        name: "fatal streaming error",
        begin: "guest set 'Inject Fatal Streaming Error' 1",
        end: None,
        limit: Some(AT_ONCE),
    },
    Fault {
        name: "disconnected, no buffers at first",
        begin: "guest set 'Inject VIDIOC_REQBUFS Error' 1; guest set Disconnect 1",
        end: None,
        limit: Some(AT_ONCE),
    },
    Fault {
        name: "disconnected, no start at first",
        begin: "guest set 'Inject VIDIOC_STREAMON Error' 1; guest set Disconnect 1",
        end: None,
        limit: Some(AT_ONCE),
    },
    Fault {
        name: "driver removed and loaded again",
        begin: "echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind",
        end: Some("wait_for 'rmmod vivid' && insmod $(grep vivid.ko /modules/order)"),
        limit: Some(AT_ONCE),
    },
];

/// What was measured, in seconds of the guest: of its log, and of the screen.
struct Times {
    lost: Option<(f64, f64)>,
    back: Option<(f64, f64)>,
}

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn every_fault_is_told_and_healed() {
    let kit = Kit::new().modules(&["virtio_pci", "virtio_gpu", "vivid"]).with(WEBCAM);
    let machine = Machine::Virt { card: "virtio-gpu-pci,xres=800,yres=480" };
    let mut board = Board::boot("faults", machine, kit);
    // A picture that stands still: no text over vivid's colour bars.
    let camera = "v4l2:/dev/video0?format=yuyv&width=640&height=480&control.osd_text_mode=2";
    board.start(camera, "drm:");
    // When it is there, it stays.
    board.wait_for("first", has_bar);
    let good = board.screen();
    let mut table = format!("{:34} {:>18} {:>18}\n", "fault", "NO SIGNAL after s", "back after s");
    let mut wrong = Vec::new();
    for fault in &FAULTS {
        let times = suffer(&mut board, fault, &good);
        let cell = |pair: Option<(f64, f64)>| match pair {
            Some((log, screen)) => format!("{log:.2} (screen {screen:.1})"),
            None => "never".to_owned(),
        };
        let _ =
            writeln!(table, "{:34} {:>18} {:>18}", fault.name, cell(times.lost), cell(times.back));
        let in_time = match (fault.limit, times.lost) {
            (Some(limit), Some((log, _))) => log <= limit,
            (None, None) => true,
            _ => false,
        };
        if !in_time || times.back.is_some_and(|(log, _)| log > RETURN) {
            wrong.push(fault.name);
        }
    }
    // Back is counted from the fault's end, or its beginning where it ends by itself. The log's
    // time is when segcam knew, the screen's when a screendump had it.
    println!("{table}");
    let log = board.log();
    std::fs::write(board.folder.join("segcam.log"), &log).unwrap();
    std::fs::write(board.folder.join("table.txt"), &table).unwrap();
    assert!(wrong.is_empty(), "too late, or not as expected: {wrong:?}\n{table}\n{log}");
    board.stop();
}

fn suffer(board: &mut Board, fault: &Fault, good: &RgbImage) -> Times {
    let lines = |board: &mut Board| board.log().lines().count();
    let before = lines(board);
    let begun = board.uptime();
    board.run(fault.begin);
    let mut times = Times { lost: None, back: None };
    if fault.limit.is_some() {
        let screen = board.wait_for("no-signal", says_no_signal);
        let shown = board.uptime();
        screen.save(board.folder.join("no-signal.png")).unwrap();
        times.lost = Some((told(board, before, "no signal:") - begun, shown - begun));
    }
    let mut healed = begun;
    if let Some(end) = fault.end {
        healed = board.uptime();
        board.run(end);
    }
    board.wait_for("back", |screen| has_bar(screen) && differences(screen, good) == 0);
    let shown = board.uptime();
    if times.lost.is_some() {
        times.back = Some((told(board, before, "the signal is back") - healed, shown - healed));
    } else if board.log().lines().skip(before).any(|line| line.contains("no signal:")) {
        times.lost = Some((0.0, 0.0));
    }
    times
}

/// When a line of the log was written, of those after the first `before`.
fn told(board: &mut Board, before: usize, words: &str) -> f64 {
    let log = board.log();
    let line = log.lines().skip(before).find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("{words:?} is not in the log: {log}"));
    line.split(' ').next().and_then(|time| time.parse().ok()).expect("a time")
}
