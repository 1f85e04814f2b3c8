//! The bar at the bottom: rates, times, and a mark that moves with each fresh mask.

use super::picture::Layer;
use super::text::{self, Face, GREY, WHITE};
use super::{Shown, Status};
use crate::display::Size;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use std::fmt::Write;

const AMBER: Rgb888 = Rgb888::new(255, 190, 0);
const FRESH: Rgb888 = Rgb888::new(80, 255, 80);
/// Places the mark goes through, each as wide as a character.
const PLACES: u64 = 3;
/// Characters that the places and the space after them take.
const MARK: usize = 4;
const MAX_LINES: u32 = 3;

#[derive(Default)]
pub struct StatusBar {
    pub layer: Layer,
    text: String,
    item: String,
    drawn: Option<(String, Size, Option<u64>)>,
    beats: Beats,
}

/// Counts frames with fresh masks. The sequence number itself would not do: when every fourth
/// frame is shown, it moves in fours.
#[derive(Default)]
struct Beats {
    sequence: Option<u64>,
    count: u64,
}

impl Beats {
    fn count(&mut self, shown: &Shown) -> Option<u64> {
        let Shown::Live(mask) = shown else { return None };
        let frame = mask.frame();
        if self.sequence.replace(frame.sequence) != Some(frame.sequence) {
            self.count += 1;
        }
        Some(self.count % PLACES)
    }
}

impl StatusBar {
    /// Takes it off the picture.
    pub fn hide(&mut self) {
        self.layer.picture.reset(0, 0);
        self.drawn = None;
    }

    /// Draws the bar for a picture of `size`; returns its height, 0 when there is no room.
    pub fn draw(&mut self, size: Size, shown: &Shown, status: &Status) -> u32 {
        let beat = self.beats.count(shown);
        let face = Face::of_height(size.height / 30);
        let cell = face.cell();
        let columns = (size.width.saturating_sub(2) / cell.width) as usize;
        let lines = ((size.height / 4).saturating_sub(2) / cell.height).min(MAX_LINES);
        if columns < MARK + 5 || lines == 0 {
            self.hide();
            return 0;
        }
        let above = self.write(shown, status, columns, lines);
        let lines = self.text.lines().count() as u32;
        let height = lines * cell.height + 2;
        let same = |(text, drawn, mark): &(String, Size, Option<u64>)| {
            (text, *drawn, *mark) == (&self.text, size, beat)
        };
        if self.drawn.as_ref().is_some_and(same) {
            return height;
        }
        self.layer.y = size.height - height;
        let picture = &mut self.layer.picture;
        picture.reset(size.width, height);
        let (mark, width) = (Size2::new(cell.width, cell.height * 3 / 4), cell.width as i32);
        let top = 1 + (above * cell.height) as i32;
        if let Some(place) = beat {
            let corner = Point::new(1 + place as i32 * width, top + (cell.height / 8) as i32);
            let Ok(()) = picture.fill_solid(&Rectangle::new(corner, mark), FRESH);
        } else {
            let corner = Point::new(1, top + (cell.height / 2) as i32);
            let line = Rectangle::new(corner, Size2::new(PLACES as u32 * cell.width, 1));
            let Ok(()) = picture.fill_solid(&line, GREY);
        }
        for (line, text) in self.text.lines().enumerate() {
            let line = line as u32;
            let indent = if line == above { MARK as u32 * cell.width } else { 0 };
            let color = if line < above { AMBER } else { WHITE };
            face.draw(text, 1 + indent, 1 + line * cell.height, color, picture);
        }
        let (text, drawn, mark) = self.drawn.get_or_insert((String::new(), size, beat));
        text.clone_from(&self.text);
        (*drawn, *mark) = (size, beat);
        height
    }

    /// Writes the trouble, then the items into lines, the most telling ones first. Returns how many
    /// lines the trouble takes, which leaves one at least.
    fn write(&mut self, shown: &Shown, status: &Status, columns: usize, lines: u32) -> u32 {
        self.text.clear();
        if !status.trouble.is_empty() && lines > 1 {
            text::wrap(&mut self.text, &status.trouble, columns, lines as usize - 1);
        }
        let above = self.text.lines().count() as u32;
        if above > 0 && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        let left = lines - above;
        let mut lines = Lines { text: &mut self.text, columns, left, used: MARK, first: true };
        if above == 0 && !status.trouble.is_empty() {
            lines.add(&status.trouble);
        }
        let item = &mut self.item;
        // Writing to a string cannot fail.
        item.clear();
        let _ = write!(item, "{:.1} fps", status.frames_per_second);
        lines.add(item);
        if let Some(age) = shown.age() {
            item.clear();
            let _ = write!(item, "age {} ms", age.as_millis());
            lines.add(item);
        }
        item.clear();
        let _ = write!(item, "dropped {}", status.dropped);
        lines.add(item);
        if let Some(celsius) = status.celsius {
            item.clear();
            let _ = write!(item, "{celsius:.0} C");
            lines.add(item);
        }
        for stage in &status.stages {
            item.clear();
            let _ = write!(item, "{} {:.1}", stage.name, stage.milliseconds);
            lines.add(item);
        }
        for name in [&status.model, &status.camera] {
            if !name.is_empty() {
                lines.add(name);
            }
        }
        above
    }
}

