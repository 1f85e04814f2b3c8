//! What decoding costs beside copying a frame.

use super::tests::rect;
use super::*;
use crate::config::card::{Axes, Kind};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Persons as a mask has them: a head and shoulders, with soft edges.
pub fn portrait(channels: usize, side: usize) -> Vec<f32> {
    let person = |x: usize, y: usize, shift: f32| {
        let (x, y) = (x as f32 / side as f32 - shift, y as f32 / side as f32);
        let head = 0.18 - ((x - 0.5).powi(2) + (y - 0.35).powi(2)).sqrt();
        let body = 0.4 - ((x - 0.5).powi(2) + 0.5 * (y - 1.1).powi(2)).sqrt();
        1.0 / (1.0 + (-head.max(body) * 60.0).exp())
    };
    let plane = |channel: usize| {
        (0..side * side).map(move |i| {
            person(i % side, i / side, (channel as f32 - 1.0) * 0.1) - 0.05 * channel as f32
        })
    };
    if channels == 1 { plane(1).collect() } else { (0..channels).flat_map(plane).collect() }
}

/// `cargo test --release --lib decode::speed -- --ignored --nocapture`
#[test]
#[ignore = "a benchmark"]
fn table() {
    let (width, height) = (1280, 720);
    let bytes = vec![1_u8; width * height * 4];
    let mut copy = bytes.clone();
    let crop = Placement {
        source: rect(280, 0, 720, 720),
        target: rect(0, 0, 256, 256),
        input: [256, 256],
    };
    let whole = Placement { source: rect(0, 0, 1280, 720), ..crop };
    let noise = (0..8 * 256 * 256).map(|_| fastrand::f32()).collect::<Vec<f32>>();
    let mut map = LabelMap::default();
    map.reset(width as u32, height as u32);
    println!("256x256 scores to a frame of 1280x720; times over that of copying its RGBA");
    println!("| output | time | ns/pixel | decode | one pixel (winners alone) | shares |");
    for (name, channels, axes, placement, noisy) in [
        ("probability", 1, Axes::Nchw, crop, false),
        ("probability", 1, Axes::Nchw, whole, false),
        ("2 classes nchw", 2, Axes::Nchw, whole, false),
        ("8 classes nchw", 8, Axes::Nchw, whole, false),
        ("2 classes nhwc", 2, Axes::Nhwc, whole, false),
        ("8 classes nhwc", 8, Axes::Nhwc, whole, false),
        ("probability, noise", 1, Axes::Nchw, whole, true),
        ("8 classes, noise", 8, Axes::Nchw, whole, true),
    ] {
        let mut numbers = portrait(channels, 256);
        if axes == Axes::Nhwc {
            let planes = numbers.clone();
            for (i, number) in numbers.iter_mut().enumerate() {
                *number = planes[i % channels * 65536 + i / channels];
            }
        }
        let numbers = if noisy { &noise[..channels * 65536] } else { &numbers };
        let scores = Scores::new(Elements::F32(numbers), axes, [channels, 256, 256]).unwrap();
        let kind = if channels == 1 { Kind::Probability } else { Kind::Scores };
        let mut decoder = Decoder::new(kind, 0.5, 0);
        let mapping = Mapping::whole(placement, width as u32, height as u32);
        let pixel = Mapping { write: rect(640, 360, 1, 1), ..mapping };
        let [mut least, mut least_copy, mut least_shares, mut least_pixel] = [Duration::MAX; 4];
        for _ in 0..200 {
            let start = Instant::now();
            decoder.decode(&scores, &mapping, &mut map).unwrap();
            least = least.min(start.elapsed());
            let start = Instant::now();
            decoder.decode(&scores, &pixel, &mut map).unwrap();
            least_pixel = least_pixel.min(start.elapsed());
            let start = Instant::now();
            black_box(&mut copy).copy_from_slice(black_box(&bytes));
            least_copy = least_copy.min(start.elapsed());
            let start = Instant::now();
            black_box(shares(black_box(&map), &mut [0.0; 8]));
            least_shares = least_shares.min(start.elapsed());
        }
        let pixels = placement.source.width * placement.source.height;
        let ratio = |time: Duration| time.as_secs_f64() / least_copy.as_secs_f64();
        println!(
            "| {name} to {pixels} pixels | {least:?} | {:.3} | {:.2} | {:.2} | {:.2} |",
            least.as_nanos() as f64 / f64::from(pixels),
            ratio(least),
            ratio(least_pixel),
            ratio(least_shares),
        );
    }
}
