//! Pictures: what is fed, what the screen should show, and whether it does.

use crate::board::Board;
use image::{Rgb, RgbImage};
use segcam::camera::{self, Arrival, Wanted};
use segcam::compose::{Compositor, Scene, Settings, Shown, Stage, Status};
use segcam::display::{self, Size};
use segcam::frame::Frame;
use segcam::network::model::{self, ModelArguments};
use segcam::pipeline::STAGES;
use segcam::segment::{Segmented, Segmenter};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How alike two pictures shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// In every pixel.
    Exactly,
    /// In every pixel, as far as 5, 6 and 5 bits of red, green and blue go.
    In16Bits,
    /// To the eye: where two decoders of JPEG were at work.
    Nearly,
}

/// Frame `number` of the built-in camera, of a person moving: its bytes are what the guest's
/// camera shall see.
pub fn frame(format: &str, width: u32, height: u32, number: u64) -> Frame {
    let uri = format!("synthetic:portrait?format={format}&width={width}&height={height}&fps=0");
    let mut camera = camera::open(&uri, Wanted::default()).unwrap();
    let mut frame = Frame::empty();
    for _ in 0..=number {
        assert_eq!(camera.read(&mut frame, Duration::ZERO).unwrap(), Arrival::Frame);
    }
    frame
}

/// What segcam shows of a frame on a screen, drawn here with the built-in network into
/// `folder/expected.png`.
pub struct Expected {
    picture: RgbImage,
}

impl Expected {
    pub fn of(frame: &Frame, camera: &str, size: Size, folder: &Path) -> Expected {
        let arguments = ModelArguments { model: model::BUILT_IN.to_owned(), ..Default::default() };
        let mut segmenter = Segmenter::new(Arc::new(model::open(&arguments).unwrap())).unwrap();
        let mut frame = frame.clone();
        let sequence = frame.sequence;
        frame.captured = Instant::now().checked_sub(Duration::from_millis(200)).unwrap();
        let mut segmented = Segmented::new(frame);
        segmented.segment(&mut segmenter).unwrap();
        let classes = &segmenter.model().classes;
        // Numbers as long as those in the guest: the bar takes as many lines.
        let status = Status {
            model: segmenter.model().name.clone(),
            camera: camera.to_owned(),
            stages: STAGES.map(|name| Stage { name, milliseconds: 100.0 }).to_vec(),
            frames_per_second: 1.0,
            dropped: 10,
            ..Status::default()
        };
        let scene = Scene {
            shown: Shown::result(&segmented, Duration::MAX),
            classes,
            status: &status,
            settings: &Settings::default(),
        };
        let mut compositor = Compositor::default();
        let uri = format!("png:{}?prefix=expected-", folder.display());
        let mut display = display::open(&uri).unwrap();
        display.begin(size).unwrap();
        compositor.compose(&scene, Some(size), &mut |y, row| display.write_row(y, row));
        display.present(sequence).unwrap();
        let path = folder.join(format!("expected-{sequence:06}.png"));
        let picture = image::open(path).unwrap().to_rgb8();
        Expected { picture }
    }

