//! What the process cannot do once it runs, and that it does all it should without.

use crate::onnx;
use crate::program::{Place, call, segcam};
use segcam::guard::{Fence, Guard, Needs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes, even on a slow machine.
const LIMIT: Duration = Duration::from_secs(60);
const CAMERA: &str = "synthetic:portrait?width=64&height=48&fps=50";

/// Started by `refused`: a guard cannot be taken down again.
#[test]
#[ignore = "is started by another test"]
fn guarded() {
    let place = PathBuf::from(std::env::var_os("SEGCAM_TEST_PLACE").unwrap());
    let [read, write, other] = ["read", "write", "other"].map(|name| place.join(name));
    let needs = Needs { read: vec![read.clone()], write: vec![write.clone()], desktop: false };
    let guard = Guard::install(&needs);
    println!("files {}, calls {}", guard.files, guard.calls);
    let denied = |what: &str, done: std::io::Result<()>| match done {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        done => panic!("{what}: {done:?}"),
    };
    if guard.calls == Fence::Whole {
        denied("AF_INET, datagrams", UdpSocket::bind("127.0.0.1:0").map(drop));
        denied("AF_INET6, datagrams", UdpSocket::bind("[::1]:0").map(drop));
        denied("AF_INET", TcpListener::bind("127.0.0.1:0").map(drop));
        denied("AF_INET6", TcpListener::bind("[::1]:0").map(drop));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        denied("fchmodat", fs::set_permissions(&write, mode));
        denied("execve", Command::new("/bin/true").spawn().map(drop));
        // Those that are there already, too.
        let early = std::thread::spawn(|| UdpSocket::bind("127.0.0.1:0").map(drop));
        denied("another thread", early.join().unwrap());
    }
    UnixDatagram::unbound().unwrap();
    let (one, _other) = UnixStream::pair().unwrap();
    drop(one);
    if guard.files == Fence::Whole {
        denied("/etc/passwd", fs::read("/etc/passwd").map(drop));
        denied("a folder", fs::read_dir(&other).map(drop));
        denied("a link out", fs::read(read.join("link")).map(drop));
        denied("another's file", fs::write(other.join("file"), "x"));
        denied("a new file", fs::write(other.join("new"), "x"));
        denied("a new file to read", fs::write(read.join("new"), "x"));
        denied("a file to read", fs::write(read.join("file"), "x"));
        denied("an end", fs::remove_file(read.join("file")));
        denied("a program", fs::create_dir(write.join("folder")));
        denied("a socket", UnixListener::bind(write.join("socket")).map(drop));
        let outside = Needs { read: vec![read.clone(), other.clone()], ..Needs::default() };
        assert_eq!(guard.outside(&outside), Some(other.as_path()));
    }
    assert_eq!(guard.outside(&needs), None);
    assert_eq!(fs::read(read.join("file")).unwrap(), b"yes");
    fs::write(write.join("one"), "1").unwrap();
    fs::rename(write.join("one"), write.join("two")).unwrap();
    assert_eq!(fs::read(write.join("two")).unwrap(), b"1");
    fs::remove_file(write.join("two")).unwrap();
    fs::write("/dev/null", "1").unwrap();
    assert!(!fs::read("/proc/self/status").unwrap().is_empty());
}

#[test]
fn nothing_but_what_was_named_can_be_reached() {
    let place = Place::new();
    place.write("read/file", b"yes");
    place.write("other/file", b"no");
    symlink(place.path("other/file"), place.path("read/link")).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["guard::guarded", "--exact", "--ignored", "--nocapture"])
        .env("SEGCAM_TEST_PLACE", place.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}{told}");
    assert_eq!(fs::read(place.path("other/file")).unwrap(), b"no");
}

/// A run that goes on, once its first line is there.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let all =
            [&["run", "--json", "--camera", CAMERA, "--display", "null:"], arguments].concat();
        let mut command = segcam(&all);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut out, &mut std::io::sink());
        });
        Running(child)
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Its end, and what it said.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let mut words = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        (self.0.wait().unwrap().code(), words)
    }
}

