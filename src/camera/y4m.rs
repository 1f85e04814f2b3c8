//! Y4M clips (YUV4MPEG2), 8 bits a sample.
//!
//! 4:2:0 becomes [`PixelFormat::I420`], 4:2:2 [`PixelFormat::Yuyv`], and so does 4:4:4, whose
//! pairs of chroma samples are averaged; mono becomes full-range [`PixelFormat::Grey`].

use super::CameraError;
use crate::frame::{
    Encoding, Frame, Layout, LayoutError, MAX_PIXELS, MAX_SIDE, Matrix, PixelFormat, Range,
};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use y4m::{Colorspace, Decoder, Error};

pub const MAGIC: &[u8] = b"YUV4MPEG2 ";
/// The longest header that is read.
const MAX_HEADER: u64 = 1024;
/// The most frames that a reader who comes late reads past at once.
const MAX_SKIP: u64 = 100;

/// How samples are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chroma {
    Mono,
    C420,
    C422,
    C444,
}

/// Counts the bytes read, which tells a whole last frame from a cut one.
struct Counted {
    reader: BufReader<File>,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

/// A clip, read frame by frame.
pub struct Clip {
    path: PathBuf,
    name: String,
    decoder: Decoder<Counted>,
    count: Arc<AtomicU64>,
    chroma: Chroma,
    layout: Layout,
    /// Limited to full range, for mono.
    levels: [u8; 256],
    looped: bool,
    /// The number of the next frame, counted on when the clip begins again.
    position: u64,
    /// The frames read since the clip last began.
    read: u64,
}

impl Clip {
    pub fn open(
        path: &Path,
        looped: bool,
        given: (Option<Matrix>, Option<Range>),
    ) -> Result<Clip, CameraError> {
        let name = path.display().to_string();
        let (decoder, count) = decoder(path, &name)?;
        let found = decoder.get_colorspace();
        let (chroma, format) = match found {
            Colorspace::Cmono => (Chroma::Mono, PixelFormat::Grey),
            Colorspace::C422 => (Chroma::C422, PixelFormat::Yuyv),
            Colorspace::C444 => (Chroma::C444, PixelFormat::Yuyv),
            _ if decoder.get_bit_depth() == 8 => (Chroma::C420, PixelFormat::I420),
            _ => return Err(CameraError::failed(&name, wrong_colours(&format!("{found:?}")))),
        };
        let (width, height) = (decoder.get_width() as u32, decoder.get_height() as u32);
        let full = decoder.get_raw_params().split(|&byte| byte == b' ');
        let full = full.into_iter().any(|parameter| parameter == b"XCOLORRANGE=FULL");
        let encoding = super::encoding_or(
            given,
            Encoding {
                matrix: if height >= 720 { Matrix::Bt709 } else { Matrix::Bt601 },
                range: if full { Range::Full } else { Range::Limited },
            },
        );
        let layout = Layout::packed(format, width, height)
            .map_err(CameraError::layout(&name))?
            .with_encoding(encoding);
        Ok(Clip {
            path: path.to_owned(),
            name,
            decoder,
            count,
            chroma,
            layout,
            levels: levels(encoding.range),
            looped,
            position: 0,
            read: 0,
        })
    }

    /// The rate its header gives, in frames a second.
    pub fn fps(&self) -> f64 {
        let rate = self.decoder.get_framerate();
        rate.num as f64 / rate.den as f64
    }

    /// Fills `frame` with frame `position`, or a later one when that is already past; false
    /// at the end. Returns the number of the frame.
    pub fn fetch(&mut self, position: u64, frame: &mut Frame) -> Result<Option<u64>, CameraError> {
        let target = position.clamp(self.position, self.position + MAX_SKIP);
        loop {
            let before = self.count.load(Relaxed);
            match self.decoder.read_frame() {
                Ok(planes) => {
                    (self.position, self.read) = (self.position + 1, self.read + 1);
                    if self.position > target {
                        fill(&planes, self.chroma, self.layout, &self.levels, frame);
                        return Ok(Some(self.position - 1));
                    }
                }
                Err(Error::EOF) if self.count.load(Relaxed) == before => {
                    if self.read == 0 {
                        let message = "holds no frames; expected at least one after its header";
                        return Err(CameraError::failed(&self.name, message));
                    }
                    if !self.looped {
                        return Ok(None);
                    }
                    self.rewind()?;
                }
                Err(error) => {
                    let found = self.count.load(Relaxed) - before;
                    return Err(CameraError::failed(&self.name, self.broken(error, found)));
                }
            }
        }
    }

    fn broken(&self, error: Error, found: u64) -> String {
        let number = self.read;
        match error {
            Error::EOF => format!(
                "frame {number} is cut short after {found} bytes (a frame has more than {}); copy the clip again",
                self.layout.bytes(),
            ),
            Error::IoError(cause) => format!("frame {number} cannot be read: {cause}"),
            _ => format!("frame {number} does not begin with FRAME; the clip is damaged"),
        }
    }

