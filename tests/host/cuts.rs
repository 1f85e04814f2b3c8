//! Power cuts: the process is killed, at any moment, or in the midst of what it does with a file of
//! a recording, of the journal while it begins a new one, or of a model that is exchanged. Afterwards
//! everything opens, and at most the last of it is missing.

use crate::onnx;
use crate::program::{Place, call, segcam};
use crate::record::{bytes, read, verify};
use crate::soak::faulty_system;
use fastrand::Rng;
use segcam::journal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Until an operation comes that a cut waits for.
const PATIENCE: Duration = Duration::from_secs(2);
/// A journal as long as this begins a new file.
const FULL: u64 = 4 << 20;
const CARD: &str = "name = 'm'\nfile = 'm.onnx'\nlicense = 'MIT'\nsource = 'here'\n";

/// What the power is cut in, and the most operations until then; the first is any moment at all.
const MOMENTS: [(&str, u64); 4] = [("", 150), ("/record/", 80), ("/log/", 12), ("/model/", 20)];

#[test]
fn power_cuts() {
    cut(24, 7);
}

/// `cargo test --release --test host -- --ignored two_hundred_power_cuts --nocapture`
#[test]
#[ignore = "takes a minute"]
fn two_hundred_power_cuts() {
    cut(200, 8);
}

/// What came of the cuts at one kind of operation.
#[derive(Default)]
struct Row {
    cuts: u32,
    frames: usize,
    /// Frames that were shown, and are not recorded.
    lost: usize,
    torn_frames: usize,
    torn_lines: u32,
}

/// Kills runs. Whatever was written is read; nothing is missing between a recording's first frame
/// and its last, nor after it more than waited to be written; no entry of the journal is.
fn cut(cuts: usize, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let place = Place::new();
    let models = [onnx::strongest_color(32, 32), onnx::strongest_color(16, 16)];
    let files = [place.write("first.onnx", &models[0]), place.write("second.onnx", &models[1])];
    place.write("model/model.toml", CARD.as_bytes());
    place.write("model/m.onnx", &models[0]);
    let (folder, text) = (place.path("record"), place.text("record"));
    let mut table: BTreeMap<String, Row> = BTreeMap::new();
    let (mut newest, mut more_lost) = (0, 0);
    for round in 0..cuts {
        let (word, most) = MOMENTS[round % MOMENTS.len()];
        if word == "/log/" {
            fill(&place.path("log"));
        }
        let before = journal::read(&place.path("log")).unwrap_or_default();
        // All of a rotation, one after the other.
        let count = match word {
            "/log/" => 1 + (round / MOMENTS.len()) as u64 % most,
            _ => random.u64(1..=most),
        };
        let (what, said) = run_and_cut(&place, word, count, &models);
        let row = table.entry(what.clone()).or_default();
        row.cuts += 1;

        let report = journal::read(&place.path("log")).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(report.broken, None, "{what}");
        assert!(number(&report) >= number(&before), "{what}: an entry is gone");
        let newest_file = std::fs::read(place.path("log/journal.jsonl")).unwrap_or_default();
        row.torn_lines += u32::from(newest_file.last().is_some_and(|last| *last != b'\n'));

        let shown: Vec<u64> = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["frame"].as_u64())
            .collect();
        if !folder.exists() {
            continue;
        }
        assert!(bytes(&folder) <= 1_000_000 + 20_000, "{}", bytes(&folder));
        let found = read(&folder);
        let new = found.iter().filter(|segment| segment.number > newest);
        row.torn_frames += new.clone().filter(|segment| segment.torn > 0).count();
        let run: Vec<(u64, u64)> = new.flat_map(|segment| segment.frames.iter().copied()).collect();
        row.frames += run.len();
        // How many were recorded before each.
        let before: Vec<usize> = run
            .iter()
            .map(|(frame, skipped)| {
                let at = shown.iter().position(|shown| shown == frame).unwrap_or(shown.len());
                at - *skipped as usize
            })
            .collect();
        assert!(before.windows(2).all(|pair| pair[1] == pair[0] + 1), "{run:?} {shown:?}");
        let last = run.last().map_or(0, |(frame, _)| frame + 1);
        let lost = shown.iter().filter(|frame| **frame >= last).count();
        row.lost = row.lost.max(lost);
        // Four wait at most; more were skipped because those waited too long.
        more_lost += usize::from(lost > 4);
        newest = found.last().map_or(newest, |segment| segment.number);
        // As when the disk had not yet got what came after the last sync.
        if word.is_empty() && newest > 0 {
            let path = folder.join(segcam::record::name(newest));
            let length = std::fs::metadata(&path).unwrap().len();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(random.u64(..=length)).unwrap();
            let kept = read(&folder);
            let (old, new) = (found.last().unwrap(), kept.last().unwrap());
            assert!(old.frames.starts_with(&new.frames) && kept.len() == found.len());
        }
    }
    println!(
        "{:24} {:>5} {:>8} {:>12} {:>12} {:>11}",
        "cut in", "cuts", "frames", "most lost", "torn frames", "torn lines"
    );
    for (what, row) in &table {
        let Row { cuts, frames, lost, torn_frames, torn_lines } = row;
        println!("{what:24} {cuts:>5} {frames:>8} {lost:>12} {torn_frames:>12} {torn_lines:>11}");
    }
    assert!(more_lost <= cuts / 4, "{more_lost} times more than 4 frames lost");
    let (code, report, error) = verify(&[&text, "--model", &files[0], "--model", &files[1]]);
    assert_eq!((code, &report["different"]), (Some(0), &Value::from(0)), "{report} {error}");
    call(&["log", &place.text("log")]).success();
}

