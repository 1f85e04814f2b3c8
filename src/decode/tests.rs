use super::*;
use crate::config::card::{Axes, Kind};

pub(super) fn rect(x: i32, y: i32, width: u32, height: u32) -> Rect {
    Rect { x, y, width, height }
}

/// The whole frame on the whole of an input as large as the output.
fn stretch(width: u32, height: u32, samples: [u32; 2]) -> Mapping {
    let source = rect(0, 0, width, height);
    let target = rect(0, 0, samples[1], samples[0]);
    Mapping::whole(Placement { source, target, input: samples }, width, height)
}

fn decode(decoder: &mut Decoder, scores: &Scores, mapping: &Mapping, size: [u32; 2]) -> LabelMap {
    let mut out = LabelMap::default();
    out.reset(size[0], size[1]);
    decoder.decode(scores, mapping, &mut out).unwrap();
    out
}

fn picture(map: &LabelMap) -> Vec<String> {
    let letter = |id: &u8| match id {
        &UNLABELLED => '~',
        0 => '.',
        id => (b'a' + id - 1) as char,
    };
    (0..map.height).map(|y| map.row(y).iter().map(letter).collect()).collect()
}

#[test]
fn edges_are_smooth() {
    // A diagonal of 4x4 samples: nearest labels would give steps of 4 pixels.
    let scores = [
        4., 2., 0., -2., //
        2., 0., -2., -4., //
        0., -2., -4., -6., //
        -2., -4., -6., -8.,
    ];
    let scores = Scores::new(Elements::F32(&scores), Axes::Nchw, [1, 4, 4]).unwrap();
    let mut decoder = Decoder::new(Kind::Probability, -1.0, 2);
    let map = decode(&mut decoder, &scores, &stretch(16, 16, [4, 4]), [16, 16]);
    assert_eq!(
        picture(&map),
        [
            "aaaaaaaaaaaa....",
            "aaaaaaaaaaaa....",
            "aaaaaaaaaaaa....",
            "aaaaaaaaaaa.....",
            "aaaaaaaaaa......",
            "aaaaaaaaa.......",
            "aaaaaaaa........",
            "aaaaaaa.........",
            "aaaaaa..........",
            "aaaaa...........",
            "aaaa............",
            "aaa.............",
            "................",
            "................",
            "................",
            "................",
        ]
    );
}

#[test]
fn a_third_class_wins_between_two() {
    // No sample has class a on top, but halfway it has 5.5 against 4.5.
    let scores = [9., 0., 5.5, 5.5, 0., 9.];
    let scores = Scores::new(Elements::F32(&scores), Axes::Nchw, [3, 1, 2]).unwrap();
    let mut decoder = Decoder::new(Kind::Scores, 0.5, 3);
    let map = decode(&mut decoder, &scores, &stretch(18, 1, [1, 2]), [18, 1]);
    assert_eq!(picture(&map), ["........aabbbbbbbb"]);
}

#[test]
fn what_lies_outside_of_the_source_stays_unlabelled() {
    let scores = [0, 1, 1, 0_u8];
    let scores = Scores::new(Elements::U8(&scores), Axes::Nchw, [1, 2, 2]).unwrap();
    let placement = Placement { source: rect(2, 0, 4, 4), target: rect(0, 0, 2, 2), input: [2, 2] };
    let mut decoder = Decoder::new(Kind::Labels, 0.5, 2);
    let map = decode(&mut decoder, &scores, &Mapping::whole(placement, 9, 5), [9, 5]);
    assert_eq!(picture(&map), ["~~..aa~~~", "~~..aa~~~", "~~aa..~~~", "~~aa..~~~", "~~~~~~~~~"]);
}

#[test]
fn letterbox_bars_in_the_input_are_left_out() {
    // A frame of 8x4 in the middle rows of a 4x4 input; the bars would say class b.
    let mut scores = [0_i64; 16];
    scores[..4].fill(2);
    scores[12..].fill(2);
    scores[6] = 1;
    let scores = Scores::new(Elements::I64(&scores), Axes::Nhwc, [1, 4, 4]).unwrap();
    let placement = Placement { source: rect(0, 0, 8, 4), target: rect(0, 1, 4, 2), input: [4, 4] };
    let mut decoder = Decoder::new(Kind::Labels, 0.5, 3);
    let map = decode(&mut decoder, &scores, &Mapping::whole(placement, 8, 4), [8, 4]);
    assert_eq!(picture(&map), ["....aa..", "....aa..", "........", "........"]);
}

