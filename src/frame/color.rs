//! Y'CbCr to R'G'B' in integers: the same bits on every machine.
//!
//! The matrices are those of ITU-R BT.601-7 and BT.709-6; full range is JFIF's. All is done
//! in 16-bit lanes that the compiler turns into SSE2 or NEON: a product keeps its upper
//! half (rounded down), sums have [`SUM_BITS`] fractional bits, and the last shift rounds
//! to the nearest and saturates. Each channel is less than 0.6 levels from the real number
//! clamped to 0..=255.

use super::{Encoding, Frame, Matrix, PixelFormat, Range};
use crate::simd::widest;

/// Fractional bits of luma going in, and of chroma, from which 128 is taken.
pub const LUMA_BITS: u32 = 7;
pub const CHROMA_BITS: u32 = 8;
/// Fractional bits of the factors, and so of the sums.
const LUMA_SCALE: u32 = 14;
const CHROMA_SCALE: u32 = 13;
const SUM_BITS: u32 = LUMA_BITS + LUMA_SCALE - 16;
/// Half a level, and one unit for what two or three products lose by rounding down.
const ROUNDING: i16 = (1 << (SUM_BITS - 1)) + 1;

/// Pixels converted at once.
pub const BLOCK: usize = 16;
/// Bytes of a block of packed 4:2:2.
const PACKED: usize = 2 * BLOCK;

/// The factors of an [`Encoding`].
struct ToRgb {
    y: i16,
    offset: i16,
    cr_r: i16,
    cb_g: i16,
    cr_g: i16,
    cb_b: i16,
}

/// Constants, not variables: only then are products known to fit one instruction.
/// In the order of [`index`].
const TO_RGB: [ToRgb; 4] = [
    ToRgb::new(Matrix::Bt601, Range::Limited),
    ToRgb::new(Matrix::Bt601, Range::Full),
    ToRgb::new(Matrix::Bt709, Range::Limited),
    ToRgb::new(Matrix::Bt709, Range::Full),
];

fn index(encoding: Encoding) -> usize {
    2 * usize::from(encoding.matrix == Matrix::Bt709) + usize::from(encoding.range == Range::Full)
}

impl ToRgb {
    const fn new(matrix: Matrix, range: Range) -> ToRgb {
        let (kr, kb) = match matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let kg = 1.0 - kr - kb;
        let (luma, chroma, black) = match range {
            Range::Limited => (255.0 / 219.0, 255.0 / 224.0, 16.0),
            Range::Full => (1.0, 1.0, 0.0),
        };
        let (red, blue) = (2.0 * (1.0 - kr) * chroma, 2.0 * (1.0 - kb) * chroma);
        ToRgb {
            y: fixed(luma, LUMA_SCALE),
            offset: ROUNDING - fixed(black * luma, SUM_BITS),
            cr_r: fixed(red, CHROMA_SCALE),
            cb_g: -fixed(blue * kb / kg, CHROMA_SCALE),
            cr_g: -fixed(red * kr / kg, CHROMA_SCALE),
            cb_b: fixed(blue, CHROMA_SCALE),
        }
    }

    #[inline(always)]
    fn rgb(&self, y: i16, cb: i16, cr: i16) -> [u8; 3] {
        let luma = mul_high(y, self.y) + self.offset;
        [
            saturate(luma + mul_high(cr, self.cr_r)),
            saturate(luma + (mul_high(cb, self.cb_g) + mul_high(cr, self.cr_g))),
            saturate(luma + mul_high(cb, self.cb_b)),
        ]
    }
}

/// A number not below 0 in fixed point, rounded to the nearest.
const fn fixed(value: f64, bits: u32) -> i16 {
    (value * (1_u32 << bits) as f64 + 0.5) as i16
}

#[inline(always)]
fn mul_high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

#[inline(always)]
fn saturate(sum: i16) -> u8 {
    (sum >> SUM_BITS).clamp(0, 255) as u8
}

/// Row `y` of a whole frame as `4 * width` bytes: blue, green, red, 255. Both pixels of a
/// pair, and both rows in 4:2:0, take their common chroma sample as it is. Panics when
/// `out` is shorter, `y` beyond the frame, or the frame not whole.
pub fn row_to_bgrx(frame: &Frame, y: u32, out: &mut [u8]) {
    let out = &mut out[..4 * frame.width() as usize];
    let row = frame.row(y);
    match frame.layout.format {
        PixelFormat::Rgb => swizzle(
            row,
            out,
            #[inline(always)]
            |[r, g, b]| [b, g, r, 255],
        ),
        PixelFormat::Bgr => swizzle(
            row,
            out,
            #[inline(always)]
            |[b, g, r]| [b, g, r, 255],
        ),
        PixelFormat::Grey => swizzle(
            row,
            out,
            #[inline(always)]
            |[grey]| [grey, grey, grey, 255],
        ),
        _ => {
            let rows = [ycbcr_row::<0>, ycbcr_row::<1>, ycbcr_row::<2>, ycbcr_row::<3>];
            rows[index(frame.layout.encoding)](frame, y, out);
        }
    }
}

