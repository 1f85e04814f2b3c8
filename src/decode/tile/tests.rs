use super::*;
use crate::config::card::{Axes, Kind};
use crate::decode::{Decoder, Elements, LabelMap, Scores, UNLABELLED};

fn tiling(input: u32, overlap: u32, stride: u32) -> Tiling {
    let window = Rect { x: 0, y: 0, width: input, height: input };
    Tiling { input: [input; 2], output: [input; 2], window, overlap, stride }
}

/// Which tile labels each pixel; fails where two do.
fn picture(plan: &TilePlan, width: u32, height: u32) -> Vec<String> {
    let mut rows = vec![vec!['~'; width as usize]; height as usize];
    for (tile, mapping) in plan.tiles().enumerate() {
        let Rect { x, y, width, height } = mapping.write;
        for row in &mut rows[y as usize..][..height as usize] {
            for pixel in &mut row[x as usize..][..width as usize] {
                assert_eq!(*pixel, '~');
                *pixel = (b'a' + (tile % 26) as u8) as char;
            }
        }
    }
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

#[test]
fn tiles_label_their_inner_parts() {
    let plan = TilePlan::new(15, 6, tiling(8, 2, 2)).unwrap();
    assert_eq!(
        picture(&plan, 15, 6),
        [
            "aaaabbbbccccddd",
            "aaaabbbbccccddd",
            "aaaabbbbccccddd",
            "aaaabbbbccccddd",
            "eeeeffffgggghhh",
            "eeeeffffgggghhh",
        ]
    );
    let origins = plan.tiles().map(|tile| tile.placement.source).map(|source| (source.x, source.y));
    let expected = [(-2, -2), (2, -2), (6, -2), (10, -2), (-2, 0), (2, 0), (6, 0), (10, 0)];
    assert_eq!(origins.collect::<Vec<_>>(), expected);
}

#[test]
fn every_frame_is_covered_once_by_aligned_inner_parts() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..2000 {
        let [width, height] = [random.u32(1..90), random.u32(1..90)];
        let stride = 1 << random.u32(0..4);
        let input = [random.u32(16..50), random.u32(16..50)];
        let window = Rect { x: random.i32(0..4), y: random.i32(0..4), width: 12, height: 12 };
        let tiling = Tiling { input, output: [12, 6], window, overlap: random.u32(0..5), stride };
        let Ok(plan) = TilePlan::new(width, height, tiling) else { continue };
        assert_eq!(plan.tiles().count(), plan.len());
        let rows = picture(&plan, width, height);
        assert!(rows.iter().all(|row| !row.contains('~')));
        for Mapping { placement, write, .. } in plan.tiles() {
            let source = placement.source;
            assert!(source.x % stride as i32 == 0 && source.y % stride as i32 == 0);
            let overlap = tiling.overlap as i32;
            let left = (write.x - source.x).min(write.y - source.y);
            assert!(left >= overlap, "{tiling:?}");
            assert!(write.x - source.x > window.x, "half of the samples' distance");
            let right = source.x + input[1] as i32 - write.x - write.width as i32;
            assert!(right >= overlap && write.width > 0 && write.height > 0);
        }
    }
}

#[test]
fn the_unet_paper_covers_512_pixels_with_four_tiles() {
    // Figure 1: an input of 572 gives an output of 388 without a margin of 92.
    let window = Rect { x: 92, y: 92, width: 388, height: 388 };
    let tiling = Tiling { input: [572; 2], output: [388; 2], window, overlap: 0, stride: 16 };
    let plan = TilePlan::new(512, 512, tiling).unwrap();
    assert_eq!(plan.len(), 4);
    let sources = plan.tiles().map(|tile| (tile.placement.source.x, tile.write.x));
    assert_eq!(sources.collect::<Vec<_>>(), [(-96, 0), (32, 380), (-96, 0), (32, 380)]);
}

#[test]
fn impossible_tilings_are_refused() {
    let new = |tiling| TilePlan::new(640, 480, tiling).map(|_| ());
    let message = new(tiling(256, 125, 32)).unwrap_err().to_string();
    assert!(message.contains("leave 6") && message.contains("multiples of 32"), "{message}");
    assert!(matches!(new(tiling(64, u32::MAX, 1)), Err(TileError::Overlap { .. })));
    assert!(matches!(new(tiling(0, 0, 1)), Err(TileError::Size { .. })));
    assert!(matches!(new(tiling(64, 0, 0)), Err(TileError::Size { .. })));
    assert!(matches!(new(tiling(3, 1, 1)), Err(TileError::Count { .. })));
    let mut outside = tiling(64, 0, 1);
    outside.window.x = 1;
    assert!(matches!(new(outside), Err(TileError::Window { .. })));
    outside.window = Rect { x: 0, y: 0, width: 0, height: 4 };
    assert!(matches!(new(outside), Err(TileError::Window { .. })));
}

/// A grey image; beyond its border its mirror image.
struct Image {
    width: i32,
    height: i32,
    pixels: Vec<u8>,
}

impl Image {
    fn noise(width: u32, height: u32) -> Image {
        let mut random = fastrand::Rng::with_seed(11);
        let pixels = (0..width * height).map(|_| random.u8(..)).collect();
        Image { width: width as i32, height: height as i32, pixels }
    }

    fn at(&self, x: i32, y: i32) -> u8 {
        let mirror = |i: i32, n: i32| {
            let i = i.rem_euclid(2 * n);
            if i < n { i } else { 2 * n - 1 - i }
        };
        self.pixels[(mirror(y, self.height) * self.width + mirror(x, self.width)) as usize]
    }
}

