use super::*;
use PixelFormat::{Bgr, Grey, I420, Nv12, Rgb, Yuyv};

const WANTED: Wanted = Wanted { width: 256, height: 256 };

fn mode(coding: Coding, width: u32, height: u32, rates: &[u32]) -> Mode {
    let interval = |fps: &u32| Interval::new((1, *fps), (1, *fps)).unwrap();
    let fourcc = width * 100;
    Mode { coding, fourcc, width, height, intervals: rates.iter().map(interval).collect() }
}

fn raw(format: PixelFormat, width: u32, height: u32, rates: &[u32]) -> Mode {
    mode(Coding::Raw(format), width, height, rates)
}

/// A webcam on USB 2: raw while the bus can carry it, JPEG above.
fn webcam() -> Vec<Mode> {
    vec![
        raw(Yuyv, 640, 480, &[30, 15]),
        raw(Yuyv, 320, 240, &[30]),
        raw(Yuyv, 352, 288, &[30]),
        raw(Yuyv, 1280, 720, &[10, 5]),
        mode(Coding::Jpeg, 1280, 720, &[30]),
        mode(Coding::Jpeg, 640, 480, &[60, 30]),
        mode(Coding::Jpeg, 1920, 1080, &[30]),
    ]
}

fn chosen(modes: &[Mode], wanted: (u32, u32), stated: Stated) -> Option<(Coding, u32, u32)> {
    let wanted = Wanted { width: wanted.0, height: wanted.1 };
    choose(modes, wanted, &stated).map(|choice| (choice.coding, choice.width, choice.height))
}

#[test]
fn the_cheapest_that_covers_what_is_wanted_is_taken() {
    let of = |width, height| chosen(&webcam(), (width, height), Stated::default()).unwrap();
    assert_eq!(of(256, 256), (Coding::Raw(Yuyv), 352, 288));
    assert_eq!(of(320, 240), (Coding::Raw(Yuyv), 320, 240));
    assert_eq!(of(512, 256), (Coding::Raw(Yuyv), 640, 480));
    // Raw would be slow.
    assert_eq!(of(1024, 512), (Coding::Jpeg, 1280, 720));
    assert_eq!(of(1920, 800), (Coding::Jpeg, 1920, 1080));
    // Nothing is so large: the largest.
    assert_eq!(of(4000, 4000), (Coding::Jpeg, 1920, 1080));
    // Nobody says.
    assert_eq!(of(0, 0), (Coding::Raw(Yuyv), 640, 480));
    assert_eq!(of(u32::MAX, u32::MAX), (Coding::Jpeg, 1920, 1080));
}

#[test]
fn formats_come_in_the_order_of_their_cost_and_grey_last() {
    let mut modes = vec![
        raw(Grey, 640, 480, &[30]),
        mode(Coding::Jpeg, 640, 480, &[30]),
        raw(Yuyv, 640, 480, &[30]),
        raw(I420, 640, 480, &[30]),
        raw(Bgr, 640, 480, &[30]),
    ];
    for expected in [Coding::Raw(Bgr), Coding::Raw(I420), Coding::Raw(Yuyv), Coding::Jpeg] {
        assert_eq!(chosen(&modes, (256, 256), Stated::default()), Some((expected, 640, 480)));
        modes.retain(|mode| mode.coding != expected);
    }
    assert_eq!(chosen(&modes, (9, 9), Stated::default()), Some((Coding::Raw(Grey), 640, 480)));
    assert_eq!(chosen(&[], (9, 9), Stated::default()), None);
}

