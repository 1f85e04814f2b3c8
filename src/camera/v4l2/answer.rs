//! What a driver made of the format it was asked for, checked: drivers round, and some lie.

use super::facts::Format;
use super::negotiate::{Choice, Coding, Stated, letters};
use crate::frame::{Encoding, Layout, Matrix, PixelFormat, Range};
use v4l::sys::{
    v4l2_colorspace_V4L2_COLORSPACE_BT2020 as SPACE_BT2020,
    v4l2_colorspace_V4L2_COLORSPACE_DCI_P3 as SPACE_DCI_P3,
    v4l2_colorspace_V4L2_COLORSPACE_JPEG as SPACE_JPEG,
    v4l2_colorspace_V4L2_COLORSPACE_REC709 as SPACE_709,
    v4l2_colorspace_V4L2_COLORSPACE_SMPTE240M as SPACE_240M,
    v4l2_field_V4L2_FIELD_ANY as FIELD_ANY, v4l2_field_V4L2_FIELD_INTERLACED as FIELD_INTERLACED,
    v4l2_field_V4L2_FIELD_INTERLACED_BT as FIELD_INTERLACED_BT,
    v4l2_field_V4L2_FIELD_INTERLACED_TB as FIELD_INTERLACED_TB,
    v4l2_field_V4L2_FIELD_NONE as FIELD_NONE,
    v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE as FULL_RANGE,
    v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE as LIMITED_RANGE,
    v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_601 as ENC_601,
    v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709 as ENC_709,
    v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020 as ENC_BT2020,
    v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020_CONST_LUM as ENC_BT2020_CONST,
    v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_DEFAULT as ENC_DEFAULT,
    v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_SMPTE240M as ENC_240M,
    v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_XV709 as ENC_XV709,
};

/// The layout that frames will have (JPEG: decoded ones), or what is wrong with the answer.
/// `encoding` is what the URI says of Y'CbCr.
pub fn layout(
    answer: &Format,
    choice: &Choice,
    stated: &Stated,
    encoding: (Option<Matrix>, Option<Range>),
) -> Result<(Coding, Layout), String> {
    let Format { width, height, stride, bytes, planes, .. } = *answer;
    let name = letters(answer.fourcc);
    let coding = Coding::from_fourcc(answer.fourcc)
        .filter(|coding| *coding == choice.coding || stated.coding.is_none());
    let Some(coding) = coding else {
        return Err(format!("answers with format {name} when asked for {}", choice.coding.name()));
    };
    if !stated.allows_size((width, height)) {
        let (asked_width, asked_height) = (choice.width, choice.height);
        return Err(format!(
            "answers with {width}x{height} when asked for {asked_width}x{asked_height}"
        ));
    }
    if planes != 1 {
        return Err(format!(
            "keeps {name} in {planes} separate memory planes, of which segcam reads one; try another format"
        ));
    }
    if !is_progressive(answer.field) {
        return Err(format!(
            "delivers fields, not frames (field order {}); choose a progressive mode on the source",
            answer.field
        ));
    }
    let Coding::Raw(format) = coding else {
        let layout = Layout::packed(PixelFormat::Rgb, width, height);
        return layout.map(|layout| (coding, layout)).map_err(|error| error.to_string());
    };
    // Zero is what drivers say that do not care for padding.
    let stride = if stride == 0 { format.min_stride(width) } else { stride as usize };
    let layout =
        Layout::strided(format, width, height, stride).map_err(|error| error.to_string())?;
    if format == PixelFormat::Nv12 && stride % 2 != 0 {
        return Err(format!("answers with a stride of {stride} bytes, which NV12 cannot have"));
    }
    if (bytes as usize) < layout.bytes() {
        return Err(format!(
            "says a frame of {width}x{height} {name} with rows of {stride} bytes takes {bytes} bytes; it takes {}",
            layout.bytes()
        ));
    }
    let said = self::encoding(answer);
    let encoding = Encoding {
        matrix: encoding.0.unwrap_or(said.matrix),
        range: encoding.1.unwrap_or(said.range),
    };
    Ok((coding, layout.with_encoding(encoding)))
}

/// Whole frames: `V4L2_FIELD_NONE`, or both fields woven.
fn is_progressive(field: u32) -> bool {
    [FIELD_ANY, FIELD_NONE, FIELD_INTERLACED, FIELD_INTERLACED_TB, FIELD_INTERLACED_BT]
        .contains(&field)
}

