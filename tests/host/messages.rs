//! Twenty mistakes a new user makes. Each ends in one sentence that names the place, what was
//! found, what was expected and what to do, and in exit code 1 or 2.

use crate::onnx::{self, Graph};
use crate::program::{Place, call};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::Tensor;

const CARD: &str = "name = 'color'\nfile = 'color.onnx'\nlicense = 'MIT'\n";

/// A place with a model folder, an image and a tensor.
fn place() -> Place {
    let place = Place::new();
    place.write("color/color.onnx", &onnx::strongest_color(8, 8));
    place.write("color/model.toml", CARD.as_bytes());
    place.image("a.png", 8, 8, |x, y| [x as u8, y as u8, 0]);
    let tensor = Tensor::zero::<f32>(&[1, 3, 9, 8]).unwrap();
    place.write("wrong.npy", &segcam::npy::to_bytes(&tensor).unwrap());
    let twelve = Graph::new(13)
        .input("bands", DataType::Float, &[1, 12, 8, 8])
        .output("y", DataType::Float)
        .node("Relu", &["bands"], &["y"], vec![]);
    place.write("twelve.onnx", &twelve.bytes());
    let open = Graph::new(13)
        .input("x", DataType::Float, &[0, 3, 0, 0])
        .output("y", DataType::Float)
        .node("Relu", &["x"], &["y"], vec![]);
    place.write("open.onnx", &open.bytes());
    let strange = Graph::new(13)
        .input("x", DataType::Float, &[1, 3, 8, 8])
        .output("y", DataType::Float)
        .node("Deconvolute", &["x"], &["y"], vec![]);
    place.write("strange.onnx", &strange.bytes());
    std::fs::create_dir(place.path("empty")).unwrap();
    place
}

/// The error of a call in the place; `CARD+` stands for the card with lines added.
fn error(place: &Place, arguments: &[&str]) -> (i32, String) {
    let folder = place.path("");
    let ended = crate::program::call_in(&folder, arguments);
    let code = ended.code.expect("killed");
    let line = ended.err.lines().collect::<Vec<_>>().join(" ");
    println!("segcam {}\n    {code}: {line}", arguments.join(" "));
    (code, line)
}

fn check(place: &Place, arguments: &[&str], code: i32, parts: &[&str]) {
    let (found, message) = error(place, arguments);
    assert_eq!(found, code, "{arguments:?}: {message}");
    for part in parts {
        assert!(message.contains(part), "{arguments:?}: \"{part}\" is not in: {message}");
    }
}

fn check_card(lines: &str, parts: &[&str]) {
    let place = place();
    place.write("color/model.toml", format!("{CARD}{lines}").as_bytes());
    check(&place, &["infer", "color", "a.png"], 2, &[&["color/"], parts].concat());
}

#[test]
fn paths() {
    let place = place();
    check(
        &place,
        &["infer", "colour", "a.png"],
        2,
        &["colour", "cannot be read", "check the path"],
    );
    check(&place, &["infer", "color", "b.png"], 1, &["b.png", "cannot be read", "check the path"]);
    check(&place, &["infer", "empty", "a.png"], 2, &["empty/model.toml", "cannot be read"]);
    check(&place, &["infer", "/dev/zero", "a.png"], 2, &["/dev/zero", "not a regular file"]);
    check(&place, &["infer", "a.png", "a.png"], 2, &["a.png", "is no ONNX model"]);
    check(
        &place,
        &["infer", "color", "color/model.toml"],
        1,
        &["model.toml", "expected a picture (PNG, JPEG)"],
    );
    check(&place, &["infer", "color", "a.png", "./a.png"], 1, &["./a.png", "of another image"]);
    check(&place, &["eval", "color", "empty"], 1, &["empty/images", "images/ and masks/"]);
}

