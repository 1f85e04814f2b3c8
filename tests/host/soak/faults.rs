//! The faults: each happens, is told where it must be, and passes.

use super::device::{Device, HANG, SOON, Thread};
use super::picture::{CARD, FORMATS, Said, network};
use super::screen::STALE;
use crate::onnx;
use fastrand::Rng;
use std::time::{Duration, Instant};

/// How long the right state took: the one that tells, and the one after it.
pub struct Times {
    pub told: Option<Duration>,
    pub live: Duration,
}

type Outcome = Result<Times, String>;

pub struct Fault {
    pub name: &'static str,
    /// How often, beside the others.
    pub weight: u32,
    pub happen: fn(&mut Device, &mut Rng) -> Outcome,
}

/// From a SIGHUP to what it brings: files are read, and a network is tried.
const RELOAD: Duration = Duration::from_millis(3000);
/// Files are looked at every second, and must be alike twice.
const WATCH: Duration = Duration::from_millis(5500);
/// A lost camera is tried after 0.1 s, 0.3 s, 0.7 s, 1.5 s.
const RETURN: Duration = Duration::from_millis(1500);

const fn fault(
    name: &'static str,
    weight: u32,
    happen: fn(&mut Device, &mut Rng) -> Outcome,
) -> Fault {
    Fault { name, weight, happen }
}

pub const FAULTS: [Fault; 24] = [
    fault("frames dropped", 6, dropped),
    fault("short frames", 4, short),
    fault("frames cut in their midst", 4, torn),
    fault("late frames", 4, late),
    fault("frames at once", 4, burst),
    fault("camera stalls", 6, stall),
    fault("camera disconnected", 6, disconnected),
    fault("another format", 3, another_format),
    fault("driver hangs", 3, driver),
    fault("driver hangs for seconds", 1, driver_for_long),
    fault("inference slow", 4, slow),
    fault("display hangs", 4, display),
    fault("process stopped", 4, stopped),
    fault("wall clock jumps", 4, clock),
    fault("disk full", 4, disk),
    fault("SIGHUP storm", 4, storm),
    fault("model exchanged", 6, model),
    fault("model written in place", 3, in_place),
    fault("model cut off", 3, |device, random| refused(device, random, cut_off)),
    fault("model of NaN", 3, |device, random| refused(device, random, not_numbers)),
    fault("model too large", 3, |device, random| refused(device, random, too_large)),
    fault("model's card broken", 3, card),
    fault("board file broken", 3, board),
    fault("board file changed", 3, another_board),
];

