//! What people write, turned into checked types: board file, model card and URIs.

pub mod board;
pub mod card;
pub mod uri;

use crate::files;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The largest TOML file that is read.
const MAX_TOML: u64 = 1 << 20;

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {cause}{}", path.display(), hint(cause))]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{path}: {message}")]
    Toml { path: String, message: String },
    #[error("{path}: {field}: found {found}, expected {expected}")]
    Field { path: String, field: String, found: String, expected: String },
}

fn hint(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::NotFound => "; check the path",
        std::io::ErrorKind::PermissionDenied => "; check its permissions",
        _ => "",
    }
}

/// Reads a small text file, refusing one that is not small.
pub fn read_text(path: &Path) -> Result<String, ConfigError> {
    let read = |cause| ConfigError::Read { path: path.to_owned(), cause };
    let bytes = files::read(path, MAX_TOML).map_err(read)?;
    String::from_utf8(bytes).map_err(|_| read(ErrorKind::InvalidData.into()))
}

/// Reads TOML into `T`, which denies unknown fields; an unknown key's error names the nearest
/// valid one. `path` is for the message.
pub fn parse_toml<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        let message = error.message().replace('\n', " ");
        // A wrong value does not say whose it is: its line does.
        let written = line.filter(|_| message.starts_with("invalid"));
        let written = written.and_then(|line| text.lines().nth(line - 1));
        let written = written.map(|text| format!(" ({})", text.trim())).unwrap_or_default();
        let place = line.map(|line| format!("line {line}{written}: ")).unwrap_or_default();
        ConfigError::Toml { path: path.to_owned(), message: place + &name_nearest(&message) }
    })
}

/// As [`parse_toml`], with `key=value` pairs (dotted keys, TOML values or bare words) over it.
pub fn parse_toml_with<T: DeserializeOwned>(
    path: &str,
    text: &str,
    set: &[String],
) -> Result<T, ConfigError> {
    if set.is_empty() {
        return parse_toml(path, text);
    }
    let mut table: toml::Table = parse_toml(path, text)?;
    for pair in set {
        let refuse = |expected: &str| ConfigError::Field {
            path: path.to_owned(),
            field: "--set".to_owned(),
            found: format!("{pair:?}"),
            expected: expected.to_owned(),
        };
        let (key, value) =
            pair.split_once('=').ok_or_else(|| refuse("KEY=VALUE, such as input.fit=letterbox"))?;
        let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        let (sections, key) = key.rsplit_once('.').map_or(("", key), |parts| parts);
        let mut section = &mut table;
        for name in sections.split('.').filter(|name| !name.is_empty()) {
            let inner = section.entry(name).or_insert_with(|| toml::Table::new().into());
            section = inner.as_table_mut().ok_or_else(|| refuse("a key inside a section"))?;
        }
        section.insert(key.to_owned(), value);
    }
    table.try_into().map_err(|error: toml::de::Error| ConfigError::Toml {
        path: format!("{path} with --set"),
        message: name_nearest(&error.message().replace('\n', " ")),
    })
}

/// Turns serde's "unknown field `x`, expected one of `a`, `b`" into a hint.
fn name_nearest(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let kind = ["field", "variant"]
        .into_iter()
        .find(|kind| message.starts_with(&format!("unknown {kind} ")));
    let (Some(kind), Some(found)) = (kind, words.next()) else { return message.to_owned() };
    let what = if kind == "field" { "key" } else { "value" };
    let known: Vec<&str> = words.collect();
    match nearest(found, &known) {
        Some(near) => format!(
            "unknown {what} \"{found}\"; did you mean \"{near}\"? (valid here: {})",
            known.join(", ")
        ),
        None => message.to_owned(),
    }
}

/// The known word nearest to the one found (Damerau-Levenshtein distance).
pub fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    known.iter().copied().min_by_key(|word| strsim::damerau_levenshtein(found, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        threshold: f32,
        name: Option<String>,
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_valid_one() {
        let error = parse_toml::<Sample>("a.toml", "name = \"x\"\ntreshold = 1.0\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.toml: line 2: unknown key \"treshold\"; did you mean \"threshold\"? (valid here: threshold, name)"
        );
    }

    #[test]
    fn a_pair_with_a_line_break_is_refused_in_one_line() {
        let set = ["fit\n\u{1b}[2J".to_owned()];
        let error = parse_toml_with::<Sample>("a.toml", "", &set).unwrap_err().to_string();
        assert!(!error.contains(char::is_control) && error.contains("fit"), "{error}");
    }
}
