//! Y'CbCr to R'G'B' in integers: the same bits on every machine.

use super::{Frame, PixelFormat};

/// Row `y` of a frame as blue, green, red, 255 bytes: `width` pixels.
pub fn row_to_bgrx(frame: &Frame, y: u32, out: &mut [u8]) {
    let row = frame.row(y);
    match frame.layout.format {
        PixelFormat::Rgb => {
            for (pixel, out) in row.chunks_exact(3).zip(out.chunks_exact_mut(4)) {
                out.copy_from_slice(&[pixel[2], pixel[1], pixel[0], 255]);
            }
        }
        _ => {
            for (grey, out) in row.iter().zip(out.chunks_exact_mut(4)) {
                out.copy_from_slice(&[*grey, *grey, *grey, 255]);
            }
        }
    }
}
