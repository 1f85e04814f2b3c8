//! The confusion matrix as a picture: a row a true class, a column a predicted one, in each cell
//! the share of the true class's pixels in percent.

use super::{Confusion, ratio};
use crate::compose::picture::Picture;
use crate::compose::text::{self, Face, GREY, WHITE};
use crate::config::card::Class;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// Up to as many classes have cells with decimals.
const FEW: usize = 32;
/// Characters of a class's name.
const MOST_NAME: usize = 20;
/// What is right, what is wrong, and where nothing is.
const RIGHT: [u8; 3] = [0x2c, 0x8c, 0x3a];
const WRONG: [u8; 3] = [0xd0, 0x30, 0x40];
const EMPTY: [u8; 3] = [0x26, 0x26, 0x2c];
const BACKGROUND: Rgb888 = Rgb888::new(0x10, 0x10, 0x14);

/// A class, or the column of pixels without a label.
struct Line {
    /// None: without a label.
    class: Option<usize>,
    name: String,
    color: Option<[u8; 3]>,
}

/// Draws the classes that occur; `name` is the network's.
pub fn draw(confusion: &Confusion, classes: &[Class], name: &str) -> Picture {
    let line = |class: usize| {
        let card = classes.get(class);
        let mut name = String::new();
        let named = card.map_or(class.to_string(), |class| class.name.clone());
        text::push(&mut name, &named, MOST_NAME);
        Line { class: Some(class), name, color: card.and_then(|class| class.color) }
    };
    let rows: Vec<Line> = confusion.occurring().into_iter().map(line).collect();
    let mut columns: Vec<Line> = confusion.occurring().into_iter().map(line).collect();
    if confusion.unlabelled() > 0 {
        columns.push(Line { class: None, name: "no label".to_owned(), color: None });
    }
    let few = rows.len() <= FEW;
    let face = Face::of_height(if few { 15 } else { 10 });
    let letter = face.cell();
    let longest = columns.iter().map(|line| line.name.chars().count()).max().unwrap_or(0) as u32;
    let cell = if few {
        Size::new(6 * letter.width, 2 * letter.height)
    } else {
        Size::new(4 * letter.width, letter.height * 3 / 2)
    };
    let lines = ["rows: true class, columns: predicted", "% of the true class's pixels"];
    // Names with their colours lie left of the cells and, upright, above them.
    let swatch = 2 * letter.width;
    let head = (lines.len() as u32 + 2) * (letter.height + 2);
    let left = letter.width + longest * letter.width + swatch + letter.width;
    let top = head + longest * letter.width + swatch + letter.width;
    let across = left + columns.len() as u32 * cell.width;
    let title = lines.map(|line| (line.len() as u32 + 2) * letter.width);
    let width = title.into_iter().fold(across + letter.width, u32::max);
    let height = top + rows.len() as u32 * cell.height + letter.height;
    let mut picture = Picture::default();
    picture.reset(width, height);
    let whole = Rectangle::new(Point::zero(), picture.size());
    let Ok(()) = picture.fill_solid(&whole, BACKGROUND);
    let mut shown = String::new();
    text::push(&mut shown, name, (width / letter.width).saturating_sub(2) as usize);
    face.draw(&shown, letter.width, letter.height / 2, WHITE, &mut picture);
    for (line, at) in lines.iter().zip(1..) {
        let y = letter.height / 2 + at * (letter.height + 2);
        face.draw(line, letter.width, y, GREY, &mut picture);
    }

    for (column, at) in columns.iter().zip(0..) {
        let x = left + at * cell.width + (cell.width - letter.height) / 2;
        let bottom = top - letter.width - swatch;
        draw_upright(&column.name, x, bottom, face, &mut picture);
        let square = Size::new(letter.height, swatch - letter.width / 2);
        fill(&mut picture, (x, bottom + letter.width / 2), square, column.color);
    }
    for (row, at) in rows.iter().zip(0..) {
        let y = top + at * cell.height;
        let name = row.name.chars().count() as u32;
        let x = letter.width * (1 + longest - name);
        face.draw(&row.name, x, y + (cell.height - letter.height) / 2, WHITE, &mut picture);
        let square = Size::new(swatch - letter.width / 2, letter.height);
        let corner = (
            left - letter.width - swatch + letter.width / 2,
            y + (cell.height - letter.height) / 2,
        );
        fill(&mut picture, corner, square, row.color);
        let Some(class) = row.class else { continue };
        for (column, at) in columns.iter().zip(0..) {
            let x = left + at * cell.width;
            let count = confusion.count(class, column.class);
            let share = ratio(count, confusion.true_pixels(class));
            // The root: small shares show, too.
            let full = if column.class == row.class { RIGHT } else { WRONG };
            let color = blend(full, share.unwrap_or(0.0).sqrt());
            fill(&mut picture, (x, y), cell - Size::new_equal(1), Some(color));
            let shown = percent(share, few);
            let color = if count > 0 { WHITE } else { GREY };
            let x = x + (cell.width - shown.len() as u32 * letter.width) / 2;
            face.draw(&shown, x, y + (cell.height - letter.height) / 2, color, &mut picture);
        }
    }
    picture
}

