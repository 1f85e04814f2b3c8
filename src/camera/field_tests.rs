//! What the field shows.

use super::*;

const SIZE: (u32, u32) = (640, 480);

fn draw(seed: u64, n: u64, (width, height): (u32, u32)) -> (Vec<u8>, Vec<u8>) {
    let mut rgb = vec![0; 3 * (width * height) as usize];
    let mut truth = Vec::new();
    Field::new(seed, width, height).draw(n, &mut rgb, &mut truth);
    (rgb, truth)
}

#[test]
fn every_class_is_seen_and_no_other() {
    let mut counts = [0; CLASSES.len()];
    for seed in 0..12 {
        for n in [0, 300, 900] {
            let (rgb, truth) = draw(seed, n, (160, 120));
            assert_eq!(rgb.len(), 3 * truth.len());
            truth.iter().for_each(|&class| counts[usize::from(class)] += 1);
        }
    }
    let all: u32 = counts.iter().sum();
    for (name, count) in CLASSES.iter().zip(counts) {
        assert!(count * 1000 > all * 2, "{name}: {count} of {all} pixels");
    }
}

#[test]
fn the_labels_lie_on_what_they_name() {
    // Sky and soil differ in colour where their labels meet: a shifted map would not.
    let (rgb, truth) = draw(1, 50, SIZE);
    let level = |at: usize| i32::from(rgb[3 * at + 2]) - i32::from(rgb[3 * at]);
    let mean = |class: u8| {
        let of: Vec<i32> = (0..truth.len()).filter(|&at| truth[at] == class).map(level).collect();
        of.iter().sum::<i32>() / of.len().max(1) as i32
    };
    assert!(mean(SKY) > mean(GROUND) + 20, "{} {}", mean(SKY), mean(GROUND));
}

#[test]
fn the_picture_moves_little_from_frame_to_frame() {
    for seed in 0..4 {
        let (before, after) = (draw(seed, 100, SIZE).1, draw(seed, 101, SIZE).1);
        let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(changed > 0 && changed < before.len() / 3, "{changed} labels changed");
    }
}

#[test]
fn the_bits_are_the_same_everywhere() {
    let sum = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| mix(sum ^ u64::from(byte)));
    let (rgb, truth) = draw(7, 123, (161, 119));
    assert_eq!((sum(&rgb), sum(&truth)), (17949112499276888828, 1186739719790738557));
}

#[test]
fn late_frames_and_large_seeds_are_drawn() {
    for (seed, n) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        draw(seed, n, (64, 48));
    }
    for size in [(4096, 16), (16, 4096), (1, 1), (2, 2), (4096, 4096)] {
        draw(3, 1, size);
    }
}

/// Writes pictures and label maps into the folder for temporary files, to be looked at.
#[test]
#[ignore = "writes pictures for the eye"]
fn pictures() {
    let palette: [[u8; 3]; CLASSES.len()] = [
        [120, 180, 240],
        [130, 90, 60],
        [90, 200, 60],
        [10, 90, 30],
        [250, 150, 200],
        [220, 40, 40],
        [250, 230, 40],
    ];
    let folder = std::env::temp_dir().join("segcam-field");
    std::fs::create_dir_all(&folder).unwrap();
    for (seed, n) in (0..12).flat_map(|seed| [(seed, 200), (seed, 500)]) {
        let (rgb, truth) = draw(seed, n, SIZE);
        let labels: Vec<u8> = truth.iter().flat_map(|&class| palette[usize::from(class)]).collect();
        for (name, pixels) in [("rgb", rgb), ("truth", labels)] {
            let picture = image::RgbImage::from_raw(SIZE.0, SIZE.1, pixels).unwrap();
            picture.save(folder.join(format!("{seed:02}-{n}-{name}.png"))).unwrap();
        }
    }
}
