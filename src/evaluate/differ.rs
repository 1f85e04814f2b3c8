//! Where two networks differ on a picture: the picture dimmed and grey, the differing pixels in
//! the colour of who is right, a legend below.

use super::Tally;
use super::agreement::Outcome;
use crate::compose::palette;
use crate::compose::picture::Picture;
use crate::compose::text::{self, Face, WHITE};
use crate::decode::LabelMap;
use crate::frame::{Frame, color::row_to_bgrx};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// The names of the two, for the legend.
pub struct Names<'a> {
    pub model: &'a str,
    pub other: &'a str,
}

/// Green: the model is right; orange: the other one; magenta: neither; yellow: no truth.
fn color(outcome: Outcome) -> Option<[u8; 3]> {
    match outcome {
        Outcome::Same | Outcome::Nothing => None,
        Outcome::Model => Some(palette::color(1)),
        Outcome::Other => Some(palette::color(4)),
        Outcome::Neither => Some(palette::color(7)),
        Outcome::Unknown => Some(palette::color(3)),
    }
}

/// The picture's rows of blue, green, red, unused. All maps have the frame's size.
pub fn draw(
    frame: &Frame,
    [model, other]: [&LabelMap; 2],
    truth: Option<&LabelMap>,
    legend: &Picture,
) -> Vec<u8> {
    let width = frame.width() as usize;
    let mut bytes = vec![0; 4 * width * (frame.height() + legend.height()) as usize];
    for (y, row) in (0..frame.height()).zip(bytes.chunks_exact_mut(4 * width)) {
        row_to_bgrx(frame, y, row);
        for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
            let truth = truth.map(|truth| truth.row(y)[x]);
            let [red, green, blue] =
                match color(Outcome::of(model.row(y)[x], other.row(y)[x], truth)) {
                    Some(color) => color,
                    None => {
                        let sum = pixel[..3].iter().map(|channel| u16::from(*channel)).sum::<u16>();
                        [(sum / 6) as u8; 3]
                    }
                };
            pixel[..3].copy_from_slice(&[blue, green, red]);
        }
    }
    let below = &mut bytes[4 * width * frame.height() as usize..];
    for (y, row) in (0..legend.height()).zip(below.chunks_exact_mut(4 * width)) {
        row.copy_from_slice(legend.row(y));
    }
    bytes
}

/// A strip as wide as the picture, with the colours that occur; empty where no letter fits.
pub fn legend(width: u32, tally: &Tally, masks: bool, names: &Names) -> Picture {
    let Tally { same, model, other, neither, unknown } = *tally;
    let mut lines = Vec::new();
    if masks {
        lines.push((Outcome::Model, format!("{} right", names.model), model));
        lines.push((Outcome::Other, format!("{} right", names.other), other));
        lines.push((Outcome::Neither, "neither right".to_owned(), neither));
        if unknown > 0 {
            lines.push((Outcome::Unknown, "differ, no truth".to_owned(), unknown));
        }
    } else {
        lines.push((
            Outcome::Unknown,
            format!("{} and {} differ", names.model, names.other),
            unknown,
        ));
    }
    let all = (same + tally.differing() + unknown).max(1) as f64;
    let lines: Vec<(Outcome, String)> = lines
        .into_iter()
        .map(|(outcome, text, count)| {
            (outcome, format!("{text} {:.2}%", 100.0 * count as f64 / all))
        })
        .collect();
    let mut picture = Picture::default();
    // Room for the square.
    let longest = 3 + lines.iter().map(|line| line.1.chars().count() as u32).max().unwrap_or(0);
    let face = Face::to_fit(longest, width, 20).or(Face::to_fit(16, width, 8));
    let Some(face) = face else { return picture };
    let cell = face.cell();
    let columns = (width / cell.width).saturating_sub(3) as usize;
    picture.reset(width, lines.len() as u32 * cell.height);
    for (top, (outcome, line)) in (0..).step_by(cell.height as usize).zip(lines) {
        let [red, green, blue] = color(outcome).unwrap_or_default();
        let side = cell.height * 2 / 3;
        let corner = Point::new((cell.width / 2) as i32, (top + (cell.height - side) / 2) as i32);
        let square = Rectangle::new(corner, Size::new(side, side));
        let Ok(()) = picture.fill_solid(&square, Rgb888::new(red, green, blue));
        let mut shown = String::new();
        text::push(&mut shown, &line, columns);
        face.draw(&shown, 5 * cell.width / 2, top, WHITE, &mut picture);
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Layout, PixelFormat};

    #[test]
    fn differing_pixels_have_the_colour_of_who_is_right() {
        let map = |ids: [u8; 5]| LabelMap { width: 5, height: 1, ids: ids.to_vec() };
        let mut frame = Frame::new(Layout::packed(PixelFormat::Grey, 5, 1).unwrap());
        frame.data.own().fill(200);
        let (model, other) = (map([0, 0, 1, 2, 0]), map([0, 1, 0, 1, 1]));
        let truth = map([1, 0, 0, 0, 255]);
        let nothing = Picture::default();
        let bytes = draw(&frame, [&model, &other], Some(&truth), &nothing);
        let pixels: Vec<[u8; 3]> = bytes.chunks(4).map(|p| [p[2], p[1], p[0]]).collect();
        let [right, other_right, neither, unknown] = [1, 4, 7, 3].map(palette::color);
        assert_eq!(pixels, [[100; 3], right, other_right, neither, unknown]);
        let bytes = draw(&frame, [&model, &other], None, &nothing);
        assert_eq!(bytes[16..19], bytes[4..7]);
        assert_eq!(bytes[4..7], [0x19, 0xe1, 0xff]);
    }

    #[test]
    fn the_legend_fits_or_is_left_out() {
        let tally = Tally { same: 90, model: 6, other: 3, neither: 1, unknown: 0 };
        let names = Names { model: "a network", other: "another" };
        let height = |width| legend(width, &tally, true, &names).height();
        assert_eq!(height(640), 3 * 20);
        assert_eq!(height(100), 3 * 6);
        assert_eq!(height(20), 0);
        assert_eq!(legend(640, &tally, false, &names).height(), 20);
        let some = Tally { unknown: 1, ..tally };
        assert_eq!(legend(640, &some, true, &names).height(), 4 * 20);
    }
}