fn percent(share: Option<f64>, decimals: bool) -> String {
    let Some(share) = share else { return "-".to_owned() };
    let (least, digits) = if decimals { (0.1, 1) } else { (1.0, 0) };
    match 100.0 * share {
        0.0 => "0".to_owned(),
        percent if percent < least => format!("<{least}"),
        // What is not all does not look like it.
        percent if percent < 100.0 => format!("{:.digits$}", percent.min(100.0 - least)),
        _ => "100".to_owned(),
    }
}

fn blend(color: [u8; 3], share: f64) -> [u8; 3] {
    let mut blended = EMPTY;
    for (under, over) in blended.iter_mut().zip(color) {
        *under = (f64::from(*under) * (1.0 - share) + f64::from(over) * share).round() as u8;
    }
    blended
}

fn fill(picture: &mut Picture, (x, y): (u32, u32), size: Size, color: Option<[u8; 3]>) {
    if let Some([red, green, blue]) = color {
        let area = Rectangle::new(Point::new(x as i32, y as i32), size);
        let Ok(()) = picture.fill_solid(&area, Rgb888::new(red, green, blue));
    }
}

/// Draws a line that reads from `bottom` up, its letters' tops at `x`.
fn draw_upright(line: &str, x: u32, bottom: u32, face: Face, picture: &mut Picture) {
    let cell = face.cell();
    let mut flat = Picture::default();
    flat.reset(cell.width * line.chars().count() as u32, cell.height);
    face.draw(line, 0, 0, WHITE, &mut flat);
    let (x, bottom) = (x as i32, bottom as i32);
    let pixels = (0..flat.height() as i32).zip(0..flat.height()).flat_map(|(down, y)| {
        let row = flat.row(y).chunks_exact(4).zip(0..);
        let drawn = row.filter(|(pixel, _)| pixel[3] != 0);
        drawn.map(move |(_, along)| Pixel(Point::new(x + down, bottom - 1 - along), WHITE))
    });
    let Ok(()) = picture.draw_iter(pixels);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(classes: usize, truth: &[u8], predicted: &[u8]) -> Picture {
        let mut confusion = Confusion::new(classes);
        confusion.add(truth, predicted).unwrap();
        let class = |id| Class { name: format!("class number {id}"), color: None };
        draw(&confusion, &(0..classes).map(class).collect::<Vec<_>>(), "network")
    }

    /// How many pixels there are of a cell's colour, for a class's share of a row.
    fn count(picture: &Picture, full: [u8; 3], share: f64) -> usize {
        let [red, green, blue] = blend(full, share.sqrt());
        let rows = (0..picture.height()).flat_map(|y| picture.row(y).chunks_exact(4));
        rows.filter(|pixel| **pixel == [blue, green, red, 255]).count()
    }

    #[test]
    fn cells_have_the_colour_of_their_share() {
        // Class 0: 3/4 right, 1/4 as 1. Class 1: half right, half without a label.
        let picture = picture(3, &[0, 0, 0, 0, 1, 1], &[0, 0, 0, 1, 1, 255]);
        // Of 54 by 30 pixels less the gap, the most of it no text.
        let cell = 53 * 29;
        for (full, share) in [(RIGHT, 0.75), (WRONG, 0.25), (RIGHT, 0.5), (WRONG, 0.5)] {
            let found = count(&picture, full, share);
            assert!((cell * 3 / 4..cell).contains(&found), "{full:?} {share}: {found}");
        }
        // Two empty cells: class 1 as 0, class 0 without a label.
        let empty = count(&picture, WRONG, 0.0);
        assert!((2 * cell * 3 / 4..2 * cell).contains(&empty), "{empty}");
    }

    #[test]
    fn the_picture_has_a_size_for_any_number_of_classes() {
        let all: Vec<u8> = (0..255).collect();
        let large = picture(255, &all, &all);
        assert!(large.width() > 255 * 24 && large.height() > 255 * 15);
        assert!(large.width() < 8192 && large.height() < 8192);
        // Nothing counted: the head alone.
        assert!(picture(3, &[255], &[0]).height() < 200);
    }

    #[test]
    fn shares_are_short_and_say_what_is_not_all_and_not_nothing() {
        let few = [None, Some(0.0), Some(0.0004), Some(0.1234), Some(0.99996), Some(1.0)];
        let text = few.map(|share| percent(share, true));
        assert_eq!(text, ["-", "0", "<0.1", "12.3", "99.9", "100"]);
        assert_eq!(
            [0.004, 0.126, 0.996].map(|share| percent(Some(share), false)),
            ["<1", "13", "99"]
        );
    }
}
