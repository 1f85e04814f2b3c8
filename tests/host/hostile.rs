//! Bytes from outside that mean harm, or went through a bad cable: each ends in one sentence
//! and exit code 1 or 2, soon, without a half-written file.

use crate::onnx;
use crate::program::{Ended, Place, call, finish, segcam};
use segcam::config::card::Card;
use segcam::network::{load, proto};

/// The file cut at every 64th of its length.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..64).map(|part| bytes[..bytes.len() * part / 64].to_vec())
}

/// The file with one to four bits flipped, `count` times.
fn flips(bytes: &[u8], seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(move |_| {
        let mut flipped = bytes.to_vec();
        for _ in 0..random.usize(1..=4) {
            let at = random.usize(..flipped.len());
            flipped[at] ^= 1 << random.u8(..8);
        }
        flipped
    })
}

fn refused(ended: &Ended) {
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    assert!(ended.error().len() > 20, "{ended:?}");
    assert!(!ended.err.contains("panicked"), "{ended:?}");
}

pub fn load_network(bytes: &[u8]) -> Result<load::Network, String> {
    let model = proto::parse("m.onnx", bytes).map_err(|error| error.to_string())?;
    let resolve =
        |input: &load::OpenInput| Ok(input.shape.iter().map(|dim| dim.unwrap_or(16)).collect());
    let options =
        load::Options { resolve: &resolve, threads: 1, memory: None, compared: &|_| None };
    load::load("m.onnx", model, &options).map_err(|error| error.to_string())
}

pub fn load_bytes(bytes: &[u8]) -> Result<(), String> {
    load_network(bytes).map(|_| ())
}

#[test]
fn damaged_networks_are_refused_or_run() {
    for (model, seed) in [(onnx::pooled(), 1), (onnx::strongest_color(16, 16), 2)] {
        assert_eq!(load_bytes(&model), Ok(()));
        let mut refusals = 0;
        for bytes in cuts(&model).chain(flips(&model, seed, 2000)) {
            if let Err(message) = load_bytes(&bytes) {
                assert!(message.starts_with("m.onnx: "), "{message}");
                refusals += 1;
            }
        }
        assert!(refusals > 100, "{refusals}");
    }
}

#[test]
fn damaged_networks_end_the_program_in_one_sentence() {
    let place = Place::new();
    let model = onnx::pooled();
    let image = place.image("a.png", 16, 16, |x, y| [x as u8, y as u8, 9]);
    let out = place.text("out");
    for (index, bytes) in cuts(&model).step_by(8).chain(flips(&model, 7, 24)).enumerate() {
        let path = place.write(&format!("{index}.onnx"), &bytes);
        let ended = call(&["infer", &path, &image, "-o", &out, "--set", "input.size=[16,16]"]);
        if ended.code != Some(0) {
            refused(&ended);
        }
    }
}

#[test]
fn damaged_cards_are_refused_or_read() {
    let text = include_str!("../../models/selfie/model.toml");
    for bytes in cuts(text.as_bytes()).chain(flips(text.as_bytes(), 3, 2000)) {
        if let Err(error) = Card::parse("model.toml", &String::from_utf8_lossy(&bytes), &[]) {
            let error = error.to_string();
            assert!(error.starts_with("model.toml"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}

#[test]
fn damaged_images_end_in_one_sentence() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let out = place.text("out");
    let paint = |x: u32, y: u32| [(x * 7) as u8, (y * 5) as u8, (x ^ y) as u8];
    for kind in ["png", "jpg"] {
        let whole = std::fs::read(place.image(&format!("whole.{kind}"), 40, 30, paint)).unwrap();
        // Thousands more flips run against the reader itself, inside its own tests.
        for (index, bytes) in cuts(&whole).step_by(4).chain(flips(&whole, 4, 60)).enumerate() {
            let image = place.write(&format!("{index}.{kind}"), &bytes);
            let ended = call(&["infer", &model, &image, "-o", &out]);
            if ended.code != Some(0) {
                refused(&ended);
                let mask = place.path(&format!("out/{index}.mask.png"));
                assert!(!mask.exists(), "{kind} {index}: a mask of a broken image");
            }
            let _ = std::fs::remove_file(place.path(&format!("out/{index}.mask.png")));
        }
    }
}

/// A PNG header that promises `width` times `height` pixels.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&header);
    png.extend(crc32(&header).to_be_bytes());
    png
}

/// ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[test]
fn impossible_sizes_are_refused_before_memory_is_taken() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    for (width, height) in [(0, 10), (10, 0), (100_000, 100_000), (16_384, 16_384)] {
        let image = place.write("a.png", &png_header(width, height));
        let mut command = segcam(&["infer", &model, &image, "-o", &place.text("out")]);
        limit_memory(&mut command);
        refused(&finish(command, b""));
        for format in ["rgb24", "yuyv", "yuv420", "nv12"] {
            let uri = format!("pipe:-?format={format}&width={width}&height={height}");
            let arguments = ["run", "--model", &model, "--camera", &uri, "--display", "null:"];
            let mut command = segcam(&arguments);
            limit_memory(&mut command);
            refused(&finish(command, &[0; 1000]));
        }
        let clip = format!("YUV4MPEG2 W{width} H{height} F25:1 C420\nFRAME\n");
        let clip = format!("file:{}", place.write("a.y4m", clip.as_bytes()));
        let mut command =
            segcam(&["run", "--model", &model, "--camera", &clip, "--display", "null:"]);
        limit_memory(&mut command);
        refused(&finish(command, b""));
    }
    let huge = place.write("huge.onnx", &onnx::strongest_color(100_000, 100_000));
    let image = place.image("b.png", 8, 8, |_, _| [1, 2, 3]);
    let mut command = segcam(&["infer", &huge, &image, "-o", &place.text("out")]);
    limit_memory(&mut command);
    refused(&finish(command, b""));
}

/// 2 GB of address space: more than segcam needs, far less than these files promise.
fn limit_memory(command: &mut std::process::Command) {
    let program = command.get_program().to_owned();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_owned()).collect();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -v 2000000; exec \"$0\" \"$@\""]).arg(program).args(arguments);
    *command = limited;
}

