//! What compose costs.

use super::golden::{classes, frame, labels, shares, status};
use super::{Compositor, Scene, Settings, Shown, View};
use crate::config::card::{Axes, Class, Color, Fit, Kind};
use crate::decode::{self, Decoder, Elements, LabelMap, Mapping, Scores};
use crate::display::Size;
use crate::frame::{Frame, Layout, PixelFormat};
use crate::prepare::{Element, InputSpec, Prepare, Samples};
use crate::segment::Mask;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Prints what compose costs, as ratios to one copy of the frame.
#[test]
#[ignore = "a measurement"]
fn compose_cost() {
    let (mut frame, labels) = (frame(1280, 720), labels(1280, 720));
    let shares = shares(&labels);
    let (classes, status) = (classes(), status());
    let mut target = vec![0u8; 4 * 1280 * 720];
    let source = vec![1u8; 4 * 1280 * 720];
    let best = |times: &[f64]| times.iter().copied().fold(f64::MAX, f64::min);
    let screens =
        [None, Some(Size { width: 1920, height: 1080 }), Some(Size { width: 320, height: 240 })];
    let mut rows = vec![Vec::new(); 3 + 2 * 3 * screens.len()];
    let mut compositors: Vec<Compositor> = Vec::new();
    compositors.resize_with(rows.len(), Compositor::default);
    let mut names = vec![String::new(); rows.len()];
    for _ in 0..40 {
        frame.sequence += 1;
        let mut note = |at: usize, name: &str, begun: Instant| {
            rows[at].push(begun.elapsed().as_secs_f64() * 1e3);
            names[at] = name.to_owned();
        };
        let begun = Instant::now();
        target.copy_from_slice(std::hint::black_box(&source));
        std::hint::black_box(&target);
        note(0, "memcpy of a BGRX frame", begun);
        let begun = Instant::now();
        let mut row = vec![0; 4 * 1280];
        for y in 0..720 {
            crate::frame::color::row_to_bgrx(&frame, y, &mut row);
            std::hint::black_box(&row);
        }
        note(1, "row_to_bgrx alone", begun);
        let begun = Instant::now();
        let mut tints = super::tint::Tints::default();
        tints.set(&classes, 128, None);
        for y in 0..720 {
            tints.blend(labels.row(y), &mut row);
            std::hint::black_box(&row);
        }
        note(2, "blend alone", begun);
        let mut at = 3;
        for screen in screens {
            for view in View::ALL {
                for text in [false, true] {
                    let mut status = status.clone();
                    status.frames_per_second += (frame.sequence % 7) as f32;
                    let settings =
                        Settings { view, legend: text, status: text, ..Settings::default() };
                    let mask = Mask::of(&frame, &labels, &shares, Duration::ZERO);
                    let shown = Shown::Live(mask);
                    let scene =
                        Scene { shown, classes: &classes, status: &status, settings: &settings };
                    let begun = Instant::now();
                    compositors[at].compose(&scene, screen, &mut |_, row| {
                        std::hint::black_box(row);
                    });
                    let screen = screen.map(|size| (size.width, size.height));
                    note(at, &format!("{screen:?} {} text {text}", view.name()), begun);
                    at += 1;
                }
            }
        }
    }
    let copy = best(&rows[0]);
    for (name, times) in names.iter().zip(&rows) {
        println!("{name:45} {:7.3} ms  {:5.2} copies", best(times), best(times) / copy);
    }
}

/// Prints what everything beside the network costs for a YUYV frame of 1280x720, step by step,
/// as ratios to copying the frame and the picture once.
/// `cargo test --release --lib beside_network -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn beside_network() {
    let layout = Layout::packed(PixelFormat::Yuyv, 1280, 720).unwrap();
    let mut frame = Frame::new(layout);
    for (at, byte) in frame.data.iter_mut().enumerate() {
        *byte = 40 + (at / 7 % 64) as u8 + fastrand::u8(..100);
    }
    let (mean, std) = ([0.0; 3], [1.0; 3]);
    let (element, axes, color) = (Element::F32, Axes::Nchw, Color::Rgb);
    let spec = InputSpec { element, axes, color, mean, std, height: 256, width: 256 };
    let mut tensor = vec![0.0; spec.len()];
    let numbers = decode::speed::portrait(1, 256);
    let scores = Scores::new(Elements::F32(&numbers), Axes::Nchw, [1, 256, 256]).unwrap();
    let class = |name: &str, color| Class { name: name.into(), color };
    let classes = [class("background", None), class("person", Some([47, 158, 68]))];
    let (mut status, settings) = (status(), Settings::default());
    let mut labels = LabelMap::default();
    labels.reset(1280, 720);
    let mut picture = vec![0; 4 * 1280 * 720];
    let from = vec![1_u8; frame.data.len() + picture.len()];
    let mut to = from.clone();
    for fit in [Fit::Letterbox, Fit::Crop] {
        let mut prepare = Prepare::new(spec);
        let placement = prepare.place(1280, 720, fit);
        let mapping = Mapping::whole(placement, 1280, 720);
        let mut decoder = Decoder::new(Kind::Probability, 0.5, 2);
        let mut compositor = Compositor::default();
        let names = ["copy", "prepare", "decode", "shares", "compose", "all"];
        let mut times = [(); 6].map(|()| Vec::new());
        for _ in 0..300 {
            frame.sequence += 1;
            status.frames_per_second += (frame.sequence % 7) as f32;
            let mut clock = Instant::now();
            let mut lap = || std::mem::replace(&mut clock, Instant::now()).elapsed();
            to.copy_from_slice(black_box(&from));
            black_box(&to);
            let copied = lap();
            prepare.run(black_box(&frame), &placement, Samples::F32(&mut tensor)).unwrap();
            black_box(&tensor);
            let prepared = lap();
            decoder.decode(black_box(&scores), &mapping, &mut labels).unwrap();
            let decoded = lap();
            let mut shares = [0.0; 2];
            decode::shares(black_box(&labels), &mut shares);
            let counted = lap();
            let shown = Shown::Live(Mask::of(&frame, &labels, &shares, Duration::ZERO));
            let scene = Scene { shown, classes: &classes, status: &status, settings: &settings };
            compositor.compose(&scene, None, &mut |y, row| {
                picture[row.len() * y as usize..][..row.len()].copy_from_slice(row);
            });
            black_box(&picture);
            let composed = lap();
            let all = prepared + decoded + counted + composed;
            let laps = [copied, prepared, decoded, counted, composed, all];
            for (times, lap) in times.iter_mut().zip(laps) {
                times.push(lap.as_secs_f64() * 1e3);
            }
        }
        times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        println!("{fit:?}: least and median ms, and copies");
        for (name, column) in names.iter().zip(&times) {
            let (least, median) = (column[0], column[column.len() / 2]);
            let copies = [least / times[0][0], median / times[0][times[0].len() / 2]];
            println!("{name:8} {least:.3} {median:.3} ms, {:.2} {:.2}", copies[0], copies[1]);
        }
    }
}
