//! `file:`: a picture, a directory of pictures, a Y4M clip.

use super::pace::{Pace, next_frame};
use super::y4m::{self, Clip};
use super::{Arrival, Camera, CameraError};
use crate::config::uri::Uri;
use crate::contain::contain;
use crate::frame::{Frame, Layout, MAX_PIXELS, PixelFormat};
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest picture file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;
/// The most pictures a directory may hold.
const MAX_PICTURES: usize = 1_000_000;
/// What of a directory is a picture.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Reads one picture (PNG or JPEG, told by its contents) into `frame`: grey ones as
/// [`PixelFormat::Grey`], all others as [`PixelFormat::Rgb`], without their transparency.
/// Errors name the file.
pub fn read_picture(path: &Path, frame: &mut Frame) -> Result<(), CameraError> {
    Picture::default().read(path, frame)
}

/// Reads pictures, keeping the allocation for their bytes.
#[derive(Default)]
struct Picture {
    bytes: Vec<u8>,
}

impl Picture {
    /// Errors name the file.
    fn read(&mut self, path: &Path, frame: &mut Frame) -> Result<(), CameraError> {
        let name = path.display().to_string();
        let unreadable = |cause: std::io::Error| CameraError::failed(&name, cannot_read(&cause));
        let file = open_regular(path)?;
        self.bytes.clear();
        file.take(MAX_FILE + 1).read_to_end(&mut self.bytes).map_err(unreadable)?;
        if self.bytes.len() as u64 > MAX_FILE {
            let message = format!("is too large: at most {MAX_FILE} bytes are read");
            return Err(CameraError::failed(&name, message));
        }
        decode(&self.bytes, &name, frame)
    }
}

/// Decodes a PNG or JPEG, told by its first bytes: grey ones as [`PixelFormat::Grey`], all
/// others as [`PixelFormat::Rgb`], without their transparency. Its size is checked before
/// anything is allocated for it.
pub(super) fn decode(bytes: &[u8], name: &str, frame: &mut Frame) -> Result<(), CameraError> {
    contain(|| decode_whole(bytes, name, frame)).unwrap_or_else(|panic| {
        let message = format!("is damaged ({panic}); save or copy it again");
        Err(CameraError::failed(name, message))
    })
}

fn decode_whole(bytes: &[u8], name: &str, frame: &mut Frame) -> Result<(), CameraError> {
    let fail = |message: String| CameraError::failed(name, message);
    let format = picture_format(bytes, name)?;
    let kind = if format == ImageFormat::Png { "PNG" } else { "JPEG" };
    let broken = |error: image::ImageError| {
        fail(format!("is a damaged {kind} ({error}); save or copy it again"))
    };
    if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
        let found = bytes.len();
        return Err(fail(format!(
            "is a JPEG cut short after {found} bytes, before its end marker; copy it again"
        )));
    }
    let mut limits = Limits::no_limits();
    // Eight bytes a pixel: the widest, RGBA of 16 bits.
    limits.max_alloc = Some(8 * MAX_PIXELS);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let layout = |format| Layout::packed(format, width, height).map_err(CameraError::layout(name));
    match decoder.color_type() {
        ColorType::L8 => frame.reshape(layout(PixelFormat::Grey)?),
        ColorType::Rgb8 => frame.reshape(layout(PixelFormat::Rgb)?),
        color => {
            layout(PixelFormat::Rgb)?;
            let picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
            let (format, pixels) = if color.has_color() {
                (PixelFormat::Rgb, picture.into_rgb8().into_raw())
            } else {
                (PixelFormat::Grey, picture.into_luma8().into_raw())
            };
            frame.reshape(layout(format)?);
            frame.data = pixels.into();
            return Ok(());
        }
    }
    decoder.read_image(&mut frame.data).map_err(broken)
}

/// PNG or JPEG, by the first bytes.
fn picture_format(bytes: &[u8], name: &str) -> Result<ImageFormat, CameraError> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok(ImageFormat::Png)
    } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        Ok(ImageFormat::Jpeg)
    } else {
        let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let found = match start.as_slice() {
            [] => "is empty".to_owned(),
            start => format!("begins with the bytes {}", start.join(" ")),
        };
        let message = format!("{found}; expected a picture (PNG, JPEG) or a clip (Y4M)");
        Err(CameraError::failed(name, message))
    }
}

/// Walks the markers to the end of the image, because the decoder takes what is missing of a
/// cut file for grey.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut rest = &bytes[2..];
    loop {
        // To the next marker, past entropy-coded bytes (FF 00, restarts) and padding.
        let Some(at) = rest.iter().position(|&byte| byte == 0xff) else { return false };
        match rest.get(at + 1) {
            Some(0xd9) => return true,
            Some(0x00 | 0x01 | 0xd0..=0xd8) => rest = &rest[at + 2..],
            Some(0xff) => rest = &rest[at + 1..],
            Some(_) => {
                let Some(&[high, low]) = rest.get(at + 2..at + 4) else { return false };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = rest.get(at + 2 + length..) else { return false };
                rest = after;
            }
            None => return false,
        }
    }
}

