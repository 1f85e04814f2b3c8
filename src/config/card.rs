//! The model card, `models/NAME/model.toml`: what the ONNX file does not say.

use super::{ConfigError, parse_toml_with};
use serde::{Deserialize, Serialize};

/// At most this many classes: labels are bytes and 255 means "not labelled".
pub const MAX_CLASSES: usize = 255;

/// Order of the network's input axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Axes {
    Nchw,
    Nhwc,
}

/// The channels the network wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    #[default]
    Rgb,
    Bgr,
    Gray,
}

impl Color {
    pub fn channels(self) -> usize {
        if self == Color::Gray { 1 } else { 3 }
    }
}

/// How a frame is brought to the network's input size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The middle of the frame, in the input's aspect ratio.
    #[default]
    Crop,
    /// The whole frame, its aspect ratio given up.
    Stretch,
    /// The whole frame between bars of zero pixels.
    Letterbox,
    /// Tiles at full resolution, overlapping, mirrored at the border.
    Tile,
}

/// What the network's output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A score for each class; the largest wins.
    Scores,
    /// Class ids.
    Labels,
    /// One channel; class 1 from the threshold on.
    Probability,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// None: as the shape suggests.
    pub layout: Option<Axes>,
    /// None: as the channels suggest.
    pub color: Option<Color>,
    /// Float inputs take (pixel / 255 - mean) / std for each channel, in the order of `color`.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub fit: Fit,
    /// Height and width, for networks that leave them open.
    pub size: Option<[u32; 2]>,
    /// Pixels at each side of a tile that the next one covers too. None: the receptive field.
    pub overlap: Option<u32>,
}