    /// What it shows when there is nothing to segment.
    pub fn of_words(shown: Shown, size: Size) -> Expected {
        let (status, settings) = (Status::default(), Settings::default());
        let scene = Scene { shown, classes: &[], status: &status, settings: &settings };
        let mut bytes = Vec::new();
        Compositor::default().compose(&scene, Some(size), &mut |_, row| {
            bytes.extend(row.chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
        });
        let picture = RgbImage::from_raw(size.width, size.height, bytes).unwrap();
        Expected { picture }
    }

    /// The picture as a screen's memory has it: blue, green, red, unused.
    pub fn bytes(&self) -> Vec<u8> {
        self.picture.pixels().flat_map(|Rgb([red, green, blue])| [*blue, *green, *red, 0]).collect()
    }

    /// Waits until the screen shows it, but for the bar's numbers; the picture that did. If that
    /// never happens the test fails, and the board's folder has the last picture, the expected one
    /// and where they differ.
    pub fn wait_for(
        &self,
        board: &mut Board,
        alike: Alike,
        name: &str,
        patience: Duration,
    ) -> RgbImage {
        let until = Instant::now() + patience;
        loop {
            let found = board.screen();
            let wrong = self.differences(&found, alike);
            if wrong == Some(0) {
                assert!(has_bar(&found), "{name}: no mark of a fresh mask in the status bar");
                return found;
            }
            if Instant::now() > until {
                let log = board.attempt("tail -n 20 /tmp/log").1;
                println!("{log}");
                self.explain(board, &found, alike, name, wrong);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How many pixels above the bar differ; None when the sizes do.
    pub fn differences(&self, found: &RgbImage, alike: Alike) -> Option<usize> {
        if found.dimensions() != self.picture.dimensions() {
            return None;
        }
        let end = (rows(found, &self.picture) * found.width()) as usize;
        let pairs = found.pixels().zip(self.picture.pixels()).take(end);
        let differ = pairs.clone().filter(|(a, b)| cut(**a, alike) != cut(**b, alike)).count();
        let sum = |(a, b): (&Rgb<u8>, &Rgb<u8>)| -> u64 {
            a.0.iter().zip(b.0).map(|(a, b)| u64::from(a.abs_diff(b))).sum()
        };
        let mean = pairs.map(sum).sum::<u64>() as f64 / (3 * end) as f64;
        Some(if alike == Alike::Nearly && mean < NEAR { 0 } else { differ })
    }

    fn explain(
        &self,
        board: &Board,
        found: &RgbImage,
        alike: Alike,
        name: &str,
        wrong: Option<usize>,
    ) -> ! {
        let path = |what: &str| board.folder.join(format!("{name}-{what}.png"));
        found.save(path("found")).unwrap();
        self.picture.save(path("expected")).unwrap();
        let Some(wrong) = wrong else {
            let sizes = (found.dimensions(), self.picture.dimensions());
            panic!("{name}: found and expected sizes {sizes:?}; pictures: {}", path("*").display());
        };
        let rows = rows(found, &self.picture);
        let marks = RgbImage::from_fn(found.width(), found.height(), |x, y| {
            let (a, b) = (found.get_pixel(x, y), self.picture.get_pixel(x, y));
            if y < rows && cut(*a, alike) != cut(*b, alike) {
                Rgb([255, 0, 0])
            } else {
                Rgb(b.0.map(|value| value / 3))
            }
        });
        marks.save(path("difference")).unwrap();
        panic!("{name}: {wrong} pixels differ; pictures: {}", path("*").display());
    }
}

/// The mean difference, of 255, that is not seen.
const NEAR: f64 = 4.0;

/// A colour, as far as it counts.
fn cut(Rgb([red, green, blue]): Rgb<u8>, alike: Alike) -> [u8; 3] {
    match alike {
        Alike::Exactly | Alike::Nearly => [red, green, blue],
        Alike::In16Bits => [red >> 3, green >> 2, blue >> 3],
    }
}

/// The mark of a fresh mask is of a green of its own, at the left edge of the bar.
fn is_mark(Rgb([red, green, blue]): &Rgb<u8>) -> bool {
    // Within what 16 bits leave of (80, 255, 80).
    red.abs_diff(80) < 8 && *green > 250 && blue.abs_diff(80) < 8
}

pub fn has_bar(picture: &RgbImage) -> bool {
    (0..picture.height()).rev().take(60).any(|y| (0..40).any(|x| is_mark(picture.get_pixel(x, y))))
}

/// The bar begins a few rows above its mark; 0 where there is no mark.
fn bar_height(picture: &RgbImage) -> u32 {
    let row = |y| (0..40).any(|x| is_mark(picture.get_pixel(x, y)));
    let top = (0..picture.height()).find(|y| row(*y));
    top.map_or(0, |top| picture.height() - top + 4)
}

/// The rows above both pictures' status bars, whose numbers are never the same twice and whose
/// lines may be more or fewer.
fn rows(one: &RgbImage, other: &RgbImage) -> u32 {
    one.height() - bar_height(one).max(bar_height(other))
}

/// Pixels that differ between two screens, but for their bars.
pub fn differences(one: &RgbImage, other: &RgbImage) -> usize {
    let end = (rows(one, other) * one.width()) as usize;
    one.pixels().zip(other.pixels()).take(end).filter(|(a, b)| a != b).count()
}

/// Compares a screen, but for its bar, with tests/golden/NAME.png, or writes that when SEGCAM_BLESS
/// is set.
pub fn golden(name: &str, screen: &RgbImage) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(format!("{name}.png"));
    if std::env::var_os("SEGCAM_BLESS").is_some() {
        screen.save(&path).unwrap();
    }
    let known = image::open(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).to_rgb8();
    assert_eq!(screen.dimensions(), known.dimensions(), "{name}");
    assert_eq!(differences(screen, &known), 0, "{name}: not the picture in {}", path.display());
}

/// Whether the words NO SIGNAL stand on the screen: nothing else is in their red.
pub fn says_no_signal(picture: &RgbImage) -> bool {
    let red = |Rgb([r, g, b]): &Rgb<u8>| *r > 250 && g.abs_diff(80) < 8 && b.abs_diff(80) < 8;
    picture.pixels().filter(|pixel| red(pixel)).count() > 500
}
