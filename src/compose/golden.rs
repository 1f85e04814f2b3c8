//! Whole pictures: as ASCII, and as PNG files in tests/golden that were looked at.

use super::*;
use crate::decode::LabelMap;
use crate::display::Size;
use crate::frame::{Layout, PixelFormat};
use std::path::PathBuf;

/// A colourful frame: a sky over ground, a sun, a house.
pub fn frame(width: u32, height: u32) -> Frame {
    let mut frame = Frame::new(Layout::packed(PixelFormat::Rgb, width, height).unwrap());
    frame.sequence = 2;
    let (w, h) = (width as i32, height as i32);
    for (at, pixel) in frame.data.chunks_exact_mut(3).enumerate() {
        let (x, y) = (at as i32 % w, at as i32 / w);
        let color = match label(x, y, w, h) {
            1 => [90, (200 - 80 * y / h) as u8, 60],
            2 => [250, 230, (100 + 100 * x / w) as u8],
            3 => [150 + (x % 8 * 10) as u8, 80, 70],
            _ => [60, (100 + 100 * y / h) as u8, 220],
        };
        pixel.copy_from_slice(&color);
    }
    frame
}

fn label(x: i32, y: i32, w: i32, h: i32) -> u8 {
    let (dx, dy) = (x - w * 3 / 4, y - h / 4);
    if 6 * x > w && 2 * x < w && 3 * y > h && 5 * y < 4 * h {
        3
    } else if 36 * (dx * dx + dy * dy) < h * h {
        2
    } else {
        u8::from(3 * y > 2 * h)
    }
}

pub fn labels(width: u32, height: u32) -> LabelMap {
    let mut labels = LabelMap::default();
    labels.reset(width, height);
    for (at, id) in labels.ids.iter_mut().enumerate() {
        let (x, y) = (at as i32 % width as i32, at as i32 / width as i32);
        *id = label(x, y, width as i32, height as i32);
    }
    labels
}

pub fn shares(labels: &LabelMap) -> Vec<f32> {
    let count = |id| labels.ids.iter().filter(|found| **found == id).count();
    (0..4).map(|id| count(id) as f32 / labels.ids.len() as f32).collect()
}

pub fn classes() -> Vec<Class> {
    let names = ["sky", "ground", "sun", "house", "vélo", "猫", "pedestrian crossing", "road"];
    let color = |id| (id != 0).then(|| palette::color(id));
    names
        .iter()
        .enumerate()
        .map(|(id, name)| Class { name: (*name).into(), color: color(id) })
        .collect()
}

pub fn status() -> Status {
    let stage = |(name, milliseconds)| Stage { name, milliseconds };
    Status {
        model: "selfie".into(),
        camera: "synthetic:field".into(),
        stages: [("prepare", 0.41), ("network", 12.26), ("decode", 1.5), ("compose", 0.93)]
            .map(stage)
            .to_vec(),
        frames_per_second: 24.96,
        dropped: 3,
        celsius: None,
        trouble: String::new(),
    }
}

const AGE: Duration = Duration::from_millis(45);

fn compose(shown: Shown, settings: &Settings, screen: Option<Size>) -> (Size, Vec<u8>) {
    compose_with(&mut Compositor::default(), shown, settings, screen)
}

fn compose_with(
    compositor: &mut Compositor,
    shown: Shown,
    settings: &Settings,
    screen: Option<Size>,
) -> (Size, Vec<u8>) {
    let (classes, status) = (classes(), status());
    let scene = Scene { shown, classes: &classes, status: &status, settings };
    let size = compositor.size(&scene, screen);
    let mut picture = Vec::new();
    compositor.compose(&scene, screen, &mut |y, row| {
        assert_eq!(picture.len(), 4 * (y * size.width) as usize, "rows come once, from the top");
        assert_eq!(row.len(), 4 * size.width as usize);
        picture.extend_from_slice(row);
    });
    assert_eq!(picture.len(), 4 * (size.width * size.height) as usize);
    (size, picture)
}

/// Compares with tests/golden/NAME.png, or writes it when SEGCAM_BLESS is set.
fn check(name: &str, (size, picture): (Size, Vec<u8>)) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(format!("{name}.png"));
    let rgb: Vec<u8> = picture.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
    let image = image::RgbImage::from_raw(size.width, size.height, rgb).unwrap();
    if std::env::var_os("SEGCAM_BLESS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        image.save(&path).unwrap();
    }
    let golden = image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(golden.to_rgb8() == image, "{name} is not as {}; look at both", path.display());
}

fn live<'a>(frame: &'a Frame, labels: &'a LabelMap, shares: &'a [f32]) -> Shown<'a> {
    Shown::Live(Mask::of(frame, labels, shares, AGE))
}

