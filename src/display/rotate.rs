//! Pictures turned clockwise for screens that hang on their side or upside down.
//!
//! A screen's memory is slow to write pixel by pixel and slower to read. So 16 rows of the
//! picture are gathered in our own memory first, and then go out as runs of 16 pixels.

use super::Size;
use crate::config::uri::{Uri, UriError};

/// Rows of a picture that are written together: a run of 64 bytes on the screen.
const BAND: usize = 16;

/// How far the picture is turned clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    #[default]
    None,
    Quarter,
    Half,
    ThreeQuarters,
}

impl Turn {
    /// Takes `rotate=` out of a URI.
    pub fn take(uri: &mut Uri) -> Result<Turn, UriError> {
        let words = [
            ("0", Turn::None),
            ("90", Turn::Quarter),
            ("180", Turn::Half),
            ("270", Turn::ThreeQuarters),
        ];
        Ok(uri.take_one_of("rotate", &words)?.unwrap_or_default())
    }

    /// The size of the picture that fills a screen, and of the screen that a picture fills.
    pub fn size(self, size: Size) -> Size {
        match self {
            Turn::None | Turn::Half => size,
            Turn::Quarter | Turn::ThreeQuarters => Size { width: size.height, height: size.width },
        }
    }
}

/// Turns a picture that comes row by row from the top.
pub struct Rotator {
    turn: Turn,
    /// Of the picture.
    width: usize,
    height: usize,
    /// The pixels that one column of a band of rows becomes, in the screen's order; a half turn
    /// has its row in the first pixels of all.
    band: Vec<[[u8; 4]; BAND]>,
}

impl Rotator {
    /// For a screen of this size.
    pub fn new(turn: Turn, screen: Size) -> Rotator {
        let picture = turn.size(screen);
        let (width, height) = (picture.width as usize, picture.height as usize);
        let columns = match turn {
            Turn::None => 0,
            Turn::Half => width.div_ceil(BAND),
            Turn::Quarter | Turn::ThreeQuarters => width,
        };
        Rotator { turn, width, height, band: vec![[[0; 4]; BAND]; columns] }
    }

    /// Takes row `y` of the picture (pixels of 4 bytes). `put(x, y, pixels)` writes a run of
    /// whole pixels on the screen. What lies outside of the picture is dropped.
    pub fn write_row(&mut self, y: u32, row: &[u8], mut put: impl FnMut(usize, usize, &[u8])) {
        let y = y as usize;
        if y >= self.height {
            return;
        }
        let row = row.as_chunks::<4>().0;
        let row = &row[..row.len().min(self.width)];
        match self.turn {
            Turn::None => put(0, y, row.as_flattened()),
            Turn::Half => {
                let turned = &mut self.band.as_flattened_mut()[..row.len()];
                for (to, from) in turned.iter_mut().zip(row.iter().rev()) {
                    *to = *from;
                }
                put(self.width - row.len(), self.height - 1 - y, turned.as_flattened());
            }
            // The top row becomes the last column.
            Turn::Quarter => {
                let at = BAND - 1 - y % BAND;
                for (run, pixel) in self.band.iter_mut().zip(row) {
                    run[at] = *pixel;
                }
                if at == 0 || y == self.height - 1 {
                    for (x, run) in self.band.iter().enumerate() {
                        put(self.height - 1 - y, x, run[at..].as_flattened());
                    }
                }
            }
            // The top row becomes the first column.
            Turn::ThreeQuarters => {
                for (run, pixel) in self.band.iter_mut().zip(row) {
                    run[y % BAND] = *pixel;
                }
                if y % BAND == BAND - 1 || y == self.height - 1 {
                    for (x, run) in self.band.iter().enumerate() {
                        let run = run[..=y % BAND].as_flattened();
                        put(y - y % BAND, self.width - 1 - x, run);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns a picture of letters.
    fn turn(turn: Turn, picture: &[&str]) -> Vec<String> {
        let (width, height) = (picture[0].len() as u32, picture.len() as u32);
        let screen = turn.size(Size { width, height });
        let mut rotator = Rotator::new(turn, screen);
        let mut shown = vec![vec![b'.'; screen.width as usize]; screen.height as usize];
        for (y, row) in picture.iter().enumerate() {
            let row: Vec<u8> = row.bytes().flat_map(|letter| [letter, 1, 2, 3]).collect();
            rotator.write_row(y as u32, &row, |x, y, pixels| {
                for (at, pixel) in pixels.as_chunks::<4>().0.iter().enumerate() {
                    assert_eq!(pixel[1..], [1, 2, 3]);
                    shown[y][x + at] = pixel[0];
                }
            });
        }
        shown.into_iter().map(|row| String::from_utf8(row).unwrap()).collect()
    }

    #[test]
    fn pictures_turn_clockwise() {
        let picture = ["abc", "def"];
        assert_eq!(turn(Turn::None, &picture), ["abc", "def"]);
        assert_eq!(turn(Turn::Quarter, &picture), ["da", "eb", "fc"]);
        assert_eq!(turn(Turn::Half, &picture), ["fed", "cba"]);
        assert_eq!(turn(Turn::ThreeQuarters, &picture), ["cf", "be", "ad"]);
    }

    #[test]
    fn heights_need_not_be_whole_bands() {
        for height in [1, 15, 16, 17, 32, 35] {
            let rows: Vec<String> = (0..height)
                .map(|y| (0..21).map(|x| char::from(33 + (7 * y + 3 * x) as u8 % 90)).collect())
                .collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let mut turned: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
            for _ in 0..4 {
                let rows: Vec<&str> = turned.iter().map(String::as_str).collect();
                turned = turn(Turn::Quarter, &rows);
            }
            assert_eq!(turned, rows);
            let quarter = turn(Turn::Quarter, &rows);
            let quarter: Vec<&str> = quarter.iter().map(String::as_str).collect();
            assert_eq!(turn(Turn::ThreeQuarters, &quarter), rows);
            assert_eq!(turn(Turn::Quarter, &quarter), turn(Turn::Half, &rows));
        }
    }

    #[test]
    fn runs_are_whole_bands() {
        let mut rotator = Rotator::new(Turn::Quarter, Size { width: 32, height: 5 });
        let mut runs = Vec::new();
        for y in 0..32 {
            rotator.write_row(y, &[0; 20], |x, y, pixels| runs.push((x, y, pixels.len())));
        }
        let expected = (0..5).map(|y| (16, y, 64)).chain((0..5).map(|y| (0, y, 64)));
        assert_eq!(runs, expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_lies_outside_is_dropped() {
        for turn in [Turn::None, Turn::Quarter, Turn::Half, Turn::ThreeQuarters] {
            let screen = Size { width: 3, height: 2 };
            let mut rotator = Rotator::new(turn, screen);
            for y in 0..9 {
                rotator.write_row(y, &[0; 99], |x, y, pixels| {
                    assert!(y < 2 && x + pixels.len() / 4 <= 3);
                });
            }
            rotator.write_row(0, &[], |_, _, _| ());
        }
    }
}
