//! Pictures: what is fed, what the screen should show, and whether it does.

use crate::board::Board;
use image::{Rgb, RgbImage};
use segcam::camera::{self, Arrival, Wanted};
use segcam::compose::{Compositor, Scene, Settings, Shown, Stage, Status};
use segcam::decode::{LabelMap, shares};
use segcam::display::{self, Size};
use segcam::frame::Frame;
use segcam::network::model::{self, ModelArguments};
use segcam::pipeline::STAGES;
use segcam::segment::Segmenter;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Depth of a colour on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// 8 bits for each of red, green, blue.
    Bits24,
    /// 5, 6 and 5 bits.
    Bits16,
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
    /// The rows above the status bar, whose numbers are never the same twice.
    rows: u32,
}

impl Expected {
    pub fn of(frame: &Frame, camera: &str, size: Size, folder: &Path) -> Expected {
        let arguments = ModelArguments { model: model::BUILT_IN.to_owned(), ..Default::default() };
        let mut segmenter = Segmenter::new(Arc::new(model::open(&arguments).unwrap())).unwrap();
        let mut labels = LabelMap::default();
        segmenter.segment(frame, &mut labels).unwrap();
        let classes = &segmenter.model().classes;
        let mut parts = vec![0.0; classes.len()];
        shares(&labels, &mut parts);
        // Numbers as long as those in the guest: the bar takes as many lines.
        let status = Status {
            model: segmenter.model().name.clone(),
            camera: camera.to_owned(),
            stages: STAGES.map(|name| Stage { name, milliseconds: 100.0 }).to_vec(),
            frames_per_second: 1.0,
            dropped: 10,
        };
        let age = Duration::from_millis(400);
        let scene = Scene {
            shown: Shown::Live { frame, labels: &labels, shares: &parts, age },
            classes,
            status: &status,
            settings: &Settings::default(),
        };
        let mut compositor = Compositor::default();
        let uri = format!("png:{}?prefix=expected-", folder.display());
        let mut display = display::open(&uri).unwrap();
        display.begin(size).unwrap();
        compositor.compose(&scene, Some(size), &mut |y, row| display.write_row(y, row));
        display.present(frame.sequence).unwrap();
        let path = folder.join(format!("expected-{:06}.png", frame.sequence));
        let picture = image::open(path).unwrap().to_rgb8();
        let rows = size.height - bar_height(&picture);
        Expected { picture, rows }
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
        depth: Depth,
        name: &str,
        patience: Duration,
    ) -> RgbImage {
        let until = Instant::now() + patience;
        loop {
            let found = board.screen();
            let wrong = self.differences(&found, depth);
            if wrong == Some(0) {
                assert!(has_bar(&found), "{name}: no mark of a fresh mask in the status bar");
                return found;
            }
            if Instant::now() > until {
                self.explain(board, &found, depth, name, wrong);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How many pixels above the bar differ; None when the sizes do.
    fn differences(&self, found: &RgbImage, depth: Depth) -> Option<usize> {
        if found.dimensions() != self.picture.dimensions() {
            return None;
        }
        let end = (self.rows * found.width()) as usize;
        let pairs = found.pixels().zip(self.picture.pixels()).take(end);
        Some(pairs.filter(|(a, b)| cut(**a, depth) != cut(**b, depth)).count())
    }

    fn explain(
        &self,
        board: &Board,
        found: &RgbImage,
        depth: Depth,
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
        let marks = RgbImage::from_fn(found.width(), found.height(), |x, y| {
            let (a, b) = (found.get_pixel(x, y), self.picture.get_pixel(x, y));
            if y < self.rows && cut(*a, depth) != cut(*b, depth) {
                Rgb([255, 0, 0])
            } else {
                Rgb(b.0.map(|value| value / 3))
            }
        });
        marks.save(path("difference")).unwrap();
        panic!("{name}: {wrong} pixels differ; pictures: {}", path("*").display());
    }
}

/// A colour in the depth of a screen.
fn cut(Rgb([red, green, blue]): Rgb<u8>, depth: Depth) -> [u8; 3] {
    match depth {
        Depth::Bits24 => [red, green, blue],
        Depth::Bits16 => [red >> 3, green >> 2, blue >> 3],
    }
}

/// The mark of a fresh mask is of a green of its own, at the left edge of the bar.
fn is_mark(Rgb([red, green, blue]): &Rgb<u8>) -> bool {
    // Within what 16 bits leave of (80, 255, 80).
    red.abs_diff(80) < 8 && *green > 250 && blue.abs_diff(80) < 8
}

fn has_bar(picture: &RgbImage) -> bool {
    (0..picture.height()).rev().take(60).any(|y| (0..40).any(|x| is_mark(picture.get_pixel(x, y))))
}

/// The bar begins a row above its mark.
fn bar_height(picture: &RgbImage) -> u32 {
    let row = |y| (0..40).any(|x| is_mark(picture.get_pixel(x, y)));
    let top = (0..picture.height()).find(|y| row(*y)).expect("a status bar");
    picture.height() - top + 4
}

/// Whether the words NO SIGNAL stand on the screen: nothing else is in their red.
pub fn says_no_signal(picture: &RgbImage) -> bool {
    let red = |Rgb([r, g, b]): &Rgb<u8>| *r > 250 && g.abs_diff(80) < 8 && b.abs_diff(80) < 8;
    picture.pixels().filter(|pixel| red(pixel)).count() > 500
}