/// The settings without any text.
fn bare(view: View) -> Settings {
    Settings { view, alpha: 255, legend: false, status: false, ..Settings::default() }
}

#[test]
fn golden_live() {
    let (frame, labels) = (frame(320, 240), labels(320, 240));
    let shares = shares(&labels);
    let live = live(&frame, &labels, &shares);
    let settings = Settings::default();
    let bare = Settings { legend: false, ..settings };
    check("overlay", compose(live, &bare, None));
    check("legend", compose(live, &settings, None));
    let view = View::Mask;
    check("mask", compose(live, &Settings { view, only: Some(3), ..settings }, None));
    let view = View::SideBySide;
    check("side-by-side", compose(live, &Settings { view, ..bare }, None));
    let screen = Some(Size { width: 400, height: 300 });
    check("side-by-side-screen", compose(live, &Settings { view, ..bare }, screen));
    check("paused", compose(live, &Settings { paused: true, ..settings }, None));
    check("small-screen", compose(live, &settings, Some(Size { width: 160, height: 128 })));
    check("tiny", compose(live, &settings, Some(Size { width: 64, height: 48 })));
    let large = Some(Size { width: 800, height: 480 });
    check("large-screen", compose(live, &settings, large));
}

#[test]
fn golden_words() {
    let frame = frame(320, 240);
    let age = Duration::from_millis(1234);
    let settings = Settings::default();
    let screen = Some(Size { width: 320, height: 240 });
    check("stale", compose(Shown::Stale { frame: &frame, age }, &settings, None));
    let tiny = Some(Size { width: 64, height: 48 });
    check("stale-tiny", compose(Shown::Stale { frame: &frame, age }, &settings, tiny));
    let cause = "the device went away; plug it in again";
    let shown = Shown::NoSignal { camera: "v4l2:/dev/video0", cause };
    check("no-signal", compose(shown, &settings, screen));
    let reason =
        "models/selfie/model.toml: cannot be read: No such file or directory; check the path";
    check("no-model", compose(Shown::NoModel { reason }, &settings, screen));
    let reason = "/boot/segcam.toml: line 3: unknown key \"camra\"; did you mean \"camera\"?";
    check("cannot-run", compose(Shown::CannotRun { reason }, &settings, screen));
    check("starting", compose(Shown::Starting, &settings, screen));
}

/// The picture's colours as letters.
fn ascii((size, picture): (Size, Vec<u8>)) -> Vec<String> {
    let letter = |pixel: &[u8]| match [pixel[2], pixel[1], pixel[0]] {
        [0, 0, 0] => ' ',
        [200, 200, 200] => '.',
        [10, 20, 30] => 'a',
        [40, 50, 60] => 'b',
        [100, 100, 100] => ':',
        _ => '?',
    };
    let rows = picture.chunks(4 * size.width as usize);
    rows.map(|row| row.chunks(4).map(letter).collect()).collect()
}

fn plain(width: u32, height: u32) -> Frame {
    let mut frame = Frame::new(Layout::packed(PixelFormat::Grey, width, height).unwrap());
    frame.data.fill(200);
    frame
}

#[test]
fn views_as_ascii() {
    let classes = [None, Some([10, 20, 30]), Some([40, 50, 60])]
        .map(|color| Class { name: "c".into(), color });
    let frame = plain(6, 3);
    let labels = LabelMap {
        width: 6,
        height: 3,
        ids: [[0, 1, 1, 1, 2, 255], [0, 0, 1, 2, 2, 7], [1, 0, 0, 0, 0, 2]].concat(),
    };
    let status = Status::default();
    let show = |settings: &Settings, screen: Option<(u32, u32)>| {
        let shown = live(&frame, &labels, &[]);
        let scene = Scene { shown, classes: &classes, status: &status, settings };
        let screen = screen.map(|(width, height)| Size { width, height });
        let mut compositor = Compositor::default();
        let mut picture = Vec::new();
        compositor.compose(&scene, screen, &mut |_, row| picture.extend_from_slice(row));
        ascii((compositor.size(&scene, screen), picture))
    };
    assert_eq!(show(&bare(View::Overlay), None), [".aaab.", "..abb.", "a....b"]);
    assert_eq!(show(&bare(View::Mask), None), [" aaab ", "  abb ", "a    b"]);
    assert_eq!(
        show(&bare(View::SideBySide), None),
        ["...... aaab ", "......  abb ", "......a    b"]
    );
    let only = Settings { only: Some(2), ..bare(View::Overlay) };
    assert_eq!(show(&only, None), ["....b.", "...bb.", ".....b"]);
    // Bars above and below, beside, and around halves.
    assert_eq!(
        show(&bare(View::Overlay), Some((12, 8))),
        [
            "            ",
            "..aaaaaabb..",
            "..aaaaaabb..",
            "....aabbbb..",
            "....aabbbb..",
            "aa........bb",
            "aa........bb",
            "            "
        ]
    );
    assert_eq!(show(&bare(View::Mask), Some((8, 3))), ["  aaab  ", "   abb  ", " a    b "]);
    assert_eq!(
        show(&bare(View::SideBySide), Some((13, 5))),
        ["             ", "......  aaab ", "......   abb ", "...... a    b", "             "]
    );
}

