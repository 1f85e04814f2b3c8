//! Pictures as text: half blocks in colours, by the control sequences of ECMA-48 and xterm.

use super::Size;
use std::io::Write;

/// Enters the alternate screen without a cursor.
pub const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
/// Undoes [`ENTER`] and all colours.
pub const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";

/// How colours are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// 24 bits.
    True,
    /// The 256 of xterm.
    Indexed,
}

/// Upper and lower half of a character: red, green, blue.
type Cell = [[u8; 3]; 2];

/// Characters that show a picture of two pixels each; sends only those that changed.
pub struct Canvas {
    colors: Colors,
    columns: usize,
    rows: usize,
    cells: Vec<Cell>,
    /// What the terminal shows.
    sent: Vec<Option<Cell>>,
    out: Vec<u8>,
}

impl Canvas {
    pub fn new(colors: Colors) -> Canvas {
        let (cells, sent, out) = (Vec::new(), Vec::new(), Vec::new());
        Canvas { colors, columns: 0, rows: 0, cells, sent, out }
    }

    /// Takes a terminal's size in characters; on a new one, all is sent again.
    pub fn resize(&mut self, columns: usize, rows: usize) {
        if (self.columns, self.rows) != (columns, rows) {
            (self.columns, self.rows) = (columns, rows);
            self.cells.clear();
            self.cells.resize(columns * rows, Cell::default());
            self.sent.clear();
            self.sent.resize(columns * rows, None);
        }
    }

    /// Takes row `y` of a picture of `size`, which is spread over the whole canvas.
    pub fn write_row(&mut self, size: Size, y: u32, row: &[u8]) {
        let (width, height) = (size.width as usize, size.height as usize);
        let (y, canvas) = (y as usize, 2 * self.rows);
        // The canvas rows whose nearest picture row this is.
        let first = |y: usize| (2 * y * canvas).saturating_sub(height).div_ceil(2 * height);
        let rows = if height == canvas { y..y + 1 } else { first(y)..first(y + 1) };
        for line in rows {
            let cells = self.cells.iter_mut().skip(line / 2 * self.columns).take(self.columns);
            for (column, cell) in cells.enumerate() {
                let x = (2 * column + 1) * width / (2 * self.columns);
                if let Some([blue, green, red, _]) =
                    row.get(4 * x..4 * x + 4).and_then(|pixel| pixel.first_chunk())
                {
                    cell[line % 2] = [*red, *green, *blue];
                }
            }
        }
    }

    /// The text that brings the terminal up to date.
    pub fn update(&mut self) -> &[u8] {
        self.out.clear();
        let mut pen: Option<Cell> = None;
        let mut cursor = None;
        for (at, (cell, sent)) in self.cells.iter().zip(&mut self.sent).enumerate() {
            let cell = match self.colors {
                Colors::True => *cell,
                Colors::Indexed => cell.map(|color| [indexed(color), 0, 0]),
            };
            if *sent == Some(cell) {
                continue;
            }
            *sent = Some(cell);
            if cursor != Some(at) {
                let (row, column) = (at / self.columns + 1, at % self.columns + 1);
                // Writing to memory cannot fail.
                let _ = write!(self.out, "\x1b[{row};{column}H");
            }
            for (half, ground) in [38, 48].into_iter().enumerate() {
                if pen.is_none_or(|pen| pen[half] != cell[half]) {
                    let [red, green, blue] = cell[half];
                    let _ = match self.colors {
                        Colors::True => write!(self.out, "\x1b[{ground};2;{red};{green};{blue}m"),
                        Colors::Indexed => write!(self.out, "\x1b[{ground};5;{red}m"),
                    };
                }
            }
            pen = Some(cell);
            self.out.extend_from_slice("▀".as_bytes());
            // After the last column terminals differ in where the cursor stands.
            cursor = Some(at + 1).filter(|next| next % self.columns != 0);
        }
        &self.out
    }
}

