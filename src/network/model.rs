//! What the user named -> a network with its card, each checked against the other.

use super::load::{Network, Options, Ports, load};
use super::receptive::{Receptive, receptive_field};
use super::specs::{classes, input_spec, open_shape, output_error, output_spec};
use super::{NetworkError, proto};
use crate::config::card::{Axes, Card, Class, Kind};
use crate::config::read_text;
use crate::prepare::InputSpec;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tract_onnx::pb::ModelProto;

const BUILT_IN_MODEL: &[u8] = include_bytes!("../../models/selfie/model.onnx");
const BUILT_IN_CARD: &str = include_str!("../../models/selfie/model.toml");
/// The name that stands for the built-in network.
pub const BUILT_IN: &str = "builtin";

/// What the command line says of a model.
#[derive(Clone, Debug, Default)]
pub struct ModelArguments {
    /// A model folder, an ONNX file, or [`BUILT_IN`].
    pub model: String,
    /// A card file in place of the folder's.
    pub card: Option<PathBuf>,
    /// `key=value` pairs that stand over the card's.
    pub set: Vec<String>,
    /// Threads that integer operators split their rows over.
    pub threads: usize,
    /// The most bytes the network may take; None: as many as there are.
    pub memory: Option<u64>,
    /// Only labels will be asked for: how far apart scores are does not matter.
    pub labels: bool,
}

/// How an output's bytes stand for classes.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSpec {
    pub index: usize,
    pub kind: Kind,
    pub axes: Axes,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub threshold: f32,
}

/// A network with its card, ready for pictures.
#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    pub card: Card,
    pub network: Network,
    pub input: InputSpec,
    pub output: OutputSpec,
    pub classes: Vec<Class>,
    pub receptive: Receptive,
    /// Of the ONNX file, in hexadecimal.
    pub sha256: String,
    /// Bytes of the ONNX file.
    pub file_bytes: usize,
}

/// A model's file and card, checked each for itself.
pub struct Files {
    /// The ONNX file's path, for messages.
    pub path: String,
    pub proto: ModelProto,
    pub card: Card,
    /// The card's path, for messages.
    card_path: String,
    /// Of the ONNX file, in hexadecimal.
    pub sha256: String,
    file_bytes: usize,
}

/// Finds and reads a model's file and card.
pub fn read(arguments: &ModelArguments) -> Result<Files, NetworkError> {
    let (path, bytes, card_path, card) = locate(arguments)?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(expected) = &card.sha256
        && !expected.eq_ignore_ascii_case(&sha256)
    {
        return Err(NetworkError::Card {
            path: card_path,
            field: "sha256".to_owned(),
            found: format!("{sha256} in {path}"),
            expected: format!(
                "{expected}; copy the model again, or correct the card if you changed it"
            ),
        });
    }
    let proto = proto::parse(&path, &bytes)?;
    Ok(Files { path, proto, card, card_path, sha256, file_bytes: bytes.len() })
}

fn locate(arguments: &ModelArguments) -> Result<(String, Vec<u8>, String, Card), NetworkError> {
    let set = &arguments.set;
    let read_card = |path: &Path| -> Result<(String, String), NetworkError> {
        Ok((path.display().to_string(), read_text(path)?))
    };
    if arguments.model == BUILT_IN {
        let (card_path, text) = match &arguments.card {
            Some(path) => read_card(path)?,
            None => ("the built-in model.toml".to_owned(), BUILT_IN_CARD.to_owned()),
        };
        let card = Card::parse(&card_path, &text, set)?;
        return Ok((
            "the built-in model.onnx".to_owned(),
            BUILT_IN_MODEL.to_vec(),
            card_path,
            card,
        ));
    }
    let named = Path::new(&arguments.model);
    if named.is_dir() {
        let (card_path, text) =
            read_card(arguments.card.as_deref().unwrap_or(&named.join("model.toml")))?;
        let card = Card::parse(&card_path, &text, set)?;
        let file = named.join(&card.file);
        return Ok((file.display().to_string(), proto::read(&file)?, card_path, card));
    }
    let bytes = proto::read(named)?;
    let (card_path, card) = match &arguments.card {
        Some(path) => {
            let (path, text) = read_card(path)?;
            let card = Card::parse_partial(&path, &text, set)?;
            (path, card)
        }
        None => ("--set".to_owned(), Card::parse_partial("--set", "", set)?),
    };
    Ok((arguments.model.clone(), bytes, card_path, card))
}

/// Loads a model for pictures.
pub fn open(arguments: &ModelArguments) -> Result<Model, NetworkError> {
    let files = read(arguments)?;
    let card = files.card;
    let path = files.path;
    let receptive = receptive_field(&files.proto, card.output.index);
    let compared = |ports: &Ports| {
        let input = input_spec(ports, &card).ok()?;
        let output = output_spec(ports, &card, &input).ok()?;
        let axis = if output.axes == Axes::Nchw { 1 } else { 3 };
        (arguments.labels && output.kind == Kind::Scores).then_some((output.index, axis))
    };
    let options = Options {
        resolve: &|input| open_shape(&path, input, &card),
        threads: arguments.threads,
        memory: arguments.memory,
        compared: &compared,
    };
    let network = load(&path, files.proto, &options)?;
    let input = input_spec(&network.ports, &card)?;
    let output = output_spec(&network.ports, &card, &input)?;
    let classes = classes(&files.card_path, &card, &output)?;
    if output.kind == Kind::Labels && output.channels > 1 {
        return Err(output_error(
            &network.ports,
            output.index,
            "output.kind \"labels\"",
            "one channel",
        ));
    }
    let name = if card.name.is_empty() { path } else { card.name.clone() };
    let (sha256, file_bytes) = (files.sha256, files.file_bytes);
    Ok(Model { name, card, network, input, output, classes, receptive, sha256, file_bytes })
}

impl Model {
    /// What computes the network: a set of integer kernels, or tract in float.
    pub fn kernels(&self) -> &'static str {
        self.network.programs().next().map_or("float", |program| program.kernels.name())
    }
}
