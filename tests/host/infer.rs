//! `segcam infer`: masks with known answers.

use crate::onnx;
use crate::program::{Place, call, mask};

const RED: [u8; 3] = [220, 30, 40];
const GREEN: [u8; 3] = [30, 220, 40];
const BLUE: [u8; 3] = [30, 40, 220];

/// Left third red, middle green, right blue.
fn stripes(width: u32) -> impl Fn(u32, u32) -> [u8; 3] {
    move |x, _| [RED, GREEN, BLUE][(3 * x / width) as usize]
}

#[test]
fn a_mask_has_the_images_size_and_the_right_ids() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(24, 24));
    let image = place.image("stripes.png", 90, 60, stripes(90));
    let set = ["--set", "input.fit=stretch"];
    let out = place.text("out");
    let ended = call(&[&["infer", &model, &image, "-o", &out][..], &set].concat()).success();
    let (width, height, ids) = mask(&place.path("out/stripes.mask.png"));
    assert_eq!((width, height), (90, 60));
    let ascii: String =
        ids[30 * 90..31 * 90].iter().step_by(5).map(|id| ['r', 'g', 'b'][*id as usize]).collect();
    assert_eq!(ascii, "rrrrrrggggggbbbbbb");
    let line: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let share = line["classes"]["class 1"].as_f64().unwrap();
    assert!((share - 1.0 / 3.0).abs() < 0.02, "{share}");
    assert!(line["stages"]["network"].as_f64().unwrap() > 0.0);
    assert!(place.path("out/stripes.overlay.png").exists());
}

#[test]
fn crop_labels_the_middle_letterbox_and_tile_all() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(16, 16));
    let image = place.image("wide.png", 64, 32, stripes(64));
    let unlabelled = |fit: &str| {
        let out = place.text(fit);
        call(&["infer", &model, &image, "-o", &out, "--set", &format!("input.fit={fit}")])
            .success();
        let (_, _, ids) = mask(&place.path(&format!("{fit}/wide.mask.png")));
        ids.iter().filter(|id| **id == 255).count()
    };
    assert_eq!(unlabelled("crop"), 32 * 32);
    assert_eq!(unlabelled("letterbox"), 0);
    assert_eq!(unlabelled("tile"), 0);
    assert_eq!(unlabelled("stretch"), 0);
}

#[test]
fn probabilities_labels_and_inputs_of_bytes_work() {
    use crate::onnx::{Attribute, Graph};
    use tract_onnx::pb::tensor_proto::DataType;
    let place = Place::new();
    // One channel: the red one.
    let red = Graph::new(13)
        .input("picture", DataType::Float, &[1, 3, 8, 8])
        .output("p", DataType::Float)
        .floats("w", &[1, 3, 1, 1], &[1.0, 0.0, 0.0])
        .node("Conv", &["picture", "w"], &["p"], vec![Attribute::Ints("kernel_shape", vec![1, 1])]);
    let red = place.write("red.onnx", &red.bytes());
    // ArgMax inside, channel-last bytes in.
    let labels = Graph::new(13)
        .input("picture", DataType::Uint8, &[1, 8, 8, 3])
        .output("ids", DataType::Int64)
        .node("Cast", &["picture"], &["f"], vec![Attribute::Int("to", 1)])
        .node(
            "ArgMax",
            &["f"],
            &["ids"],
            vec![Attribute::Int("axis", 3), Attribute::Int("keepdims", 0)],
        );
    let labels = place.write("labels.onnx", &labels.bytes());
    let image = place.image("half.png", 16, 16, |x, _| if x < 8 { RED } else { BLUE });
    for (model, expected) in [(red, [1, 0]), (labels, [0, 2])] {
        call(&["infer", &model, &image, "-o", &place.text("out")]).success();
        let (_, _, ids) = mask(&place.path("out/half.mask.png"));
        assert_eq!([ids[0], ids[15]], expected, "{model}");
    }
}

#[test]
fn bench_counts_what_it_says() {
    let ended = call(&["bench", "builtin", "--iterations", "3", "--frame", "320x240", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ended.success().out).unwrap();
    for key in [
        "model",
        "kernels",
        "threads",
        "iterations",
        "min_ms",
        "median_ms",
        "p99_ms",
        "macs",
        "allocations_per_inference",
        "arena_bytes",
        "weight_bytes",
        "peak_rss_bytes",
        "operators",
    ] {
        assert!(!report[key].is_null(), "{key} is missing");
    }
    assert_eq!(report["iterations"], 3);
    let stages = report["stages"].as_array().unwrap();
    for stage in stages.iter().filter(|stage| stage["stage"] != "network") {
        assert_eq!(stage["allocations"], 0, "{stage}");
    }
}
