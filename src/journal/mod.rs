//! The audit log: what a device was, what it did, and when it could not, in a file that tells when
//! a line of it was changed or taken out.
//!
//! `FOLDER/journal.jsonl` is JSON lines, only ever appended to:
//!
//! ```json
//! {"n":7,"time":"2026-11-23T12:00:00.250Z","up_s":93.1,"event":"state","from":"live","to":"stale","cause":"…","chain":"9f86…"}
//! ```
//! `n` counts the entries of all files. `time` is the wall clock's, which a board without one takes
//! from nowhere; `up_s` are seconds since the start, which never jump. `chain` is the SHA-256 of
//! the entry before it (its 32 bytes) and this line's bytes up to `,"chain"`: who changes, moves or
//! removes a line has to change all that follow. The last entries can be cut off without a trace,
//! unless somebody noted the newest chain elsewhere.
//!
//! When a file is full it becomes `journal.1.jsonl`, in place of the one before; the new one's
//! first entry is a `continued`, which carries the chain on. A line that a power cut left torn is
//! closed, counted in the next entry (`torn`), and stands outside the chain.
//!
//! Entries are written by a thread of their own, synced once a second at most, so that a slow card
//! never holds up a picture. What it cannot take is counted in the next entry that it can (`lost`).

mod read;
mod write;

pub use read::{Entry, ReadError, Report, read};
pub use write::Journal;

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins, with what it is made of.
    Start {
        version: &'static str,
        board: String,
        /// SHA-256 of the board file.
        config: String,
        model: String,
        /// SHA-256 of the ONNX file.
        model_sha256: String,
        kernels: &'static str,
        camera: String,
        displays: Vec<String>,
        cpu: String,
        /// How far the guard of files and of calls stands.
        fence_files: String,
        fence_calls: String,
    },
    /// The screen says something else.
    State { from: &'static str, to: &'static str, cause: String },
    /// Another network labels from now on.
    Model { model: String, model_sha256: String },
    /// A change was not taken.
    Refused { cause: String },
    /// A run cannot begin.
    Unready { cause: String },
    /// A run ended.
    End { cause: String },
    /// The file before was full; the chain of its last entry.
    Continued { after: String },
}

/// An entry's place in the chain.
type Chain = [u8; 32];

fn link(before: &Chain, line: &str) -> Chain {
    let mut digest = Sha256::new();
    digest.update(before);
    digest.update(line);
    digest.finalize().into()
}

/// 64 small hexadecimal digits.
fn parse_hex(digits: &str) -> Option<Chain> {
    let mut chain = Chain::default();
    if digits.len() != 2 * chain.len() || !digits.is_ascii() {
        return None;
    }
    for (byte, digits) in chain.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    (hex(&chain) == digits).then_some(chain)
}

fn hex(chain: &Chain) -> String {
    chain.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the chain's own field begins in a line.
const CHAIN: &str = ",\"chain\":\"";

fn current(folder: &Path) -> PathBuf {
    folder.join("journal.jsonl")
}

fn before(folder: &Path) -> PathBuf {
    folder.join("journal.1.jsonl")
}

#[cfg(test)]
mod tests;
