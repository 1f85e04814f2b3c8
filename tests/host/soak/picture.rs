//! Frames that carry their number as a code of bright and dark blocks, a network whose mask is the
//! same code in colours, and what both say on the screen: which frame is shown, which frame its
//! mask was made of, by which network, and in which words.

use crate::onnx::Graph;
use image::RgbImage;
use tract_onnx::pb::tensor_proto::DataType;

/// Blocks of the code: two rows of so many. A bright one, a dark one, 24 bits of the number, 6 that
/// check them.
const COLUMNS: u32 = 16;
/// The part of the height that they take, free of legend, banner and bar.
const ROWS: std::ops::Range<f32> = 0.16..0.34;
const DARK: u8 = 32;
const BRIGHT: u8 = 224;
/// Numbers begin anew after so many frames.
pub const NUMBERS: u32 = 1 << 24;

/// How the frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub name: &'static str,
    pub width: u32,
    pub height: u32,
}

pub const FORMATS: [Format; 5] = [
    Format { name: "grey", width: 160, height: 120 },
    Format { name: "rgb24", width: 160, height: 120 },
    Format { name: "yuyv", width: 200, height: 150 },
    Format { name: "nv12", width: 176, height: 144 },
    Format { name: "grey", width: 240, height: 180 },
];

fn code(number: u32) -> u32 {
    1 << 31 | (number % NUMBERS) << 6 | check(number % NUMBERS)
}

fn check(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b1) >> 26
}

/// The number that a code says, unless it is none.
fn number(code: u32) -> Option<u32> {
    let number = code >> 6 & (NUMBERS - 1);
    (self::code(number) == code).then_some(number)
}

/// The frame of a number, as its bytes.
pub fn paint(format: Format, number: u32, bytes: &mut Vec<u8>) {
    let Format { name, width, height } = format;
    let code = code(number);
    let rows = |y: u32| y as f32 / height as f32;
    let level = |x: u32, y: u32| {
        if !ROWS.contains(&rows(y)) {
            return DARK;
        }
        let second = rows(y) >= (ROWS.start + ROWS.end) / 2.0;
        let block = x * COLUMNS / width + if second { COLUMNS } else { 0 };
        if code >> (31 - block) & 1 == 1 { BRIGHT } else { DARK }
    };
    let luma = |level: u8| (16 + u32::from(level) * 219 / 255) as u8;
    bytes.clear();
    for y in 0..height {
        for x in 0..width {
            let level = level(x, y);
            match name {
                "grey" => bytes.push(level),
                "rgb24" => bytes.extend([level; 3]),
                "yuyv" => bytes.extend([luma(level), 128]),
                _ => bytes.push(luma(level)),
            }
        }
    }
    if name == "nv12" {
        bytes.resize(bytes.len() * 3 / 2, 128);
    }
}

/// The networks: class 0 is what is bright to the first, what is dark to the second.
pub fn network(second: bool) -> Vec<u8> {
    let sign = if second { -1.0 } else { 1.0 };
    let (height, width) = if second { (72, 96) } else { (60, 80) };
    // The three channels' mean.
    let weight = sign / 3.0;
    let weights = [weight, weight, weight, -weight, -weight, -weight];
    Graph::new(13)
        .input("picture", DataType::Float, &[1, 3, height, width])
        .output("scores", DataType::Float)
        .floats("w", &[2, 3, 1, 1], &weights)
        .floats("b", &[2], &[-0.5 * sign, 0.5 * sign])
        .node("Conv", &["picture", "w", "b"], &["scores"], vec![])
        .bytes()
}

pub const CARD: &str = r##"
name = "code"
file = "code.onnx"
license = "MIT"
source = "made by the test"
[input]
fit = "stretch"
[[class]]
name = "first"
color = "#ff0000"
[[class]]
name = "second"
color = "#0000ff"
"##;

/// What a picture says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A frame under a mask.
    Live {
        frame: u32,
        /// The frame that the mask was made of; [`NUMBERS`] when it says none.
        mask: u32,
        second: bool,
        /// Words say that something is wrong.
        degraded: bool,
    },
    Stale {
        frame: u32,
    },
    Starting,
    NoSignal,
    NoModel,
    CannotRun,
    Failed,
    /// A picture in which there is no number.
    Noise,
    /// What must not be: neither a frame with its mask nor words that are known.
    Nothing(String),
}

const AMBER: [u8; 3] = [255, 190, 0];
const BLUE: [u8; 3] = [120, 200, 255];
const RED: [u8; 3] = [255, 80, 80];

pub fn read(picture: &RgbImage) -> Said {
    let (width, height) = picture.dimensions();
    // The title's columns in a colour.
    let title = |color: [u8; 3]| {
        let middle = picture.enumerate_pixels().filter(|(_, y, _)| *y < height * 3 / 4);
        let columns = middle.filter(|(.., pixel)| pixel.0 == color).map(|(x, ..)| x);
        let (first, last) = columns.fold((u32::MAX, 0), |(a, b), x| (a.min(x), b.max(x)));
        last.checked_sub(first).map(|wide| wide + 1)
    };
    if title(BLUE).is_some() {
        return Said::Starting;
    }
    if let Some(wide) = title(RED) {
        // Characters of 10 by 20 pixels, enlarged as far as twelve of them and a fifth fit.
        let cell = 10 * (width * 9 / 10 / 120).min(height / 5 / 20).max(1);
        return match (wide + cell / 2) / cell {
            6 => Said::Failed,
            8 => Said::NoModel,
            9 => Said::NoSignal,
            10 => Said::CannotRun,
            characters => Said::Nothing(format!("a title of {characters} characters")),
        };
    }
    let (mut frame, mut first) = (0u32, 0u32);
    let mut masked = 0;
    for block in 0..2 * COLUMNS {
        let x = (2 * (block % COLUMNS) + 1) * width / (2 * COLUMNS);
        let row = (2.0 * (block / COLUMNS) as f32 + 1.0) / 4.0;
        let y = (height as f32 * (ROWS.start + row * (ROWS.end - ROWS.start))) as u32;
        let [red, green, blue] = picture.get_pixel(x, y).0.map(i32::from);
        masked += u32::from((red - blue).abs() > 64);
        // Half of a bright frame's light is left, with a mask or without.
        frame = frame << 1 | u32::from(green > 64);
        first = first << 1 | u32::from(red > blue);
    }
    let Some(frame) = number(frame) else { return Said::Noise };
    match masked {
        0 if title(AMBER).is_some() => Said::Stale { frame },
        0 => Said::Nothing(format!("frame {frame} without a mask, and no words")),
        32 => {
            let second = first >> 31 == 0;
            let mask = if second { !first } else { first };
            let mask = number(mask).unwrap_or(NUMBERS);
            let below = picture.enumerate_pixels().filter(|(_, y, _)| *y >= height * 3 / 4);
            let degraded = below.into_iter().any(|(.., pixel)| pixel.0 == AMBER);
            Said::Live { frame, mask, second, degraded }
        }
        some => Said::Nothing(format!("frame {frame} with {some} of 32 blocks masked")),
    }
}

#[test]
fn codes_are_read_back_and_others_are_not() {
    for number in [0, 1, 77, 123_456, NUMBERS - 1] {
        assert_eq!(self::number(code(number)), Some(number));
        let wrong = (0..32).filter(|bit| self::number(code(number) ^ 1 << bit).is_some());
        assert_eq!(wrong.count(), 0);
    }
}
