//! `prepare` against its definition in real numbers, pixel by pixel.

use super::*;
use crate::frame::{Encoding, Matrix, Range};
use std::hint::black_box;
use std::time::Instant;

/// The three samples of a pixel, chroma being that of its pair.
fn samples(frame: &Frame, x: u32, y: u32) -> [f64; 3] {
    let layout = &frame.layout;
    let row = frame.row(y);
    let (first, second) = frame.chroma_rows(y);
    let (x, pair) = (x as usize, x as usize / 2);
    let bytes = match layout.format {
        PixelFormat::Yuyv => [row[2 * x], row[4 * pair + 1], row[4 * pair + 3]],
        PixelFormat::Uyvy => [row[2 * x + 1], row[4 * pair], row[4 * pair + 2]],
        PixelFormat::Nv12 => [row[x], first[2 * pair], first[2 * pair + 1]],
        PixelFormat::I420 => [row[x], first[pair], second[pair]],
        PixelFormat::Rgb => [row[3 * x], row[3 * x + 1], row[3 * x + 2]],
        PixelFormat::Bgr => [row[3 * x + 2], row[3 * x + 1], row[3 * x]],
        PixelFormat::Grey => [row[x]; 3],
    };
    bytes.map(f64::from)
}

/// Source indices and their weights for output sample `at` of `to`.
fn axis(at: u32, begin: i32, from: u32, to: u32, length: u32) -> Vec<(u32, f64)> {
    let scale = f64::from(from) / f64::from(to);
    if from > to {
        let (start, stop) = (f64::from(at) * scale, f64::from(at + 1) * scale);
        let covered = |i: u32| (f64::from(i + 1).min(stop) - f64::from(i).max(start)) / scale;
        let all = (0..from).map(|i| (i + begin as u32, covered(i)));
        return all.filter(|(_, weight)| *weight > 0.0).collect();
    }
    if from < to {
        let centre = ((f64::from(at) + 0.5) * scale - 0.5).clamp(0.0, f64::from(from - 1));
        let index = centre as u32;
        let next = (index + 1).min(from - 1);
        let part = centre - f64::from(index);
        return vec![(index + begin as u32, 1.0 - part), (next + begin as u32, part)];
    }
    // Walks back and forth between the borders.
    let (mut index, mut step, target) = (0_i64, 1_i64, i64::from(begin) + i64::from(at));
    for _ in 0..target.abs() {
        if length > 1 {
            if index + step < 0 || index + step >= i64::from(length) {
                step = -step;
            }
            index += step;
        }
    }
    vec![(index as u32, 1.0)]
}

fn clamp(channel: f64) -> f64 {
    channel.clamp(0.0, 255.0)
}

/// The 8-bit channels of an output pixel before rounding.
fn exact(frame: &Frame, placement: &Placement, color: Color, x: u32, y: u32) -> [f64; 3] {
    let Placement { source, target, .. } = placement;
    let (x, y) = (x.wrapping_sub(target.x as u32), y.wrapping_sub(target.y as u32));
    if x >= target.width || y >= target.height {
        return [0.0; 3];
    }
    let mut mean = [0.0; 3];
    for (row, down) in axis(y, source.y, source.height, target.height, frame.height()) {
        for (column, across) in axis(x, source.x, source.width, target.width, frame.width()) {
            for (mean, sample) in mean.iter_mut().zip(samples(frame, column, row)) {
                *mean += sample * across * down;
            }
        }
    }
    let [r, g, b] = match frame.layout.format {
        PixelFormat::Rgb | PixelFormat::Bgr | PixelFormat::Grey => mean,
        _ => {
            let Encoding { matrix, range } = frame.layout.encoding;
            let (kr, kb) = if matrix == Matrix::Bt601 { (0.299, 0.114) } else { (0.2126, 0.0722) };
            let (black, white, reach) =
                if range == Range::Limited { (16.0, 219.0, 224.0) } else { (0.0, 255.0, 255.0) };
            let luma = (mean[0] - black) / white;
            let [pb, pr] = [mean[1], mean[2]].map(|c| (c - 128.0) / reach);
            let [pb, pr] = if color == Color::Gray { [0.0; 2] } else { [pb, pr] };
            let (r, b) = (luma + 2.0 * (1.0 - kr) * pr, luma + 2.0 * (1.0 - kb) * pb);
            let g = (luma - kr * r - kb * b) / (1.0 - kr - kb);
            [r, g, b].map(|channel| 255.0 * channel)
        }
    };
    match color {
        Color::Rgb => [r, g, b].map(clamp),
        Color::Bgr => [b, g, r].map(clamp),
        Color::Gray => [clamp(0.299 * r + 0.587 * g + 0.114 * b); 3],
    }
}

