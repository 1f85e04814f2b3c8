//! Y'CbCr to R'G'B' in integers: the same bits on every machine.
//!
//! The matrices are those of ITU-R BT.601-7 and BT.709-6; full range is JFIF's. All is done
//! in 16-bit lanes that the compiler turns into SSE2 or NEON: a product keeps its upper
//! half (rounded down), sums have [`SUM_BITS`] fractional bits, and the last shift rounds
//! to the nearest and saturates. Each channel is less than 0.6 levels from the real number
//! clamped to 0..=255.

use super::{Encoding, Frame, Matrix, PixelFormat, Range};

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
        PixelFormat::Rgb => swizzle(row, out, |[r, g, b]| [b, g, r, 255]),
        PixelFormat::Bgr => swizzle(row, out, |[b, g, r]| [b, g, r, 255]),
        PixelFormat::Grey => swizzle(row, out, |[grey]| [grey, grey, grey, 255]),
        _ => {
            let rows = [ycbcr_row::<0>, ycbcr_row::<1>, ycbcr_row::<2>, ycbcr_row::<3>];
            rows[index(frame.layout.encoding)](frame, y, out);
        }
    }
}

fn swizzle<const N: usize>(row: &[u8], out: &mut [u8], pixel: impl Fn([u8; N]) -> [u8; 4]) {
    for (out, bytes) in out.as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks::<N>().0) {
        *out = pixel(*bytes);
    }
}

fn ycbcr_row<const E: usize>(frame: &Frame, y: u32, out: &mut [u8]) {
    let row = frame.row(y);
    let (first, second) = frame.chroma_rows(y);
    match frame.layout.format {
        PixelFormat::Yuyv => {
            blocks::<PACKED, PACKED>(out, [row; 3], |row, _, _| packed::<E, 0>(row));
        }
        PixelFormat::Uyvy => {
            blocks::<PACKED, PACKED>(out, [row; 3], |row, _, _| packed::<E, 8>(row));
        }
        PixelFormat::Nv12 => {
            blocks::<BLOCK, BLOCK>(out, [row, first, first], |row, pairs, _| {
                let pairs = pairs.as_chunks().0;
                let cb = lanes(pairs, |pair| u32::from(u16::from_le_bytes(pair)) << 8);
                let cr = lanes(pairs, |pair| u32::from(u16::from_le_bytes(pair)));
                bgrx::<E>(&row.map(u16::from), &spread(cb), &spread(cr))
            });
        }
        _ => blocks::<BLOCK, { BLOCK / 2 }>(out, [row, first, second], |row, cb, cr| {
            let [cb, cr] = [cb, cr].map(|plane| spread(plane.map(|c| u32::from(c) << 8)));
            bgrx::<E>(&row.map(u16::from), &cb, &cr)
        }),
    }
}

