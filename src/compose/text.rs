//! Bitmap fonts in many sizes, and text cut or wrapped to a width.

use super::picture::Picture;
use embedded_graphics::mono_font::iso_8859_1::*;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use std::convert::Infallible;

pub const WHITE: Rgb888 = Rgb888::new(255, 255, 255);
pub const GREY: Rgb888 = Rgb888::new(160, 160, 160);

/// Stands at the end of a text that was cut.
pub const CUT: char = '~';

const FONTS: [&MonoFont<'static>; 6] =
    [&FONT_4X6, &FONT_5X8, &FONT_6X10, &FONT_7X13, &FONT_9X15, &FONT_10X20];

/// A font of one cell size, enlarged by whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Face {
    font: usize,
    scale: u32,
}

impl Face {
    /// The largest whose cells are not higher than `height`; else the smallest there is.
    pub fn of_height(height: u32) -> Face {
        Face::all().filter(|face| face.cell().height <= height).last().unwrap_or(Face::SMALLEST)
    }

    /// The largest in which a line of `characters` fits into `width` by `height` pixels.
    pub fn to_fit(characters: u32, width: u32, height: u32) -> Option<Face> {
        let fits = |cell: Size| cell.height <= height && cell.width * characters <= width;
        Face::all().filter(|face| fits(face.cell())).last()
    }

    const SMALLEST: Face = Face { font: 0, scale: 1 };

    /// From the smallest to the largest.
    fn all() -> impl Iterator<Item = Face> {
        let plain = (0..FONTS.len()).map(|font| Face { font, scale: 1 });
        plain.chain((2..=16).map(|scale| Face { font: FONTS.len() - 1, scale }))
    }

    /// Pixels of a character.
    pub fn cell(self) -> Size {
        FONTS[self.font].character_size * self.scale
    }

    /// Draws a line of text, its upper left corner at `x`, `y`.
    pub fn draw(self, text: &str, x: u32, y: u32, color: Rgb888, picture: &mut Picture) {
        let mut target = Enlarged { picture, x: x as i32, y: y as i32, scale: self.scale };
        let style = MonoTextStyle::new(FONTS[self.font], color);
        let Ok(_) =
            Text::with_baseline(text, Point::zero(), style, Baseline::Top).draw(&mut target);
    }
}

/// Draws each pixel as a square of `scale` pixels, from `x`, `y` on.
struct Enlarged<'a> {
    picture: &'a mut Picture,
    x: i32,
    y: i32,
    scale: u32,
}

impl Dimensions for Enlarged<'_> {
    fn bounding_box(&self) -> Rectangle {
        Rectangle::new(Point::zero(), self.picture.size() / self.scale)
    }
}

impl DrawTarget for Enlarged<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let (offset, scale) = (Point::new(self.x, self.y), self.scale as i32);
        if self.scale == 1 {
            let moved = pixels.into_iter().map(|Pixel(point, color)| Pixel(point + offset, color));
            return self.picture.draw_iter(moved);
        }
        for Pixel(point, color) in pixels {
            let square = Rectangle::new(point * scale + offset, Size::new_equal(self.scale));
            self.picture.fill_solid(&square, color)?;
        }
        Ok(())
    }
}

/// Appends at most `characters` of `text`, the last one a `~` when it was cut; what the fonts
/// do not have becomes `?`. Returns how many were appended.
pub fn push(line: &mut String, text: &str, characters: usize) -> usize {
    let length = text.chars().count();
    let kept = if length > characters { characters.saturating_sub(1) } else { length };
    line.extend(text.chars().take(kept).map(drawable));
    if length > characters && characters > 0 {
        line.push(CUT);
    }
    length.min(characters)
}

fn drawable(character: char) -> char {
    match character {
        ' '..='~' | '\u{a1}'..='\u{ff}' => character,
        _ if character.is_whitespace() => ' ',
        _ => '?',
    }
}

/// Appends `text` in lines of at most `characters`, broken at spaces where it can be; what goes
/// beyond `lines` lines is cut.
pub fn wrap(out: &mut String, text: &str, characters: usize, lines: usize) {
    let mut rest = text.trim();
    for line in 1..=lines {
        if rest.is_empty() || characters == 0 {
            return;
        }
        if line > 1 {
            out.push('\n');
        }
        let end = rest.char_indices().nth(characters).map_or(rest.len(), |(at, _)| at);
        if line == lines || end == rest.len() {
            push(out, rest, characters);
            return;
        }
        // A space right after the line is as good as one in it.
        let head = end + usize::from(rest[end..].starts_with(' '));
        let end = rest[..head].rfind(' ').filter(|at| *at > 0).unwrap_or(end);
        push(out, rest[..end].trim_end(), characters);
        rest = rest[end..].trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(text: &str, characters: usize) -> String {
        let mut line = String::new();
        assert_eq!(push(&mut line, text, characters), line.chars().count());
        line
    }

    fn wrapped(text: &str, characters: usize, lines: usize) -> String {
        let mut out = String::new();
        wrap(&mut out, text, characters, lines);
        out
    }

    #[test]
    fn text_is_cut_with_a_mark() {
        assert_eq!(pushed("person", 6), "person");
        assert_eq!(pushed("person", 5), "pers~");
        assert_eq!(pushed("person", 1), "~");
        assert_eq!(pushed("person", 0), "");
        assert_eq!(pushed("Straße 猫\n\u{7f}\u{a0}", 20), "Straße ? ? ");
    }

    #[test]
    fn text_is_wrapped_at_spaces() {
        assert_eq!(wrapped("no such file", 7, 9), "no such\nfile");
        assert_eq!(wrapped("no such file", 6, 9), "no\nsuch\nfile");
        assert_eq!(wrapped("/a/long/path is", 6, 9), "/a/lon\ng/path\nis");
        assert_eq!(wrapped("one two three four", 5, 2), "one\ntwo ~");
        assert_eq!(wrapped("ééé ééé", 3, 9), "ééé\nééé");
        assert_eq!(wrapped("a", 0, 3), "");
        assert_eq!(wrapped("   ", 3, 3), "");
    }

    #[test]
    fn faces_grow_and_fit() {
        let heights: Vec<u32> = Face::all().map(|face| face.cell().height).collect();
        assert!(heights.is_sorted());
        assert_eq!(Face::of_height(0).cell(), Size::new(4, 6));
        assert_eq!(Face::of_height(19).cell(), Size::new(9, 15));
        assert_eq!(Face::of_height(45).cell(), Size::new(20, 40));
        assert_eq!(Face::to_fit(5, 19, 100), None);
        assert_eq!(Face::to_fit(5, 20, 6).map(Face::cell), Some(Size::new(4, 6)));
        assert_eq!(Face::to_fit(10, 640, 90).map(Face::cell), Some(Size::new(40, 80)));
    }

    #[test]
    fn a_letter_as_drawn() {
        let picture = |scale| {
            let mut picture = Picture::default();
            picture.reset(4 * scale, 6 * scale);
            Face { font: 0, scale }.draw("L", 0, 0, WHITE, &mut picture);
            let rows = (0..picture.height()).map(|y| {
                let row = picture.row(y).chunks(4);
                row.map(|pixel| if pixel[3] == 0 { '.' } else { '#' }).collect::<String>()
            });
            rows.collect::<Vec<_>>()
        };
        assert_eq!(picture(1), ["#...", "#...", "#...", "#...", "###.", "...."]);
        assert_eq!(picture(2)[8..], ["######..", "######..", "........", "........"]);
    }
}
