//! The pictures of MJPEG cameras: JPEG as cameras write it, decoded to RGB.
//!
//! Cameras leave out the Huffman tables (they are always the same), pad the end, and cut
//! pictures short when the bus is busy. What has no end or not the size agreed on is an error:
//! such a picture is not shown. Decoding is in full size: the decoder knows no other, so a
//! smaller mode of the camera is the way to a smaller picture. The decoder allocates its working
//! memory anew for each picture.

use crate::contain::contain;
use crate::frame::Layout;
use thiserror::Error;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

/// Passes over a progressive picture; cameras write sequential ones, of one.
const MOST_SCANS: usize = 16;

/// Why a picture is not shown.
#[derive(Debug, Error)]
pub enum PictureError {
    #[error("no JPEG: {0}")]
    NotJpeg(&'static str),
    #[error("a picture cut short")]
    Short,
    #[error("a picture of {found_width}x{found_height}, not {width}x{height}")]
    Size { found_width: usize, found_height: usize, width: u32, height: u32 },
    #[error("a picture that cannot be decoded: {0}")]
    Decode(#[from] DecodeErrors),
    #[error("a picture that makes no sense to the decoder: {0}")]
    Malformed(String),
}

/// Decodes picture after picture.
#[derive(Default)]
pub struct Decoder {
    /// A picture with the tables it lacked.
    completed: Vec<u8>,
}

impl Decoder {
    /// Decodes into `out`, which has the bytes of `layout`: packed RGB. On an error what is in
    /// it means nothing.
    pub fn decode(
        &mut self,
        picture: &[u8],
        layout: Layout,
        out: &mut [u8],
    ) -> Result<(), PictureError> {
        let (width, height) = (layout.width, layout.height);
        let header = Header::find(picture)?;
        let end = picture.windows(2).rposition(|two| two == [0xff, EOI]);
        let end = end.filter(|end| *end >= header.scan).ok_or(PictureError::Short)?;
        let picture = &picture[..end + 2];
        let picture = if header.has_tables {
            picture
        } else {
            let (before, scan) = picture.split_at(header.scan);
            self.completed.clear();
            self.completed.extend_from_slice(before);
            self.completed.extend_from_slice(&HUFFMAN_TABLES);
            self.completed.extend_from_slice(scan);
            &self.completed
        };
        // Sizes are checked with the header, before the decoder allocates anything by them.
        let options = DecoderOptions::new_fast()
            .set_strict_mode(true)
            .set_max_width(width as usize)
            .set_max_height(height as usize)
            .jpeg_set_max_scans(MOST_SCANS)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let decode = || {
            decode_whole(JpegDecoder::new_with_options(ZCursor::new(picture), options), layout, out)
        };
        contain(decode).map_err(PictureError::Malformed)?
    }
}

/// Decodes a picture that must have the size of `layout`.
fn decode_whole(
    mut decoder: JpegDecoder<ZCursor<&[u8]>>,
    layout: Layout,
    out: &mut [u8],
) -> Result<(), PictureError> {
    let (width, height) = (layout.width, layout.height);
    decoder.decode_headers()?;
    let found = decoder.dimensions().unwrap_or_default();
    if found != (width as usize, height as usize) {
        let (found_width, found_height) = found;
        return Err(PictureError::Size { found_width, found_height, width, height });
    }
    if decoder.output_buffer_size() != Some(layout.bytes()) {
        return Err(PictureError::NotJpeg("its colours are not three"));
    }
    Ok(decoder.decode_into(out)?)
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DHT: u8 = 0xc4;

/// What stands before the first scan.
struct Header {
    has_tables: bool,
    /// Where the first scan's segment begins.
    scan: usize,
}

impl Header {
    /// Walks over the segments (ITU-T T.81 B.1.1).
    fn find(picture: &[u8]) -> Result<Header, PictureError> {
        if !picture.starts_with(&[0xff, SOI]) {
            return Err(PictureError::NotJpeg("it does not begin as one"));
        }
        let (mut at, mut has_tables) = (2, false);
        loop {
            let [0xff, marker, rest @ ..] = picture.get(at..).unwrap_or(&[]) else {
                return Err(PictureError::NotJpeg("a segment is missing where one should begin"));
            };
            match (*marker, rest) {
                // Fill bytes.
                (0xff, _) => at += 1,
                (SOS, _) => return Ok(Header { has_tables, scan: at }),
                (marker, [high, low, ..]) => {
                    has_tables |= marker == DHT;
                    at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
                }
                _ => return Err(PictureError::Short),
            }
        }
    }
}

/// The segment with the typical Huffman tables of ITU-T T.81, annex K.3, which a picture
/// without tables means.
#[rustfmt::skip]
const HUFFMAN_TABLES: [u8; 420] = [
    0xff, 0xc4, 0x01, 0xa2,
    // Luma, DC (table K.3): class and number, codes of each length, values.
    0x00,
    0x00, 0x01, 0x05, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    // Chroma, DC (table K.4): class and number, codes of each length, values.
    0x01,
    0x00, 0x03, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    // Luma, AC (table K.5): class and number, codes of each length, values.
    0x10,
    0x00, 0x02, 0x01, 0x03, 0x03, 0x02, 0x04, 0x03, 0x05, 0x05, 0x04, 0x04, 0x00, 0x00, 0x01, 0x7d,
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
    0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
    // Chroma, AC (table K.6): class and number, codes of each length, values.
    0x11,
    0x00, 0x02, 0x01, 0x02, 0x04, 0x04, 0x03, 0x04, 0x07, 0x05, 0x04, 0x04, 0x00, 0x01, 0x02, 0x77,
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
    0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
    0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];

/// 64x48 pixels in one scan of one component, of which there are three of odd sampling.
#[cfg(test)]
pub(super) fn odd_scan() -> Vec<u8> {
    let mut picture = vec![0xff, SOI];
    for table in 0..2 {
        picture.extend([0xff, 0xdb, 0, 67, table]);
        picture.extend([1; 64]);
    }
    picture.extend([0xff, 0xc0, 0, 17, 8, 0, 48, 0, 64, 3]);
    picture.extend([1, 0x22, 0, 2, 0x11, 1, 3, 0x41, 1]);
    picture.extend(HUFFMAN_TABLES);
    picture.extend([0xff, SOS, 0, 8, 1, 2, 0, 0, 63, 0, 0xff, EOI]);
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    const WIDTH: u32 = 64;
    const HEIGHT: u32 = 48;

    fn layout() -> Layout {
        Layout::packed(PixelFormat::Rgb, WIDTH, HEIGHT).unwrap()
    }

    fn picture() -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(4);
        let pixel = |at: u32| [(at % WIDTH * 4) as u8, (at / WIDTH * 5) as u8, 90];
        let mut pixels: Vec<u8> = (0..WIDTH * HEIGHT).flat_map(pixel).collect();
        pixels.iter_mut().step_by(7).for_each(|byte| *byte = random.u8(..));
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, 80);
        encoder.write_image(&pixels, WIDTH, HEIGHT, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    fn decode(picture: &[u8]) -> Result<Vec<u8>, PictureError> {
        let mut out = vec![0; layout().bytes()];
        Decoder::default().decode(picture, layout(), &mut out).map(|()| out)
    }

    /// The picture as a camera writes it that leaves its Huffman tables out.
    fn without_tables(picture: &[u8]) -> Vec<u8> {
        let mut kept = picture[..2].to_vec();
        let mut at = 2;
        while picture[at + 1] != SOS {
            let length = 2 + usize::from(u16::from_be_bytes([picture[at + 2], picture[at + 3]]));
            if picture[at + 1] != DHT {
                kept.extend_from_slice(&picture[at..at + length]);
            }
            at += length;
        }
        kept.extend_from_slice(&picture[at..]);
        kept
    }

    #[test]
    fn pictures_without_tables_get_the_usual_ones() {
        let whole = picture();
        let bare = without_tables(&whole);
        assert!(whole.len() > bare.len() + 400);
        assert_eq!(decode(&whole).unwrap(), decode(&bare).unwrap());
        let expected = image::load_from_memory(&whole).unwrap().to_rgb8().into_raw();
        let far = decode(&bare).unwrap().iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(far <= Some(3), "{far:?}");
    }

    #[test]
    fn padding_behind_the_end_does_no_harm() {
        let mut padded = picture();
        let expected = decode(&padded).unwrap();
        padded.extend([0; 500]);
        assert_eq!(decode(&padded).unwrap(), expected);
    }

    #[test]
    fn every_picture_cut_short_is_refused() {
        let whole = picture();
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length} of {}", whole.len());
        }
    }

    #[test]
    fn a_picture_of_another_size_is_refused_before_it_is_decoded() {
        let whole = picture();
        let frame = whole.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        for (width, height) in [(65_535, 65_535), (WIDTH as u16 + 1, HEIGHT as u16), (8, 8), (0, 1)]
        {
            let mut other = whole.clone();
            other[frame + 5..frame + 7].copy_from_slice(&u16::to_be_bytes(height));
            other[frame + 7..frame + 9].copy_from_slice(&u16::to_be_bytes(width));
            assert!(decode(&other).is_err());
        }
        let mut small = vec![0; 3];
        let result = Decoder::default().decode(
            &whole,
            Layout::packed(PixelFormat::Rgb, 1, 1).unwrap(),
            &mut small,
        );
        assert!(result.is_err());
    }

    #[test]
    fn a_scan_of_one_component_of_odd_sampling_is_an_error() {
        assert!(decode(&odd_scan()).is_err());
        assert!(decode(&picture()).is_ok());
    }

    #[test]
    fn grey_pictures_become_rgb() {
        let mut bytes = Vec::new();
        let pixels = vec![77; (WIDTH * HEIGHT) as usize];
        let encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.write_image(&pixels, WIDTH, HEIGHT, ExtendedColorType::L8).unwrap();
        let decoded = decode(&bytes).unwrap();
        assert!(decoded.iter().all(|byte| byte.abs_diff(77) <= 1));
    }

    #[test]
    fn damaged_pictures_never_panic() {
        let mut random = fastrand::Rng::with_seed(1);
        let bare = without_tables(&picture());
        for whole in [picture(), bare] {
            for _ in 0..4000 {
                let mut damaged = whole.clone();
                // Mostly in the headers, where it hurts.
                let most = if random.bool() { 700.min(damaged.len()) } else { damaged.len() };
                for _ in 0..random.usize(1..6) {
                    let at = random.usize(0..most);
                    damaged[at] ^= 1 << random.u32(0..8);
                }
                if random.u8(..) < 40 {
                    damaged.truncate(random.usize(0..damaged.len()));
                    damaged.extend([0xff, EOI]);
                }
                let _ = decode(&damaged);
            }
        }
        for _ in 0..1000 {
            let mut noise: Vec<u8> = (0..random.usize(2..300)).map(|_| random.u8(..)).collect();
            noise[0..2].copy_from_slice(&[0xff, SOI]);
            let _ = decode(&noise);
        }
    }
}
