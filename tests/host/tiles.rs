//! Tiles give the answer of the whole image.

use crate::onnx;
use crate::program::{Place, call, mask};

#[test]
fn tiles_equal_the_whole_image_bit_for_bit_away_from_the_border() {
    let place = Place::new();
    let model = place.write("pooled.onnx", &onnx::pooled());
    let mut random = fastrand::Rng::with_seed(5);
    let noise: Vec<[u8; 3]> =
        (0..96 * 64).map(|_| [random.u8(..), random.u8(..), random.u8(..)]).collect();
    let image = place.image("noise.png", 96, 64, |x, y| noise[(y * 96 + x) as usize]);
    let label = |name: &str, set: &[&str]| {
        let mut arguments = vec!["infer", &model, &image, "-o"];
        let out = place.text(name);
        arguments.push(&out);
        for pair in set {
            arguments.extend(["--set", pair]);
        }
        call(&arguments).success();
        mask(&place.path(&format!("{name}/noise.mask.png")))
    };
    let (width, height, whole) = label("whole", &["input.fit=crop", "input.size=[64,96]"]);
    assert_eq!((width, height), (96, 64));
    for size in ["[32,32]", "[24,40]", "[64,96]"] {
        let size = format!("input.size={size}");
        let (_, _, tiled) = label("tiled", &["input.fit=tile", &size]);
        // The receptive field reaches 1 + 2 + 2 pixels; beyond it padding and mirror agree.
        let border = 8;
        let mut classes = [0; 2];
        for y in border..64 - border {
            for x in border..96 - border {
                let at = y * 96 + x;
                assert_eq!(tiled[at], whole[at], "{size} at {x},{y}");
                classes[usize::from(whole[at])] += 1;
            }
        }
        assert!(classes.iter().all(|count| *count > 200), "a mask that tells nothing: {classes:?}");
    }
}