/// Converts a row block by block; `A` and `B` are the bytes a block takes of its luma and of
/// each chroma row. The last block is filled up with zeros.
#[inline(always)]
fn blocks<const A: usize, const B: usize>(
    out: &mut [u8],
    [luma, cb, cr]: [&[u8]; 3],
    block: impl Fn(&[u8; A], &[u8; B], &[u8; B]) -> [u8; 4 * BLOCK],
) {
    let (outs, rest) = out.as_chunks_mut::<{ 4 * BLOCK }>();
    let full = outs.len();
    let chroma = cb.as_chunks::<B>().0.iter().zip(cr.as_chunks::<B>().0);
    for ((out, luma), (cb, cr)) in outs.iter_mut().zip(luma.as_chunks::<A>().0).zip(chroma) {
        *out = block(luma, cb, cr);
    }
    if !rest.is_empty() {
        let [cb, cr] = [cb, cr].map(|row| padded(&row[full * B..]));
        rest.copy_from_slice(&block(&padded(&luma[full * A..]), &cb, &cr)[..rest.len()]);
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
fn packed<const E: usize, const SHIFT: u32>(row: &[u8; PACKED]) -> [u8; 4 * BLOCK] {
    let words = row.as_chunks().0;
    let cb = lanes(words, |word| u32::from_le_bytes(word) << SHIFT);
    let cr = lanes(words, |word| u32::from_le_bytes(word) << SHIFT >> 16);
    let luma = lanes(row.as_chunks().0, |pixel| u16::from_le_bytes(pixel) >> SHIFT & 0xff);
    bgrx::<E>(&luma, &spread(cb), &spread(cr))
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
    luma: &[u16; BLOCK],
    cb: &[i16; BLOCK],
    cr: &[i16; BLOCK],
) -> [u8; 4 * BLOCK] {
    let (mut low, mut high) = ([0; BLOCK], [0; BLOCK]);
    for i in 0..BLOCK {
        let [r, g, b] = TO_RGB[E].rgb((luma[i] << LUMA_BITS) as i16, cb[i], cr[i]);
        low[i] = u16::from(b) | u16::from(g) << 8;
        high[i] = u16::from(r) | 0xff00;
    }
    let mut out = [0; 4 * BLOCK];
    let halves = out.as_chunks_mut::<2>().0;
    for i in 0..BLOCK {
        halves[2 * i] = low[i].to_le_bytes();
        halves[2 * i + 1] = high[i].to_le_bytes();
    }
    out
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
mod tests {
    use super::*;
    use crate::frame::Layout;
    use std::hint::black_box;
    use std::time::Instant;

    const ENCODINGS: [Encoding; 4] = [
        Encoding { matrix: Matrix::Bt601, range: Range::Limited },
        Encoding { matrix: Matrix::Bt601, range: Range::Full },
        Encoding { matrix: Matrix::Bt709, range: Range::Limited },
        Encoding { matrix: Matrix::Bt709, range: Range::Full },
    ];

    /// The definition in real numbers, from the equations of the standards.
    fn exact(encoding: Encoding, y: f64, cb: f64, cr: f64) -> [f64; 3] {
        let (kr, kb) = match encoding.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let (y, cb, cr) = match encoding.range {
            Range::Limited => ((y - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0),
            Range::Full => (y / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0),
        };
        let r = y + cr * 2.0 * (1.0 - kr);
        let b = y + cb * 2.0 * (1.0 - kb);
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|channel| (255.0 * channel).clamp(0.0, 255.0))
    }

    #[test]
    fn every_colour_is_within_0_6_levels() {
        for encoding in ENCODINGS {
            for cb in 0..=255_u16 {
                for cr in (0..=255).step_by(3).chain([255]) {
                    let chroma = [cb, cr].map(|c| ((c << CHROMA_BITS) ^ 0x8000) as i16);
                    for y in (0..=255).step_by(5) {
                        let found =
                            TO_RGB[index(encoding)].rgb(y << LUMA_BITS, chroma[0], chroma[1]);
                        let exact = exact(encoding, f64::from(y), f64::from(cb), f64::from(cr));
                        for (found, exact) in found.into_iter().zip(exact) {
                            assert!(
                                (f64::from(found) - exact).abs() < 0.6,
                                "{encoding:?} {y} {cb} {cr}"
                            );
                        }
                    }
                }
            }
        }
    }

    fn random_frame(format: PixelFormat, width: u32, height: u32, padding: usize) -> Frame {
        let stride = format.min_stride(width) + padding;
        let mut frame = Frame::new(Layout::strided(format, width, height, stride).unwrap());
        frame.data.fill_with(|| fastrand::u8(..));
        frame.layout.encoding = ENCODINGS[fastrand::usize(..4)];
        frame
    }

    /// The bytes of a pixel's three samples, found singly.
    fn samples(frame: &Frame, x: usize, y: usize) -> [u8; 3] {
        let (stride, chroma_stride) = (frame.layout.stride, frame.layout.chroma_stride());
        let planes = stride * frame.height() as usize;
        let second = planes + chroma_stride * (frame.height() as usize).div_ceil(2);
        let row = &frame.data[y * stride..];
        let pair = x / 2;
        match frame.layout.format {
            PixelFormat::Yuyv => [row[2 * x], row[4 * pair + 1], row[4 * pair + 3]],
            PixelFormat::Uyvy => [row[2 * x + 1], row[4 * pair], row[4 * pair + 2]],
            PixelFormat::Nv12 => {
                let chroma = &frame.data[planes + y / 2 * chroma_stride + 2 * pair..];
                [row[x], chroma[0], chroma[1]]
            }
            PixelFormat::I420 => {
                let at = y / 2 * chroma_stride + pair;
                [row[x], frame.data[planes + at], frame.data[second + at]]
            }
            PixelFormat::Rgb => [row[3 * x], row[3 * x + 1], row[3 * x + 2]],
            PixelFormat::Bgr => [row[3 * x + 2], row[3 * x + 1], row[3 * x]],
            PixelFormat::Grey => [row[x]; 3],
        }
    }

    #[test]
    fn rows_of_every_format_and_size_hold_their_pixels() {
        fastrand::seed(1);
        for format in PixelFormat::ALL {
            let is_ycbcr = format.min_stride(1) == 4 || format.min_stride(2) == 2;
            for (width, height) in [(1, 1), (2, 3), (1, 5), (15, 2), (16, 2), (17, 13), (100, 3)] {
                let frame = random_frame(format, width, height, fastrand::usize(..9));
                let mut out = vec![7; 4 * width as usize + 1];
                for y in 0..height {
                    row_to_bgrx(&frame, y, &mut out);
                    for x in 0..width as usize {
                        let [a, b, c] = samples(&frame, x, y as usize).map(f64::from);
                        let expected = match is_ycbcr && format != PixelFormat::Grey {
                            true => exact(frame.layout.encoding, a, b, c),
                            false => [a, b, c],
                        };
                        for channel in 0..3 {
                            let found = f64::from(out[4 * x + 2 - channel]);
                            let difference = (found - expected[channel]).abs();
                            assert!(difference < 0.6, "{format:?} {width}x{height} at {x},{y}");
                        }
                        assert_eq!(out[4 * x + 3], 255);
                    }
                }
                assert_eq!(out.last(), Some(&7));
            }
        }
    }

    #[test]
    fn known_colours() {
        let convert = |encoding: usize, bytes: [u8; 3]| {
            let [y, cb, cr] = bytes;
            let layout = Layout::packed(PixelFormat::Yuyv, 1, 1).unwrap();
            let mut frame = Frame::new(layout.with_encoding(ENCODINGS[encoding]));
            frame.data.copy_from_slice(&[y, cb, 99, cr]);
            let mut out = [0; 4];
            row_to_bgrx(&frame, 0, &mut out);
            [out[2], out[1], out[0]]
        };
        for encoding in [0, 2] {
            assert_eq!(convert(encoding, [235, 128, 128]), [255; 3]);
            assert_eq!(convert(encoding, [16, 128, 128]), [0; 3]);
            assert_eq!(convert(encoding, [255, 128, 128]), [255; 3]);
            assert_eq!(convert(encoding, [0, 128, 128]), [0; 3]);
            assert_eq!(convert(encoding, [126, 128, 128]), [128; 3]);
        }
        for encoding in [1, 3] {
            for grey in 0..=255 {
                assert_eq!(convert(encoding, [grey, 128, 128]), [grey; 3]);
            }
        }
        // The colour bars of the standards, within the rounding of their bytes.
        assert_eq!(convert(0, [81, 90, 240]), [254, 0, 0]);
        assert_eq!(convert(0, [145, 54, 34]), [0, 255, 1]);
        assert_eq!(convert(0, [41, 240, 110]), [0, 0, 255]);
        assert_eq!(convert(2, [63, 102, 240]), [255, 1, 0]);
        assert_eq!(convert(2, [173, 42, 26]), [0, 255, 1]);
        assert_eq!(convert(2, [32, 240, 118]), [1, 0, 255]);
        assert_eq!(convert(1, [76, 85, 255]), [254, 0, 0]);
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -- --ignored --nocapture pace_of_rows"]
    fn pace_of_rows() {
        fastrand::seed(2);
        let (width, height) = (1280, 720);
        for format in PixelFormat::ALL {
            let frame = random_frame(format, width, height, 0);
            let mut picture = vec![0; (4 * width * height) as usize];
            let (from, mut to) = (vec![1_u8; frame.data.len() + picture.len()], Vec::new());
            let (mut rows, mut copy) = (f64::MAX, f64::MAX);
            for _ in 0..100 {
                let start = Instant::now();
                for (y, out) in (0..height).zip(picture.chunks_exact_mut(4 * width as usize)) {
                    row_to_bgrx(black_box(&frame), y, out);
                }
                black_box(&picture);
                rows = rows.min(start.elapsed().as_secs_f64());
                let start = Instant::now();
                to.clear();
                to.extend_from_slice(black_box(&from));
                black_box(&to);
                copy = copy.min(start.elapsed().as_secs_f64());
            }
            println!(
                "{format:?}: {:.3} ns/pixel, {:.2} times the copy of its {:.1} MB",
                rows * 1e9 / f64::from(width * height),
                rows / copy,
                from.len() as f64 / 1e6
            );
        }
    }
}
