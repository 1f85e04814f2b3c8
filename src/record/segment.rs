//! Reading a segment, whatever is in it.

use super::folder::{Folder, name};
use super::format::{HEAD, Head, Kind, unpack};
use super::{About, MAX_PICTURE, MAX_SEGMENT, Picture};
use crate::decode::LabelMap;
use crate::frame::Layout;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Bytes that are looked through at once for the next mark.
const STRIDE: usize = 1 << 16;

/// A frame as it was recorded.
#[derive(Debug)]
pub struct Record {
    pub frame: u64,
    /// Since the recording began.
    pub captured: Duration,
    /// Shown frames that were not recorded until then.
    pub skipped: u64,
    pub layout: Layout,
    /// `layout.bytes()` bytes.
    pub picture: Vec<u8>,
    pub labels: LabelMap,
    /// What the program said of it: a line of JSON.
    pub line: Vec<u8>,
    stored: Vec<u8>,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            frame: 0,
            captured: Duration::ZERO,
            skipped: 0,
            layout: crate::frame::Frame::empty().layout,
            picture: Vec::new(),
            labels: LabelMap::default(),
            line: Vec::new(),
            stored: Vec::new(),
        }
    }
}

/// Bytes inside a segment that are no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file name.
    pub segment: String,
    /// Where in the file.
    pub at: u64,
    pub cause: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: at byte {}: {}", self.segment, self.at, self.cause)
    }
}

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The record was filled.
    Frame,
    /// Something that is no frame was passed over.
    Damaged(Damage),
    /// Nothing whole follows. So many bytes were torn off at the end, as power cuts do.
    End { torn: u64 },
}

/// A segment that is being read.
#[derive(Debug)]
pub struct Segment {
    pub name: String,
    /// What its header says, once read: with the first frame. None: it cannot be read.
    pub about: Option<About>,
    file: File,
    length: u64,
    at: u64,
    /// Where bytes began that are nothing whole.
    broken: Option<u64>,
}

impl Segment {
    /// Opens a segment of the folder; as long as it is now.
    pub fn open(folder: &Folder, number: u32) -> io::Result<Segment> {
        let file = folder.segment(number)?;
        let length = file.metadata()?.len();
        if length > MAX_SEGMENT {
            let message = format!("it is longer than the {MAX_SEGMENT} bytes that are read");
            return Err(io::Error::new(ErrorKind::FileTooLarge, message));
        }
        let name = name(number);
        Ok(Segment { name, about: None, file, length, at: 0, broken: None })
    }

    /// Reads on until there is a frame, damage, or nothing more.
    pub fn next(&mut self, record: &mut Record) -> io::Result<Step> {
        loop {
            let Some(head) = self.find()? else {
                let torn = self.length - self.broken.take().unwrap_or(self.length);
                return Ok(Step::End { torn });
            };
            let payload = self.at + HEAD as u64;
            let end = payload + head.length() as u64;
            record.stored.resize(head.length(), 0);
            let whole = match self.file.read_exact_at(&mut record.stored, payload) {
                Ok(()) => crc32fast::hash(&record.stored) == head.payload,
                // Somebody shortened it.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
                Err(error) => return Err(error),
            };
            if !whole {
                self.broken.get_or_insert(self.at);
                self.at = end;
                continue;
            }
            if let Some(at) = self.broken.take() {
                // What is whole here is read anew.
                let bytes = self.at - at;
                let cause = format!("{bytes} bytes that are no whole frame");
                return Ok(Step::Damaged(self.damage(at, cause)));
            }
            let at = std::mem::replace(&mut self.at, end);
            let taken = match head.kind {
                Kind::Header => self.header(&head, &record.stored),
                Kind::Frame => take(&head, record),
            };
            match taken {
                Ok(()) if head.kind == Kind::Header => {}
                Ok(()) => return Ok(Step::Frame),
                Err(cause) => return Ok(Step::Damaged(self.damage(at, cause))),
            }
        }
    }

