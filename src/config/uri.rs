//! Camera and display URIs: `scheme:path?key=value&flag`.

use std::fmt::Display;
use std::str::FromStr;
use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum UriError {
    #[error("{what} \"{text}\" names no kind: expected one of {}, such as \"{example}\"", kinds.join(" "))]
    NoScheme { what: &'static str, text: String, kinds: Vec<&'static str>, example: &'static str },
    #[error("{what} \"{text}\": unknown kind \"{scheme}:\"; did you mean \"{nearest}:\"? (there are {})", kinds.join(" "))]
    Scheme {
        what: &'static str,
        text: String,
        scheme: String,
        nearest: &'static str,
        kinds: Vec<&'static str>,
    },
    #[error("{uri}: unknown parameter \"{key}\"; {hint}")]
    Key { uri: String, key: String, hint: String },
    #[error("{uri}: {key}={found} is not {expected}")]
    Value { uri: String, key: String, found: String, expected: String },
    #[error("{uri}: \"{found}\" is not {expected}")]
    Path { uri: String, found: String, expected: String },
    #[error("{uri}: the parameter {key} is missing; add {key}={example}")]
    Missing { uri: String, key: &'static str, example: &'static str },
}

/// A URI taken apart. Its parameters are taken one by one; [`Uri::finish`] refuses what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    pub scheme: String,
    pub path: String,
    text: String,
    parameters: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Uri {
    /// `what` and `example` are for the message; `kinds` are the schemes there are.
    pub fn parse(
        text: &str,
        what: &'static str,
        kinds: &[&'static str],
        example: &'static str,
    ) -> Result<Uri, UriError> {
        let Some((scheme, rest)) = text.split_once(':') else {
            let (text, kinds) = (text.to_owned(), kinds.to_vec());
            return Err(UriError::NoScheme { what, text, kinds, example });
        };
        if !kinds.contains(&scheme) {
            return Err(UriError::Scheme {
                what,
                text: text.to_owned(),
                scheme: scheme.to_owned(),
                nearest: super::nearest(scheme, kinds).unwrap_or(kinds[0]),
                kinds: kinds.to_vec(),
            });
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parameters = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(Uri {
            scheme: scheme.to_owned(),
            path: path.to_owned(),
            text: text.to_owned(),
            parameters,
            known: Vec::new(),
        })
    }

    /// The URI as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True when a parameter is left whose name begins so.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.parameters.iter().any(|(key, _)| key.starts_with(prefix))
    }

    /// Takes a parameter's text out.
    pub fn take(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        let at = self.parameters.iter().position(|(name, _)| name == key)?;
        Some(self.parameters.swap_remove(at).1)
    }

    /// Takes all parameters whose name begins so, in their order, without that beginning.
    pub fn take_prefixed(&mut self, prefix: &'static str) -> Vec<(String, String)> {
        self.known.push(prefix);
        let taken = self.parameters.extract_if(.., |(key, _)| key.starts_with(prefix));
        taken.map(|(key, value)| (key[prefix.len()..].to_owned(), value)).collect()
    }

    /// True when the flag stands there, alone or as `flag=1`.
    pub fn take_flag(&mut self, key: &'static str) -> Result<bool, UriError> {
        match self.take(key).as_deref() {
            None | Some("0") => Ok(false),
            Some("" | "1") => Ok(true),
            Some(found) => Err(self.refuse(key, found, "0 or 1")),
        }
    }

    /// Takes a value that must lie in a range.
    pub fn take_in<T>(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<T>,
    ) -> Result<Option<T>, UriError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(found) = self.take(key) else { return Ok(None) };
        match found.parse::<T>() {
            Ok(value) if range.contains(&value) => Ok(Some(value)),
            _ => {
                let expected = format!("a number from {} to {}", range.start(), range.end());
                Err(self.refuse(key, &found, &expected))
            }
        }
    }

    /// Takes one of a few words.
    pub fn take_one_of<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, UriError> {
        let Some(found) = self.take(key) else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == found) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(self.refuse(key, &found, &format!("one of {}", names.join(" "))))
            }
        }
    }

    /// The error for a parameter whose value will not do.
    pub fn refuse(&self, key: &str, found: &str, expected: &str) -> UriError {
        UriError::Value {
            uri: self.text.clone(),
            key: key.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// The error for a path (what stands between `:` and `?`) that will not do.
    pub fn refuse_path(&self, expected: impl Into<String>) -> UriError {
        UriError::Path {
            uri: self.text.clone(),
            found: self.path.clone(),
            expected: expected.into(),
        }
    }

    pub fn missing(&self, key: &'static str, example: &'static str) -> UriError {
        UriError::Missing { uri: self.text.clone(), key, example }
    }

    /// Refuses parameters that nobody took.
    pub fn finish(self) -> Result<(), UriError> {
        let Some((key, _)) = self.parameters.into_iter().next() else { return Ok(()) };
        let hint = match super::nearest(&key, &self.known) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => "this kind takes none".to_owned(),
        };
        Err(UriError::Key { uri: self.text, key, hint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Uri, UriError> {
        Uri::parse(text, "camera", &["file", "pipe"], "file:clip.y4m")
    }

    #[test]
    fn parameters_are_taken_once_and_the_rest_is_refused() {
        let mut uri = parse("pipe:-?width=640&loop&fsp=3").unwrap();
        assert_eq!((uri.scheme.as_str(), uri.path.as_str()), ("pipe", "-"));
        assert_eq!(uri.take_in("width", 1..=4096u32), Ok(Some(640)));
        assert_eq!(uri.take_flag("loop"), Ok(true));
        assert_eq!(uri.take_in("fps", 1..=1000u32), Ok(None));
        let error = uri.finish().unwrap_err().to_string();
        assert_eq!(
            error,
            "pipe:-?width=640&loop&fsp=3: unknown parameter \"fsp\"; did you mean \"fps\"?"
        );
    }

    #[test]
    fn parameters_of_a_family_are_taken_in_their_order() {
        let mut uri = parse("pipe:-?control.b=2&width=640&control.a=1&control.").unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let taken = uri.take_prefixed("control.");
        assert_eq!(taken, [pair("b", "2"), pair("a", "1"), pair("", "")]);
        assert_eq!(uri.take_in("width", 1..=4096u32), Ok(Some(640)));
        assert_eq!(uri.finish(), Ok(()));
    }

    #[test]
    fn wrong_words_name_what_is_expected() {
        assert!(parse("clip.y4m").unwrap_err().to_string().contains("file:clip.y4m"));
        assert!(parse("fiel:x").unwrap_err().to_string().contains("did you mean \"file:\"?"));
        let mut uri = parse("pipe:-?width=0").unwrap();
        let error = uri.take_in("width", 1..=4096u32).unwrap_err().to_string();
        assert_eq!(error, "pipe:-?width=0: width=0 is not a number from 1 to 4096");
    }
}
