//! A small picture that embedded-graphics draws on.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use std::convert::Infallible;

/// Pixels of blue, green, red and "drawn": 255 where something was drawn, 0 where not.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

impl Picture {
    /// Takes a size, keeping the allocation, with nothing drawn.
    pub fn reset(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        self.bytes.clear();
        self.bytes.resize(4 * width as usize * height as usize, 0);
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    pub fn row(&self, y: u32) -> &[u8] {
        let length = 4 * self.width as usize;
        &self.bytes[y as usize * length..][..length]
    }
}

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(point, color) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y)) else { continue };
            if x < self.width && y < self.height {
                let at = 4 * (y as usize * self.width as usize + x as usize);
                self.bytes[at..at + 4].copy_from_slice(&bytes(color));
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), Infallible> {
        let area = area.intersection(&self.bounding_box());
        for y in area.rows() {
            let start = 4 * (y as usize * self.width as usize + area.top_left.x as usize);
            for pixel in self.bytes[start..][..4 * area.size.width as usize].chunks_exact_mut(4) {
                pixel.copy_from_slice(&bytes(color));
            }
        }
        Ok(())
    }
}

fn bytes(color: Rgb888) -> [u8; 4] {
    [color.b(), color.g(), color.r(), 255]
}

/// A picture that lies over another one, at `x`, `y`: what was not drawn is see-through,
/// darkened to a quarter so that bright text can be read on it.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    pub x: u32,
    pub y: u32,
    pub picture: Picture,
}

impl Layer {
    /// Puts what the layer has on row `y` over the row.
    pub fn cover(&self, y: u32, row: &mut [u8]) {
        if y < self.y || y - self.y >= self.picture.height {
            return;
        }
        let under = row[4 * self.x as usize..].chunks_exact_mut(4);
        for (under, over) in under.zip(self.picture.row(y - self.y).chunks_exact(4)) {
            let over = u32::from_le_bytes([over[0], over[1], over[2], over[3]]);
            let seen = u32::from_le_bytes([under[0], under[1], under[2], under[3]]);
            let darker = (seen >> 2) & 0x3f3f_3f3f;
            under.copy_from_slice(&if over >> 24 != 0 { over } else { darker }.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_graphics::primitives::PrimitiveStyle;

    #[test]
    fn drawing_beyond_the_edge_is_cut() {
        let mut picture = Picture::default();
        picture.reset(3, 2);
        let style = PrimitiveStyle::with_fill(Rgb888::new(1, 2, 3));
        Rectangle::new(Point::new(-5, -5), Size::new(6, 6))
            .into_styled(style)
            .draw(&mut picture)
            .unwrap();
        Pixel(Point::new(2, 1), Rgb888::new(9, 9, 9)).draw(&mut picture).unwrap();
        for (x, y) in [(3, 0), (0, 2), (-1, 0), (i32::MAX, i32::MIN)] {
            Pixel(Point::new(x, y), Rgb888::WHITE).draw(&mut picture).unwrap();
        }
        assert_eq!(picture.row(0), [3, 2, 1, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(picture.row(1), [0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 255]);
    }

    #[test]
    fn a_layer_darkens_and_draws_its_rectangle_only() {
        let mut layer = Layer { x: 1, y: 1, picture: Picture::default() };
        layer.picture.reset(2, 1);
        Pixel(Point::new(1, 0), Rgb888::new(7, 8, 9)).draw(&mut layer.picture).unwrap();
        let mut row = [200; 16];
        layer.cover(0, &mut row);
        layer.cover(2, &mut row);
        assert_eq!(row, [200; 16]);
        layer.cover(1, &mut row);
        assert_eq!(row[..4], [200; 4]);
        assert_eq!(row[4..8], [50; 4]);
        assert_eq!(row[8..12], [9, 8, 7, 255]);
        assert_eq!(row[12..], [200; 4]);
    }
}