/// Records, keeps a journal, and takes one model after the other, until the cut. What it was in, and
/// what was said until then.
fn run_and_cut(place: &Place, word: &str, count: u64, models: &[Vec<u8>; 2]) -> (String, String) {
    let mut command = segcam(&["run", "--json", "--stay", "--display", "null:"]);
    command.args(["--camera", "synthetic:portrait?width=64&height=48&fps=100"]);
    for (option, name) in [("--model", "model"), ("--record", "record"), ("--log", "log")] {
        command.arg(option).arg(place.path(name));
    }
    command.args(["--record-limit", "1"]);
    let report = place.text("report");
    let _ = std::fs::remove_file(&report);
    if !word.is_empty() {
        command.env("LD_PRELOAD", faulty_system());
        command.env("SEGCAM_CUT", format!("{word}:{count}:{report}"));
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let begun = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut said = vec![0];
            // From its first word on.
            if out.read_exact(&mut said).is_ok() {
                begun.store(true, Ordering::Relaxed);
                out.read_to_end(&mut said).unwrap();
            }
            String::from_utf8(said).unwrap()
        });
        let start = Instant::now();
        let mut end = start + 10 * PATIENCE;
        let mut turn = 0;
        while Instant::now() < end && child.try_wait().unwrap().is_none() {
            if !begun.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            if turn == 0 {
                let time = Duration::from_millis(count);
                end = Instant::now() + if word.is_empty() { time } else { PATIENCE };
            }
            turn += 1;
            exchange(place, &models[turn % 2], &child);
            let nap = Duration::from_millis(40);
            std::thread::sleep(nap.min(end.saturating_duration_since(Instant::now())));
        }
        let _ = child.kill();
        child.wait().unwrap();
        let what = std::fs::read_to_string(&report).unwrap_or_default();
        let what = what.split(' ').next().filter(|what| !what.is_empty());
        let what = match what {
            Some(what) => format!("{} {what}", word.trim_matches('/')),
            None => "any moment".to_owned(),
        };
        (what, reader.join().unwrap())
    })
}

/// Exchanges the model, and tells that it is another.
fn exchange(place: &Place, model: &[u8], child: &Child) {
    place.write("new", model);
    std::fs::rename(place.path("new"), place.path("model/m.onnx")).unwrap();
    let id = child.id().to_string();
    let _ = Command::new("kill").args(["-HUP", &id]).stderr(Stdio::null()).status();
}

/// Makes the journal so long that the next entry begins a new file; it says more than it has to.
fn fill(folder: &Path) {
    let path = folder.join("journal.jsonl");
    let Ok(found) = std::fs::metadata(&path) else { return };
    let mut line = vec![b' '; FULL.saturating_sub(found.len()).max(1) as usize];
    *line.last_mut().unwrap() = b'\n';
    File::options().append(true).open(&path).unwrap().write_all(&line).unwrap();
}

/// The number of the last entry.
fn number(report: &journal::Report) -> u64 {
    report.entries.last().map_or(0, |entry| entry.fields["n"].as_u64().unwrap())
}
