//! What compose costs.

use super::golden::{classes, frame, labels, shares, status};
use super::{Compositor, Scene, Settings, Shown, View};
use crate::display::Size;
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
                    let shown = Shown::Live {
                        frame: &frame,
                        labels: &labels,
                        shares: &shares,
                        age: Duration::ZERO,
                    };
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
