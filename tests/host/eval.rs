//! `segcam eval`: figures and pictures that can be worked out by hand.

use crate::onnx;
use crate::program::{Place, call};
use serde_json::{Value, json};

const RED: [u8; 3] = [220, 30, 40];
const GREEN: [u8; 3] = [30, 220, 40];

/// A picture red to the left, green to the right; a truth of one quarter red, three quarters
/// green, the first row ignored; and two networks of three classes: the strongest colour, and
/// always the first class.
fn place() -> Place {
    let place = Place::new();
    place.write("color.onnx", &onnx::strongest_color(16, 16));
    place.write("first.onnx", &onnx::always_first(3, 16, 16));
    std::fs::create_dir_all(place.path("set/images")).unwrap();
    std::fs::create_dir_all(place.path("set/masks")).unwrap();
    place.image("set/images/a.png", 16, 16, |x, _| if x < 8 { RED } else { GREEN });
    truth(&place, 16, |x| u8::from(x >= 4));
    place
}

fn truth(place: &Place, width: u32, id: impl Fn(u32) -> u8) {
    let truth = image::GrayImage::from_fn(width, 16, |x, y| {
        image::Luma([if y == 0 { 255 } else { id(x) }])
    });
    truth.save(place.path("set/masks/a.png")).unwrap();
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&call(&[arguments, &["--json"]].concat()).success().out).unwrap()
}

fn near(value: &Value, expected: f64) {
    let found = value.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
}

#[test]
fn one_network_against_true_masks() {
    let place = place();
    let (model, set) = (place.text("color.onnx"), place.text("set"));
    let report = json_of(&["eval", &model, &set]);
    // 60 pixels of class 0, all found; 180 of class 1, 60 of them taken for 0.
    assert_eq!(report["confusion"], json!([[60, 0, 0, 0], [60, 120, 0, 0], [0, 0, 0, 0]]));
    near(&report["classes"][0]["iou"], 4.0 / 8.0);
    near(&report["classes"][1]["iou"], 8.0 / 12.0);
    near(&report["mean_iou"], 7.0 / 12.0);
    near(&report["frequency_weighted_iou"], (60.0 * 0.5 + 180.0 * 2.0 / 3.0) / 240.0);
    near(&report["pixel_accuracy"], 0.75);
    near(&report["mean_class_accuracy"], (1.0 + 2.0 / 3.0) / 2.0);
    // The boundary lies four columns off; the tolerance of a picture this small is none.
    near(&report["boundary_f1"], 0.0);
    assert!(report["classes"][2]["iou"].is_null());
    assert_eq!((&report["pictures"], &report["pixels"]), (&json!(1), &json!(240)));

    // Logits are the colours of 0 to 1.
    let softmax = |color: [u8; 3]| {
        let terms = color.map(|channel| (f64::from(channel) / 255.0).exp());
        terms.map(|term| term / terms.iter().sum::<f64>())
    };
    let (red, green) = (softmax(RED), softmax(GREEN));
    let losses = [-red[0].ln(), -red[1].ln(), -green[1].ln()];
    let mean = (losses[0] + losses[1] + 2.0 * losses[2]) / 4.0;
    let found = report["cross_entropy"].as_f64().unwrap();
    assert!((found - mean).abs() < 1e-5, "{found}, expected {mean}");
    let dice = |class: usize, both: f64, truth: f64| {
        2.0 * both / (2.0 * red[class].powi(2) + 2.0 * green[class].powi(2) + truth)
    };
    let dices = [dice(0, red[0], 1.0), dice(1, red[1] + 2.0 * green[1], 3.0)];
    let found = report["soft_dice_loss"].as_f64().unwrap();
    let expected = 1.0 - (dices[0] + dices[1]) / 2.0;
    assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");

    let out = place.text("out");
    let text = call(&["eval", &model, &set, "-o", &out]).success().out;
    assert!(text.contains("mean IoU                 0.5833"), "{text}");
    assert!(text.contains("class 1                   33.33   66.67    0.00"), "{text}");
    assert!(image::open(place.path("out/confusion.png")).unwrap().width() > 100);
}

