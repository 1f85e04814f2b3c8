//! Reads a journal and follows its chain.

use super::{CHAIN, Chain, before, current, hex, link, parse_hex};
use crate::files;
use serde::Serialize;
use serde_json::Value;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The longest journal file that is read; those written are shorter.
pub(super) const MAX_FILE: u64 = 64 << 20;

#[derive(Debug, Error)]
#[error("{}: cannot be read: {cause}; name the folder that `run --log` was given", path.display())]
pub struct ReadError {
    path: PathBuf,
    cause: io::Error,
}

/// A line that is whole.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    #[serde(flatten)]
    pub fields: serde_json::Map<String, Value>,
}

/// What a journal holds.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub entries: Vec<Entry>,
    /// Lines that a power cut left torn.
    pub torn: u64,
    /// The first line that does not follow from the one before it.
    pub broken: Option<String>,
    /// Of the last entry: who notes it can tell whether entries are cut off later.
    pub newest: String,
}

/// Reads both files of a folder, the older first.
pub fn read(folder: &Path) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let mut chain: Option<Chain> = None;
    let mut found = 0;
    for path in [before(folder), current(folder)] {
        let bytes = match files::read(&path, MAX_FILE) {
            // A power cut may have left the older one alone.
            Err(cause)
                if cause.kind() == io::ErrorKind::NotFound
                    && (found > 0 || path != current(folder)) =>
            {
                continue;
            }
            Err(cause) => return Err(ReadError { path, cause }),
            Ok(bytes) => bytes,
        };
        found += 1;
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Some(found) = parse(line) else {
                report.torn += 1;
                continue;
            };
            // The oldest that is left begins the chain, or says on what it follows.
            let before = chain.or_else(|| match found.fields.get("after") {
                Some(after) => parse_hex(after.as_str()?),
                None => Some(Chain::default()),
            });
            let follows = before.is_some_and(|before| link(&before, found.text) == found.chain);
            if !follows && report.broken.is_none() {
                report.broken = Some(format!(
                    "{}: line {} does not follow from the one before it: a line was changed or taken out",
                    path.display(),
                    number + 1
                ));
            }
            chain = Some(found.chain);
            report.entries.push(Entry { fields: found.fields });
        }
    }
    report.newest = chain.as_ref().map(hex).unwrap_or_default();
    Ok(report)
}

/// A whole line.
pub(super) struct Line<'a> {
    /// Up to the chain.
    text: &'a str,
    pub chain: Chain,
    pub fields: serde_json::Map<String, Value>,
}

/// None: the line is torn.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let at = line.rfind(CHAIN)?;
    let digits = line[at + CHAIN.len()..].strip_suffix("\"}")?;
    let chain = parse_hex(digits)?;
    let Value::Object(mut fields) = serde_json::from_str(line).ok()? else { return None };
    fields.remove("chain");
    Some(Line { text: &line[..at], chain, fields })
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Entry { fields } in &self.entries {
            let text = |name: &str| match fields.get(name) {
                Some(Value::String(text)) => text.escape_debug().to_string(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            write!(
                f,
                "{:>6} {} {:>9} s  {}",
                text("n"),
                text("time"),
                text("up_s"),
                text("event")
            )?;
            let told = ["n", "time", "up_s", "event"];
            for name in fields.keys().filter(|name| !told.contains(&name.as_str())) {
                write!(f, "  {}: {}", name.escape_debug(), text(name))?;
            }
            writeln!(f)?;
        }
        let torn = match self.torn {
            0 => String::new(),
            torn => format!(", {torn} lines torn by power cuts"),
        };
        match &self.broken {
            None => writeln!(
                f,
                "{} entries in one chain{torn}; newest {}",
                self.entries.len(),
                self.newest
            ),
            Some(broken) => writeln!(f, "{} entries{torn}; {broken}", self.entries.len()),
        }
    }
}
