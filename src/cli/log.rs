//! Diagnostics on standard error.

use super::one_line;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Starts the log as `-v`, `-q` and SEGCAM_LOG say.
pub fn start(verbose: u8, quiet: bool) -> HeldLog {
    let default = match (quiet, verbose) {
        (true, _) => "segcam=error,off",
        (_, 0) => "segcam=warn,off",
        (_, 1) => "segcam=info,warn",
        _ => "segcam=debug,info",
    };
    let log = HeldLog::default();
    let environment = env_logger::Env::new().filter_or("SEGCAM_LOG", default);
    env_logger::Builder::from_env(environment)
        .format(|out, record| {
            let level = record.level().as_str().to_lowercase();
            writeln!(out, "segcam: {level}: {}", one_line(&record.args().to_string()))
        })
        .target(env_logger::Target::Pipe(Box::new(log.clone())))
        .init();
    log
}

/// Shows how far long work is, a line a second at most; nothing where only errors are wanted.
pub fn progress() -> impl FnMut(&str) {
    let mut shown: Option<Instant> = None;
    move |line| {
        let due = shown.is_none_or(|last| last.elapsed() >= Duration::from_secs(1));
        if due && ::log::log_enabled!(target: "segcam", ::log::Level::Warn) {
            let _ = writeln!(io::stderr(), "segcam: {}", one_line(line));
            shown = Some(Instant::now());
        }
    }
}

/// Standard error, but while pictures are on the terminal its lines wait.
#[derive(Clone, Default)]
pub struct HeldLog(Arc<Mutex<Option<Vec<u8>>>>);

impl HeldLog {
    /// The most that waits; what comes after is left out.
    const MOST: usize = 1 << 16;

    pub fn hold(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    pub fn release(&self) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A closed standard error is nobody's loss.
        let _ = io::stderr().write_all(&held.unwrap_or_default());
    }
}

impl Write for HeldLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(held) if held.len() < Self::MOST => held.extend(bytes),
            Some(_) => {}
            None => return io::stderr().write(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