/// The matrix and range that the driver means; where it says "default", those that
/// `V4L2_MAP_YCBCR_ENC_DEFAULT` and `V4L2_MAP_QUANTIZATION_DEFAULT` give. BT.2020 and
/// SMPTE 240M are taken as BT.709, which is next to them.
fn encoding(answer: &Format) -> Encoding {
    let colorspace = answer.colorspace;
    let ycbcr = match answer.ycbcr {
        ENC_DEFAULT => match colorspace {
            SPACE_709 | SPACE_DCI_P3 => ENC_709,
            SPACE_BT2020 => ENC_BT2020,
            SPACE_240M => ENC_240M,
            _ => ENC_601,
        },
        said => said,
    };
    let matrix = match ycbcr {
        ENC_709 | ENC_XV709 | ENC_BT2020 | ENC_BT2020_CONST | ENC_240M => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = match answer.quantization {
        FULL_RANGE => Range::Full,
        LIMITED_RANGE => Range::Limited,
        _ if colorspace == SPACE_JPEG => Range::Full,
        _ => Range::Limited,
    };
    Encoding { matrix, range }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICE: Choice = Choice {
        coding: Coding::Raw(PixelFormat::Yuyv),
        fourcc: u32::from_le_bytes(*b"YUYV"),
        width: 640,
        height: 480,
        interval: None,
    };

    fn answer(fourcc: &[u8; 4], stride: u32, bytes: u32) -> Format {
        let fourcc = u32::from_le_bytes(*fourcc);
        Format {
            fourcc,
            width: 640,
            height: 480,
            field: 1,
            stride,
            bytes,
            planes: 1,
            ..Default::default()
        }
    }

    fn checked(answer: &Format) -> Result<(Coding, Layout), String> {
        layout(answer, &CHOICE, &Stated::default(), (None, None))
    }

    #[test]
    fn padded_rows_are_taken_as_they_are() {
        let (_, layout) = checked(&answer(b"YUYV", 1344, 1344 * 480)).unwrap();
        assert_eq!((layout.stride, layout.bytes()), (1344, 1344 * 480));
        let (_, layout) = checked(&answer(b"YUYV", 0, 1280 * 480)).unwrap();
        assert_eq!(layout.stride, 1280);
        let (_, layout) = checked(&answer(b"YU12", 704, 704 * 720)).unwrap();
        assert_eq!((layout.chroma_stride(), layout.bytes()), (352, 704 * 720));
    }

    #[test]
    fn answers_that_cannot_be_are_refused() {
        for (fourcc, stride, bytes) in [
            (b"YUYV", 1279, 1280 * 480),
            (b"YUYV", 1280, 1280 * 480 - 1),
            (b"YUYV", u32::MAX, u32::MAX),
            (b"YUYV", 1280, 0),
            (b"NV12", 640, 640 * 480),
            (b"NV12", 641, u32::MAX),
            (b"BA81", 640, 640 * 480),
        ] {
            assert!(checked(&answer(fourcc, stride, bytes)).is_err(), "{stride} {bytes}");
        }
        let good = answer(b"YUYV", 1280, 1280 * 480);
        assert!(checked(&good).is_ok());
        for (width, height) in [(0, 480), (u32::MAX, u32::MAX), (640, 20_000)] {
            assert!(checked(&Format { width, height, ..good }).is_err());
        }
        assert!(checked(&Format { planes: 2, ..good }).unwrap_err().contains("2 separate"));
        assert!(checked(&Format { planes: 0, ..good }).is_err());
        assert!(checked(&Format { field: 7, ..good }).unwrap_err().contains("progressive"));
    }

    #[test]
    fn whatever_is_answered_a_layout_stays_within_its_bytes() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut number = || match random.u8(..4) {
            0 => random.u32(..),
            1 => 1 << random.u32(..32),
            2 => random.u32(..9),
            _ => [320, 480, 640, 1280, 614_400][random.usize(..5)],
        };
        let mut taken = 0;
        for at in 0..200_000 {
            let fourcc = [b"YUYV", b"NV12", b"YU12", b"RGB3", b"GREY"][at % 5];
            let answer = Format {
                fourcc: u32::from_le_bytes(*fourcc),
                width: number(),
                height: number(),
                stride: number(),
                bytes: number(),
                planes: 1,
                ..Default::default()
            };
            if let Ok((_, layout)) = checked(&answer) {
                assert!(layout.bytes() <= answer.bytes as usize, "{answer:?}");
                taken += 1;
            }
        }
        assert!(taken > 100, "{taken}");
    }

    #[test]
    fn what_is_stated_is_not_given_up() {
        let other = answer(b"UYVY", 1280, 1280 * 480);
        assert!(checked(&other).is_ok());
        let stated = Stated { coding: Some(CHOICE.coding), ..Default::default() };
        assert!(layout(&other, &CHOICE, &stated, (None, None)).unwrap_err().contains("UYVY"));
        let stated = Stated { width: Some(320), ..Default::default() };
        assert!(layout(&other, &CHOICE, &stated, (None, None)).unwrap_err().contains("640x480"));
    }

    #[test]
    fn colours_follow_the_driver_and_the_uri_before_it() {
        let meaning = |colorspace, ycbcr, quantization| {
            let encoding =
                encoding(&Format { colorspace, ycbcr, quantization, ..Default::default() });
            (encoding.matrix, encoding.range)
        };
        assert_eq!(meaning(0, 0, 0), (Matrix::Bt601, Range::Limited));
        assert_eq!(meaning(8, 0, 0), (Matrix::Bt601, Range::Limited));
        assert_eq!(meaning(3, 0, 0), (Matrix::Bt709, Range::Limited));
        assert_eq!(meaning(7, 0, 0), (Matrix::Bt601, Range::Full));
        assert_eq!(meaning(7, 2, 2), (Matrix::Bt709, Range::Limited));
        assert_eq!(meaning(u32::MAX, u32::MAX, u32::MAX), (Matrix::Bt601, Range::Limited));
        let given = (Some(Matrix::Bt709), Some(Range::Full));
        let (_, layout) =
            layout(&answer(b"YUYV", 1280, 614_400), &CHOICE, &Stated::default(), given).unwrap();
        assert_eq!(layout.encoding, Encoding { matrix: Matrix::Bt709, range: Range::Full });
    }
}
