//! Pixels as a framebuffer has them: 16, 24 or 32 bits, with each colour where the driver says.

use super::kernel::{Bitfield, Variable};

/// Where a colour's upper bits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Channel {
    /// Lower bits that are left out: colours are cut, not rounded.
    cut: u32,
    shift: u32,
}

impl Channel {
    /// None where 8 bits cannot be put into the field.
    fn new(field: Bitfield, bits: u32) -> Option<Channel> {
        let fits = (1..=8).contains(&field.length)
            && field.offset <= bits - field.length
            && field.msb_right == 0;
        fits.then(|| Channel { cut: 8 - field.length, shift: field.offset })
    }

    fn place(self, value: u8) -> u32 {
        (u32::from(value) >> self.cut) << self.shift
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelLayout {
    /// 2, 3 or 4, the lowest first.
    pub bytes: usize,
    blue: Channel,
    green: Channel,
    red: Channel,
    /// The bits that make a pixel opaque.
    opaque: u32,
}

impl PixelLayout {
    /// None for what is not 16, 24 or 32 bits of blue, green and red.
    pub fn new(variable: &Variable) -> Option<PixelLayout> {
        let bits = variable.bits_per_pixel;
        if !matches!(bits, 16 | 24 | 32) {
            return None;
        }
        let opaque = match variable.transp {
            Bitfield { length: 0, .. } => 0,
            field => Channel::new(field, bits)?.place(u8::MAX),
        };
        Some(PixelLayout {
            bytes: bits as usize / 8,
            blue: Channel::new(variable.blue, bits)?,
            green: Channel::new(variable.green, bits)?,
            red: Channel::new(variable.red, bits)?,
            opaque,
        })
    }

    /// True for blue, green, red and a byte that nobody looks at: what pictures are made of.
    pub fn is_plain(&self) -> bool {
        let at = |shift| Channel { cut: 0, shift };
        let colors = (self.blue, self.green, self.red);
        self.bytes == 4 && colors == (at(0), at(8), at(16)) && self.opaque == 0
    }

    fn pack(&self, [blue, green, red, _]: [u8; 4]) -> u32 {
        self.blue.place(blue) | self.green.place(green) | self.red.place(red) | self.opaque
    }

    /// Converts pixels of 4 bytes (blue, green, red, unused); returns the bytes written, whole
    /// pixels only.
    pub fn convert<'a>(&self, pixels: &[u8], to: &'a mut [u8]) -> &'a [u8] {
        let pixels = pixels.as_chunks::<4>().0;
        match self.bytes {
            2 => self.fill::<2>(pixels, to),
            3 => self.fill::<3>(pixels, to),
            _ => self.fill::<4>(pixels, to),
        }
        &to[..to.len().min(pixels.len() * self.bytes)]
    }

    fn fill<const BYTES: usize>(&self, pixels: &[[u8; 4]], to: &mut [u8]) {
        for (to, pixel) in to.as_chunks_mut::<BYTES>().0.iter_mut().zip(pixels) {
            to.copy_from_slice(&self.pack(*pixel).to_le_bytes()[..BYTES]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits a pixel; offset and length of red, green, blue and opacity.
    fn variable(bits: u32, fields: [(u32, u32); 4]) -> Variable {
        let [red, green, blue, transp] =
            fields.map(|(offset, length)| Bitfield { offset, length, msb_right: 0 });
        Variable { bits_per_pixel: bits, red, green, blue, transp, ..Variable::default() }
    }

    fn convert(bits: u32, fields: [(u32, u32); 4], pixel: [u8; 4]) -> Vec<u8> {
        let layout = PixelLayout::new(&variable(bits, fields)).unwrap();
        let mut to = vec![0; 64];
        layout.convert(&pixel, &mut to).to_vec()
    }

    #[test]
    fn colours_go_where_the_driver_says() {
        // Blue 0x12, green 0x34, red 0xfe.
        let pixel = [0x12, 0x34, 0xfe, 0x77];
        let rgb565 = [(11, 5), (5, 6), (0, 5), (0, 0)];
        let cut = (0x12 >> 3) | (0x34 >> 2) << 5 | (0xfe >> 3) << 11;
        assert_eq!(convert(16, rgb565, pixel), u16::to_le_bytes(cut));
        let bgr565 = [(0, 5), (5, 6), (11, 5), (0, 0)];
        let cut = (0xfe >> 3) | (0x34 >> 2) << 5 | (0x12 >> 3) << 11;
        assert_eq!(convert(16, bgr565, pixel), u16::to_le_bytes(cut));
        let argb1555 = [(10, 5), (5, 5), (0, 5), (15, 1)];
        let cut = (0x12 >> 3) | (0x34 >> 3) << 5 | (0xfe >> 3) << 10 | 1 << 15;
        assert_eq!(convert(16, argb1555, pixel), u16::to_le_bytes(cut));
        let xrgb = [(16, 8), (8, 8), (0, 8), (0, 0)];
        assert_eq!(convert(32, xrgb, pixel), [0x12, 0x34, 0xfe, 0]);
        let abgr = [(0, 8), (8, 8), (16, 8), (24, 8)];
        assert_eq!(convert(32, abgr, pixel), [0xfe, 0x34, 0x12, 0xff]);
        assert_eq!(convert(24, xrgb, pixel), [0x12, 0x34, 0xfe]);
    }

    #[test]
    fn only_plain_pixels_are_plain() {
        let plain = |bits, fields| PixelLayout::new(&variable(bits, fields)).unwrap().is_plain();
        assert!(plain(32, [(16, 8), (8, 8), (0, 8), (0, 0)]));
        assert!(!plain(32, [(16, 8), (8, 8), (0, 8), (24, 8)]));
        assert!(!plain(32, [(0, 8), (8, 8), (16, 8), (0, 0)]));
        assert!(!plain(24, [(16, 8), (8, 8), (0, 8), (0, 0)]));
    }

    #[test]
    fn fields_that_cannot_be_are_refused() {
        let good = [(11, 5), (5, 6), (0, 5), (0, 0)];
        assert!(PixelLayout::new(&variable(16, good)).is_some());
        for bits in [0, 1, 8, 15, 17, 33, u32::MAX] {
            assert_eq!(PixelLayout::new(&variable(bits, good)), None);
        }
        for bad in [(12, 5), (u32::MAX, 5), (0, 0), (0, 9), (0, u32::MAX)] {
            for at in 0..3 {
                let mut fields = good;
                fields[at] = bad;
                assert_eq!(PixelLayout::new(&variable(16, fields)), None);
            }
        }
        let mut turned = variable(16, good);
        turned.green.msb_right = 1;
        assert_eq!(PixelLayout::new(&turned), None);
    }

    #[test]
    fn rows_that_do_not_fit_are_cut() {
        let layout = PixelLayout::new(&variable(16, [(11, 5), (5, 6), (0, 5), (0, 0)])).unwrap();
        let mut to = [9; 5];
        assert_eq!(layout.convert(&[255; 12], &mut to[..4]), [255; 4]);
        assert_eq!(layout.convert(&[0; 7], &mut to), [0; 2]);
        assert_eq!(to, [0, 0, 255, 255, 9]);
    }
}