fn random_frame(format: PixelFormat, width: u32, height: u32) -> Frame {
    let stride = format.min_stride(width) + fastrand::usize(..9);
    let encoding = Encoding {
        matrix: *fastrand::choice(&[Matrix::Bt601, Matrix::Bt709]).unwrap(),
        range: *fastrand::choice(&[Range::Limited, Range::Full]).unwrap(),
    };
    let layout = Layout::strided(format, width, height, stride).unwrap().with_encoding(encoding);
    let mut frame = Frame::new(layout);
    // Noise, the extremes, or one colour: the last shows any systematic loss.
    match fastrand::u8(..3) {
        0 => frame.data.fill_with(|| fastrand::u8(..)),
        1 => frame.data.fill_with(|| *fastrand::choice(&[0, 255]).unwrap()),
        _ => frame.data.fill(fastrand::u8(..)),
    }
    frame
}

fn random_spec(width: u32, height: u32) -> InputSpec {
    InputSpec {
        element: *fastrand::choice(&[Element::U8, Element::I8, Element::F32]).unwrap(),
        axes: *fastrand::choice(&[Axes::Nchw, Axes::Nhwc]).unwrap(),
        color: *fastrand::choice(&[Color::Rgb, Color::Bgr, Color::Gray]).unwrap(),
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        height,
        width,
    }
}

/// The tensor as 8-bit channels, undoing the element type exactly.
fn run(prepare: &mut Prepare, frame: &Frame, placement: &Placement) -> Vec<u8> {
    let spec = *prepare.spec();
    let length = spec.len();
    match spec.element {
        Element::U8 => {
            let mut out = vec![77; length];
            prepare.run(frame, placement, Samples::U8(&mut out)).unwrap();
            out
        }
        Element::I8 => {
            let mut out = vec![77; length];
            prepare.run(frame, placement, Samples::I8(&mut out)).unwrap();
            out.into_iter().map(|p| (i16::from(p) + 128) as u8).collect()
        }
        Element::F32 => {
            let mut out = vec![f32::NAN; length];
            prepare.run(frame, placement, Samples::F32(&mut out)).unwrap();
            let byte = |(index, value): (usize, &f32)| {
                let channel = match spec.axes {
                    Axes::Nchw => index / (spec.height * spec.width) as usize,
                    Axes::Nhwc => index % spec.color.channels(),
                };
                let p = (value * spec.std[channel] + spec.mean[channel]) * 255.0;
                let exact = (p.round() / 255.0 - spec.mean[channel]) / spec.std[channel];
                assert_eq!(exact, *value);
                p.round() as u8
            };
            out.iter().enumerate().map(byte).collect()
        }
    }
}

/// The largest difference from the exact answer.
fn difference(frame: &Frame, placement: &Placement, spec: &InputSpec, tensor: &[u8]) -> f64 {
    let (channels, width, height) =
        (spec.color.channels(), spec.width as usize, spec.height as usize);
    let mut largest = 0.0_f64;
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let exact = exact(frame, placement, spec.color, x as u32, y as u32);
        for (channel, exact) in exact.into_iter().take(channels).enumerate() {
            let at = match spec.axes {
                Axes::Nchw => (channel * height + y) * width + x,
                Axes::Nhwc => (y * width + x) * channels + channel,
            };
            largest = largest.max((f64::from(tensor[at]) - exact).abs());
        }
    }
    largest
}

#[test]
fn every_format_size_and_fit_is_within_0_7_levels() {
    fastrand::seed(3);
    let sides = [1, 1, 2, 3, 5, 7, 13, 16, 17, 31, 40, 66];
    let side = || *fastrand::choice(&sides).unwrap();
    let mut prepared: Option<Prepare> = None;
    for round in 0..6000 {
        let format = PixelFormat::ALL[round % 7];
        let frame = random_frame(format, side(), side());
        let mut prepare = match prepared.take() {
            Some(prepare) if fastrand::bool() => prepare,
            _ => Prepare::new(random_spec(side(), side())),
        };
        let fit = [Fit::Crop, Fit::Stretch, Fit::Letterbox, Fit::Tile][fastrand::usize(..4)];
        let mut placement = prepare.place(frame.width(), frame.height(), fit);
        if fit == Fit::Tile {
            placement.source.x += fastrand::i32(-70..70);
            placement.source.y += fastrand::i32(-70..70);
        }
        for _ in 0..2 {
            let tensor = run(&mut prepare, &frame, &placement);
            let largest = difference(&frame, &placement, prepare.spec(), &tensor);
            assert!(largest < 0.7, "{largest} levels, {:?} {placement:?}", frame.layout);
        }
        prepared = Some(prepare);
    }
}