#[test]
fn cards() {
    check_card("[input]\nlayuot = 'nchw'\n", &["line 5", "\"layuot\"", "did you mean \"layout\"?"]);
    check_card("[input]\nfit = 'croped'\n", &["\"croped\"", "did you mean \"crop\"?"]);
    check_card("[output]\nthreshold = 'half'\n", &["line 5 (threshold = 'half')", "expected f32"]);
    check_card("[[class]]\nname = 'a'\n", &["1 classes", "expected 3"]);
    check_card("[[class]]\nname = 'a'\ncolor = 'red'\n", &["class 0 (a): color", "\"#rrggbb\""]);
    check_card("[input]\nsize = [16, 8]\n", &["1x3x8x8", "expected 16x8", "input.size"]);
    check_card("[output]\nindex = 3\n", &["output.index = 3", "below 1"]);
    check_card("[input]\ncolor = 'gray'\n", &["1x3x8x8", "1 channel", "gray"]);
    check_card("[output]\nkind = 'probability'\n", &["3 channels", "expected 1"]);
    check_card(
        &format!("sha256 = '{}'\n", "0".repeat(64)),
        &["sha256", "color.onnx", "copy the model again"],
    );
    let place = place();
    place.write("color/model.toml", b"name = 'color'\nlicense = 'MIT'\n");
    check(&place, &["infer", "color", "a.png"], 2, &["model.toml: file: found nothing"]);
}

#[test]
fn networks() {
    let place = place();
    check(
        &place,
        &["infer", "twelve.onnx", "a.png"],
        2,
        &["\"bands\"", "1x12x8x8", "3 (rgb, bgr)"],
    );
    check(&place, &["infer", "open.onnx", "a.png"], 2, &["?x3x?x?", "--set input.size="]);
    check(
        &place,
        &["infer", "strange.onnx", "a.png"],
        2,
        &["node \"Deconvolute y\"", "operator Deconvolute", "operator set 13", "segcam inspect"],
    );
    let tensor = ["infer", "color", "--tensor", "wrong.npy", "-o", "out.npy"];
    check(&place, &tensor, 1, &["\"picture\"", "f32 1x3x9x8", "expected f32 1x3x8x8"]);
    check(&place, &tensor[..4], 2, &["-o OUT.npy"]);
    let tensor = ["infer", "color", "--tensor", "a.png", "-o", "out.npy"];
    check(&place, &tensor, 1, &["a.png", "numpy.save"]);
}

#[test]
fn uris_and_arguments() {
    let place = place();
    let camera = |uri: &str, parts: &[&str]| {
        check(&place, &["run", "--camera", uri, "--display", "null:"], 2, parts);
    };
    camera("webcam", &["\"webcam\"", "synthetic"]);
    camera("fiel:a.png", &["did you mean \"file:\"?"]);
    camera("file:b.png", &["b.png", "check the path"]);
    camera("file:empty", &["empty"]);
    camera("pipe:-?width=64&height=48", &["format", "add format="]);
    camera("pipe:-?format=rgb&width=64&height=48", &["format=rgb", "rgb24"]);
    camera("synthetic:portrait?widht=64", &["\"widht\"", "did you mean \"width\"?"]);
    camera("synthetic:portrait?width=0", &["width=0", "a number from"]);
    let display = ["run", "--display", "pgn:out"];
    check(&place, &display, 2, &["did you mean \"png:\"?"]);
    let class = ["run", "--class", "persn", "--display", "null:"];
    check(&place, &class, 2, &["persn", "did you mean \"person\"?"]);
    check(&place, &["infre", "color"], 2, &["infre", "infer"]);
    check(&place, &["run", "--view", "overly"], 2, &["overly", "overlay, mask, side-by-side"]);
    check(&place, &["run", "--frames", "0"], 2, &["--frames", "0"]);
    check(&place, &["infer", "color"], 2, &["IMAGES"]);
    check(&place, &["bench", "color", "--frame", "big"], 2, &["WIDTHxHEIGHT"]);
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [["--help"], ["--version"]] {
        assert!(call(&arguments).success().out.contains("segcam"));
    }
}