fn swizzle<const N: usize>(row: &[u8], out: &mut [u8], pixel: impl Fn([u8; N]) -> [u8; 4]) {
    widest(
        #[inline(always)]
        || {
            for (out, bytes) in out.as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks::<N>().0) {
                *out = pixel(*bytes);
            }
        },
    );
}

#[expect(clippy::redundant_closure, reason = "a function by its name is not inlined")]
fn ycbcr_row<const E: usize>(frame: &Frame, y: u32, out: &mut [u8]) {
    let row = frame.row(y);
    let (first, second) = frame.chroma_rows(y);
    widest(
        #[inline(always)]
        || match frame.layout.format {
            PixelFormat::Yuyv => blocks(
                out,
                [row; 3],
                #[inline(always)]
                |a, b, c, out| packed::<E, 0>(a, b, c, out),
            ),
            PixelFormat::Uyvy => blocks(
                out,
                [row; 3],
                #[inline(always)]
                |a, b, c, out| packed::<E, 8>(a, b, c, out),
            ),
            PixelFormat::Nv12 => blocks(
                out,
                [row, first, first],
                #[inline(always)]
                |a, b, c, out| nv12::<E>(a, b, c, out),
            ),
            _ => blocks(
                out,
                [row, first, second],
                #[inline(always)]
                |a, b, c, out| i420::<E>(a, b, c, out),
            ),
        },
    )
}

