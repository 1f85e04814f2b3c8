//! A text as a model card, with `--set` pairs after each NUL, and as a board file (segcam.toml).
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcam::config::ConfigError;
use segcam::config::board::Board;
use segcam::config::card::Card;
use segcam::config::uri::Uri;
use segcam_fuzz::scratch;
use std::path::PathBuf;
use std::sync::OnceLock;

static FILE: OnceLock<PathBuf> = OnceLock::new();

fn file() -> &'static PathBuf {
    FILE.get_or_init(|| scratch().join("segcam.toml"))
}

fn worded<T>(result: Result<T, ConfigError>) -> Option<T> {
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty());
    }
    result.ok()
}

fuzz_target!(init: file(), |bytes: &[u8]| {
    std::fs::write(file(), bytes).expect("/dev/shm has room");
    if let Some(board) = worded(Board::open(&file().display().to_string())) {
        for uri in board.camera().into_iter().chain(board.displays()) {
            let _ = Uri::parse(&uri, "camera", &["v4l2", "file"], "v4l2:");
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts = text.split('\0');
    let card = parts.next().unwrap_or_default();
    let set: Vec<String> = parts.map(str::to_owned).collect();
    worded(Card::parse("model.toml", card, &set));
    worded(Card::parse_partial("model.toml", card, &set));
});