#[test]
fn two_networks_side_by_side() {
    let place = place();
    let [model, other, set, out] =
        ["color.onnx", "first.onnx", "set", "out"].map(|n| place.text(n));
    let both = ["eval", &model, &set, "--compare", &other, "-o", &out];
    let report = json_of(&both);
    near(&report["pixel_accuracy"], 0.75);
    near(&report["other"]["pixel_accuracy"], 0.25);
    let comparison = &report["comparison"];
    assert_eq!((&comparison["pixels"], &comparison["differing"]), (&json!(240), &json!(120)));
    near(&comparison["agreement"], 0.5);
    assert_eq!(comparison["right"], json!({"model": 120, "other": 0, "neither": 0}));
    near(&comparison["classes"][0]["iou"], 0.5);
    let differ = image::open(place.path("out/a.differ.png")).unwrap().to_rgb8();
    assert_eq!(differ.dimensions(), (16, 16));
    let grey = ((u16::from(RED[0]) + u16::from(RED[1]) + u16::from(RED[2])) / 6) as u8;
    for ((x, y), expected) in
        [((2, 5), [grey; 3]), ((10, 5), [0x3c, 0xb4, 0x4b]), ((10, 0), [0xff, 0xe1, 0x19])]
    {
        assert_eq!(differ.get_pixel(x, y).0, expected, "{x}, {y}");
    }
    for matrix in ["out/confusion.png", "out/confusion.other.png"] {
        assert!(image::open(place.path(matrix)).is_ok(), "{matrix}");
    }
    let text = call(&both).success().out;
    let accuracy = text.lines().find(|line| line.starts_with("pixel accuracy")).unwrap();
    assert!(accuracy.contains("0.7500") && accuracy.ends_with("-0.5000"), "{text}");
    assert!(text.contains("differ") && text.contains("50.000 %"), "{text}");
    // The other way round, the other is right.
    let turned = json_of(&["eval", &other, &set, "--compare", &model]);
    assert_eq!(turned["comparison"]["right"], json!({"model": 0, "other": 120, "neither": 0}));
    // With itself nothing differs.
    let same = json_of(&["eval", &model, &set, "--compare", &model]);
    assert_eq!(same["comparison"]["differing"], 0);
    assert_eq!(same["classes"], same["other"]["classes"]);
}

#[test]
fn pictures_without_masks_tell_how_networks_agree() {
    let place = place();
    let [model, other, out] = ["color.onnx", "first.onnx", "out"].map(|name| place.text(name));
    std::fs::remove_dir_all(place.path("set/masks")).unwrap();
    for folder in ["set", "set/images"] {
        let folder = place.text(folder);
        let both = ["eval", &model, &folder, "--compare", &other, "-o", &out];
        let report = json_of(&both);
        assert_eq!(report["comparison"]["pixels"], 256);
        assert_eq!(report["comparison"]["differing"], 128);
        assert!(report["comparison"]["right"].is_null() && report["mean_iou"].is_null());
        let differ = image::open(place.path("out/a.differ.png")).unwrap().to_rgb8();
        assert_eq!(differ.get_pixel(10, 0).0, [0xff, 0xe1, 0x19]);
        assert!(!place.path("out/confusion.png").exists());
        let text = call(&both).success().out;
        assert!(text.starts_with(&format!("{model} against {other}\n")), "{text}");
        std::fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_card_beside_an_onnx_file_holds_for_both() {
    let place = place();
    let (model, set) = (place.text("color.onnx"), place.text("set"));
    place.image("set/images/a.png", 32, 16, |x, _| if x < 16 { RED } else { GREEN });
    truth(&place, 32, |x| u8::from(x >= 16));
    // The middle alone is seen when the picture is cropped: with the key for one of them, the
    // other one's 240 pixels beside it would differ.
    for (fit, unlabelled) in [("crop", 120), ("stretch", 0)] {
        let fit = format!("input.fit={fit}");
        let report = json_of(&["eval", &model, &set, "--compare", &model, "--set", &fit]);
        assert_eq!(report["comparison"]["differing"], 0, "{fit}");
        assert_eq!(report["other"]["confusion"][0][3], unlabelled, "{fit}");
        assert_eq!(report["confusion"][0][3], unlabelled, "{fit}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_said() {
    let place = place();
    let [model, set, out] = ["color.onnx", "set", "out"].map(|name| place.text(name));
    let check = |arguments: &[&str], code: i32, parts: &[&str]| {
        let ended = call(&[&["eval", &model], arguments].concat());
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.err);
        for part in parts {
            assert!(ended.error().contains(part), "{arguments:?}: {}", ended.err);
        }
        assert_eq!(ended.out, "");
    };
    let two = place.write("two.onnx", &onnx::always_first(2, 16, 16));
    check(&[&set, "--compare", &two], 2, &["two.onnx has 2 classes", "has 3"]);
    check(&[&set, "--compare", &place.text("none.onnx")], 2, &["none.onnx", "cannot be read"]);
    let empty = place.text("empty");
    std::fs::create_dir(&empty).unwrap();
    check(&[&empty], 1, &["empty/images", "expected a folder with images/ and masks/"]);
    check(&[&empty, "--compare", &model], 1, &["empty", "no PNG or JPEG images"]);
    check(&[&set, "-o", &model], 1, &["color.onnx: cannot be written"]);

    truth(&place, 16, |_| 3);
    check(&[&set], 1, &["masks/a.png: the truth holds class id 3", "3 classes: ids 0 to 2"]);
    truth(&place, 17, |_| 0);
    check(&[&set], 1, &["masks/a.png", "17x16 grey pixels", "expected 16x16"]);
    place.image("set/masks/a.png", 16, 16, |_, _| RED);
    check(&[&set, "--compare", &model], 1, &["masks/a.png", "colour pixels"]);
    place.image("set/images/a.jpg", 16, 16, |_, _| RED);
    check(&[&set, "--compare", &model, "-o", &out], 1, &["a.png", "a.jpg", "same name"]);
    std::fs::remove_file(place.path("set/masks/a.png")).unwrap();
    check(&[&set, "--compare", &model], 1, &["a.jpg: no mask", "masks/a.png"]);
    std::fs::remove_dir_all(place.path("set/masks")).unwrap();
    check(&[&set], 1, &["no mask for it", "masks/a.png"]);
}
