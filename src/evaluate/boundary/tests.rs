use super::*;

fn map(rows: &[&str]) -> LabelMap {
    let ids = rows.iter().flat_map(|row| row.bytes()).map(|byte| match byte {
        b'?' => 255,
        byte => byte - b'0',
    });
    LabelMap { width: rows[0].len() as u32, height: rows.len() as u32, ids: ids.collect() }
}

fn measured(classes: usize, truth: &LabelMap, predicted: &LabelMap) -> Boundaries {
    let mut boundaries = Boundaries::new(classes);
    boundaries.add(truth, predicted);
    boundaries
}

#[test]
fn boundaries_are_the_inner_pixels_of_a_class() {
    let truth = map(&["00000", "01110", "01110", "0111?"]);
    let mut edges = Vec::new();
    trace(&truth, &truth, 2, &mut edges);
    let text: Vec<String> = edges
        .chunks(5)
        .map(|row| {
            row.iter().map(|id| if *id == NONE { '.' } else { (b'0' + id) as char }).collect()
        })
        .collect();
    // The last pixel has no truth: the ones beside it and above it do not know a boundary.
    assert_eq!(text, [".000.", "01110", "01.10", "01..."]);
    // A pixel without a label is another class's.
    let predicted = map(&["?0000", "00000", "00000", "00001"]);
    trace(&predicted, &truth, 2, &mut edges);
    let at: Vec<usize> = (0..20).filter(|at| edges[*at] != NONE).collect();
    assert_eq!(at, [1, 5]);
}

#[test]
fn small_pictures_have_no_tolerance_and_numbers_by_hand() {
    // Boundaries of 0 at x = 1 and 2, of 1 at 2 and 3, in both rows.
    let (truth, predicted) = (map(&["0011", "0011"]), map(&["0001", "0011"]));
    let same = measured(2, &truth, &truth);
    assert_eq!((same.class(0), same.class(1), same.mean()), (Some(1.0), Some(1.0), Some(1.0)));
    // Predicted 0: (2,0), (1,1), of these (1,1) is true. True 0: (1,0), (1,1).
    // Predicted 1: (3,0), (2,1), (2,1) is true; and (2,0) of class 0 has (2,1) below it.
    let one_off = measured(2, &truth, &predicted);
    assert_eq!((one_off.class(0), one_off.class(1)), (Some(0.5), Some(0.5)));
    // Nothing of it found; no boundary in either; a boundary in one alone.
    let other = measured(2, &map(&["0111", "0111"]), &map(&["0001", "0001"]));
    assert_eq!(other.class(0), Some(0.0));
    let none = measured(2, &map(&["00"]), &map(&["00"]));
    assert_eq!((none.class(0), none.mean()), (None, None));
    let alone = measured(2, &map(&["00"]), &map(&["01"]));
    assert_eq!((alone.class(0), alone.class(1), alone.mean()), (Some(0.0), Some(0.0), Some(0.0)));
    // The paper's mean: over the pictures, of the mean over a picture's classes.
    let mut several = same.clone();
    several.add(&map(&["0011", "0022"]), &map(&["0011", "0011"]));
    assert_eq!(several.classes[0], (2.0, 2));
    assert!(several.mean().unwrap() < 1.0);
}

#[test]
fn the_tolerance_is_less_than_three_in_four_hundred_of_the_diagonal() {
    // 640x480: the diagonal is 800 pixels, nearer than 6 is near.
    assert_eq!(reach(640, 480), [5, 5, 5, 5, 4, 3]);
    assert_eq!(reach(1, 1), [0]);
    let column = |at: u32| {
        let ids = (0..640 * 480).map(|pixel| u8::from(pixel % 640 >= at)).collect();
        LabelMap { width: 640, height: 480, ids }
    };
    for (moved, expected) in [(5, 1.0), (6, 0.0)] {
        let found = measured(2, &column(300), &column(300 + moved));
        assert_eq!((found.class(0), found.class(1)), (Some(expected), Some(expected)));
    }
}

/// Rectangles over each other, the numbers from a linear congruential generator; `holes` are
/// rectangles without a truth.
fn rectangles(
    width: u32,
    height: u32,
    classes: u64,
    count: u32,
    seed: u64,
    holes: bool,
) -> LabelMap {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 33
    };
    let mut ids = vec![0; (width * height) as usize];
    for index in 0..count {
        let [x, y, right, down, class] = [(); 5].map(|()| next());
        let (x, y) = (x % u64::from(width), y % u64::from(height));
        let right = (x + 1 + right % u64::from(width / 2)).min(width.into());
        let down = (y + 1 + down % u64::from(height / 2)).min(height.into());
        let class = if holes && index % 7 == 3 { 255 } else { (class % classes) as u8 };
        for y in y..down {
            ids[(y * u64::from(width) + x) as usize..][..(right - x) as usize].fill(class);
        }
    }
    LabelMap { width, height, ids }
}

/// The prediction is the same without holes, one row down and two columns right, going round,
/// and without labels in the first three rows. The expected numbers are SciPy's
/// `distance_transform_edt` of the boundary pixels, found by comparing with the four neighbours.
#[test]
fn measures_equal_those_of_an_independent_distance_transform() {
    type Case = (u32, u32, u32, u64, &'static [f64], f64);
    let cases: [Case; 4] = [
        (300, 200, 20, 1, &[0.817777415, 0.894319683, 0.960173787], 0.890756962),
        (701, 33, 40, 2, &[0.824134706, 0.768079012, 0.975515787, 0.872988995], 0.860179625),
        (64, 500, 9, 3, &[0.84038047, 0.886178822], 0.863279646),
        (40, 30, 30, 4, &[0.185915493, 0.090566038, 0.0, 0.037037037, 0.096], 0.081903714),
    ];
    for (width, height, count, seed, expected, mean) in cases {
        let classes = expected.len();
        let truth = rectangles(width, height, classes as u64, count, seed, true);
        let whole = rectangles(width, height, classes as u64, count, seed, false);
        let mut predicted = whole.clone();
        for y in 0..height {
            for x in 0..width {
                let (from_x, from_y) = ((x + width - 2) % width, (y + height - 1) % height);
                let id = if y < 3 { 255 } else { whole.row(from_y)[from_x as usize] };
                predicted.ids[(y * width + x) as usize] = id;
            }
        }
        let found = measured(classes, &truth, &predicted);
        for (class, expected) in expected.iter().enumerate() {
            let found = found.class(class).unwrap();
            assert!((found - expected).abs() < 1e-8, "{width}x{height} {class}: {found}");
        }
        assert!((found.mean().unwrap() - mean).abs() < 1e-8);
    }
}