/// Waits for what comes.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_thread_of_a_run_is_guarded() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let log = place.text("log");
    let running = Running::start(&["--model", &model, "--log", &log]);
    let tasks = fs::read_dir(format!("/proc/{}/task", running.0.id())).unwrap();
    let mut threads = 0;
    for task in tasks {
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        assert_eq!((field("Seccomp:"), field("NoNewPrivs:")), ("2".to_owned(), "1".to_owned()));
        threads += 1;
    }
    assert!(threads >= 4, "{threads}");
    assert_eq!(running.stop().0, Some(0));
    let report: Value =
        serde_json::from_str(&call(&["log", &log, "--json"]).success().out).unwrap();
    let start = &report["entries"][0];
    assert_eq!((&start["event"], &start["fence_calls"]), (&"start".into(), &"whole".into()));
}

#[test]
fn a_model_from_elsewhere_waits_for_the_next_start() {
    let place = Place::new();
    place.write("here/a.onnx", &onnx::always(0, 2, 48, 64));
    place.write("here/b.onnx", &onnx::always(1, 2, 48, 64));
    place.write("elsewhere/c.onnx", &onnx::always(1, 3, 48, 64));
    let board = |model: &str| {
        let text = format!("name = 'b'\nmodel = '{}'\n", place.text(model));
        place.write("settings/board.toml", text.as_bytes())
    };
    let file = board("here/a.onnx");
    let metrics = place.text("figures/segcam.prom");
    let running = Running::start(&["--board", &file, "--metrics", &metrics]);
    let begun_with = |name: &str| {
        let text = fs::read_to_string(&metrics).unwrap_or_default();
        text.contains(&format!("{name}\",model_sha256")).then_some(())
    };
    until("first model", || begun_with("a.onnx"));
    board("here/b.onnx");
    until("second model", || begun_with("b.onnx"));
    board("elsewhere/c.onnx");
    until("refusal", || {
        let text = fs::read_to_string(&metrics).unwrap();
        text.contains("segcam_reloads_total{result=\"refused\"} 1\n").then_some(())
    });
    let (code, words) = running.stop();
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("it is taken at the next start"), "{words}");
    assert!(words.contains("elsewhere"), "{words}");
}

#[test]
fn systemd_hears_of_it() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let socket = UnixDatagram::bind(place.path("socket")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let all = ["run", "--stay", "--frames", "5", "--model", &model, "--camera", CAMERA];
    let mut command = segcam(&[&all[..], &["--display", "null:"]].concat());
    command.env("NOTIFY_SOCKET", place.path("socket"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut heard = [0; 64];
    let length = socket.recv(&mut heard).unwrap();
    assert!(heard[..length].starts_with(b"READY=1"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_full_journal_makes_room_inside_the_guard() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let log = place.text("log");
    let camera = ["run", "--model", &model, "--camera", CAMERA, "--frames", "3"];
    let run = || call(&[&camera[..], &["--display", "null:", "--log", &log]].concat()).success();
    run();
    let line = [b"x".repeat(63), b"\n".to_vec()].concat();
    let mut file = OpenOptions::new().append(true).open(place.path("log/journal.jsonl")).unwrap();
    file.write_all(&line.repeat(1 << 16)).unwrap();
    run();
    let bytes = |name: &str| fs::metadata(place.path(name)).unwrap().len();
    assert!(bytes("log/journal.1.jsonl") > 4 << 20);
    assert!(bytes("log/journal.jsonl") < 4096);
    let read = call(&["log", &log]);
    assert!(read.out.contains("continued"), "{}{}", read.out, read.err);
}

/// Nobody could name the folders while the board file was wrong: a device that is started anew reads
/// them.
#[test]
fn a_mended_board_file_that_leads_elsewhere_ends_the_process() {
    let place = Place::new();
    let file = place.write("settings/board.toml", b"rotat = 90\n");
    let model = place.write("elsewhere/c.onnx", &onnx::always(1, 3, 48, 64));
    let mut command = segcam(&["run", "--stay", "--board", &file, "--camera", CAMERA]);
    command.args(["--display", "null:"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut words = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    words.read_line(&mut said).unwrap();
    assert!(said.contains("rotat"), "{said}");
    place.write("settings/board.toml", format!("name = 'b'\nmodel = '{model}'\n").as_bytes());
    let status = until("end", || child.try_wait().unwrap());
    words.read_to_string(&mut said).unwrap();
    assert!(said.contains("it is taken at the next start"), "{said}");
    assert_eq!(status.code(), Some(2), "{said}");
}

/// Families with their kind, samples by name and labels; every line must be one.
fn parse(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut families, mut samples) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.contains(' '), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let known = |family: &String| {
                name == family || name.strip_prefix(family).is_some_and(|rest| rest.len() < 7)
            };
            assert!(families.keys().any(known), "{line} before its TYPE");
            assert!(samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{line}");
        }
    }
    (families, samples)
}

#[test]
fn figures_follow_the_run() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let path = place.path("figures/segcam.prom");
    let running = Running::start(&["--model", &model, "--metrics", path.to_str().unwrap()]);
    let read = || parse(&fs::read_to_string(&path).unwrap_or_default());
    until("frames", || (*read().1.get("segcam_frames_total")? > 20.0).then_some(()));
    let (families, samples) = read();
    assert_eq!(families["segcam_frames_total"], "counter");
    assert_eq!(samples["segcam_state{state=\"live\"}"], 1.0);
    assert_eq!(samples["segcam_state{state=\"stale\"}"], 0.0);
    assert_eq!(samples["segcam_frames_total"], samples["segcam_inference_seconds_count"]);
    assert!(samples["segcam_masks_total"] <= samples["segcam_frames_total"]);
    assert!(samples["segcam_mask_age_seconds"] < 10.0);
    assert!(samples["segcam_resident_memory_bytes"] > 1e6);
    assert!(samples["segcam_updated_timestamp_seconds"] > 1.7e9);
    let info = samples.keys().find(|sample| sample.starts_with("segcam_build_info{")).unwrap();
    assert!(info.contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))), "{info}");
    assert!(info.contains("/a.onnx\",model_sha256=\""), "{info}");
    // Nobody who reads it ever finds half of it.
    for _ in 0..200 {
        let (_, samples) = read();
        assert!(samples.contains_key("segcam_resident_memory_bytes"));
    }
    assert_eq!(running.stop().0, Some(0));
    let (_, samples) = read();
    assert_eq!(samples["segcam_state{state=\"live\"}"], 0.0);
    assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
}

