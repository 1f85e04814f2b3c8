//! R'G'B' to every other [`PixelFormat`], for sources that make their own pictures.
//!
//! Limited BT.601 with 16-bit factors (ITU-R BT.601-7, section 2.5), chroma of the mean
//! colour of the two or four pixels that share it. Integers only: the same bits everywhere.

use crate::frame::{Frame, PixelFormat};

type Pixel = [i32; 3];

fn dot(factors: Pixel, [r, g, b]: Pixel) -> i32 {
    factors[0] * r + factors[1] * g + factors[2] * b
}

/// Y from 16 to 235.
fn luma(pixel: Pixel) -> u8 {
    ((dot([16829, 33039, 6416], pixel) + (16 << 16) + (1 << 15)) >> 16) as u8
}

/// Luma from 0 to 255.
fn grey(pixel: Pixel) -> u8 {
    ((dot([19595, 38470, 7471], pixel) + (1 << 15)) >> 16) as u8
}

/// Cb and Cr from 16 to 240, of the sum of `1 << bits` pixels.
fn chroma(sum: Pixel, bits: u32) -> [u8; 2] {
    let level = |factors| {
        ((dot(factors, sum) + (128 << (16 + bits)) + (1 << (15 + bits))) >> (16 + bits)) as u8
    };
    [level([-9714, -19070, 28784]), level([28784, -24103, -4681])]
}

fn pixel(rgb: &[u8]) -> Pixel {
    [rgb[0].into(), rgb[1].into(), rgb[2].into()]
}

fn sum(a: Pixel, b: Pixel) -> Pixel {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// The first and second pixel of a pair; a missing second is the first again.
fn pair(rgb: &[u8]) -> [Pixel; 2] {
    [pixel(rgb), pixel(if rgb.len() == 6 { &rgb[3..] } else { rgb })]
}

/// Fills `frame` from packed RGB of its size. The frame's rows must not be padded.
pub fn from_rgb(rgb: &[u8], frame: &mut Frame) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let layout = frame.layout;
    let rows = rgb.chunks_exact(3 * width);
    match layout.format {
        PixelFormat::Rgb => frame.data.copy_from_slice(rgb),
        PixelFormat::Bgr => {
            for (to, from) in frame.data.chunks_exact_mut(3).zip(rgb.chunks_exact(3)) {
                to.copy_from_slice(&[from[2], from[1], from[0]]);
            }
        }
        PixelFormat::Grey => {
            for (to, from) in frame.data.iter_mut().zip(rgb.chunks_exact(3)) {
                *to = grey(pixel(from));
            }
        }
        PixelFormat::Yuyv | PixelFormat::Uyvy => {
            for (to, from) in frame.data.chunks_exact_mut(layout.stride).zip(rows) {
                for (to, from) in to.chunks_exact_mut(4).zip(from.chunks(6)) {
                    let [first, second] = pair(from);
                    let [cb, cr] = chroma(sum(first, second), 1);
                    to.copy_from_slice(&match layout.format {
                        PixelFormat::Yuyv => [luma(first), cb, luma(second), cr],
                        _ => [cb, luma(first), cr, luma(second)],
                    });
                }
            }
        }
        PixelFormat::Nv12 | PixelFormat::I420 => {
            let (y, chroma_planes) = frame.data.split_at_mut(width * height);
            for (to, from) in y.iter_mut().zip(rgb.chunks_exact(3)) {
                *to = luma(pixel(from));
            }
            let half = width.div_ceil(2);
            let planar = layout.format == PixelFormat::I420;
            let plane = half * height.div_ceil(2);
            for (row, two) in rgb.chunks(6 * width).enumerate() {
                let (top, bottom) = two.split_at(3 * width);
                let bottom = if bottom.is_empty() { top } else { bottom };
                for (x, (top, bottom)) in top.chunks(6).zip(bottom.chunks(6)).enumerate() {
                    let ([a, b], [c, d]) = (pair(top), pair(bottom));
                    let [cb, cr] = chroma(sum(sum(a, b), sum(c, d)), 2);
                    let at = row * half + x;
                    let (first, second) =
                        if planar { (at, plane + at) } else { (2 * at, 2 * at + 1) };
                    chroma_planes[first] = cb;
                    chroma_planes[second] = cr;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Layout;

    fn encode(format: PixelFormat, width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
        let mut frame = Frame::new(Layout::packed(format, width, height).unwrap());
        from_rgb(rgb, &mut frame);
        assert_eq!(frame.data.len(), frame.layout.bytes());
        frame.data.to_vec()
    }

    /// The colour bars of BT.601 (100 %), as published: Y, Cb, Cr.
    #[test]
    fn colour_bars_have_their_known_codes() {
        for (rgb, [y, cb, cr]) in [
            ([255, 255, 255], [235, 128, 128]),
            ([255, 255, 0], [210, 16, 146]),
            ([0, 255, 255], [170, 166, 16]),
            ([0, 255, 0], [145, 54, 34]),
            ([255, 0, 255], [106, 202, 222]),
            ([255, 0, 0], [81, 90, 240]),
            ([0, 0, 255], [41, 240, 110]),
            ([0, 0, 0], [16, 128, 128]),
        ] {
            assert_eq!(encode(PixelFormat::Yuyv, 1, 1, &rgb), [y, cb, y, cr]);
            assert_eq!(encode(PixelFormat::Uyvy, 1, 1, &rgb), [cb, y, cr, y]);
            assert_eq!(encode(PixelFormat::Nv12, 1, 1, &rgb), [y, cb, cr]);
            assert_eq!(encode(PixelFormat::I420, 1, 1, &rgb), [y, cb, cr]);
        }
        assert_eq!(encode(PixelFormat::Grey, 2, 1, &[255, 255, 255, 255, 0, 0]), [255, 76]);
        assert_eq!(encode(PixelFormat::Bgr, 1, 1, &[1, 2, 3]), [3, 2, 1]);
    }

    #[test]
    fn odd_sizes_put_every_sample_in_its_place() {
        // Left column red, the others blue; 3x3.
        let row = [255, 0, 0, 0, 0, 255, 0, 0, 255];
        let rgb = [row, row, row].concat();
        let mixed = chroma([510, 0, 510], 2);
        let [blue_cb, blue_cr] = [240, 110];
        let luma = [81, 41, 41].repeat(3);
        let i420 = encode(PixelFormat::I420, 3, 3, &rgb);
        assert_eq!(i420[..9], luma);
        assert_eq!(i420[9..13], [mixed[0], blue_cb, mixed[0], blue_cb]);
        assert_eq!(i420[13..], [mixed[1], blue_cr, mixed[1], blue_cr]);
        let nv12 = encode(PixelFormat::Nv12, 3, 3, &rgb);
        assert_eq!(nv12[9..13], [mixed[0], mixed[1], blue_cb, blue_cr]);
    }
}
