//! In the field: models and settings that change while it runs, networks that cannot, screens that
//! hang.

use crate::onnx;
use crate::program::{Place, call, segcam};
use crate::soak::faulty_system;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes, even on a slow machine.
const LIMIT: Duration = Duration::from_secs(60);
const CAMERA: &str = "synthetic:portrait?width=64&height=48&fps=50";

/// A run whose lines are read as they come.
struct Running {
    child: Child,
    lines: Receiver<Value>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if send.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        Running { child, lines }
    }

    /// The first line from now on that is as wanted, and how many came before it.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> (Value, usize) {
        let end = Instant::now() + LIMIT;
        let mut before = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {what}"));
            if wanted(&line) {
                return (line, before);
            }
            before += 1;
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Stops it; its last words.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let mut words = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        (self.child.wait().unwrap().code(), words)
    }
}

fn run(arguments: &[&str]) -> Command {
    segcam(&[&["run", "--json", "--camera", CAMERA, "--display", "null:"], arguments].concat())
}

fn all_of(class: usize) -> impl Fn(&Value) -> bool {
    move |line| line["classes"][format!("class {class}")] == 1.0
}

fn state(name: &'static str) -> impl Fn(&Value) -> bool {
    move |line| line["state"] == name
}

#[test]
fn a_model_is_exchanged_between_two_frames_and_a_bad_one_is_refused() {
    let place = Place::new();
    let card = |file: &str| {
        format!("name = '{file}'\nfile = '{file}'\nlicense = 'MIT'\nsource = 'here'\n")
    };
    place.write("model/a.onnx", &onnx::always(0, 3, 48, 64));
    place.write("model/b.onnx", &onnx::always(2, 4, 24, 32));
    let file = place.write("model/model.toml", card("a.onnx").as_bytes());
    let log = place.text("log");
    let running = Running::start(run(&["--model", &place.text("model"), "--log", &log]));
    running.until("first network", all_of(0));

    std::fs::write(&file, card("b.onnx")).unwrap();
    running.until("second network", all_of(2));

    // One that is broken changes nothing but for the words.
    place.write("model/b.onnx", b"no network");
    running.until("refusal", state("degraded"));
    let (line, _) = running.until("picture", all_of(2));
    assert_eq!(line["state"], "degraded");

    place.write("model/b.onnx", &onnx::always(1, 2, 24, 32));
    let (line, _) = running.until("third network", all_of(1));
    assert_eq!(line["state"], "live");
    let (code, words) = running.stop();
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("from now on b.onnx labels"), "{words}");
    assert!(words.contains("the change is not taken:"), "{words}");
    assert!(words.contains("is no ONNX model"), "{words}");

    // The journal has it all, in one chain.
    let read = call(&["log", &log, "--json"]).success();
    let report: Value = serde_json::from_str(&read.out).unwrap();
    let entries = report["entries"].as_array().unwrap();
    let events: Vec<&str> = entries.iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    for (event, times) in [("start", 1), ("state", 3), ("model", 2), ("refused", 1), ("end", 1)] {
        let found = events.iter().filter(|found| **found == event).count();
        assert!(found >= times, "{event} of {}", read.out);
    }
    assert_eq!(entries[0]["model"], "a.onnx");
    assert_eq!(report["broken"], Value::Null);
    let journal = place.path("log/journal.jsonl");
    let told = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, told.replacen("a.onnx", "z.onnx", 1)).unwrap();
    let read = call(&["log", &log]);
    assert_eq!(read.code, Some(1));
    assert!(read.err.contains("line 1 does not follow"), "{}", read.err);
}

#[test]
fn hundreds_of_sighups_disturb_nothing() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let running = Running::start(run(&["--model", &model]));
    running.until("picture", all_of(0));
    for _ in 0..300 {
        running.signal("-HUP");
        std::thread::sleep(Duration::from_millis(3));
    }
    while running.lines.try_recv().is_ok() {}
    let (line, _) = running.until("picture", all_of(0));
    assert_eq!(line["state"], "live");
    let (code, words) = running.stop();
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn another_camera_in_the_board_file_is_taken_without_a_restart() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    place.image("red.png", 8, 8, |_, _| [200, 0, 0]);
    place.image("blue.png", 8, 8, |_, _| [0, 0, 200]);
    let board = |picture: &str| {
        format!("name='b'\nmodel='{model}'\ncamera='file:{}?loop'\n", place.text(picture))
    };
    let file = place.write("board.toml", board("red.png").as_bytes());
    let command = segcam(&["run", "--json", "--stay", "--board", &file, "--display", "null:"]);
    let running = Running::start(command);
    running.until("red", all_of(0));
    place.write("board.toml", board("none.png").as_bytes());
    running.until("refusal", state("degraded"));
    place.write("board.toml", board("blue.png").as_bytes());
    running.until("blue", all_of(2));
    assert_eq!(running.stop().0, Some(0));
}

/// The model is read at the start and for the check. A third time the power would go: what was
/// checked is what runs, whatever became of its file.
#[test]
fn a_changed_board_file_begins_anew_with_the_model_that_was_checked() {
    let place = Place::new();
    let model = place.write("only.onnx", &onnx::always(1, 2, 48, 64));
    let board = |stale: u32| format!("name='b'\nmodel='{model}'\nstale_after_ms={stale}\n");
    let file = place.write("board.toml", board(500).as_bytes());
    let log = place.text("log");
    let mut command = run(&["--board", &file, "--log", &log]);
    let cut = format!("only.onnx:3:{}", place.text("cut"));
    command.env("LD_PRELOAD", faulty_system()).env("SEGCAM_CUT", cut);
    let running = Running::start(command);
    running.until("picture", all_of(1));
    let starts = || call(&["log", &log]).out.matches("  start  ").count();
    assert_eq!(starts(), 1);

    place.write("board.toml", board(600).as_bytes());
    let end = Instant::now() + LIMIT;
    while starts() < 2 {
        assert!(Instant::now() < end, "the change is not taken");
        running.until("picture", all_of(1));
    }
    running.until("picture after it", all_of(1));
    let (code, words) = running.stop();
    assert_eq!(code, Some(0), "{words}");

    // Not so when it must be read.
    let mut command = run(&["--board", &file]);
    let cut = format!("only.onnx:1:{}", place.text("cut"));
    command.env("LD_PRELOAD", faulty_system()).env("SEGCAM_CUT", cut);
    assert_eq!(command.output().unwrap().status.code(), None, "the power goes");
}