#[test]
fn damaged_streams_end_in_one_sentence_or_are_shown() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let mut clip = b"YUV4MPEG2 W18 H10 F25:1 Ip A1:1 C420jpeg\n".to_vec();
    for frame in 0..3u8 {
        clip.extend(b"FRAME\n");
        clip.extend((0..18 * 10 + 2 * 9 * 5).map(|index| (index as u8).wrapping_mul(frame)));
    }
    for (index, bytes) in cuts(&clip).step_by(4).chain(flips(&clip[..60], 9, 60)).enumerate() {
        let path = place.write(&format!("{index}.y4m"), &bytes);
        let uri = format!("file:{path}");
        let ended = call(&["run", "--model", &model, "--camera", &uri, "--display", "null:"]);
        if ended.code != Some(0) {
            refused(&ended);
        }
    }
    let uri = "pipe:-?format=nv12&width=16&height=8";
    for length in (0..16 * 12 * 2).step_by(31) {
        let command =
            segcam(&["-q", "run", "--model", &model, "--camera", uri, "--display", "null:"]);
        finish(command, &vec![128; length]).success();
    }
}

#[test]
fn a_full_disk_and_a_closed_pipe_are_said() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let image = place.image("a.png", 16, 16, |x, y| [x as u8, y as u8, 9]);
    // Standard output on a device that is always full.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" > /dev/full"]).arg(env!("CARGO_BIN_EXE_segcam"));
    command.args(["infer", &model, &image, "-o", &place.text("out")]);
    refused(&finish(command, b""));
    // A reader that is gone.
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "{ \"$0\" \"$@\"; echo \"code $?\" >&2; } | true"])
        .arg(env!("CARGO_BIN_EXE_segcam"))
        .args(["run", "--model", &model, "--json", "--camera", "synthetic:portrait?fps=0"])
        .args(["--display", "null:", "--frames", "2000"]);
    let ended = finish(command, b"");
    assert!(ended.err.contains("standard output"), "{ended:?}");
    assert!(ended.err.contains("code 1"), "{ended:?}");
    // A folder that cannot be written to, even by root.
    refused(&call(&["infer", &model, &image, "-o", "/proc/none"]));
    let ended = call(&["infer", &model, "/proc/self/mem", "-o", &place.text("out")]);
    refused(&ended);
}

#[test]
fn a_disk_that_fills_up_leaves_no_half_written_file() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<[u8; 3]> =
        (0..1 << 18).map(|_| [random.u8(..), random.u8(..), random.u8(..)]).collect();
    // Its overlay takes hundreds of kilobytes, its mask tens.
    let image = place.image("a.png", 512, 512, |x, y| noise[(y * 512 + x) as usize]);
    std::fs::create_dir(place.path("disk")).unwrap();
    let script = "mount -t tmpfs -o size=256k none \"$1\" 2>/dev/null || exit 77
        \"$0\" infer \"$2\" \"$3\" -o \"$1\"; code=$?; ls -A \"$1\" >&2; exit $code";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_segcam")]);
    command.args([&place.text("disk"), &model, &image]);
    let ended = finish(command, b"");
    if !matches!(ended.code, Some(0..=2)) {
        eprintln!("skipped: a small disk cannot be mounted here: {ended:?}");
        return;
    }
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (message, files) = ended.err.split_once('\n').unwrap();
    assert!(message.contains("overlay.png: cannot be written"), "{ended:?}");
    assert!(message.contains("make room"), "{ended:?}");
    assert_eq!(files.trim(), "a.mask.png", "only what is whole");
}
