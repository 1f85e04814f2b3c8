//! The quantized network as files: an ONNX file, or a model folder with its card.

use super::QuantizeError;
use crate::config::read_text;
use crate::files;
use crate::network::model::ModelArguments;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Where to write, checked before any long work.
pub struct Place {
    onnx: PathBuf,
    /// The card beside it and its text, where OUT is a folder.
    card: Option<(PathBuf, String)>,
}

impl Place {
    /// `output`: an ONNX file, or a folder that is there or ends with a slash.
    pub fn new(output: &Path, named: &ModelArguments) -> Result<Place, QuantizeError> {
        let shown = output.display();
        let folder = output.is_dir() || output.as_os_str().as_encoded_bytes().ends_with(b"/");
        if !folder {
            let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
            if parent.is_some_and(|parent| !parent.is_dir()) {
                return Err(QuantizeError::Refused(format!("{shown}: make its folder first")));
            }
            return Ok(Place { onnx: output.to_owned(), card: None });
        }
        let own = Path::new(&named.model).join("model.toml");
        let source = match &named.card {
            Some(card) => card.clone(),
            None if own.is_file() => own,
            None => {
                return Err(QuantizeError::Refused(format!(
                    "{shown}: is a folder, so a card goes into it; name one with --card, or an \
                     .onnx file to write"
                )));
            }
        };
        let text = read_text(&source).map_err(crate::network::NetworkError::from)?;
        let card = Some((output.join("model.toml"), text));
        Ok(Place { onnx: output.join("model.onnx"), card })
    }

    /// Writes the network, then its card; returns what was written and what is left to do.
    pub fn write(&self, bytes: &[u8]) -> Result<(String, Vec<String>), QuantizeError> {
        if let (Some(folder), Some(_)) = (self.onnx.parent(), &self.card) {
            std::fs::create_dir_all(folder)
                .map_err(|cause| files::WriteError { path: folder.to_owned(), cause })?;
        }
        files::write(&self.onnx, bytes)?;
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut notes = Vec::new();
        match &self.card {
            Some((path, _)) if path.exists() => notes.push(format!(
                "{} is there already: set file = \"model.onnx\" and sha256 = \"{hash}\" in it",
                path.display()
            )),
            Some((path, text)) => {
                let file = ("file", "model.onnx");
                let text = with(&with(text, file.0, file.1), "sha256", &hash);
                files::write(path, text.as_bytes())?;
            }
            None => notes.push(format!("sha256 = \"{hash}\"")),
        }
        Ok((self.onnx.display().to_string(), notes))
    }
}

/// A card's text with another value of a key that stands before all tables.
fn with(text: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = \"{value}\"");
    let mut lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().position(|line| line.trim_start().starts_with('['));
    let head = head.unwrap_or(lines.len());
    let is_key = |line: &&str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    match lines[..head].iter().position(is_key) {
        Some(at) => lines[at] = &line,
        None => lines.insert(0, &line),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_keeps_all_but_the_file_and_its_hash() {
        let card = "# mine\nname = 'n'\nfile='float.onnx'\n\n[input]\nfit = 'crop' # so\n";
        let new = with(&with(card, "file", "model.onnx"), "sha256", "00");
        let right = "sha256 = \"00\"\n# mine\nname = 'n'\nfile = \"model.onnx\"\n\n[input]\n\
                     fit = 'crop' # so\n";
        assert_eq!(new, right);
    }
}