#[test]
fn what_is_wrong_at_the_start_is_mended_without_a_restart() {
    let place = Place::new();
    let model = place.write("model.onnx", b"not yet");
    let command = segcam(&[
        "run",
        "--json",
        "--stay",
        "--model",
        &model,
        "--camera",
        CAMERA,
        "--display",
        "null:",
    ]);
    let running = Running::start(command);
    std::thread::sleep(Duration::from_millis(500));
    place.write("model.onnx", &onnx::always(1, 2, 48, 64));
    running.until("picture", all_of(1));
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_network_whose_scores_are_no_numbers_is_refused() {
    let place = Place::new();
    let model = place.write("nan.onnx", &onnx::not_numbers(8, 8));
    let ended = call(&["run", "--model", &model, "--camera", CAMERA, "--display", "null:"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.error().contains("not numbers (NaN)"), "{}", ended.err);
}

#[test]
fn a_network_beyond_the_boards_memory_is_refused_before_it_runs() {
    let place = Place::new();
    let model = place.write("large.onnx", &onnx::always(0, 200, 1600, 1600));
    let board = place.write("board.toml", b"name='b'\nmemory_mb=256\n");
    let begun = Instant::now();
    let arguments = ["run", "--board", &board, "--model", &model, "--camera", CAMERA];
    let ended = call(&[&arguments[..], &["--display", "null:"]].concat());
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.error().contains("memory_mb"), "{}", ended.err);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_network_slower_than_the_limit_is_stale_and_goes_on() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let late = format!("{CAMERA}&fault.delay=120");
    let command = segcam(&[
        "run",
        "--json",
        "--model",
        &model,
        "--camera",
        &late,
        "--display",
        "null:",
        "--stale-after",
        "100",
    ]);
    let running = Running::start(command);
    let (_, before) = running.until("stale picture", state("stale"));
    assert_eq!(before, 0, "none of them was fresh");
    for _ in 0..5 {
        let (_, before) = running.until("stale picture", state("stale"));
        assert_eq!(before, 0);
    }
    assert_eq!(running.stop().0, Some(0));
}

/// The network is slower than the limit on any machine, then the inference takes seconds.
#[test]
fn a_network_of_seconds_a_frame_is_stale_and_goes_on() {
    let place = Place::new();
    let model = place.write("slow.onnx", &onnx::slow());
    let running = Running::start(run(&["--model", &model, "--stale-after", "50"]));
    let (_, before) = running.until("stale picture", state("stale"));
    assert_eq!(before, 0);
    let (code, words) = running.stop();
    assert_eq!(code, Some(0), "{words}");

    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let half_a_second: Vec<u8> = [0, 0, 500, 0i64].into_iter().flat_map(i64::to_ne_bytes).collect();
    let mut command = run(&["--model", &model]);
    let faults = place.write("faults", &half_a_second);
    command.env("LD_PRELOAD", faulty_system()).env("SEGCAM_FAULTS", &faults);
    let running = Running::start(command);
    for _ in 0..2 {
        let (line, before) = running.until("stale picture", state("stale"));
        assert!(before == 0 && line["age_ms"].as_f64().unwrap() > 3000.0, "{line}");
    }
    File::options().write(true).open(&faults).unwrap().write_all(&[0; 32]).unwrap();
    let (code, words) = running.stop();
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn pictures_that_make_a_network_say_nan_go_stale_and_the_next_are_live() {
    let place = Place::new();
    let model = place.write("root.onnx", &onnx::root(8, 8));
    std::fs::create_dir(place.path("pictures")).unwrap();
    for picture in 0..120 {
        let level = if picture < 40 { 200 } else { 10 };
        place.image(&format!("pictures/{picture:03}.png"), 8, 8, |_, _| [level; 3]);
    }
    let (log, camera) = (place.text("log"), format!("file:{}?fps=50&loop", place.text("pictures")));
    let command = [
        "run",
        "--json",
        "--display",
        "null:",
        "--model",
        &model,
        "--camera",
        &camera,
        "--log",
        &log,
    ];
    let running = Running::start(segcam(&command));
    for _ in 0..2 {
        running.until("live picture", state("live"));
        running.until("end of the dark ones", |line| line["frame"].as_u64().unwrap() % 120 >= 20);
        running.until("next live ones", |line| line["frame"].as_u64().unwrap() % 120 < 20);
    }
    let (code, words) = running.stop();
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("not numbers (NaN)"), "{words}");
    let told = call(&["log", &log]).success().out;
    let count = |from, to| told.matches(&format!("from: {from}  to: {to}")).count();
    assert!(count("degraded", "stale") >= 2 && count("stale", "live") >= 1, "{told}");
}

/// Nobody reads what it writes: the thread that draws hangs. That is known after ten seconds.
#[test]
fn a_display_that_hangs_ends_the_process_with_its_own_code() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let mut command = run(&["--model", &model]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        assert!(begun.elapsed() < LIMIT, "it hangs");
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("the display has not answered"), "{words}");
}