#[test]
fn small_and_slow_modes_only_where_there_is_nothing_else() {
    let of = |modes: &[Mode]| chosen(modes, (600, 400), Stated::default()).unwrap();
    let (small, slow) = (raw(Rgb, 320, 240, &[30]), raw(Rgb, 1280, 720, &[10]));
    assert_eq!(of(&[small.clone(), slow.clone()]).1, 1280);
    assert_eq!(of(&[small.clone(), raw(Rgb, 160, 120, &[30])]).1, 320);
    assert_eq!(of(&[slow.clone(), raw(Rgb, 1920, 1080, &[5])]).1, 1280);
    assert_eq!(of(&[slow, raw(Nv12, 1920, 1080, &[15])]).1, 1920);
    // A rate that is not told is no slow one.
    assert_eq!(of(&[small, raw(Rgb, 640, 480, &[])]).1, 640);
}

#[test]
fn what_is_stated_is_taken_or_nothing() {
    let of = |stated| chosen(&webcam(), (256, 256), stated);
    let none = Stated::default();
    let jpeg = Some(Coding::Jpeg);
    assert_eq!(of(Stated { coding: jpeg, ..none }), Some((Coding::Jpeg, 640, 480)));
    assert_eq!(of(Stated { fps: Some(60.0), ..none }), Some((Coding::Jpeg, 640, 480)));
    assert_eq!(of(Stated { width: Some(1280), ..none }), Some((Coding::Jpeg, 1280, 720)));
    let slow = Stated { width: Some(1280), fps: Some(5.0), ..none };
    assert_eq!(of(slow), Some((Coding::Raw(Yuyv), 1280, 720)));
    for stated in [
        Stated { coding: Some(Coding::Raw(Nv12)), ..none },
        Stated { width: Some(641), ..none },
        Stated { width: Some(640), height: Some(720), ..none },
        Stated { fps: Some(31.0), ..none },
        Stated { coding: jpeg, width: Some(320), ..none },
    ] {
        assert_eq!(of(stated), None, "{stated}");
    }
    let all = Stated { coding: jpeg, width: Some(1), height: Some(2), fps: Some(7.5) };
    assert_eq!(all.to_string(), "format=mjpeg width=1 height=2 fps=7.5");
}

#[test]
fn the_rate_is_the_stated_or_that_nearest_to_the_usual() {
    let interval = |modes: &[Mode], fps: Option<f64>| {
        choose(modes, WANTED, &Stated { fps, ..Stated::default() }).unwrap().interval
    };
    assert_eq!(interval(&[raw(Rgb, 640, 480, &[5, 60, 25])], None), Some((1, 25)));
    assert_eq!(interval(&[raw(Rgb, 640, 480, &[])], None), None);
    assert_eq!(interval(&[raw(Rgb, 640, 480, &[])], Some(12.5)), Some((1000, 12_500)));
    let mut ntsc = raw(Rgb, 640, 480, &[25]);
    ntsc.intervals.extend(Interval::new((1001, 30_000), (1001, 30_000)));
    assert_eq!(interval(std::slice::from_ref(&ntsc), Some(30.0)), Some((1001, 30_000)));
    let range = Interval::new((1, 120), (1, 1)).unwrap();
    let any = Mode { intervals: vec![range], ..ntsc };
    assert_eq!(interval(std::slice::from_ref(&any), None), Some((1000, 30_000)));
    assert_eq!(interval(std::slice::from_ref(&any), Some(120.0)), Some((1, 120)));
    assert_eq!(range.to_string(), "1 to 120");
    assert_eq!(chosen(&[any], (9, 9), Stated { fps: Some(121.5), ..Stated::default() }), None);
}

#[test]
fn rates_that_are_none_are_not_believed() {
    for fraction in [(0, 1), (1, 0), (0, 0), (u32::MAX, 1), (1, u32::MAX)] {
        assert_eq!(Interval::new(fraction, (1, 30)), None);
        assert_eq!(Interval::new((1, 30), fraction), None);
    }
    let turned = Interval::new((1, 1), (1, 60)).unwrap();
    assert_eq!(turned.rates(), (1.0, 60.0));
}