#[test]
fn ids_that_are_no_class_are_unlabelled() {
    let ids = [0_i64, 2, 3, -1, i64::MAX, 258];
    let ids = Scores::new(Elements::I64(&ids), Axes::Nchw, [1, 1, 6]).unwrap();
    let floats = [0.0, 2.0, 3.0, 1.5, f32::NAN, f32::INFINITY];
    let floats = Scores::new(Elements::F32(&floats), Axes::Nchw, [1, 1, 6]).unwrap();
    let mut decoder = Decoder::new(Kind::Labels, 0.5, 3);
    for scores in [ids, floats] {
        let map = decode(&mut decoder, &scores, &stretch(6, 1, [1, 6]), [6, 1]);
        assert_eq!(picture(&map), [".b~~~~"]);
    }
}

#[test]
fn the_lowest_of_equal_classes_wins() {
    let scores = [7_i8; 3 * 5 * 3];
    for axes in [Axes::Nchw, Axes::Nhwc] {
        let scores = Scores::new(Elements::I8(&scores), axes, [3, 5, 3]).unwrap();
        let map = decode(
            &mut Decoder::new(Kind::Scores, 0.5, 0),
            &scores,
            &stretch(7, 11, [5, 3]),
            [7, 11],
        );
        assert!(map.ids.iter().all(|id| *id == 0));
    }
}

#[test]
fn nan_never_wins_and_infinity_does() {
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;
    // Samples by class: 0, 1, 2.
    let scores = [
        NAN, NAN, 1.0, -INF, -INF, NAN, //
        NAN, 2.0, NAN, INF, -INF, -INF, //
        NAN, 1.0, 0.0, 9.0, NAN, -3.0,
    ];
    let scores = Scores::new(Elements::F32(&scores), Axes::Nchw, [3, 1, 6]).unwrap();
    let mut decoder = Decoder::new(Kind::Scores, 0.5, 3);
    let map = decode(&mut decoder, &scores, &stretch(6, 1, [1, 6]), [6, 1]);
    assert_eq!(picture(&map), ["~a.a.b"]);
    // Between the samples only classes with two numbers take part.
    let map = decode(&mut decoder, &scores, &stretch(18, 3, [1, 6]), [18, 3]);
    assert!(map.row(0)[2..4].iter().all(|id| *id == UNLABELLED));
    assert_eq!(map.row(0)[5..7], [2, 2]);

    // From minus to plus infinity there is a middle.
    let scores = [-INF, INF, 0.0, 0.0];
    let scores = Scores::new(Elements::F32(&scores), Axes::Nchw, [2, 1, 2]).unwrap();
    let mut decoder = Decoder::new(Kind::Scores, 0.5, 2);
    assert_eq!(picture(&decode(&mut decoder, &scores, &stretch(4, 1, [1, 2]), [4, 1])), ["aa.."]);

    let p = [NAN, INF, -INF, 0.5];
    let p = Scores::new(Elements::F32(&p), Axes::Nchw, [1, 1, 4]).unwrap();
    let mut decoder = Decoder::new(Kind::Probability, 0.5, 2);
    assert_eq!(picture(&decode(&mut decoder, &p, &stretch(4, 1, [1, 4]), [4, 1])), ["~a.a"]);
}

#[test]
fn wrong_shapes_are_refused() {
    let floats = [0.0; 12];
    let new = |shape| Scores::new(Elements::F32(&floats), Axes::Nchw, shape).map(|_| ());
    assert_eq!(new([3, 2, 2]), Ok(()));
    assert_eq!(new([3, 2, 3]), Err(DecodeError::Length { found: 12, expected: 18 }));
    for [channels, height, width] in [[0, 2, 2], [3, 0, 2], [256, 1, 1], [1, 1, usize::MAX]] {
        let expected = DecodeError::Shape { channels, height, width };
        assert_eq!(new([channels, height, width]), Err(expected));
    }
    let check = |kind, classes, channels| Decoder::new(kind, 0.5, classes).check(channels);
    assert!(check(Kind::Scores, 3, 3).is_ok() && check(Kind::Scores, 0, 9).is_ok());
    let message = check(Kind::Scores, 4, 3).unwrap_err().to_string();
    assert!(
        message.contains("has 3 channels") && message.contains("card's 4 classes"),
        "{message}"
    );
    assert!(check(Kind::Probability, 2, 2).is_err() && check(Kind::Labels, 2, 2).is_err());

    let scores = Scores::new(Elements::F32(&floats), Axes::Nchw, [3, 2, 2]).unwrap();
    let mut mapping = stretch(4, 4, [2, 2]);
    mapping.placement.source.width = 0;
    let mut map = LabelMap::default();
    map.reset(4, 4);
    let mut decoder = Decoder::new(Kind::Scores, 0.5, 0);
    assert!(matches!(decoder.decode(&scores, &mapping, &mut map), Err(DecodeError::Rect { .. })));
}