impl Default for Input {
    fn default() -> Input {
        Input {
            layout: None,
            color: None,
            mean: [0.0; 3],
            std: [1.0; 3],
            fit: Fit::default(),
            size: None,
            overlap: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// None: as the output's type and channels suggest.
    pub kind: Option<Kind>,
    /// Which of the network's outputs.
    pub index: usize,
    /// For `probability`, 0 to 1; an output of bytes has 255 steps for that.
    pub threshold: f32,
}

impl Default for Output {
    fn default() -> Output {
        Output { kind: None, index: 0, threshold: 0.5 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub name: String,
    /// None: the picture shows through.
    pub color: Option<[u8; 3]>,
}

/// A checked card. `Card::default()` stands in for a bare ONNX file's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    pub name: String,
    /// The ONNX file's name in the model folder.
    pub file: String,
    pub sha256: Option<String>,
    pub license: String,
    pub source: String,
    pub input: Input,
    pub output: Output,
    /// Empty: numbered as the network has them.
    pub classes: Vec<Class>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    file: Option<String>,
    sha256: Option<String>,
    license: Option<String>,
    source: Option<String>,
    #[serde(default)]
    input: Input,
    #[serde(default)]
    output: Output,
    #[serde(default)]
    class: Vec<WrittenClass>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClass {
    name: String,
    color: Option<String>,
}

impl Card {
    /// Reads a model folder's card; `path` is for the messages. The `key=value` pairs in `set`
    /// stand over it.
    pub fn parse(path: &str, text: &str, set: &[String]) -> Result<Card, ConfigError> {
        let card = Card::parse_partial(path, text, set)?;
        let missing = [("name", &card.name), ("file", &card.file), ("license", &card.license)]
            .into_iter()
            .find(|(_, value)| value.is_empty());
        match missing {
            Some((field, _)) => Err(field_error(path, field, "nothing", "a text")),
            None => Ok(card),
        }
    }

    /// Reads a card that stands beside a bare ONNX file: nothing is required.
    pub fn parse_partial(path: &str, text: &str, set: &[String]) -> Result<Card, ConfigError> {
        let written: Written = parse_toml_with(path, text, set)?;
        check(path, &written)?;
        let classes = written
            .class
            .into_iter()
            .enumerate()
            .map(|(index, class)| read_class(path, index, class))
            .collect::<Result<Vec<Class>, ConfigError>>()?;
        Ok(Card {
            name: written.name.unwrap_or_default(),
            file: written.file.unwrap_or_default(),
            sha256: written.sha256,
            license: written.license.unwrap_or_default(),
            source: written.source.unwrap_or_default(),
            input: written.input,
            output: written.output,
            classes,
        })
    }
}

fn field_error(path: &str, field: &str, found: impl ToString, expected: &str) -> ConfigError {
    ConfigError::Field {
        path: path.to_owned(),
        field: field.to_owned(),
        found: found.to_string(),
        expected: expected.to_owned(),
    }
}

fn check(path: &str, card: &Written) -> Result<(), ConfigError> {
    let refuse =
        |field: &str, found: String, expected: &str| Err(field_error(path, field, found, expected));
    if let Some(file) = &card.file
        && (file.is_empty() || file.contains(['/', '\\']))
    {
        return refuse("file", format!("\"{file}\""), "the name of a file in the card's folder");
    }
    if let Some(hash) = &card.sha256
        && !(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return refuse("sha256", format!("\"{hash}\""), "64 hexadecimal digits");
    }
    let input = &card.input;
    if input.mean.iter().any(|mean| !mean.is_finite()) {
        return refuse("input.mean", format!("{:?}", input.mean), "three finite numbers");
    }
    if input.std.iter().any(|std| !std.is_finite() || *std <= 0.0) {
        return refuse("input.std", format!("{:?}", input.std), "three numbers above 0");
    }
    if let Some(size) = input.size
        && size.iter().any(|side| *side == 0 || *side > 8192)
    {
        return refuse("input.size", format!("{size:?}"), "height and width from 1 to 8192");
    }
    let threshold = card.output.threshold;
    if !threshold.is_finite() {
        return refuse("output.threshold", threshold.to_string(), "a finite number");
    }
    if card.class.len() > MAX_CLASSES {
        return refuse("class", card.class.len().to_string(), "at most 255 classes");
    }
    Ok(())
}

fn read_class(path: &str, index: usize, class: WrittenClass) -> Result<Class, ConfigError> {
    let color = match class.color.as_deref() {
        None => Some(crate::compose::palette::color(index)),
        Some("none") => None,
        Some(text) => {
            let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
            let Some(value) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
                let field = format!("class {index} ({}): color", class.name);
                let found = format!("\"{text}\"");
                return Err(field_error(path, &field, found, "\"#rrggbb\" or \"none\""));
            };
            let [_, red, green, blue] = value.to_be_bytes();
            Some([red, green, blue])
        }
    };
    Ok(Class { name: class.name, color })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Card::parse("m.toml", text, &[]).unwrap_err().to_string()
    }

    #[test]
    fn a_card_reads_as_written() {
        let text = "name='n'\nfile='m.onnx'\nlicense='MIT'\n[input]\nlayout='nhwc'\nfit='tile'\n\
                    [output]\nkind='probability'\n[[class]]\nname='ground'\ncolor='none'\n\
                    [[class]]\nname='person'\ncolor='#e6194b'\n";
        let card = Card::parse("m.toml", text, &[]).unwrap();
        assert_eq!((card.input.layout, card.input.fit), (Some(Axes::Nhwc), Fit::Tile));
        assert_eq!(card.output.kind, Some(Kind::Probability));
        assert_eq!(card.classes[0].color, None);
        assert_eq!(card.classes[1].color, Some([0xe6, 0x19, 0x4b]));
    }

    #[test]
    fn flags_stand_over_the_card() {
        let set = ["input.fit=tile".to_owned(), "output.threshold=0.25".to_owned()];
        let card = Card::parse_partial("m.toml", "[input]\nfit='crop'\n", &set).unwrap();
        assert_eq!((card.input.fit, card.output.threshold), (Fit::Tile, 0.25));
        let wrong = Card::parse_partial("m.toml", "", &["input.fit=tiles".to_owned()]);
        assert!(wrong.unwrap_err().to_string().contains("did you mean \"tile\"?"));
        let wrong = Card::parse_partial("m.toml", "", &["fit".to_owned()]);
        assert!(wrong.unwrap_err().to_string().contains("KEY=VALUE"));
    }

    #[test]
    fn mistakes_are_named() {
        let head = "name='n'\nfile='m.onnx'\nlicense='MIT'\n";
        let with = |rest: &str| error(&format!("{head}{rest}"));
        assert_eq!(error("name='n'"), "m.toml: file: found nothing, expected a text");
        assert!(with("[input]\nfits='crop'").contains("did you mean \"fit\"?"));
        assert!(with("[input]\nfit='cropp'").contains("did you mean \"crop\"?"));
        assert!(with("[input]\nstd=[1.0,0.0,1.0]").contains("three numbers above 0"));
        assert!(with("[[class]]\nname='x'\ncolor='red'").contains("class 0 (x): color"));
        assert!(with("sha256='12'").contains("64 hexadecimal digits"));
        assert!(error("name='n'\nfile='../m.onnx'\n").contains("file in the card's folder"));
    }
}