fn ms(random: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

/// Live again from now on.
fn passed(device: &mut Device, told: Option<Duration>) -> Outcome {
    Ok(Times { told, live: device.live(Instant::now(), SOON)? })
}

fn dropped(device: &mut Device, random: &mut Rng) -> Outcome {
    device.camera("fault.drop=1");
    std::thread::sleep(ms(random, 20..150));
    device.camera("");
    passed(device, None)
}

fn short(device: &mut Device, random: &mut Rng) -> Outcome {
    device.camera("fault.truncate=1");
    let due = Instant::now() + STALE;
    let long = random.bool();
    let told = if long { Some(device.stale(due)?) } else { None };
    std::thread::sleep(ms(random, 20..150));
    device.camera("");
    passed(device, told)
}

fn torn(device: &mut Device, random: &mut Rng) -> Outcome {
    let pause = STALE + ms(random, 200..400);
    device.feed.tear(pause);
    let due = Instant::now() + STALE;
    let told = device.stale(due)?;
    std::thread::sleep((due + pause).saturating_duration_since(Instant::now()));
    passed(device, Some(told))
}

fn late(device: &mut Device, random: &mut Rng) -> Outcome {
    let by = STALE + ms(random, 50..300);
    device.camera(&format!("fault.delay={}", by.as_millis()));
    let told = device.stale(Instant::now() + STALE)?;
    std::thread::sleep(ms(random, 0..300));
    device.camera("");
    let since = Instant::now();
    Ok(Times { told: Some(told), live: device.live(since, by + SOON)? })
}

fn burst(device: &mut Device, random: &mut Rng) -> Outcome {
    device.feed.burst(random.u32(5..50));
    passed(device, None)
}

fn stall(device: &mut Device, random: &mut Rng) -> Outcome {
    let last = device.feed.pause();
    let told = if random.bool() { Some(device.stale(last + STALE)?) } else { None };
    std::thread::sleep(ms(random, 0..150));
    device.feed.resume();
    passed(device, told)
}

fn disconnected(device: &mut Device, random: &mut Rng) -> Outcome {
    let away = ms(random, 20..500);
    let since = Instant::now();
    device.camera(&format!("fault.disconnect=1&fault.return={}", away.as_millis()));
    let told = device.expect("NO SIGNAL", since, SOON, |said| *said == Said::NoSignal)?;
    device.camera("");
    Ok(Times { told: Some(told), live: device.live(Instant::now(), away + RETURN)? })
}

fn another_format(device: &mut Device, random: &mut Rng) -> Outcome {
    let last = device.feed.pause();
    device.stale(last + STALE)?;
    let format = loop {
        let format = FORMATS[random.usize(..FORMATS.len())];
        if format != device.feed.format() {
            break format;
        }
    };
    let before = device.newest_start();
    let since = Instant::now();
    device.board(format, "");
    device.signal("HUP", 1);
    let told = device.expect("STARTING", since, RELOAD, |said| *said == Said::Starting)?;
    while device.newest_start() == before {
        if since.elapsed() > 10 * RELOAD {
            return Err("no new start in the journal".to_owned());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    device.feed.change(format);
    device.feed.resume();
    passed(device, Some(told))
}

fn driver(device: &mut Device, random: &mut Rng) -> Outcome {
    device.slow(Thread::Capture, HANG);
    let told = device.stale(Instant::now() + STALE)?;
    std::thread::sleep(ms(random, 0..300));
    device.slow(Thread::Capture, 0);
    passed(device, Some(told))
}

fn driver_for_long(device: &mut Device, random: &mut Rng) -> Outcome {
    device.slow(Thread::Capture, HANG);
    const SILENT: Duration = Duration::from_secs(2);
    let since = Instant::now();
    let told = device.expect("NO SIGNAL", since, SILENT + SOON, |said| *said == Said::NoSignal)?;
    let told = told.saturating_sub(SILENT);
    std::thread::sleep(ms(random, 0..300));
    device.slow(Thread::Capture, 0);
    passed(device, Some(told))
}

fn slow(device: &mut Device, random: &mut Rng) -> Outcome {
    device.slow(Thread::Inference, random.i64(150..400));
    let told = device.stale(Instant::now() + STALE)?;
    std::thread::sleep(ms(random, 0..300));
    device.slow(Thread::Inference, 0);
    passed(device, Some(told))
}

fn display(device: &mut Device, random: &mut Rng) -> Outcome {
    device.screen.hold();
    device.slow(Thread::Display, HANG);
    std::thread::sleep(ms(random, 20..600));
    device.slow(Thread::Display, 0);
    device.screen.release();
    passed(device, None)
}

fn stopped(device: &mut Device, random: &mut Rng) -> Outcome {
    device.screen.hold();
    device.signal("STOP", 1);
    std::thread::sleep(ms(random, 20..800));
    device.signal("CONT", 1);
    device.screen.release();
    passed(device, None)
}

fn clock(device: &mut Device, random: &mut Rng) -> Outcome {
    // Thirty years back and forth.
    for _ in 0..random.u32(1..5) {
        device.clock(random.i64(-900_000_000..900_000_000));
        std::thread::sleep(ms(random, 5..60));
    }
    passed(device, None)
}

fn disk(device: &mut Device, random: &mut Rng) -> Outcome {
    // Pictures are shorter; recordings and the journal are not.
    device.disk("20000");
    std::thread::sleep(ms(random, 20..400));
    let live = passed(device, None);
    device.disk("unlimited");
    live?;
    passed(device, None)
}

fn storm(device: &mut Device, random: &mut Rng) -> Outcome {
    let count = random.u32(10..200);
    device.signal("HUP", count);
    passed(device, None)
}

/// Tells segcam, or leaves it to see by itself; how long that may take.
fn changed(device: &mut Device, random: &mut Rng) -> Duration {
    if random.u32(..6) == 0 {
        return WATCH;
    }
    device.signal("HUP", 1);
    RELOAD
}

fn model(device: &mut Device, random: &mut Rng) -> Outcome {
    device.second ^= true;
    let since = Instant::now();
    device.replace("model/code.onnx", &network(device.second));
    let limit = changed(device, random);
    Ok(Times { told: None, live: device.live(since, limit)? })
}

fn in_place(device: &mut Device, random: &mut Rng) -> Outcome {
    device.second ^= true;
    let bytes = network(device.second);
    for part in 1..=4 {
        std::fs::write(device.path("model/code.onnx"), &bytes[..bytes.len() * part / 4]).unwrap();
        std::thread::sleep(ms(random, 0..40));
    }
    let since = Instant::now();
    let limit = changed(device, random);
    Ok(Times { told: None, live: device.live(since, limit)? })
}

fn cut_off(random: &mut Rng) -> Vec<u8> {
    let mut bytes = network(random.bool());
    // What stands at the very end is no part of the graph.
    bytes.truncate(random.usize(..bytes.len() - 8));
    bytes
}

fn not_numbers(_: &mut Rng) -> Vec<u8> {
    onnx::not_numbers(60, 80)
}

fn too_large(_: &mut Rng) -> Vec<u8> {
    onnx::always(0, 200, 800, 800)
}

/// A bad file: the old network labels on, words say so, until a good one is there.
fn refused(device: &mut Device, random: &mut Rng, bad: fn(&mut Rng) -> Vec<u8>) -> Outcome {
    let bytes = bad(random);
    bad_file(device, random, "model/code.onnx", bytes);
    let told = degraded(device, random)?;
    device.second = random.bool();
    let since = Instant::now();
    device.replace("model/code.onnx", &network(device.second));
    let limit = changed(device, random);
    Ok(Times { told: Some(told), live: device.live(since, limit)? })
}

fn bad_file(device: &mut Device, random: &mut Rng, name: &str, bytes: Vec<u8>) {
    match random.bool() {
        true => device.replace(name, &bytes),
        false => std::fs::write(device.path(name), bytes).unwrap(),
    }
}

/// The time until words say that something is not taken, over live pictures of the old network.
fn degraded(device: &mut Device, random: &mut Rng) -> Result<Duration, String> {
    let (since, old) = (Instant::now(), device.second);
    let limit = changed(device, random);
    device.expect("DEGRADED", since, limit, move |said| match said {
        Said::Live { second, degraded: true, .. } => *second == old,
        _ => false,
    })
}

fn card(device: &mut Device, random: &mut Rng) -> Outcome {
    let bad = match random.u32(..3) {
        0 => CARD.replace("fit", "fat"),
        1 => CARD.replace("code.onnx", "none.onnx"),
        _ => CARD[..CARD.len() / 2].to_owned(),
    };
    bad_file(device, random, "model/model.toml", bad.into_bytes());
    let told = degraded(device, random)?;
    let since = Instant::now();
    device.replace("model/model.toml", CARD.as_bytes());
    let limit = changed(device, random);
    Ok(Times { told: Some(told), live: device.live(since, limit)? })
}

fn board(device: &mut Device, random: &mut Rng) -> Outcome {
    let format = device.feed.format();
    device.board(format, ["threads = 0", "rotate = 45", "=", "[controls"][random.usize(..4)]);
    let told = degraded(device, random)?;
    let since = Instant::now();
    device.board(format, "");
    let limit = changed(device, random);
    Ok(Times { told: Some(told), live: device.live(since, limit)? })
}

/// Everything begins anew; what was on the screen is not live while it does.
fn another_board(device: &mut Device, random: &mut Rng) -> Outcome {
    let since = Instant::now();
    let before = std::fs::read(device.path("board.toml")).unwrap();
    while std::fs::read(device.path("board.toml")).unwrap() == before {
        let more = format!("stale_after_ms = {}", random.u32(300..900));
        device.board(device.feed.format(), &more);
    }
    let limit = changed(device, random);
    let told = device.expect("STARTING", since, limit, |said| *said == Said::Starting)?;
    Ok(Times { told: Some(told), live: device.live(since + told, RELOAD)? })
}