#[test]
fn sizes_in_steps_are_the_smallest_that_cover_at_the_usual_aspect() {
    let steps = Sizes::Steps { least: (32, 32), most: (1920, 1080), step: (16, 2) };
    let of = |wanted: (u32, u32), usual, stated: Stated| {
        candidate(steps, Wanted { width: wanted.0, height: wanted.1 }, &stated, usual)
    };
    let none = Stated::default();
    assert_eq!(of((256, 256), (640, 480), none), Some((352, 256)));
    assert_eq!(of((256, 256), (1280, 720), none), Some((464, 256)));
    assert_eq!(of((512, 256), (640, 480), none), Some((512, 384)));
    assert_eq!(of((256, 256), (0, 0), none), Some((352, 256)));
    assert_eq!(of((4000, 4000), (640, 480), none), Some((1920, 1080)));
    let width = Stated { width: Some(800), ..none };
    assert_eq!(of((256, 256), (640, 480), width), Some((800, 600)));
    let height = Stated { height: Some(600), ..none };
    assert_eq!(of((256, 256), (640, 480), height), Some((800, 600)));
    // Not one of the steps.
    assert_eq!(of((256, 256), (640, 480), Stated { width: Some(801), ..none }), None);
}

#[test]
fn sizes_that_cannot_be_are_passed_over() {
    let of = |least, most, step| {
        candidate(Sizes::Steps { least, most, step }, WANTED, &Stated::default(), (640, 480))
    };
    let max = u32::MAX;
    assert_eq!(of((0, 0), (max, max), (0, 0)), Some((342, 256)));
    assert_eq!(of((1, 1), (max, max), (max, max)), Some((1, 1)));
    assert_eq!(of((640, 480), (320, 240), (2, 2)), None);
    assert_eq!(of((max, max), (max, max), (1, 1)), None);
    assert_eq!(of((0, 0), (0, 0), (1, 1)), None);
    for (width, height) in [(0, 480), (max, max), (16_384, 16_384), (20_000, 4)] {
        let one = Sizes::One(width, height);
        assert_eq!(candidate(one, WANTED, &Stated::default(), (640, 480)), None);
    }
}

#[test]
fn whatever_is_offered_a_choice_is_one_of_it() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let mut number = || match random.u8(..4) {
            0 => random.u32(..),
            1 => random.u32(..4),
            _ => random.u32(..2000),
        };
        let sizes = Sizes::Steps {
            least: (number(), number()),
            most: (number(), number()),
            step: (number(), number()),
        };
        let wanted = Wanted { width: number(), height: number() };
        let intervals =
            (0..3).filter_map(|_| Interval::new((number(), number()), (number(), number())));
        let intervals: Vec<Interval> = intervals.collect();
        let usual = (number(), number());
        let none = Stated::default();
        let Some((width, height)) = candidate(sizes, wanted, &none, usual) else { continue };
        let modes = [Mode { coding: Coding::Jpeg, fourcc: 0, width, height, intervals }];
        let choice = choose(&modes, wanted, &none).unwrap();
        assert_eq!((choice.width, choice.height), (width, height));
        assert!(choice.interval.is_none_or(|(a, b)| a > 0 && b > 0));
    }
}

#[test]
fn words_and_letters_name_the_same_formats() {
    for (word, coding) in Coding::WORDS {
        assert_eq!(coding.name(), word);
        if let Coding::Raw(format) = coding {
            assert_eq!(format.name(), word);
        }
    }
    for letters in [b"YUYV", b"UYVY", b"NV12", b"YU12", b"RGB3", b"BGR3", b"GREY", b"MJPG"] {
        assert!(Coding::from_fourcc(u32::from_le_bytes(*letters)).is_some());
    }
    assert_eq!(Coding::from_fourcc(u32::from_le_bytes(*b"NM12")), None);
    assert_eq!(letters(u32::from_le_bytes(*b"Y16 ")), "Y16");
    assert_eq!(letters(u32::MAX), "????");
}