#[test]
fn a_long_way_down_is_as_exact() {
    fastrand::seed(4);
    for (width, height) in [(3, 5000), (5000, 3), (301, 303), (16_384, 1), (1, 16_384)] {
        for round in 0..21 {
            let frame = random_frame(PixelFormat::ALL[round % 7], width, height);
            let mut prepare = Prepare::new(random_spec(1, fastrand::u32(1..3)));
            let placement = prepare.place(width, height, Fit::Stretch);
            let tensor = run(&mut prepare, &frame, &placement);
            let largest = difference(&frame, &placement, prepare.spec(), &tensor);
            assert!(largest < 0.7, "{largest} levels, {:?} {placement:?}", frame.layout);
        }
    }
}

fn u8_spec(axes: Axes, color: Color, width: u32, height: u32) -> InputSpec {
    let (mean, std) = ([0.0; 3], [1.0; 3]);
    InputSpec { element: Element::U8, axes, color, mean, std, height, width }
}

#[test]
fn an_rgb_frame_of_the_inputs_size_is_taken_as_it_is() {
    fastrand::seed(5);
    for fit in [Fit::Crop, Fit::Stretch, Fit::Letterbox, Fit::Tile] {
        let mut frame = Frame::new(Layout::packed(PixelFormat::Rgb, 37, 11).unwrap());
        frame.data.fill_with(|| fastrand::u8(..));
        let mut prepare = Prepare::new(u8_spec(Axes::Nhwc, Color::Rgb, 37, 11));
        let placement = prepare.place(37, 11, fit);
        assert_eq!(run(&mut prepare, &frame, &placement), frame.data[..]);
    }
}

#[test]
fn a_frame_of_unchanged_size_has_the_colours_of_the_screen() {
    fastrand::seed(6);
    for format in PixelFormat::ALL {
        let frame = random_frame(format, 37, 11);
        let mut prepare = Prepare::new(u8_spec(Axes::Nhwc, Color::Bgr, 37, 11));
        let placement = prepare.place(37, 11, Fit::Crop);
        let tensor = run(&mut prepare, &frame, &placement);
        let mut row = [0; 37 * 4];
        for (y, tensor) in (0..11).zip(tensor.chunks(37 * 3)) {
            color::row_to_bgrx(&frame, y, &mut row);
            let screen: Vec<u8> = row.chunks(4).flat_map(|pixel| &pixel[..3]).copied().collect();
            assert_eq!(tensor, screen, "{format:?}");
        }
    }
}

#[test]
fn places_keep_the_aspect_ratio_and_the_middle() {
    let prepare = Prepare::new(u8_spec(Axes::Nchw, Color::Rgb, 256, 256));
    let place = |fit| {
        let placement = prepare.place(1280, 720, fit);
        let Rect { x, y, width, height } = placement.source;
        let target = placement.target;
        ([x, y], [width, height], [target.x, target.y], [target.width, target.height])
    };
    assert_eq!(place(Fit::Crop), ([280, 0], [720, 720], [0, 0], [256, 256]));
    assert_eq!(place(Fit::Stretch), ([0, 0], [1280, 720], [0, 0], [256, 256]));
    assert_eq!(place(Fit::Letterbox), ([0, 0], [1280, 720], [0, 56], [256, 144]));
    assert_eq!(place(Fit::Tile), ([512, 232], [256, 256], [0, 0], [256, 256]));
    assert_eq!(prepare.place(1, 5000, Fit::Letterbox).target.width, 1);
}

#[test]
fn what_lies_behind_an_odd_row_stays_as_it_was() {
    let frame = random_frame(PixelFormat::Nv12, 1, 3);
    let spec = u8_spec(Axes::Nchw, Color::Rgb, 16, 16);
    let mut prepare = Prepare::new(spec);
    let all = |width, height| Rect { x: 0, y: 0, width, height };
    let placement = Placement { source: all(1, 3), target: all(1, 16), input: [16, 16] };
    for _ in 0..4 {
        run(&mut prepare, &frame, &placement);
    }
    for chroma in &prepare.filter.samples()[1..] {
        assert_eq!(chroma.as_flattened()[along::ROWS..], [0; 8]);
    }
}