/// Converts a row block by block; `A` and `B` are the bytes a block takes of its luma and of
/// each chroma row. The last block is filled up with zeros.
#[inline(always)]
fn blocks<const A: usize, const B: usize>(
    out: &mut [u8],
    [luma, cb, cr]: [&[u8]; 3],
    block: impl Fn(&[u8; A], &[u8; B], &[u8; B], &mut [u8; 4 * BLOCK]),
) {
    let (outs, rest) = out.as_chunks_mut::<{ 4 * BLOCK }>();
    let full = outs.len();
    let chroma = cb.as_chunks::<B>().0.iter().zip(cr.as_chunks::<B>().0);
    for ((out, luma), (cb, cr)) in outs.iter_mut().zip(luma.as_chunks::<A>().0).zip(chroma) {
        block(luma, cb, cr, out);
    }
    if !rest.is_empty() {
        let [cb, cr] = [cb, cr].map(|row| padded(&row[full * B..]));
        let mut last = [0; 4 * BLOCK];
        block(&padded(&luma[full * A..]), &cb, &cr, &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    let length = bytes.len().min(N);
    padded[..length].copy_from_slice(&bytes[..length]);
    padded
}

/// A block of packed 4:2:2, whose luma begins at bit `SHIFT`.
#[inline(always)]
fn packed<const E: usize, const SHIFT: u32>(
    row: &[u8; PACKED],
    _: &[u8; PACKED],
    _: &[u8; PACKED],
    out: &mut [u8; 4 * BLOCK],
) {
    let words = row.as_chunks().0;
    let luma = lanes(row.as_chunks().0, |pixel| u16::from_le_bytes(pixel) >> SHIFT & 0xff);
    let cb = lanes(words, |word| u32::from_le_bytes(word) << SHIFT);
    let cr = lanes(words, |word| u32::from_le_bytes(word) << SHIFT >> 16);
    bgrx::<E>(luma, spread(cb), spread(cr), out);
}

#[inline(always)]
fn nv12<const E: usize>(
    row: &[u8; BLOCK],
    pairs: &[u8; BLOCK],
    _: &[u8; BLOCK],
    out: &mut [u8; 4 * BLOCK],
) {
    let pairs = pairs.as_chunks().0;
    let luma = lanes(row.as_chunks().0, |[y]: [u8; 1]| u16::from(y));
    let cb = lanes(pairs, |pair| u32::from(u16::from_le_bytes(pair)) << 8);
    let cr = lanes(pairs, |pair| u32::from(u16::from_le_bytes(pair)));
    bgrx::<E>(luma, spread(cb), spread(cr), out);
}

#[inline(always)]
fn i420<const E: usize>(
    row: &[u8; BLOCK],
    cb: &[u8; BLOCK / 2],
    cr: &[u8; BLOCK / 2],
    out: &mut [u8; 4 * BLOCK],
) {
    let luma = lanes(row.as_chunks().0, |[y]: [u8; 1]| u16::from(y));
    let cb = lanes(cb.as_chunks().0, |[c]: [u8; 1]| u32::from(c) << 8);
    let cr = lanes(cr.as_chunks().0, |[c]: [u8; 1]| u32::from(c) << 8);
    bgrx::<E>(luma, spread(cb), spread(cr), out);
}

#[inline(always)]
fn lanes<const N: usize, const B: usize, T: Copy + Default>(
    bytes: &[[u8; B]],
    lane: impl Fn([u8; B]) -> T,
) -> [T; N] {
    let mut lanes = [T::default(); N];
    for (to, from) in lanes.iter_mut().zip(bytes) {
        *to = lane(*from);
    }
    lanes
}

/// Chroma samples, each in bits 8 to 15 of its word, doubled and freed of their 128. As
/// arithmetic on words this is faster than as a shuffle of lanes, which SSE2 does poorly.
#[inline(always)]
fn spread(words: [u32; BLOCK / 2]) -> [i16; BLOCK] {
    let mut bytes = [[0; 4]; BLOCK / 2];
    for (bytes, word) in bytes.iter_mut().zip(words) {
        let sample = word & 0xff00;
        *bytes = ((sample | sample << 16) ^ 0x8000_8000).to_le_bytes();
    }
    lanes(bytes.as_flattened().as_chunks().0, i16::from_le_bytes)
}

#[inline(always)]
fn bgrx<const E: usize>(
    luma: [u16; BLOCK],
    cb: [i16; BLOCK],
    cr: [i16; BLOCK],
    out: &mut [u8; 4 * BLOCK],
) {
    let (mut low, mut high) = ([0; BLOCK], [0; BLOCK]);
    for i in 0..BLOCK {
        let [r, g, b] = TO_RGB[E].rgb((luma[i] << LUMA_BITS) as i16, cb[i], cr[i]);
        low[i] = u16::from(b) | u16::from(g) << 8;
        high[i] = u16::from(r) | 0xff00;
    }
    let halves = out.as_chunks_mut::<2>().0;
    for i in 0..BLOCK {
        halves[2 * i] = low[i].to_le_bytes();
        halves[2 * i + 1] = high[i].to_le_bytes();
    }
}

/// Rows of samples, luma with [`LUMA_BITS`], chroma less 128 with [`CHROMA_BITS`], as rows of
/// red, green and blue. All are as long as the shortest.
pub fn to_rgb(encoding: Encoding, samples: [&[[i16; BLOCK]]; 3], out: [&mut [[u8; BLOCK]]; 3]) {
    fn rows<const E: usize>([y, cb, cr]: [&[[i16; BLOCK]]; 3], [r, g, b]: [&mut [[u8; BLOCK]]; 3]) {
        let samples = y.iter().zip(cb).zip(cr);
        for (((r, g), b), ((y, cb), cr)) in r.iter_mut().zip(g).zip(b).zip(samples) {
            let mut block = [[0; BLOCK]; 3];
            for i in 0..BLOCK {
                [block[0][i], block[1][i], block[2][i]] = TO_RGB[E].rgb(y[i], cb[i], cr[i]);
            }
            [*r, *g, *b] = block;
        }
    }
    [rows::<0>, rows::<1>, rows::<2>, rows::<3>][index(encoding)](samples, out);
}

/// A row of luma with [`LUMA_BITS`], stretched to full range: the grey of Y'CbCr.
pub fn to_gray(encoding: Encoding, luma: &[[i16; BLOCK]], out: &mut [[u8; BLOCK]]) {
    let factors = &TO_RGB[index(encoding)];
    for (out, luma) in out.iter_mut().zip(luma) {
        *out = luma.map(|y| saturate(mul_high(y, factors.y) + factors.offset));
    }
}

/// Red, green and blue with [`LUMA_BITS`] as the luma of BT.601.
pub fn rgb_to_gray([r, g, b]: [&[[i16; BLOCK]]; 3], out: &mut [[u8; BLOCK]]) {
    // 0.299, 0.587 and 0.114 of 2^16, which they add up to.
    let luma = |r: i16, g: i16, b: i16| 19_595 * r as u32 + 38_470 * g as u32 + 7_471 * b as u32;
    for (((out, r), g), b) in out.iter_mut().zip(r).zip(g).zip(b) {
        for i in 0..BLOCK {
            let sum = luma(r[i], g[i], b[i]) + (1 << (15 + LUMA_BITS));
            out[i] = (sum >> (16 + LUMA_BITS)) as u8;
        }
    }
}

/// Samples with [`LUMA_BITS`], rounded to the nearest (halves up).
pub fn round(samples: &[[i16; BLOCK]], out: &mut [[u8; BLOCK]]) {
    for (out, samples) in out.iter_mut().zip(samples) {
        *out = samples.map(|sample| ((sample + (1 << (LUMA_BITS - 1))) >> LUMA_BITS) as u8);
    }
}

#[cfg(test)]
mod tests;
