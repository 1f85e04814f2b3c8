//! Calls the program and waits for it, not for ever.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes, even on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    /// None: killed by a signal.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The only line on standard error, after "segcam: ".
    pub fn error(&self) -> &str {
        let line = self.err.trim_end();
        assert!(!line.contains('\n'), "more than one line: {line}");
        line.strip_prefix("segcam: ").unwrap_or(line)
    }

    pub fn success(self) -> Ended {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }
}

/// The program with arguments, not yet started.
pub fn segcam(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segcam"));
    command.args(arguments).env_remove("SEGCAM_LOG");
    command
}

pub fn call(arguments: &[&str]) -> Ended {
    finish(segcam(arguments), b"")
}

pub fn call_in(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = segcam(arguments);
    command.current_dir(folder);
    finish(command, b"")
}

/// Feeds standard input and waits; a call that takes too long is killed and fails the test.
pub fn finish(mut command: Command, input: &[u8]) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        // The program may have ended without reading all.
        let _ = stdin.write_all(&input);
    });
    let id = child.id();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let start = Instant::now();
        if ended.recv_timeout(LIMIT).is_err() && start.elapsed() >= LIMIT {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    watch.join().unwrap();
    feeder.join().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A folder of its own for a test, with a few files in it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path as text, for arguments.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self.text(name)
    }

    /// An RGB image painted pixel by pixel.
    pub fn image(
        &self,
        name: &str,
        width: u32,
        height: u32,
        pixel: impl Fn(u32, u32) -> [u8; 3],
    ) -> String {
        let picture = image::RgbImage::from_fn(width, height, |x, y| image::Rgb(pixel(x, y)));
        picture.save(self.path(name)).unwrap();
        self.text(name)
    }
}

/// A mask's ids, with its size.
pub fn mask(path: &Path) -> (u32, u32, Vec<u8>) {
    let image::DynamicImage::ImageLuma8(mask) = image::open(path).unwrap() else {
        panic!("{}: not 8-bit grey", path.display());
    };
    (mask.width(), mask.height(), mask.into_raw())
}