#[test]
fn without_a_live_result_there_is_no_mask_and_no_colour() {
    let frame = frame(64, 64);
    let age = Duration::from_secs(1);
    for view in View::ALL {
        let (_, picture) = compose(Shown::Stale { frame: &frame, age }, &bare(view), None);
        // Above and below the words.
        let width = picture.len() / 64;
        for pixel in picture[..width * 20].chunks(4).chain(picture[width * 44..].chunks(4)) {
            assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2] && pixel[0] < 128, "{pixel:?}");
        }
    }
    let (_, picture) = compose(Shown::Starting, &bare(View::Overlay), None);
    assert_eq!(picture[..4], [24; 4]);
}

#[test]
fn what_cannot_be_called_stale_is_not_shown() {
    let frame = plain(20, 10);
    let stale = Shown::Stale { frame: &frame, age: AGE };
    let (_, picture) = compose(stale, &bare(View::Overlay), None);
    assert!(picture.iter().all(|value| *value == 24));
}

#[test]
fn every_size_and_state_is_composed_without_panic() {
    let sides = [1, 2, 3, 17, 64, 200];
    let (whole, mut half) = (frame(31, 17), frame(31, 17));
    half.data.truncate(100);
    let (labels, none, other) = (labels(31, 17), LabelMap::default(), labels(8, 40));
    let age = AGE;
    let mut compositor = Compositor::default();
    for (width, height) in sides.iter().flat_map(|w| sides.map(|h| (*w, h))) {
        for view in View::ALL {
            for shown in [
                Shown::Starting,
                live(&whole, &labels, &[50.0]),
                live(&whole, &none, &[]),
                live(&whole, &other, &[f32::NAN; 400]),
                live(&half, &labels, &[]),
                Shown::Stale { frame: &whole, age },
                Shown::NoSignal { camera: "", cause: "" },
                Shown::NoModel { reason: "x" },
                Shown::CannotRun { reason: "" },
            ] {
                let screen = Some(Size { width, height });
                let settings = Settings { view, paused: height == 17, ..Settings::default() };
                compose_with(&mut compositor, shown, &settings, screen);
                compose_with(&mut compositor, shown, &settings, None);
            }
        }
    }
    let dot = frame(1, 1);
    compose(live(&dot, &other, &[]), &Settings::default(), None);
}

#[test]
fn buffers_kept_from_other_pictures_leave_no_trace() {
    let (frame, labels) = (frame(320, 240), labels(320, 240));
    let shares = shares(&labels);
    let settings = Settings::default();
    let shown = live(&frame, &labels, &shares);
    let screens =
        [None, Some(Size { width: 100, height: 300 }), Some(Size { width: 64, height: 48 })];
    let fresh = screens.map(|screen| compose(shown, &settings, screen));
    let mut compositor = Compositor::default();
    for _ in 0..2 {
        for (screen, fresh) in screens.iter().zip(&fresh) {
            let dark = Shown::NoSignal { camera: "c", cause: "gone" };
            compose_with(&mut compositor, dark, &settings, *screen);
            assert!(compose_with(&mut compositor, shown, &settings, *screen) == *fresh);
        }
    }
}

#[test]
fn after_the_first_picture_nothing_is_allocated() {
    let (mut frame, labels) = (frame(640, 360), labels(640, 360));
    let (classes, mut status) = (classes(), status());
    let mut shares = shares(&labels);
    for view in View::ALL {
        for screen in [None, Some(Size { width: 320, height: 240 })] {
            let settings = Settings { view, ..Settings::default() };
            let mut compositor = Compositor::default();
            let mut picture = |frame: &Frame, status: &Status, shares: &[f32]| {
                let shown = live(frame, &labels, shares);
                let scene = Scene { shown, classes: &classes, status, settings: &settings };
                compositor.compose(&scene, screen, &mut |_, row| {
                    std::hint::black_box(row);
                });
            };
            status.frames_per_second = 100.0;
            picture(&frame, &status, &shares);
            let counted = allocation_counter::measure(|| {
                for step in 1..20 {
                    frame.sequence += 3;
                    status.frames_per_second = 10.0 + step as f32;
                    shares[0] = step as f32;
                    picture(&frame, &status, &shares);
                }
            });
            assert_eq!(counted.count_total, 0, "{view:?} {screen:?}");
        }
    }
}