#[test]
fn bars_are_black_pixels() {
    let mut spec = u8_spec(Axes::Nchw, Color::Rgb, 4, 4);
    spec.element = Element::F32;
    (spec.mean, spec.std) = ([0.5; 3], [0.25, 0.5, 1.0]);
    let mut prepare = Prepare::new(spec);
    let mut frame = Frame::new(Layout::packed(PixelFormat::Grey, 4, 2).unwrap());
    frame.data.fill(255);
    let placement = prepare.place(4, 2, Fit::Letterbox);
    let mut out = [9.0; 48];
    prepare.run(&frame, &placement, Samples::F32(&mut out)).unwrap();
    for (channel, edge) in out.chunks(16).zip([2.0, 1.0, 0.5]) {
        let row = |value: f32| [value; 4];
        assert_eq!(channel, [row(-edge), row(edge), row(edge), row(-edge)].as_flattened());
    }
}

#[test]
fn mistakes_are_errors_that_name_what_was_found() {
    let mut prepare = Prepare::new(u8_spec(Axes::Nchw, Color::Rgb, 4, 4));
    let mut frame = Frame::new(Layout::packed(PixelFormat::Nv12, 9, 7).unwrap());
    let good = prepare.place(9, 7, Fit::Crop);
    let mut out = [0; 48];
    let mut message = |frame: &Frame, placement: Placement, out: Samples<'_>| {
        prepare.run(frame, &placement, out).unwrap_err().to_string()
    };
    assert_eq!(
        message(&frame, good, Samples::U8(&mut out[1..])),
        "the network's input has 48 elements of u8, the tensor to be filled 47 of u8"
    );
    assert!(message(&frame, good, Samples::F32(&mut [0.0; 48])).ends_with("filled 48 of f32"));
    for source in [
        Rect { x: -1, y: 0, width: 9, height: 7 },
        Rect { x: 0, y: 1, width: 9, height: 7 },
        Rect { x: 0, y: 0, width: 0, height: 7 },
        Rect { x: i32::MAX, y: 0, width: u32::MAX, height: 7 },
    ] {
        let bad = Placement { source, ..good };
        assert!(message(&frame, bad, Samples::U8(&mut out)).contains("of a frame of 9x7"));
    }
    let target = Rect { x: 1, ..good.target };
    let bad = Placement { target, ..good };
    assert!(message(&frame, bad, Samples::U8(&mut out)).contains("of an input of [4, 4]"));
    frame.data.truncate(frame.data.len() - 1);
    assert!(message(&frame, good, Samples::U8(&mut out)).contains("has 102 bytes where 103"));
    assert_eq!(out, [0; 48]);
}

#[test]
fn frames_of_one_layout_and_tiles_of_one_size_do_not_allocate() {
    for format in PixelFormat::ALL {
        let frame = random_frame(format, 64, 48);
        let mut prepare = Prepare::new(u8_spec(Axes::Nchw, Color::Rgb, 32, 32));
        let crop = prepare.place(64, 48, Fit::Crop);
        let mut tile = prepare.place(64, 48, Fit::Tile);
        let mut out = vec![0; 32 * 32 * 3];
        for placement in [crop, tile] {
            prepare.run(&frame, &placement, Samples::U8(&mut out)).unwrap();
        }
        let counted = allocation_counter::measure(|| {
            prepare.run(&frame, &crop, Samples::U8(&mut out)).unwrap();
            for x in [-9, 0, 7, 50] {
                tile.source.x = x;
                prepare.run(&frame, &tile, Samples::U8(&mut out)).unwrap();
            }
        });
        assert_eq!(counted.count_total, 0, "{format:?}");
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture pace_of_prepare"]
fn pace_of_prepare() {
    let mut spec = u8_spec(Axes::Nchw, Color::Rgb, 256, 256);
    spec.element = Element::F32;
    let mut out = vec![0.0; spec.len()];
    for format in PixelFormat::ALL {
        let mut frame = Frame::new(Layout::packed(format, 1280, 720).unwrap());
        frame.data.fill_with(|| fastrand::u8(..));
        for fit in [Fit::Crop, Fit::Letterbox, Fit::Tile] {
            let mut prepare = Prepare::new(spec);
            let mut placement = prepare.place(1280, 720, fit);
            let (from, mut to) = (vec![1_u8; 5_529_600], vec![0; 5_529_600]);
            let (mut ours, mut copy) = (f64::MAX, f64::MAX);
            for round in 0..300 {
                if fit == Fit::Tile {
                    placement.source.x = round;
                }
                let start = Instant::now();
                prepare.run(black_box(&frame), &placement, Samples::F32(&mut out)).unwrap();
                black_box(&out);
                ours = ours.min(start.elapsed().as_secs_f64());
                let start = Instant::now();
                to.copy_from_slice(black_box(&from));
                black_box(&to);
                copy = copy.min(start.elapsed().as_secs_f64());
            }
            let (ours, copy) = (ours * 1e3, copy * 1e3);
            println!("{format:?} {fit:?}: {:.2} copies of 5.5 MB ({ours:.3} ms)", ours / copy);
        }
    }
}