#[test]
fn shares_are_of_the_labelled_pixels() {
    let mut map = LabelMap::default();
    let mut some = [9.0; 3];
    assert_eq!((shares(&map, &mut some), some), (0, [0.0; 3]));
    map.reset(23, 3);
    assert_eq!((shares(&map, &mut some), some), (0, [0.0; 3]));
    map.ids[..40].fill(2);
    map.ids[10] = 1;
    map.ids[63..].fill(0);
    assert_eq!(shares(&map, &mut some), 46);
    assert_eq!(some, [6.0 / 46.0, 1.0 / 46.0, 39.0 / 46.0]);
}

/// The plain definition in f64: the winner of each frame pixel and by how much it wins.
fn reference(
    at: &dyn Fn(usize, usize, usize) -> f64,
    [channels, height, width]: [usize; 3],
    mapping: &Mapping,
    (x, y): (u32, u32),
) -> (usize, f64) {
    let Mapping { placement: Placement { source, target, .. }, window, .. } = mapping;
    let position = |x: u32, s: (i32, u32), t: (i32, u32), w: (i32, u32), count: usize| {
        let input = f64::from(t.0)
            + (f64::from(x) + 0.5 - f64::from(s.0)) * f64::from(t.1) / f64::from(s.1);
        let p = (input - f64::from(w.0)) * count as f64 / f64::from(w.1) - 0.5;
        let p = p.clamp(0.0, (count - 1) as f64);
        (p as usize, (p as usize + 1).min(count - 1), p.fract())
    };
    let columns = [source, target, window].map(|rect| (rect.x, rect.width));
    let rows = [source, target, window].map(|rect| (rect.y, rect.height));
    let (left, right, u) = position(x, columns[0], columns[1], columns[2], width);
    let (top, bottom, v) = position(y, rows[0], rows[1], rows[2], height);
    let value = |channel| {
        at(channel, top, left) * (1.0 - u) * (1.0 - v)
            + at(channel, top, right) * u * (1.0 - v)
            + at(channel, bottom, left) * (1.0 - u) * v
            + at(channel, bottom, right) * u * v
    };
    let values = (0..channels).map(value).collect::<Vec<f64>>();
    let mut order = (0..channels).collect::<Vec<usize>>();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    match order[..] {
        [only] => (usize::from(values[only] >= 0.0), values[only].abs()),
        [first, second, ..] => (first, values[first] - values[second]),
        [] => unreachable!(),
    }
}

