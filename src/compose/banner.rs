//! What must not be overlooked, in large words.

use super::Shown;
use super::picture::Layer;
use super::text::{self, Face, WHITE};
use crate::display::Size;
use embedded_graphics::pixelcolor::Rgb888;
use std::fmt::Write;
use std::time::Duration;

const RED: Rgb888 = Rgb888::new(255, 80, 80);
const AMBER: Rgb888 = Rgb888::new(255, 190, 0);
const BLUE: Rgb888 = Rgb888::new(120, 200, 255);

/// Titles are as large as one of this many characters, so that they keep their size as ages grow.
const TITLE: u32 = 12;
const MAX_LINES: usize = 5;

#[derive(Default)]
pub struct Banner {
    pub layer: Layer,
    title: String,
    detail: String,
    drawn: Option<(String, String, Size, u32)>,
}

impl Banner {
    /// Takes it off the picture.
    pub fn hide(&mut self) {
        self.layer.picture.reset(0, 0);
        self.drawn = None;
    }

    /// Draws the words for what is shown over a picture of `size` whose lowest `below` rows are
    /// taken. False when there are words but no room for them.
    pub fn draw(&mut self, size: Size, below: u32, shown: &Shown, paused: bool) -> bool {
        let Some(color) = self.write(shown, paused) else {
            self.hide();
            return true;
        };
        // Who pauses wants to look at the picture: that banner leaves the middle free.
        let aside = matches!(shown, Shown::Live(_));
        let face =
            Face::to_fit(TITLE, size.width * 9 / 10, size.height / if aside { 8 } else { 5 });
        let Some(face) = face else {
            self.hide();
            return false;
        };
        let same = |(title, detail, drawn, under): &(String, String, Size, u32)| {
            (title, detail, *drawn, *under) == (&self.title, &self.detail, size, below)
        };
        if self.drawn.as_ref().is_some_and(same) {
            return true;
        }
        let (title, detail, drawn, under) =
            self.drawn.get_or_insert((String::new(), String::new(), size, below));
        title.clone_from(&self.title);
        detail.clone_from(&self.detail);
        (*drawn, *under) = (size, below);

        let small = Face::of_height(size.height / 20);
        let (cell, line) = (face.cell(), small.cell());
        let gap = cell.height / 4;
        let columns = (size.width * 9 / 10 / line.width) as usize;
        let room = (size.height / 2).saturating_sub(cell.height + 3 * gap) / line.height;
        let mut wrapped = String::new();
        if !self.detail.is_empty() {
            text::wrap(&mut wrapped, &self.detail, columns, MAX_LINES.min(room as usize));
        }
        let length = |text: &str| text.chars().count() as u32;
        let widest = wrapped.lines().map(|text| length(text) * line.width).max().unwrap_or(0);
        let width = (widest.max(length(&self.title) * cell.width) + 2 * gap).min(size.width);
        let lines = wrapped.lines().count() as u32;
        let height = cell.height + 2 * gap + if lines > 0 { gap + lines * line.height } else { 0 };

        let picture = &mut self.layer.picture;
        picture.reset(width, height.min(size.height));
        let centre = |text: &str, cell: u32| width.saturating_sub(length(text) * cell) / 2;
        face.draw(&self.title, centre(&self.title, cell.width), gap, color, picture);
        for (index, text) in wrapped.lines().enumerate() {
            let top = cell.height + 2 * gap + index as u32 * line.height;
            small.draw(text, centre(text, line.width), top, WHITE, picture);
        }
        self.layer.x = (size.width - picture.width()) / 2;
        let above = size.height - picture.height();
        self.layer.y = if aside { above.saturating_sub(below + gap) } else { above / 2 };
        true
    }

    /// Writes title and detail; returns the title's colour, None when there is nothing to say.
    fn write(&mut self, shown: &Shown, paused: bool) -> Option<Rgb888> {
        self.title.clear();
        self.detail.clear();
        match shown {
            Shown::Live(_) if !paused => return None,
            Shown::Live(_) => self.title.push_str("PAUSED"),
            Shown::Starting => self.title.push_str("STARTING"),
            Shown::Stale { age, .. } => {
                self.title.push_str("STALE ");
                write_age(&mut self.title, *age);
            }
            Shown::NoSignal { camera, cause } => {
                self.title.push_str("NO SIGNAL");
                // Writing to a string cannot fail.
                let _ = write!(self.detail, "{camera}: {cause}");
            }
            Shown::NoModel { reason } => {
                self.title.push_str("NO MODEL");
                self.detail.push_str(reason);
            }
            Shown::CannotRun { reason } => {
                self.title.push_str("CANNOT RUN");
                self.detail.push_str(reason);
            }
            Shown::Failed { reason } => {
                self.title.push_str("FAILED");
                self.detail.push_str(reason);
            }
        }
        Some(match shown {
            Shown::Live(_) | Shown::Starting => BLUE,
            Shown::Stale { .. } => AMBER,
            Shown::NoSignal { .. }
            | Shown::NoModel { .. }
            | Shown::CannotRun { .. }
            | Shown::Failed { .. } => RED,
        })
    }
}

/// At most seven characters.
fn write_age(text: &mut String, age: Duration) {
    let seconds = age.as_secs();
    let _ = match seconds {
        0..60 => write!(text, "{seconds}.{} s", age.subsec_millis() / 100),
        60..3600 => write!(text, "{} min", seconds / 60),
        3600..360_000 => write!(text, "{} h", seconds / 3600),
        _ => write!(text, "> 99 h"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let age = |seconds| {
            let mut text = String::new();
            write_age(&mut text, Duration::from_secs_f64(seconds));
            text
        };
        assert_eq!(age(0.5), "0.5 s");
        assert_eq!(age(59.99), "59.9 s");
        assert_eq!(age(60.0), "1 min");
        assert_eq!(age(7200.0), "2 h");
        assert_eq!(age(1e12), "> 99 h");
    }

    #[test]
    fn banners_stay_inside_pictures_of_every_size() {
        let mut banner = Banner::default();
        let long = "a/very/long/path/without/any/space ".repeat(40);
        for width in [1, 20, 48, 64, 320, 1920] {
            for height in [1, 20, 30, 48, 240, 1080] {
                let size = Size { width, height };
                let shown = Shown::NoModel { reason: &long };
                let drawn = banner.draw(size, 0, &shown, false);
                assert_eq!(drawn, width >= 54 && height >= 30, "{width}x{height}");
                let picture = &banner.layer.picture;
                if drawn {
                    assert!(banner.layer.x + picture.width() <= width);
                    assert!(banner.layer.y + picture.height() <= height);
                }
            }
        }
    }
}
