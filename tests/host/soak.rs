//! The soak: a device at work under faults, one after the other, at random. After each the right
//! state is on its screen in time, and never is a mask drawn over another frame, or as live when it
//! is old. That is read from the pictures it shows, in which each frame's number can be seen, and
//! in the mask's colours the number of the frame that it was computed from.
//!
//! `SEGCAM_SOAK_SEED` and `SEGCAM_SOAK_FAULTS` choose other faults, and more of them.

mod device;
mod faults;
mod feed;
mod picture;
mod screen;

pub use device::faulty_system;

use device::{Device, HANG, Thread};
use faults::FAULTS;
use picture::Said;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a start may take.
const START: Duration = Duration::from_secs(20);
/// How much more memory may be in use at the end than at the beginning, in megabytes: what the
/// heap's pieces differ by.
const GROWTH: f64 = 8.0;

/// What came of one kind of fault.
#[derive(Clone, Debug, Default)]
struct Row {
    count: u32,
    /// The longest until the screen said so, and until it was live again.
    told: Option<Duration>,
    live: Duration,
    failures: u32,
}

#[derive(Default)]
struct Soaked {
    rows: BTreeMap<&'static str, Row>,
    wrong: Vec<String>,
    pictures: u64,
    oldest: Duration,
    /// Megabytes, after a tenth of the faults and at the end, of each device.
    memory: Vec<(f64, f64)>,
}

impl Soaked {
    fn add(&mut self, other: Soaked) {
        for (name, row) in other.rows {
            let sum = self.rows.entry(name).or_default();
            sum.count += row.count;
            sum.failures += row.failures;
            sum.told = sum.told.max(row.told);
            sum.live = sum.live.max(row.live);
        }
        self.wrong.extend(other.wrong);
        self.memory.extend(other.memory);
        self.pictures += other.pictures;
        self.oldest = self.oldest.max(other.oldest);
    }

    fn print(&self, seed: u64) {
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        println!(
            "{:28} {:>6} {:>13} {:>13} {:>9}",
            "fault", "count", "told after", "live after", "failures"
        );
        for (name, row) in &self.rows {
            let told = row.told.map_or("-".to_owned(), ms);
            let (count, live, failures) = (row.count, ms(row.live), row.failures);
            println!("{name:28} {count:>6} {told:>13} {live:>13} {failures:>9}");
        }
        let (count, failures) = self
            .rows
            .values()
            .fold((0, 0), |(count, failures), row| (count + row.count, failures + row.failures));
        let memory: Vec<String> =
            self.memory.iter().map(|(from, to)| format!("{from:.1} -> {to:.1}")).collect();
        println!(
            "seed {seed}: {count} faults, {failures} failures; {} pictures, no mask stood longer than \
             {} ms after it was too old; the machine was late by {} ms; memory in MB {}",
            self.pictures,
            self.oldest.as_millis(),
            screen::worst_strain().as_millis(),
            memory.join(", ")
        );
    }
}

#[test]
fn soak_of_sixty() {
    soak(60, 3);
}

/// `cargo test --release --test host -- --ignored soak_of_ten_thousand --nocapture`
#[test]
#[ignore = "takes twenty minutes"]
fn soak_of_ten_thousand() {
    soak(10_000, 4);
}

fn soak(faults: u32, devices: u32) {
    let told = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let faults = told("SEGCAM_SOAK_FAULTS").unwrap_or(u64::from(faults)) as u32;
    let seed = told("SEGCAM_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("SEGCAM_SOAK_SEED={seed} SEGCAM_SOAK_FAULTS={faults}");
    let mut all = Soaked::default();
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..devices)
            .map(|n| {
                let count = faults / devices + u32::from(n < faults % devices);
                scope.spawn(move || suffer(count, seed + u64::from(n)))
            })
            .collect();
        for part in parts {
            all.add(part.join().unwrap());
        }
    });
    all.print(seed);
    assert!(all.wrong.is_empty(), "{} things: {:#?}", all.wrong.len(), all.wrong);
}

/// One device, and its faults.
fn suffer(count: u32, seed: u64) -> Soaked {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut soaked = Soaked::default();
    let mut device = Device::start();
    // The most in the second tenth, and in the last.
    let (mut early, mut late) = (0.0f64, 0.0f64);
    if let Err(error) = device.live(Instant::now(), START) {
        soaked.wrong.push(error);
        return soaked;
    }
    let weights: u32 = FAULTS.iter().map(|fault| fault.weight).sum();
    for number in 0..count {
        let mut chosen = random.u32(..weights);
        let fault = FAULTS.iter().find(|fault| {
            let found = chosen < fault.weight;
            chosen = chosen.saturating_sub(fault.weight);
            found
        });
        let fault = fault.unwrap();
        std::thread::sleep(Duration::from_millis(random.u64(..60)));
        let row = soaked.rows.entry(fault.name).or_default();
        row.count += 1;
        let done = (fault.happen)(&mut device, &mut random);
        let (pictures, mut wrong, oldest) = device.screen.judged();
        soaked.oldest = soaked.oldest.max(oldest);
        match &done {
            Ok(times) => {
                row.told = row.told.max(times.told);
                row.live = row.live.max(times.live);
            }
            Err(error) => wrong.insert(0, error.clone()),
        }
        if !wrong.is_empty() {
            row.failures += 1;
            let failure =
                format!("seed {seed}, fault {number}, {}: {}", fault.name, wrong.join("; "));
            println!("{failure}");
            soaked.wrong.push(failure);
        }
        if done.is_err() {
            let words = device.words();
            let last: Vec<&str> = words.lines().rev().take(9).collect();
            println!("its last words, a new device follows: {last:#?}");
            soaked.pictures += pictures;
            device = Device::start();
            early = 0.0;
            if device.live(Instant::now(), START).is_err() {
                return soaked;
            }
        }
        let memory = device.memory();
        if early == 0.0 || (count / 10..count / 5).contains(&number) {
            early = early.max(memory);
        }
        if number >= count / 10 * 9 {
            late = late.max(memory);
        }
    }
    soaked.pictures += device.screen.judged().0;
    soaked.memory.push((early, late));
    // Pieces of the heap lie differently each time; what is lost adds up.
    if late > early + GROWTH {
        soaked.wrong.push(format!("memory grew from {early} to {late} MB in {count} faults"));
    }
    soaked.wrong.extend(device.stop());
    soaked
}

/// A thread that hangs for good is named on the screen, and ends the process with its own code.
#[test]
fn a_thread_that_hangs_ends_the_process_with_its_own_code() {
    let hang = |thread: Thread, limit: u64, said: Option<Said>| {
        let mut device = Device::start();
        device.live(Instant::now(), START).unwrap();
        device.screen.hold();
        device.slow(thread, HANG);
        let begun = Instant::now();
        if let Some(said) = said {
            device.expect("words", begun, Duration::from_secs(6), |shown| *shown == said).unwrap();
        }
        if !matches!(thread, Thread::Display) {
            let failed = |said: &Said| *said == Said::Failed;
            device.expect("FAILED", begun, Duration::from_secs(limit), failed).unwrap();
        }
        let code = device.ended(Duration::from_secs(limit + 10));
        assert_eq!(code, Some(3), "{}", device.words());
        assert!(device.words().contains("has not answered"), "{}", device.words());
        assert_eq!(device.screen.judged().1, Vec::<String>::new());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| hang(Thread::Capture, 40, Some(Said::NoSignal)));
        scope.spawn(|| hang(Thread::Inference, 40, None));
        scope.spawn(|| hang(Thread::Display, 20, None));
    });
}
