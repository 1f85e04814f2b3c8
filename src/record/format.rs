//! The framing of headers and frames, and the packing of pictures and masks.

use super::{MAX_LINE, MAX_PICTURE};
use crate::frame::MAX_PIXELS;
use fdeflate::{Compressor, Decompressor};

/// Bytes before the parts.
pub const HEAD: usize = 40;

/// What a mark says that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Header,
    Frame,
}

impl Kind {
    pub fn mark(self) -> [u8; 8] {
        match self {
            Kind::Header => *b"\x89sgcmH1\n",
            Kind::Frame => *b"\x89sgcmF1\n",
        }
    }
}

/// The bytes before the parts, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    pub payload: u32,
    pub frame: u64,
    /// Line, picture, mask.
    pub lengths: [usize; 3],
}

impl Head {
    pub fn parse(bytes: &[u8; HEAD]) -> Option<Head> {
        let kind = [Kind::Header, Kind::Frame].into_iter().find(|k| bytes[..8] == k.mark())?;
        let number = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        if number(8) != crc32fast::hash(&bytes[12..]) {
            return None;
        }
        let lengths = [24, 28, 32].map(|at| number(at) as usize);
        let most = [MAX_LINE, MAX_PICTURE, MAX_PIXELS as usize];
        let fits = lengths.iter().zip(most).all(|(length, most)| *length <= most);
        let frame = u64::from(number(20)) << 32 | u64::from(number(16));
        fits.then_some(Head { kind, payload: number(12), frame, lengths })
    }

    /// Bytes of the parts.
    pub fn length(&self) -> usize {
        self.lengths.iter().sum()
    }
}

/// Makes headers and frames; keeps its allocations.
#[derive(Default)]
pub struct Writer {
    out: Vec<u8>,
    differences: Vec<u8>,
}

impl Writer {
    pub fn header(&mut self, line: &[u8]) -> &[u8] {
        self.out.clear();
        self.out.resize(HEAD, 0);
        self.out.extend_from_slice(line);
        self.close(Kind::Header, 0, [line.len(), 0, 0])
    }

    /// `picture` and `mask` with the bytes of a row of each.
    pub fn frame(
        &mut self,
        frame: u64,
        line: &[u8],
        picture: (&[u8], usize),
        mask: (&[u8], usize),
    ) -> &[u8] {
        self.out.clear();
        self.out.resize(HEAD, 0);
        self.out.extend_from_slice(line);
        let lengths = [line.len(), self.pack(picture), self.pack(mask)];
        self.close(Kind::Frame, frame, lengths)
    }

    /// Fills in what stands before the parts.
    fn close(&mut self, kind: Kind, frame: u64, lengths: [usize; 3]) -> &[u8] {
        let payload = crc32fast::hash(&self.out[HEAD..]);
        let head = &mut self.out[..HEAD];
        head[..8].copy_from_slice(&kind.mark());
        head[12..16].copy_from_slice(&payload.to_le_bytes());
        head[16..24].copy_from_slice(&frame.to_le_bytes());
        for (at, length) in [24, 28, 32].into_iter().zip(lengths) {
            head[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
        }
        let checksum = crc32fast::hash(&head[12..]);
        head[8..12].copy_from_slice(&checksum.to_le_bytes());
        &self.out
    }

    /// Appends a part; its length.
    fn pack(&mut self, (bytes, row): (&[u8], usize)) -> usize {
        let start = self.out.len();
        let (first, rest) = bytes.split_at(row.min(bytes.len()));
        self.differences.clear();
        self.differences.extend_from_slice(first);
        self.differences.extend(rest.iter().zip(bytes).map(|(byte, up)| byte.wrapping_sub(*up)));
        let packed = Compressor::new(&mut self.out).and_then(|mut compressor| {
            compressor.write_data(&self.differences)?;
            compressor.finish().map(|_| ())
        });
        if packed.is_err() || self.out.len() - start >= bytes.len() {
            self.out.truncate(start);
            self.out.extend_from_slice(bytes);
        }
        self.out.len() - start
    }
}

/// The most that deflate makes of a byte.
const BEST: usize = 1032;

/// Undoes the packing of a part that has `length` bytes, `row` of them in a row. Says what is
/// wrong with it; allocates no more than [`BEST`] times what is stored.
pub fn unpack(
    stored: &[u8],
    length: usize,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    if stored.len() > length || length / BEST > stored.len() {
        return Err("a length that does not fit its picture's size");
    }
    if stored.len() == length {
        out.clear();
        out.extend_from_slice(stored);
        return Ok(());
    }
    out.resize(length, 0);
    inflate(stored, out)?;
    for start in (row..length).step_by(row.max(1)) {
        let (above, here) = out.split_at_mut(start);
        for (byte, up) in here.iter_mut().zip(&above[start - row..]) {
            *byte = byte.wrapping_add(*up);
        }
    }
    Ok(())
}

/// Fills `out` exactly.
fn inflate(stored: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
    const WRONG: &str = "compressed bytes that are none";
    let mut decompressor = Decompressor::new();
    let (mut read, mut written) = (0, 0);
    while !decompressor.is_done() {
        let step = decompressor.read(&stored[read..], out, written, true);
        let (taken, made) = step.map_err(|_| WRONG)?;
        (read, written) = (read + taken, written + made);
        if taken + made == 0 && !decompressor.is_done() {
            return Err(WRONG);
        }
    }
    if written == out.len() && read == stored.len() { Ok(()) } else { Err(WRONG) }
}