type Size2 = embedded_graphics::geometry::Size;

/// Items, two spaces between them, in lines of a width. An item that does not fit on the last
/// line is left out, and all after it: half a number would be a wrong one.
struct Lines<'a> {
    text: &'a mut String,
    columns: usize,
    left: u32,
    used: usize,
    /// Nothing stands on this line.
    first: bool,
}

impl Lines<'_> {
    fn add(&mut self, item: &str) {
        let gap = if self.first { 0 } else { 2 };
        let fits = self.used + gap + item.chars().count() <= self.columns;
        if self.first || fits {
            self.text.push_str(&"  "[..gap]);
            self.used += gap;
            self.used += text::push(self.text, item, self.columns.saturating_sub(self.used));
            self.first = false;
        } else if self.left > 1 {
            self.text.push('\n');
            (self.left, self.used, self.first) = (self.left - 1, 0, true);
            self.add(item);
        } else {
            if self.used < self.columns {
                self.text.push(text::CUT);
            }
            self.used = self.columns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{Mask, Stage};
    use std::time::Duration;

    fn bar(columns: usize, lines: u32) -> String {
        let stages = ["prepare", "network"].map(|name| Stage { name, milliseconds: 1.26 });
        let status = Status {
            model: "selfie".into(),
            camera: "猫".into(),
            stages: stages.to_vec(),
            frames_per_second: 24.96,
            dropped: 7,
            celsius: Some(61.8),
            trouble: String::new(),
        };
        let frame = crate::compose::golden::frame(1, 1);
        let shown = Shown::Stale { frame: &frame, age: Duration::from_millis(45) };
        let mut bar = StatusBar::default();
        bar.write(&shown, &status, columns, lines);
        bar.text
    }

    #[test]
    fn items_go_into_lines_and_the_last_is_cut() {
        let line = "25.0 fps  age 45 ms  dropped 7  62 C  prepare 1.3  network 1.3  selfie  ?";
        assert_eq!(bar(100, 3), line);
        assert_eq!(
            bar(40, 3),
            "25.0 fps  age 45 ms  dropped 7  62 C\nprepare 1.3  network 1.3  selfie  ?"
        );
        assert_eq!(bar(40, 1), "25.0 fps  age 45 ms  dropped 7  62 C");
        assert_eq!(bar(16, 2), "25.0 fps\nage 45 ms~");
        assert_eq!(bar(12, 1), "25.0 fps");
        assert_eq!(bar(9, 1), "25.0~");
    }

    #[test]
    fn trouble_stands_above_and_leaves_a_line_for_the_items() {
        let mut bar = StatusBar::default();
        let trouble = "the new model is not taken".to_owned();
        let status = Status { trouble, dropped: 7, ..Status::default() };
        let above = bar.write(&Shown::Starting, &status, 20, 3);
        assert_eq!((above, &*bar.text), (2, "the new model is not\ntaken\n0.0 fps~"));
        assert_eq!(bar.write(&Shown::Starting, &status, 40, 1), 0);
        assert_eq!(bar.text, "the new model is not taken  0.0 fps~");
    }

    #[test]
    fn the_mark_moves_with_each_new_frame_only() {
        let mut frame = crate::compose::golden::frame(1, 1);
        let labels = crate::decode::LabelMap::default();
        let mut beats = Beats::default();
        let mut seen = Vec::new();
        for sequence in [4, 4, 8, 12, 12, 16] {
            frame.sequence = sequence;
            let (frame, age) = (&frame, Duration::ZERO);
            let live = Shown::Live(Mask::of(frame, &labels, &[], age));
            seen.push(beats.count(&live).unwrap());
            assert_eq!(beats.count(&Shown::Stale { frame, age }), None);
        }
        assert_eq!(seen, [1, 1, 2, 0, 0, 1]);
    }
}