/// The nearest of xterm's colour cube (16 to 231) and grey ramp (232 to 255).
fn indexed(color: [u8; 3]) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let steps = color.map(|value| match value {
        0..48 => 0,
        48..115 => 1,
        _ => (usize::from(value) - 35) / 40,
    });
    let mean = color.iter().map(|value| u32::from(*value)).sum::<u32>() / 3;
    let step = mean.saturating_sub(3).div_euclid(10).min(23) as u8;
    let far = |other: [u8; 3]| -> u32 {
        color.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    if far([8 + 10 * step; 3]) < far(steps.map(|step| LEVELS[step])) {
        232 + step
    } else {
        (16 + 36 * steps[0] + 6 * steps[1] + steps[2]) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that understands what a canvas sends.
    struct Screen {
        columns: usize,
        cells: Vec<[String; 2]>,
    }

    impl Screen {
        fn take(&mut self, text: &[u8]) -> usize {
            let text = std::str::from_utf8(text).unwrap();
            let (mut at, mut pen, mut drawn) = (0, [String::new(), String::new()], 0);
            let mut rest = text;
            while let Some(character) = rest.chars().next() {
                rest = &rest[character.len_utf8()..];
                if character == '▀' {
                    self.cells[at] = pen.clone();
                    (at, drawn) = (at + 1, drawn + 1);
                    continue;
                }
                assert_eq!(character, '\x1b');
                let end = rest.find(['m', 'H']).unwrap();
                let (sequence, last) = (&rest[1..end], rest.as_bytes()[end]);
                rest = &rest[end + 1..];
                let (first, value) = sequence.split_once(';').unwrap();
                match (last, first) {
                    (b'H', row) => {
                        let row: usize = row.parse().unwrap();
                        at = (row - 1) * self.columns + value.parse::<usize>().unwrap() - 1;
                    }
                    (_, "38") => pen[0] = value.to_owned(),
                    (_, ground) => {
                        assert_eq!(ground, "48");
                        pen[1] = value.to_owned();
                    }
                }
            }
            drawn
        }

        /// The lines of the picture, each colour by a letter.
        fn lines(&self) -> Vec<String> {
            let letter = |color: &String| match color.as_str() {
                "2;0;0;0" | "5;16" => '.',
                "2;255;0;0" | "5;196" => 'r',
                "2;0;0;255" | "5;21" => 'b',
                _ => '?',
            };
            let rows = self.cells.chunks(self.columns);
            rows.flat_map(|row| {
                [0, 1].map(|half| row.iter().map(|cell| letter(&cell[half])).collect())
            })
            .collect()
        }
    }

    fn draw(canvas: &mut Canvas, picture: &[&str]) {
        let size = Size { width: picture[0].len() as u32, height: picture.len() as u32 };
        for (y, line) in picture.iter().enumerate() {
            let pixel = |c| match c {
                b'r' => [0, 0, 255, 255],
                b'b' => [255, 0, 0, 255],
                _ => [0, 0, 0, 255],
            };
            let row: Vec<u8> = line.bytes().flat_map(pixel).collect();
            canvas.write_row(size, y as u32, &row);
        }
    }

    #[test]
    fn only_changes_are_sent() {
        for colors in [Colors::True, Colors::Indexed] {
            let mut canvas = Canvas::new(colors);
            canvas.resize(4, 2);
            let mut screen = Screen { columns: 4, cells: vec![Default::default(); 8] };
            let first = ["rr..", "r..b", "..bb", "brbr"];
            draw(&mut canvas, &first);
            assert_eq!(screen.take(canvas.update()), 8);
            assert_eq!(screen.lines(), first);
            draw(&mut canvas, &first);
            assert_eq!(canvas.update(), b"");
            let second = ["rr..", "rr.b", "..bb", "brb."];
            draw(&mut canvas, &second);
            assert_eq!(screen.take(canvas.update()), 2);
            assert_eq!(screen.lines(), second);
        }
    }

    #[test]
    fn pictures_of_other_sizes_are_spread_over_the_canvas() {
        let shown = |columns, rows, picture: &[&str]| {
            let mut canvas = Canvas::new(Colors::True);
            canvas.resize(columns, rows);
            draw(&mut canvas, picture);
            let mut screen = Screen { columns, cells: vec![Default::default(); columns * rows] };
            assert_eq!(screen.take(canvas.update()), columns * rows);
            screen.lines()
        };
        assert_eq!(shown(4, 2, &["rb", ".r"]), ["rrbb", "rrbb", "..rr", "..rr"]);
        let large = ["rrrrrr", "rbb.br", "rbb.br", "rrrrrr", "......", "......"];
        assert_eq!(shown(2, 1, &large), ["bb", ".."]);
        assert_eq!(shown(3, 1, &["r"]), ["rrr", "rrr"]);
    }

    #[test]
    fn every_row_of_the_canvas_comes_from_one_of_the_picture() {
        for height in 1..40u32 {
            for rows in 1..12 {
                let mut canvas = Canvas::new(Colors::True);
                canvas.resize(1, rows);
                for y in 0..height {
                    canvas.write_row(Size { width: 1, height }, y, &[y as u8 + 1; 4]);
                }
                let lines: Vec<u8> = canvas.cells.iter().flatten().map(|color| color[0]).collect();
                assert!(lines.iter().all(|line| *line > 0), "{height} {rows} {lines:?}");
                assert!(lines.is_sorted());
            }
        }
    }

    #[test]
    fn the_nearest_of_256_colors() {
        assert_eq!(indexed([0, 0, 0]), 16);
        assert_eq!(indexed([255, 255, 255]), 231);
        assert_eq!(indexed([255, 0, 0]), 196);
        assert_eq!(indexed([128, 128, 128]), 244);
        assert_eq!(indexed([8, 8, 8]), 232);
        // No other of the 240 is nearer.
        let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
        let color = |index: u8| match index {
            232.. => [8 + 10 * (index - 232); 3],
            _ => [level((index - 16) / 36), level((index - 16) / 6 % 6), level((index - 16) % 6)],
        };
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2000 {
            let wanted = [random.u8(..), random.u8(..), random.u8(..)];
            let far = |index| -> u32 {
                let pairs = wanted.iter().zip(color(index));
                pairs.map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
            };
            let least = (16..=255).map(far).min().unwrap();
            assert_eq!(far(indexed(wanted)), least, "{wanted:?}");
        }
    }
}