#[test]
fn figures_that_cannot_be_written_are_told_once() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let arguments = ["run", "--model", &model, "--camera", CAMERA, "--display", "null:"];
    let folder = place.text("");
    let ended = call(&[&arguments[..], &["--frames", "120", "--metrics", &folder]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.error().contains("cannot be written"), "{}", ended.err);
}

/// Somebody put links where a run keeps things: nothing is written through them.
#[test]
fn links_in_writable_places_are_not_followed() {
    let place = Place::new();
    let model = place.write("a.onnx", &onnx::always(0, 2, 48, 64));
    let target = place.write("precious/target", b"precious");
    let link = |name: &str| {
        let path = place.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&target, path).unwrap();
    };
    for name in ["log/journal.jsonl", "kept/00000001.segcam", "out/frame-000000.png", "m/s.prom"] {
        link(name);
    }
    let run = |arguments: &[&str]| {
        // Every frame is shown.
        const CAMERA: &str = "synthetic:portrait?width=64&height=48&fps=0";
        let common = ["run", "--model", &model, "--camera", CAMERA, "--frames", "3"];
        call(&[&common[..], arguments].concat())
    };
    let ended = run(&["--display", "null:", "--log", &place.text("log")]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.error().contains("cannot be kept: Too many levels of symbolic links"));
    let pictures = format!("png:{}", place.text("out"));
    let (kept, metrics) = (place.text("kept"), place.text("m/s.prom"));
    run(&["--display", &pictures, "--record", &kept, "--metrics", &metrics]).success();
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    // Files that are written whole take the link's place; segments take the next number.
    let is_file = |name: &str| place.path(name).symlink_metadata().unwrap().is_file();
    for (name, file) in [
        ("out/frame-000000.png", true),
        ("m/s.prom", true),
        ("kept/00000001.segcam", false),
        ("kept/00000002.segcam", true),
    ] {
        assert_eq!(is_file(name), file, "{name}");
    }
    assert_eq!(Path::new(&target).parent().unwrap().read_dir().unwrap().count(), 1);
}