/// The sum of 5x5 pixels, then the largest of 2x2 sums, for each of two classes (one of
/// them on the negative image): a window of `source` less 2 pixels a side, stride 2. With
/// `padded` the border is convolved as if zeros lay around it.
fn network(image: &Image, source: Rect, padded: bool) -> (Vec<f32>, [usize; 3], Rect) {
    let margin = if padded { 0 } else { 2 };
    let (width, height) = (source.width as i32, source.height as i32);
    let window = Rect {
        x: margin,
        y: margin,
        width: (width - 2 * margin) as u32,
        height: (height - 2 * margin) as u32,
    };
    let shape = [2, window.height as usize / 2, window.width as usize / 2];
    let sum = |x: i32, y: i32, negative: bool| {
        let around = (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| (x + dx, y + dy)));
        let seen = around.filter(|(x, y)| (0..width).contains(x) && (0..height).contains(y));
        seen.map(|(x, y)| {
            let pixel = i32::from(image.at(source.x + x, source.y + y));
            if negative { 254 - pixel } else { pixel }
        })
        .sum::<i32>()
    };
    let mut scores = Vec::new();
    for negative in [false, true] {
        for y in 0..shape[1] as i32 {
            for x in 0..shape[2] as i32 {
                let (x, y) = (margin + 2 * x, margin + 2 * y);
                let four = [(0, 0), (1, 0), (0, 1), (1, 1)];
                let sums = four.map(|(dx, dy)| sum(x + dx, y + dy, negative));
                scores.push(*sums.iter().max().unwrap() as f32 / 25.0);
            }
        }
    }
    (scores, shape, window)
}

fn label(image: &Image, mapping: &Mapping, padded: bool, out: &mut LabelMap) {
    let (scores, shape, window) = network(image, mapping.placement.source, padded);
    assert_eq!(window, mapping.window);
    let scores = Scores::new(Elements::F32(&scores), Axes::Nchw, shape).unwrap();
    Decoder::new(Kind::Scores, 0.5, 2).decode(&scores, mapping, out).unwrap();
}

fn tiled(image: &Image, tiling: Tiling, padded: bool) -> LabelMap {
    let (width, height) = (image.width as u32, image.height as u32);
    let plan = TilePlan::new(width, height, tiling).unwrap();
    let mut out = LabelMap::default();
    out.reset(width, height);
    for mapping in plan.tiles() {
        label(image, &mapping, padded, &mut out);
    }
    assert!(!out.ids.contains(&UNLABELLED));
    out
}

/// The network on the whole image at once, `beyond` pixels of its mirror image with it.
fn at_once(image: &Image, beyond: i32, padded: bool) -> LabelMap {
    let (width, height) = (image.width as u32, image.height as u32);
    let [wide, high] = [width, height].map(|side| side + 2 * beyond as u32);
    let source = Rect { x: -beyond, y: -beyond, width: wide, height: high };
    let target = Rect { x: 0, y: 0, width: wide, height: high };
    let placement = Placement { source, target, input: [high, wide] };
    let mut mapping = Mapping::whole(placement, width, height);
    (_, _, mapping.window) = network(image, source, padded);
    let mut out = LabelMap::default();
    out.reset(width, height);
    label(image, &mapping, padded, &mut out);
    out
}

#[test]
fn without_padding_tiles_equal_the_whole_image_bit_for_bit() {
    let window = Rect { x: 2, y: 2, width: 28, height: 20 };
    let tiling = Tiling { input: [24, 32], output: [10, 14], window, overlap: 0, stride: 2 };
    for (width, height) in [(96, 62), (97, 61), (31, 200), (10, 7), (1, 1), (5, 40)] {
        let image = Image::noise(width, height);
        let tiles = tiled(&image, tiling, false);
        // An even number of pixels keeps the pairs that are pooled.
        let even = image.width % 2 == 0 && image.height % 2 == 0;
        if even && width > 20 {
            let whole = at_once(&image, 0, false);
            for y in 4..height - 4 {
                let inner = 4..width as usize - 4;
                assert_eq!(tiles.row(y)[inner.clone()], whole.row(y)[inner], "row {y}");
            }
            assert_ne!(tiles, whole, "at the border the whole image is cut off");
            assert_eq!(tiles, at_once(&image, 4, false), "mirrored, also there");
        }
        let share = tiles.ids.iter().filter(|id| **id == 1).count() as f32;
        assert!(width < 20 || (0.2..0.8).contains(&(share / tiles.ids.len() as f32)));
    }
}

#[test]
fn with_padding_an_overlap_of_the_receptive_field_hides_the_seams() {
    let image = Image::noise(90, 70);
    let whole = at_once(&image, 0, true);
    let differ = |overlap| {
        let window = Rect { x: 0, y: 0, width: 32, height: 32 };
        let tiling = Tiling { input: [32; 2], output: [16; 2], window, overlap, stride: 2 };
        let tiles = tiled(&image, tiling, true);
        (6..64)
            .flat_map(|y| (6..84).map(move |x| (x, y)))
            .filter(|(x, y)| tiles.row(*y)[*x] != whole.row(*y)[*x])
            .count()
    };
    // 2 pixels of convolution, 1 of pooling, and the next sample's 2 for the upsampling.
    assert_eq!(differ(5), 0);
    assert!(differ(0) > 0);
}