    fn damage(&self, at: u64, cause: String) -> Damage {
        Damage { segment: self.name.clone(), at, cause }
    }

    fn header(&mut self, head: &Head, stored: &[u8]) -> Result<(), String> {
        let about = serde_json::from_slice(&stored[..head.lengths[0]]);
        self.about = Some(about.map_err(|error| format!("its header cannot be read: {error}"))?);
        Ok(())
    }

    /// Goes on to the next head that is whole and whose parts lie inside the file.
    fn find(&mut self) -> io::Result<Option<Head>> {
        let mut bytes = Vec::new();
        let mut head = [0; HEAD];
        if self.length - self.at.min(self.length) >= HEAD as u64 {
            self.file.read_exact_at(&mut head, self.at)?;
            if let Some(head) = self.fitting(&head, self.at) {
                return Ok(Some(head));
            }
        }
        if self.at < self.length {
            self.broken.get_or_insert(self.at);
        }
        // Pieces overlap, so that a head lies whole in one of them.
        while self.length - self.at.min(self.length) >= HEAD as u64 {
            let left = (self.length - self.at).min(STRIDE as u64) as usize;
            bytes.resize(left, 0);
            self.file.read_exact_at(&mut bytes, self.at)?;
            for (offset, head) in bytes.windows(HEAD).enumerate() {
                // The first byte of all marks.
                if head[0] == 0x89
                    && let Ok(head) = head.try_into()
                    && let Some(head) = self.fitting(head, self.at + offset as u64)
                {
                    self.at += offset as u64;
                    return Ok(Some(head));
                }
            }
            self.at += (left - HEAD + 1) as u64;
        }
        self.at = self.length;
        Ok(None)
    }

    fn fitting(&self, head: &[u8; HEAD], at: u64) -> Option<Head> {
        let head = Head::parse(head)?;
        let left = self.length - at - HEAD as u64;
        (head.length() as u64 <= left).then_some(head)
    }
}

/// What a frame's line must say. Whatever else it says is not kept.
#[derive(Deserialize)]
struct Said<'a> {
    frame: u64,
    captured_ms: f64,
    skipped: u64,
    #[serde(borrow)]
    picture: Picture<'a>,
}

/// Unpacks a frame whose checksum is right.
fn take(head: &Head, record: &mut Record) -> Result<(), String> {
    let [line, picture, _] = head.lengths;
    let (line, rest) = record.stored.split_at(line);
    let (picture, mask) = rest.split_at(picture);
    let said: Said = serde_json::from_slice(line)
        .map_err(|error| format!("the line of frame {} cannot be read: {error}", head.frame))?;
    let frame = said.frame;
    if frame != head.frame {
        return Err(format!(
            "its line is frame {frame}'s, its picture and mask are frame {}'s",
            head.frame
        ));
    }
    let wrong =
        |what: &str, cause: &dyn std::fmt::Display| format!("frame {frame}: {what}: {cause}");
    let layout = match said.picture.layout() {
        Some(Ok(layout)) if layout.bytes() <= MAX_PICTURE => layout,
        Some(Err(error)) => return Err(wrong("its picture", &error)),
        _ => return Err(wrong("its picture", &"a format that is unknown or too large")),
    };
    let pixels = layout.width as usize * layout.height as usize;
    unpack(picture, layout.bytes(), layout.stride, &mut record.picture)
        .map_err(|cause| wrong("its picture has", &cause))?;
    unpack(mask, pixels, layout.width as usize, &mut record.labels.ids)
        .map_err(|cause| wrong("its mask has", &cause))?;
    (record.labels.width, record.labels.height) = (layout.width, layout.height);
    record.frame = frame;
    record.captured = Duration::try_from_secs_f64(said.captured_ms / 1e3).unwrap_or_default();
    record.skipped = said.skipped;
    record.layout = layout;
    record.line.clear();
    record.line.extend_from_slice(line);
    Ok(())
}