    /// Begins again with the first frame.
    pub fn rewind(&mut self) -> Result<(), CameraError> {
        let (decoder, count) = decoder(&self.path, &self.name)?;
        let size = |decoder: &Decoder<_>| (decoder.get_width(), decoder.get_height());
        let same =
            |a: Colorspace, b: Colorspace| std::mem::discriminant(&a) == std::mem::discriminant(&b);
        if size(&decoder) != size(&self.decoder)
            || !same(decoder.get_colorspace(), self.decoder.get_colorspace())
        {
            let message = "has another size or format than before; open it anew";
            return Err(CameraError::failed(&self.name, message));
        }
        (self.decoder, self.count, self.read) = (decoder, count, 0);
        Ok(())
    }
}

fn wrong_colours(found: &str) -> String {
    format!(
        "its colour space is {found}; those read are 420, 422, 444 and mono with 8 bits: convert it with ffmpeg -pix_fmt yuv420p"
    )
}

/// Opens the file and reads the header, whose sizes are checked before anything is allocated.
fn decoder(path: &Path, name: &str) -> Result<(Decoder<Counted>, Arc<AtomicU64>), CameraError> {
    let fail = |message: String| CameraError::failed(name, message);
    let unreadable = |cause: std::io::Error| fail(format!("cannot be read: {cause}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let mut head = Vec::new();
    file.by_ref().take(MAX_HEADER).read_to_end(&mut head).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut colours = "of no name".to_owned();
    let mut size = [0, 0];
    for parameter in line.split(|&byte| byte == b' ').skip(1) {
        let Some((&key, value)) = parameter.split_first() else { continue };
        let value = String::from_utf8_lossy(value);
        match key {
            b'W' | b'H' => {
                let what = if key == b'W' { "width" } else { "height" };
                let side = value.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
                size[usize::from(key == b'H')] = side.ok_or_else(|| {
                    fail(format!(
                        "its header gives the {what} as {value}; expected 1 to {MAX_SIDE}"
                    ))
                })?;
            }
            b'C' => colours = value.into_owned(),
            _ => {}
        }
    }
    let count = Arc::new(AtomicU64::new(0));
    let counted = Counted { reader: BufReader::with_capacity(1 << 16, file), count: count.clone() };
    let limits = y4m::Limits { bytes: 3 * MAX_PIXELS as usize };
    match Decoder::new_with_limits(counted, limits) {
        Ok(decoder) => Ok((decoder, count)),
        Err(Error::UnknownColorspace) => Err(fail(wrong_colours(&colours))),
        Err(Error::OutOfMemory) => {
            let [width, height] = size;
            Err(CameraError::layout(name)(LayoutError::Size { width, height }))
        }
        Err(Error::IoError(cause)) => Err(unreadable(cause)),
        Err(Error::EOF) => Err(fail("ends within its header; copy the clip again".to_owned())),
        Err(_) => Err(fail(
            "its header is not that of a Y4M clip, such as \"YUV4MPEG2 W640 H480 F30:1 C420\""
                .to_owned(),
        )),
    }
}

/// What luma becomes when it is grey.
fn levels(range: Range) -> [u8; 256] {
    std::array::from_fn(|y| match range {
        Range::Full => y as u8,
        Range::Limited => (((y.clamp(16, 235) - 16) * 255 + 109) / 219) as u8,
    })
}

fn fill(
    planes: &y4m::Frame,
    chroma: Chroma,
    layout: Layout,
    levels: &[u8; 256],
    frame: &mut Frame,
) {
    frame.reshape(layout);
    let (y, cb, cr) = (planes.get_y_plane(), planes.get_u_plane(), planes.get_v_plane());
    let width = layout.width as usize;
    match chroma {
        Chroma::Mono => {
            for (to, from) in frame.data.iter_mut().zip(y) {
                *to = levels[usize::from(*from)];
            }
        }
        Chroma::C420 => {
            let (luma, rest) = frame.data.split_at_mut(y.len());
            let (first, second) = rest.split_at_mut(cb.len());
            luma.copy_from_slice(y);
            first.copy_from_slice(cb);
            second.copy_from_slice(cr);
        }
        Chroma::C422 | Chroma::C444 => {
            // One sample of chroma a pair of luma, or two to be averaged.
            let step = if chroma == Chroma::C422 { 1 } else { 2 };
            let chroma_width = if step == 1 { width.div_ceil(2) } else { width };
            let mean =
                |of: &[u8]| (u16::from(of[0]) + u16::from(of[of.len() - 1])).div_ceil(2) as u8;
            let rows = frame.data.chunks_exact_mut(layout.stride).zip(y.chunks_exact(width));
            let chroma_rows = cb.chunks_exact(chroma_width).zip(cr.chunks_exact(chroma_width));
            for ((to, y), (cb, cr)) in rows.zip(chroma_rows) {
                let pairs = y.chunks(2).zip(cb.chunks(step).zip(cr.chunks(step)));
                for (to, (y, (cb, cr))) in to.chunks_exact_mut(4).zip(pairs) {
                    to.copy_from_slice(&[y[0], mean(cb), y[y.len() - 1], mean(cr)]);
                }
            }
        }
    }
}
