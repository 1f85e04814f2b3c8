//! segcam as a device in the field: its files, its camera, its screen, and the system beneath it.

use super::feed::Feed;
use super::picture::{CARD, FORMATS, Format, Said, network};
use super::screen::{STALE, Screen, strain};
use crate::program::{Ended, call};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whose thread is held or made slow.
#[derive(Clone, Copy)]
pub enum Thread {
    Capture = 1,
    Inference = 2,
    Display = 3,
}

/// For ever, in milliseconds.
pub const HANG: i64 = 3_600_000;
/// Until a live picture when nothing keeps it away.
pub const SOON: Duration = Duration::from_millis(500);

pub struct Device {
    folder: TempDir,
    child: Child,
    pub feed: Arc<Feed>,
    pub screen: Screen,
    system: File,
    /// Which of the networks is to label.
    pub second: bool,
}

/// Compiles what stands beneath segcam, once.
pub fn faulty_system() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/soak/faulty.c");
        let name = format!("faulty-{}.so", std::process::id());
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let compiled = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status();
        assert!(compiled.unwrap().success());
        library
    })
}

/// A folder in memory where there is one: a disk's own pauses are not what is looked at.
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Device {
    pub fn start() -> Device {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        for name in ["model", "screen"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        std::fs::write(path("model/model.toml"), CARD).unwrap();
        std::fs::write(path("model/code.onnx"), network(false)).unwrap();
        std::fs::write(path("first.onnx"), network(false)).unwrap();
        std::fs::write(path("second.onnx"), network(true)).unwrap();
        std::fs::write(path("camera"), "").unwrap();
        std::fs::write(path("system"), [0; 32]).unwrap();
        let system = File::options().write(true).open(path("system")).unwrap();
        std::fs::write(path("board.toml"), board(folder.path(), FORMATS[0], "")).unwrap();
        // Files that may grow no more are an error to segcam, not a signal.
        let mut command = Command::new("sh");
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        command.args(["-c", script, env!("CARGO_BIN_EXE_segcam"), "run", "--stay"]);
        command.args(["--stale-after", &STALE.as_millis().to_string(), "--record-limit", "4"]);
        for (option, name) in [
            ("--board", "board.toml"),
            ("--model", "model"),
            ("--record", "record"),
            ("--log", "log"),
        ] {
            command.arg(option).arg(path(name));
        }
        command.args(["--display", &format!("png:{}?last=500", path("screen").display())]);
        command.env("LD_PRELOAD", faulty_system()).env("SEGCAM_FAULTS", path("system"));
        command.env_remove("SEGCAM_LOG").stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(File::create(path("words")).unwrap());
        let mut child = command.spawn().unwrap();
        let feed = Arc::new(Feed::start(child.stdin.take().unwrap()));
        let screen = Screen::watch(path("screen"), Arc::clone(&feed));
        Device { folder, child, feed, screen, system, second: false }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The camera's faults, as URIs write them.
    pub fn camera(&self, faults: &str) {
        std::fs::write(self.path("camera"), faults).unwrap();
    }

    /// How wrong the wall clock is.
    pub fn clock(&self, seconds: i64) {
        self.system.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    pub fn slow(&self, thread: Thread, milliseconds: i64) {
        self.system.write_all_at(&milliseconds.to_ne_bytes(), 8 * thread as u64).unwrap();
    }

    pub fn signal(&self, name: &str, times: u32) {
        let script = "for n in $(seq $3); do kill -$1 $2; done";
        let (id, times) = (self.child.id().to_string(), times.to_string());
        let sent = Command::new("sh").args(["-c", script, "sh", name, &id, &times]).status();
        assert!(sent.unwrap().success());
    }

    /// No file may be longer, in bytes.
    pub fn disk(&self, bytes: &str) {
        let (id, limit) = (self.child.id().to_string(), format!("--fsize={bytes}:"));
        assert!(Command::new("prlimit").args(["--pid", &id, &limit]).status().unwrap().success());
    }

    /// Exchanges a file as an update should.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        let new = self.path("new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    pub fn board(&self, format: Format, more: &str) {
        self.replace("board.toml", &board(self.folder.path(), format, more));
    }

    /// The number of the journal's entry about the newest start.
    pub fn newest_start(&self) -> Option<String> {
        let told = std::fs::read_to_string(self.path("log/journal.jsonl")).ok()?;
        let line = told.lines().rev().find(|line| line.contains("\"event\":\"start\""))?;
        Some(line.split(',').next()?.to_owned())
    }

    /// The time from `since` until a picture is as wanted; an error after `limit`.
    pub fn expect(
        &mut self,
        what: &str,
        since: Instant,
        limit: Duration,
        wanted: impl Fn(&Said) -> bool,
    ) -> Result<Duration, String> {
        // So much longer as everything takes here.
        let end = || since + limit + strain(since);
        let mut found = self.screen.wait(since, since + limit, &wanted);
        while found.is_err() && Instant::now() < end() {
            found = self.screen.wait(since, end(), &wanted);
        }
        match found {
            Ok(picture) => Ok(picture.at - since),
            Err(last) => {
                let ended = self.child.try_wait().unwrap();
                let shown = last.map(|last| (last.said, last.at.elapsed()));
                Err(format!("no {what} after {:?}: {shown:?}, {ended:?}", since.elapsed()))
            }
        }
    }

    /// The time until a frame that was fed after `since` is live, under the right network.
    pub fn live(&mut self, since: Instant, limit: Duration) -> Result<Duration, String> {
        let (feed, right) = (Arc::clone(&self.feed), self.second);
        self.expect("live picture", since, limit, move |said| match said {
            Said::Live { frame, second, degraded: false, .. } => {
                *second == right && feed.fed(*frame).is_some_and(|fed| fed >= since)
            }
            _ => false,
        })
    }

    pub fn stale(&mut self, due: Instant) -> Result<Duration, String> {
        self.expect("STALE", due, SOON, |said| matches!(said, Said::Stale { .. }))
    }

    /// Megabytes of memory that are its own.
    pub fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
        kilobytes.unwrap_or(0.0) / 1e3
    }

    /// The code it ends with, when it does so in time.
    pub fn ended(&mut self, limit: Duration) -> Option<i32> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() > end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn words(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("words")).unwrap()).into_owned()
    }

    /// Stops it. What is wrong with how it ended, or with what it left.
    pub fn stop(mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.signal("TERM", 1);
        let code = self.ended(Duration::from_secs(20));
        let words = self.words();
        if code != Some(0) || words.contains("panicked") {
            wrong.push(format!("it ended with {code:?}: {words}"));
        }
        let text = |name| self.path(name).to_str().unwrap().to_owned();
        let [log, record, first, second] = ["log", "record", "first.onnx", "second.onnx"].map(text);
        let mut check = |arguments: &[&str]| {
            let Ended { code, out, err } = call(arguments);
            if code != Some(0) {
                let last: Vec<&str> = out.lines().rev().take(5).collect();
                wrong.push(format!("segcam {}: {code:?} {last:?} {err}", arguments[0]));
            }
        };
        check(&["log", &log]);
        check(&["verify", &record, "--model", &first, "--model", &second]);
        wrong
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn board(folder: &Path, format: Format, more: &str) -> Vec<u8> {
    let Format { name, width, height } = format;
    let camera = folder.join("camera");
    let camera = camera.display();
    format!(
        "name = \"soak\"\nmemory_mb = 64\nthreads = 1\n\
         camera = \"pipe:-?format={name}&width={width}&height={height}&fault.file={camera}\"\n{more}\n"
    )
    .into_bytes()
}
