//! Recordings: a folder of frames with their masks, written while a run shows them, read back by
//! `replay:` and proved by `segcam verify`.
//!
//! A folder is a ring of segments, `00000001.segcam` and so on: the oldest is deleted when there
//! are too many bytes. A segment is a header and any number of frames, all framed alike, numbers
//! in little-endian order:
//!
//! | offset | bytes | holds |
//! | ---: | ---: | --- |
//! | 0 | 8 | the mark: 89 `sgcm` `H` (header) or `F` (frame) `1` (the version) 0A |
//! | 8 | 4 | CRC-32 (as in PNG) of the bytes 12 to 39 |
//! | 12 | 4 | CRC-32 of all that follows byte 39 |
//! | 16 | 8 | the frame's sequence number, its camera's; 0 in a header |
//! | 24 | 3 × 4 | lengths of the three parts that follow |
//! | 36 | 4 | zero |
//! | 40 | | one line of JSON: an [`About`], or what `run --json` says with an [`Extra`] |
//! | | | the picture, `stride` bytes a row, as the camera gave it |
//! | | | the mask, a class id a pixel, `width` bytes a row |
//!
//! Picture and mask lose nothing. Each is stored as it is when its length is the whole one, else
//! as a zlib stream (RFC 1950) of the differences to the byte one row above, as PNG's filter
//! `Up` has them. Photographs with a sensor's noise become 1.3 to 2.1 times smaller that way, for
//! 14 instructions a byte on a Cortex-A53; LZ4 makes them 1.0 to 1.15 times smaller for 10.
//!
//! **Power cuts.** Segments only grow, by whole frames in one write each, and are synced every
//! second. What a cut leaves torn does not have its checksum, and is told from what is whole. A
//! run never appends to a segment it finds: it begins a new one. So a cut costs at most the
//! frames since the last sync; a killed process at most the few that waited to be written.
//!
//! **Bytes from outside.** A reader takes nothing for granted that a checksum could vouch for,
//! nor what it vouches for: it allocates at most [`MAX_LINE`], the segment's own length, and a
//! picture and mask that are no larger than [`MAX_PICTURE`] and 1032 times what is stored of
//! them (deflate's best). Its time is linear in the segment's length.

mod folder;
mod format;
#[cfg(test)]
mod hostile_tests;
mod recorder;
mod ring;
mod segment;
#[cfg(test)]
mod tests;
pub mod verify;

pub use folder::{Folder, FolderError, name};
pub use recorder::{Recorded, Recorder, Recording, start};
pub use segment::{Damage, Record, Segment, Step};

use crate::config::card::Card;
use crate::frame::{Encoding, Layout, LayoutError, Matrix, PixelFormat, Range};
use crate::network::model::Model;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest line of JSON, in bytes.
pub const MAX_LINE: usize = 1 << 20;
/// The longest segment that is read, in bytes; those that are written are shorter.
pub const MAX_SEGMENT: u64 = 1 << 29;
/// The largest picture, in bytes.
pub const MAX_PICTURE: usize = 256 << 20;

/// What a segment's header says of the frames that follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The version that recorded.
    pub segcam: String,
    pub model: RecordedModel,
    /// What computed the network ([`Model::kernels`]).
    pub kernels: String,
    /// The camera's URI.
    pub camera: String,
    pub board: String,
}

/// What must be the same for the masks to be the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedModel {
    pub name: String,
    /// Of the ONNX file, in hexadecimal.
    pub sha256: String,
    /// Of the card as used, `--set`'s keys and TOML values.
    pub settings: BTreeMap<String, String>,
    /// By class id.
    pub classes: Vec<String>,
}

impl RecordedModel {
    fn new(model: &Model) -> RecordedModel {
        RecordedModel {
            name: model.name.clone(),
            sha256: model.sha256.clone(),
            settings: settings(&model.card),
            classes: model.classes.iter().map(|class| class.name.clone()).collect(),
        }
    }
}

/// What of a card decides about masks.
fn settings(card: &Card) -> BTreeMap<String, String> {
    let sections = [
        ("input", toml::Table::try_from(&card.input)),
        ("output", toml::Table::try_from(&card.output)),
    ];
    let of = |(section, table): (&str, Result<toml::Table, _>)| {
        let table = table.unwrap_or_default().into_iter();
        table.map(|(key, value)| (format!("{section}.{key}"), value.to_string())).collect()
    };
    sections.into_iter().flat_map(|section| -> Vec<(String, String)> { of(section) }).collect()
}

/// What a frame's line says beyond `run --json`'s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Extra<'a> {
    /// When it was captured, in milliseconds since the recording began.
    pub captured_ms: f64,
    /// The same by the wall clock, in milliseconds since 1970; boards often do not know.
    pub time_ms: u64,
    /// Shown frames that were not recorded until now.
    pub skipped: u64,
    pub picture: Picture<'a>,
}

/// A [`Layout`] in words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture<'a> {
    /// As in camera URIs.
    pub format: &'a str,
    pub width: u32,
    pub height: u32,
    pub stride: usize,
    pub matrix: &'a str,
    pub range: &'a str,
}

impl Picture<'static> {
    fn of(layout: Layout) -> Picture<'static> {
        let Layout { format, width, height, stride, encoding } = layout;
        let matrix = match encoding.matrix {
            Matrix::Bt601 => "601",
            Matrix::Bt709 => "709",
        };
        let range = match encoding.range {
            Range::Limited => "limited",
            Range::Full => "full",
        };
        Picture { format: format.name(), width, height, stride, matrix, range }
    }
}

impl Picture<'_> {
    /// None where a word is unknown.
    fn layout(&self) -> Option<Result<Layout, LayoutError>> {
        let format = PixelFormat::from_name(self.format)?;
        let matrix = match self.matrix {
            "601" => Matrix::Bt601,
            "709" => Matrix::Bt709,
            _ => return None,
        };
        let range = match self.range {
            "limited" => Range::Limited,
            "full" => Range::Full,
            _ => return None,
        };
        let layout = Layout::strided(format, self.width, self.height, self.stride);
        Some(layout.map(|layout| layout.with_encoding(Encoding { matrix, range })))
    }
}