#[test]
fn decoding_equals_the_plain_definition() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut compared, mut close) = (0, 0);
    let mut decoders = [Kind::Probability, Kind::Scores].map(|kind| Decoder::new(kind, 0.0, 0));
    for round in 0..600 {
        let side = |random: &mut fastrand::Rng| random.u32(1..=[3, 12, 40][round % 3]);
        let [height, width] = [side(&mut random), side(&mut random)];
        let [frame_width, frame_height] = [3 * side(&mut random), 2 * side(&mut random)];
        let channels = random.usize(1..=7);
        let shape = [channels, height as usize, width as usize];
        let count = shape.iter().product();
        let smooth = random.bool();
        let numbers = (0..count)
            .map(|i| if smooth { (i as f32 * 0.37).sin() } else { random.f32() * 2.0 - 1.0 })
            .collect::<Vec<f32>>();
        let input = [height * random.u32(1..4), width * random.u32(1..4)];
        let source = rect(
            random.i32(-4..4),
            random.i32(-4..4),
            random.u32(1..=frame_width + 4),
            random.u32(1..=frame_height + 4),
        );
        let target = rect(
            random.i32(0..=input[1] as i32 / 2),
            random.i32(0..=input[0] as i32 / 2),
            random.u32(1..=input[1].div_ceil(2)),
            random.u32(1..=input[0].div_ceil(2)),
        );
        let placement = Placement { source, target, input };
        let mut mapping = Mapping::whole(placement, frame_width, frame_height);
        if round % 4 == 0 {
            mapping.write = rect(-1, 2, frame_width, 4);
            mapping.window.x = random.i32(0..=input[1] as i32 - 1);
            mapping.window.width = input[1] - mapping.window.x as u32;
        }
        let axes = if random.bool() { Axes::Nchw } else { Axes::Nhwc };
        let bytes = numbers.iter().map(|n| (n * 127.0) as i8).collect::<Vec<i8>>();
        let quantized = random.bool();
        let elements = if quantized { Elements::I8(&bytes) } else { Elements::F32(&numbers) };
        let scores = Scores::new(elements, axes, shape).unwrap();
        let at = |c: usize, y: usize, x: usize| {
            let index = match axes {
                Axes::Nchw => (c * shape[1] + y) * shape[2] + x,
                Axes::Nhwc => (y * shape[2] + x) * shape[0] + c,
            };
            if quantized { f64::from(bytes[index]) } else { f64::from(numbers[index]) }
        };
        let decoder = &mut decoders[usize::from(channels > 1)];
        let size = [frame_width, frame_height];
        let map = decode(decoder, &scores, &mapping, size);
        let inside = |r: &Rect, x: u32, y: u32| {
            (r.x..r.x + r.width as i32).contains(&(x as i32))
                && (r.y..r.y + r.height as i32).contains(&(y as i32))
        };
        for (y, x) in (0..frame_height).flat_map(|y| (0..frame_width).map(move |x| (y, x))) {
            let found = map.row(y)[x as usize];
            if !inside(&mapping.write, x, y) || !inside(&source, x, y) {
                assert_eq!(found, UNLABELLED);
                continue;
            }
            let (expected, margin) = reference(&at, shape, &mapping, (x, y));
            let range = if quantized { 254.0 } else { 2.0 };
            if margin <= 1e-5 * range {
                close += 1;
                continue;
            }
            compared += 1;
            assert_eq!(found as usize, expected, "round {round} at {x}, {y}: margin {margin}");
        }
    }
    assert!(compared > 100_000 && close < compared / 50, "{compared} compared, {close} close");
}

#[test]
fn no_shape_or_bit_pattern_panics() {
    let mut random = fastrand::Rng::with_seed(3);
    for kind in [Kind::Scores, Kind::Probability, Kind::Labels] {
        let mut decoder = Decoder::new(kind, 0.5, 0);
        let channels = if kind == Kind::Scores { 4 } else { 1 };
        for [width, height] in [[1, 1], [1, 9], [9, 1], [2, 3], [64, 3], [65, 2]] {
            let count = channels * width * height;
            let numbers = (0..count).map(|_| f32::from_bits(random.u32(..))).collect::<Vec<_>>();
            let shape = [channels, height, width];
            let scores = Scores::new(Elements::F32(&numbers), Axes::Nhwc, shape).unwrap();
            for size in [[1, 1], [1, 200], [31, 1], [100, 77]] {
                let mapping = stretch(size[0], size[1], [height as u32, width as u32]);
                decode(&mut decoder, &scores, &mapping, size);
            }
        }
    }
}

#[test]
fn later_frames_need_no_heap() {
    let numbers = (0..4 * 30 * 40).map(|i| (i as f32).sin()).collect::<Vec<f32>>();
    let scores = Scores::new(Elements::F32(&numbers), Axes::Nchw, [4, 30, 40]).unwrap();
    let mapping = stretch(101, 67, [30, 40]);
    let mut other = mapping;
    other.placement.source.x = -7;
    let mut decoder = Decoder::new(Kind::Scores, 0.5, 4);
    let mut map = decode(&mut decoder, &scores, &mapping, [101, 67]);
    let info = allocation_counter::measure(|| {
        for mapping in [&mapping, &other, &mapping] {
            decoder.decode(&scores, mapping, &mut map).unwrap();
            shares(&map, &mut [0.0; 4]);
        }
    });
    assert_eq!(info.count_total, 0);
}
