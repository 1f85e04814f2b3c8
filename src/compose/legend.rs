//! Which colour is which class, and how much of the picture it takes.

use super::picture::{Layer, Picture};
use super::text::{self, Face, GREY, WHITE};
use crate::config::card::Class;
use crate::display::Size;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PrimitiveStyle, Rectangle};
use std::fmt::Write;

/// Up to as many classes are always listed, more only when they occur.
const ALWAYS: usize = 8;
/// Characters of the share: " 100.0%".
const SHARE: usize = 7;
/// Characters of the colour's square and the space after it.
const SWATCH: usize = 3;
/// Names shorter than this tell nothing.
const LEAST_NAME: usize = 4;

#[derive(Default)]
pub struct Legend {
    pub layer: Layer,
    ids: Vec<u8>,
    text: String,
    drawn: Option<(String, Size, Vec<u8>)>,
}

impl Legend {
    /// Takes it off the picture.
    pub fn hide(&mut self) {
        self.layer.picture.reset(0, 0);
        self.drawn = None;
    }

    /// Draws the legend for a picture of `size` whose lowest `below` rows are taken. `shares`
    /// go from 0 to 1, by class id; `only` is listed alone.
    pub fn draw(
        &mut self,
        size: Size,
        below: u32,
        classes: &[Class],
        shares: &[f32],
        only: Option<u8>,
    ) {
        let face = Face::of_height(size.height / 30);
        let cell = face.cell();
        let room = (size.height - below).saturating_sub(cell.height) / cell.height;
        let columns = (size.width / 2 / cell.width) as usize;
        let share = |id: u8| shares.get(usize::from(id)).copied().unwrap_or(0.0);
        self.choose(classes, share, only, room as usize);
        let longest =
            self.ids.iter().map(|id| classes[usize::from(*id)].name.chars().count()).max();
        let name = longest.unwrap_or(0).min(columns.saturating_sub(SWATCH + SHARE));
        if self.ids.is_empty() || name < LEAST_NAME.min(longest.unwrap_or(0)) {
            self.hide();
            return;
        }
        self.text.clear();
        for id in &self.ids {
            let class = &classes[usize::from(*id)];
            for _ in text::push(&mut self.text, &class.name, name)..name {
                self.text.push(' ');
            }
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "{:>6.1}%", 100.0 * share(*id));
        }
        let same = |(text, drawn, ids): &(String, Size, Vec<u8>)| {
            (text, *drawn, ids) == (&self.text, size, &self.ids)
        };
        if self.drawn.as_ref().is_some_and(same) {
            return;
        }
        (self.layer.x, self.layer.y) = (cell.width / 2, cell.height / 2);
        let picture = &mut self.layer.picture;
        let width = (SWATCH + name + SHARE) as u32 * cell.width;
        picture.reset(width, cell.height * self.ids.len() as u32 + 2);
        let mut top = 1;
        for (id, line) in self.ids.iter().zip(self.text.lines()) {
            let color = classes[usize::from(*id)].color;
            draw_swatch(picture, cell, top, color);
            face.draw(line, SWATCH as u32 * cell.width, top, WHITE, picture);
            top += cell.height;
        }
        let (text, drawn, ids) = self.drawn.get_or_insert((String::new(), size, Vec::new()));
        text.clone_from(&self.text);
        ids.clone_from(&self.ids);
        *drawn = size;
    }

    /// Those that are listed, in the order of their ids; the smallest go when there are too many.
    fn choose(
        &mut self,
        classes: &[Class],
        share: impl Fn(u8) -> f32,
        only: Option<u8>,
        room: usize,
    ) {
        let listed = |id: &u8| match only {
            Some(only) => *id == only,
            None => classes.len() <= ALWAYS || share(*id) > 0.0,
        };
        self.ids.clear();
        self.ids.extend((0..classes.len().min(255) as u8).filter(listed));
        if self.ids.len() > room {
            let order = |a: &u8, b: &u8| share(*b).total_cmp(&share(*a)).then(a.cmp(b));
            self.ids.sort_unstable_by(order);
            self.ids.truncate(room);
            self.ids.sort_unstable();
        }
    }
}

/// A square of the colour; hollow without one.
fn draw_swatch(
    picture: &mut Picture,
    cell: embedded_graphics::geometry::Size,
    top: u32,
    color: Option<[u8; 3]>,
) {
    let side = (cell.width * 3 / 2).min(cell.height - 1);
    let corner = Point::new((cell.width / 2) as i32, (top + (cell.height - side) / 2) as i32);
    let style = match color {
        Some([red, green, blue]) => PrimitiveStyle::with_fill(Rgb888::new(red, green, blue)),
        None => PrimitiveStyle::with_stroke(GREY, 1),
    };
    let square = Rectangle::new(corner, embedded_graphics::geometry::Size::new_equal(side));
    let Ok(()) = square.into_styled(style).draw(picture);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(count: usize) -> Vec<Class> {
        let class = |id| Class { name: format!("class {id}"), color: Some([1, 2, 3]) };
        (0..count).map(class).collect()
    }

    fn lines(size: (u32, u32), classes: &[Class], shares: &[f32], only: Option<u8>) -> Vec<String> {
        let mut legend = Legend::default();
        legend.draw(Size { width: size.0, height: size.1 }, 10, classes, shares, only);
        if legend.drawn.is_none() {
            Vec::new()
        } else {
            legend.text.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn few_classes_are_all_listed_many_only_when_they_occur() {
        let shares = [0.1234, 0.0, 0.8766];
        assert_eq!(
            lines((320, 240), &classes(3), &shares, None),
            ["class 0  12.3%", "class 1   0.0%", "class 2  87.7%"]
        );
        assert_eq!(
            lines((320, 240), &classes(150), &shares, None),
            ["class 0  12.3%", "class 2  87.7%"]
        );
        assert_eq!(lines((320, 240), &classes(3), &shares, Some(1)), ["class 1   0.0%"]);
    }

    #[test]
    fn too_many_are_cut_to_the_largest() {
        let shares: Vec<f32> = (0..150).map(|id| id as f32 / 1000.0).collect();
        let lines = lines((320, 60), &classes(150), &shares, None);
        assert_eq!(lines.len(), 7);
        assert_eq!(lines[0], "class 143  14.3%");
    }

    #[test]
    fn long_names_are_cut_and_without_room_there_is_none() {
        let mut classes = classes(1);
        classes[0].name = "a very long name of a class that nobody can read".into();
        assert_eq!(lines((160, 120), &classes, &[0.05], None), ["a very lo~   5.0%"]);
        for size in [(64, 48), (1, 11), (11, 11)] {
            assert_eq!(lines(size, &classes, &[0.05], None), [""; 0]);
        }
        assert_eq!(lines((160, 120), &[], &[], None), [""; 0]);
    }
}
