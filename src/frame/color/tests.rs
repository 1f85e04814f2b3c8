//! The colours against the standards' equations in real numbers.

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
                    let found = TO_RGB[index(encoding)].rgb(y << LUMA_BITS, chroma[0], chroma[1]);
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