fn cannot_read(cause: &std::io::Error) -> String {
    let hint = match cause.kind() {
        ErrorKind::NotFound => "; check the path",
        ErrorKind::PermissionDenied => "; check its permissions",
        _ => "",
    };
    format!("cannot be read: {cause}{hint}")
}

/// Opens a file that has an end: a device or FIFO could block for ever.
fn open_regular(path: &Path) -> Result<File, CameraError> {
    let name = path.display().to_string();
    let unreadable = |cause: std::io::Error| CameraError::failed(&name, cannot_read(&cause));
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        let message = "is not a regular file; streams come in by pipe:-";
        return Err(CameraError::failed(&name, message));
    }
    File::open(path).map_err(unreadable)
}

/// The pictures of a directory in the byte order of their names.
fn list(directory: &Path) -> Result<Vec<PathBuf>, CameraError> {
    let name = directory.display().to_string();
    let unreadable = |cause: std::io::Error| CameraError::failed(&name, cannot_read(&cause));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        if !extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known)) {
            continue;
        }
        if paths.len() == MAX_PICTURES {
            let message = format!("holds more than {MAX_PICTURES} pictures; split it");
            return Err(CameraError::failed(&name, message));
        }
        paths.push(path);
    }
    if paths.is_empty() {
        let message = "holds no pictures; expected files that end in .png, .jpg or .jpeg";
        return Err(CameraError::failed(&name, message));
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Pictures one after the other.
struct Pictures {
    paths: Vec<PathBuf>,
    reader: Picture,
    /// A single picture that is shown again and again need not be decoded each time.
    kept: Option<Frame>,
    looped: bool,
}

impl Pictures {
    fn new(paths: Vec<PathBuf>, looped: bool) -> Pictures {
        Pictures { paths, reader: Picture::default(), kept: None, looped }
    }

    fn fetch(&mut self, position: u64, frame: &mut Frame) -> Result<Option<u64>, CameraError> {
        let count = self.paths.len() as u64;
        if position >= count && !self.looped {
            return Ok(None);
        }
        if let Some(kept) = &self.kept {
            frame.reshape(kept.layout);
            frame.data.copy_from_slice(&kept.data);
            return Ok(Some(position));
        }
        self.reader.read(&self.paths[(position % count) as usize], frame)?;
        if self.looped && count == 1 {
            self.kept = Some(frame.clone());
        }
        Ok(Some(position))
    }
}

enum Source {
    Pictures(Pictures),
    Clip(Box<Clip>),
}

/// The camera of `file:`.
pub struct FileCamera {
    name: String,
    source: Source,
    /// Where it is live.
    pace: Option<Pace>,
    next: u64,
}

impl FileCamera {
    pub fn open(mut uri: Uri) -> Result<FileCamera, CameraError> {
        if uri.path.is_empty() {
            return Err(uri.refuse_path("the path of a picture, directory or clip").into());
        }
        let path = PathBuf::from(&uri.path);
        let looped = uri.take_flag("loop")?;
        let own_rate = uri.clone().take("fps").is_some_and(|value| value.is_empty());
        let fps = if own_rate { uri.take("fps").and(None) } else { Pace::take_fps(&mut uri)? };
        let name = path.display().to_string();
        let mut pace = fps.map(Pace::new);
        let is_directory = std::fs::metadata(&path)
            .map_err(|cause| CameraError::failed(&name, cannot_read(&cause)))?
            .is_dir();
        let source = if is_directory {
            Source::Pictures(Pictures::new(list(&path)?, looped))
        } else {
            let mut start = Vec::new();
            open_regular(&path)?
                .take(y4m::MAGIC.len() as u64)
                .read_to_end(&mut start)
                .map_err(|cause| CameraError::failed(&name, cannot_read(&cause)))?;
            if start == y4m::MAGIC {
                let clip = Clip::open(&path, looped, super::take_encoding(&mut uri)?)?;
                if own_rate {
                    pace = Some(Pace::new(clip.fps()));
                }
                Source::Clip(Box::new(clip))
            } else {
                picture_format(&start, &name)?;
                Source::Pictures(Pictures::new(vec![path], looped))
            }
        };
        if own_rate && pace.is_none() {
            return Err(uri
                .refuse("fps", "", "a number: only clips have a rate of their own")
                .into());
        }
        let text = uri.text().to_owned();
        uri.finish()?;
        Ok(FileCamera { name: text, source, pace, next: 0 })
    }
}

impl Camera for FileCamera {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_live(&self) -> bool {
        self.pace.is_some()
    }

    fn read(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, CameraError> {
        let Some((wanted, captured)) = next_frame(&mut self.pace, self.next, timeout) else {
            return Ok(Arrival::Timeout);
        };
        // A picture that cannot be read is passed over by who reads on.
        self.next = wanted + 1;
        let found = match &mut self.source {
            Source::Pictures(pictures) => pictures.fetch(wanted, frame)?,
            Source::Clip(clip) => clip.fetch(wanted, frame)?,
        };
        let Some(sequence) = found else { return Ok(Arrival::End) };
        self.next = sequence + 1;
        (frame.sequence, frame.captured) = (sequence, captured);
        Ok(Arrival::Frame)
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        match &mut self.source {
            Source::Pictures(_) => Ok(()),
            Source::Clip(clip) => clip.rewind(),
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
