//! The image of a Raspberry Pi 3's card: from switching on to the picture, and all that can be
//! wrong with a card.

use crate::board::{Board, cache};
use crate::card::{Card, Fat};
use crate::initramfs::Archive;
use crate::screens::{Alike, Expected, frame};
use image::RgbImage;
use segcam::compose::Shown;
use segcam::config::board;
use segcam::display::Size;
use segcam::frame::Frame;
use segcam::network::model::{self, ModelArguments};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const SCREEN: Size = Size { width: 640, height: 480 };
/// Of one picture in an emulated Cortex-A53, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(180);
const BROKEN: &[u8] = b"not a model";
const CAMERA: &str = "file:picture.png?loop&fps=1";

/// Settings of a device that looks at a picture on its card. Emulated inference takes its time.
fn settings(model: &str) -> String {
    format!(
        "name = \"Test\"\nmodel = \"{model}\"\ncamera = \"{CAMERA}\"\ndisplay = [\"fbdev:\"]\n\
         stale_after_ms = 60000\n"
    )
}

/// A card whose camera is a picture, and what its screen will show.
fn card_with_picture() -> (Card, Expected) {
    let card = Card::new();
    let frame = frame("rgb24", 640, 480, 80);
    card.fat.put("picture.png", &png(&frame));
    card.fat.put("segcam.toml", settings("builtin").as_bytes());
    let folder = tempfile::tempdir().unwrap();
    (card, Expected::of(&frame, CAMERA, SCREEN, folder.path()))
}

fn png(frame: &Frame) -> Vec<u8> {
    let pixels = frame.data.to_vec();
    let picture = RgbImage::from_raw(frame.width(), frame.height(), pixels).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Waits until the screen shows what is wrong.
fn wait_for_words(board: &mut Board, shown: Shown, name: &str) {
    let expected = Expected::of_words(shown, SCREEN);
    let until = Instant::now() + PATIENCE;
    loop {
        let found = board.screen();
        found.save(board.folder.join(format!("{name}.png"))).unwrap();
        if expected.differences(&found, Alike::In16Bits) == Some(0) {
            return;
        }
        assert!(Instant::now() < until, "{name}: see {}", board.folder.display());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A model folder's files, from this repository.
fn put_model(fat: &Fat, folder: &str) {
    let selfie = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/selfie");
    for file in ["model.onnx", "model.toml"] {
        fat.put(&format!("{folder}/{file}"), &fs::read(selfie.join(file)).unwrap());
    }
}

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn an_image_comes_up_whatever_is_on_its_card() {
    let (card, picture) = card_with_picture();
    let folder = tempfile::tempdir().unwrap();

    // As it is: straight to the picture.
    let start = Instant::now();
    let mut board = card.boot("image");
    board.listen(" user space");
    let user_space = start.elapsed().as_secs_f32();
    picture.wait_for(&mut board, Alike::In16Bits, "picture", PATIENCE);
    let first_mask = start.elapsed().as_secs_f32();
    println!("image:{} of a board's 1024", board.listen("memory in use"));
    drop(board);
    let mut nothing = Archive::default();
    nothing.add("init", b"#!/bin/busybox sh\necho empty\nexec /bin/busybox sleep 1d\n");
    nothing.add("bin/busybox", &fs::read(cache().join("busybox")).unwrap());
    let start = Instant::now();
    card.boot_with("image-empty", &nothing.finish(), None).listen("empty");
    println!(
        "image: first mask {first_mask:.1} s after switching on, {:.1} s after user space; \
         a kernel with an empty init prints after {:.1} s",
        first_mask - user_space,
        start.elapsed().as_secs_f32()
    );

    // A mistake in the settings.
    let wrong = settings("builtin").replace("camera", "cammera");
    card.fat.put("segcam.toml", wrong.as_bytes());
    let mut board = card.boot("image-settings");
    let file = folder.path().join("segcam.toml");
    fs::write(&file, wrong).unwrap();
    let error = board::Board::open(&file.display().to_string()).unwrap_err().to_string();
    let reason = &error.replace(&file.display().to_string(), "/boot/segcam.toml");
    wait_for_words(&mut board, Shown::CannotRun { reason }, "words");
    drop(board);

    // A model that is none.
    card.fat.put("models/broken.onnx", BROKEN);
    card.fat.put("segcam.toml", settings("models/broken.onnx").as_bytes());
    let mut board = card.boot("image-model");
    let file = folder.path().join("broken.onnx");
    fs::write(&file, BROKEN).unwrap();
    let model = file.display().to_string();
    let error = model::open(&ModelArguments { model: model.clone(), ..Default::default() });
    let reason = &error.err().unwrap().to_string().replace(&model, "models/broken.onnx");
    wait_for_words(&mut board, Shown::NoModel { reason }, "words");
    drop(board);

    // A data partition of noise.
    card.fat.put("segcam.toml", settings("builtin").as_bytes());
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(8 << 20).collect();
    card.destroy_data(&noise);
    let mut board = card.boot("image-data");
    board.listen("data partition was broken and is made anew");
    picture.wait_for(&mut board, Alike::In16Bits, "picture", PATIENCE);
    drop(board);
    assert!(!card.data().windows(64).take(1 << 20).any(|window| window == &noise[2048..2112]));

    // A model and settings put beside: they are tried, and replace the old.
    put_model(&card.fat, "new/models/mine");
    card.fat.put("new/segcam.toml", settings("models/mine").as_bytes());
    let mut board = card.boot("image-change");
    board.listen("It works and is used from now on");
    picture.wait_for(&mut board, Alike::In16Bits, "picture", PATIENCE);
    drop(board);
    assert_eq!(card.fat.text("segcam.toml"), settings("models/mine"));
    assert_eq!(card.fat.text("segcam.toml.old"), settings("builtin"));
    assert!(
        card.fat.get("models/mine/model.onnx").is_some()
            && card.fat.get("new/segcam.toml").is_none()
    );

    // The same with a broken model: all stays, and why.txt tells the reason.
    card.fat.put("new/models/mine/model.onnx", BROKEN);
    let mut board = card.boot("image-refusal");
    board.listen("It does not work and is refused");
    picture.wait_for(&mut board, Alike::In16Bits, "picture", PATIENCE);
    drop(board);
    assert_eq!(card.fat.text("segcam.toml"), settings("models/mine"));
    assert!(card.fat.text("refused/why.txt").contains("models/mine"));
}

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn an_image_takes_a_change_from_a_usb_stick() {
    let (card, picture) = card_with_picture();
    let stick = Fat::stick();
    put_model(&stick, "segcam/models/mine");
    stick.put("segcam/segcam.toml", settings("models/mine").as_bytes());
    let files = card.fat.get("initramfs8").unwrap();
    let mut board = card.boot_with("image-stick", &files, Some(&stick));
    board.listen("Trying the change from the USB stick");
    board.listen("It works and is used from now on");
    picture.wait_for(&mut board, Alike::In16Bits, "picture", PATIENCE);
    drop(board);
    assert_eq!(card.fat.text("segcam.toml"), settings("models/mine"));
    assert_eq!(card.fat.text("segcam.toml.old"), settings("builtin"));
    assert!(card.fat.get("models/mine/model.onnx").is_some());

    // Plugged in as before, it changes nothing any more.
    card.fat.put("segcam.toml", settings("builtin").as_bytes());
    let mut board = card.boot_with("image-stick", &files, Some(&stick));
    picture.wait_for(&mut board, Alike::In16Bits, "picture", PATIENCE);
    assert!(!board.listen("memory in use").is_empty());
    drop(board);
    assert_eq!(card.fat.text("segcam.toml"), settings("builtin"));
}

/// Takes the plug out at random moments after a change is tried, SEGCAM_CUTS times.
#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn an_image_survives_power_cuts_while_it_writes() {
    let cuts = std::env::var("SEGCAM_CUTS").map_or(3, |count| count.parse().expect("a number"));
    let (card, picture) = card_with_picture();
    let mut longest = Duration::from_secs(2);
    for cut in 0..cuts {
        // One or the other, so that there is always something to replace.
        if card.fat.get("new/segcam.toml").is_none() {
            put_model(&card.fat, "new/models/mine");
            let model = ["models/mine", "builtin"][cut % 2];
            card.fat.put("new/segcam.toml", settings(model).as_bytes());
        }
        let mut board = card.boot("image-cut");
        if board.listen_for(&["the card is written", "segcam starts"]).0 == 0 {
            let start = Instant::now();
            if cut == 0 {
                board.listen("It works and is used from now on");
                longest = start.elapsed();
            } else {
                let moment = longest.mul_f64(fastrand::f64());
                std::thread::sleep(moment);
            }
        }
        drop(board);
        let found = match card.fat.get("segcam.toml") {
            Some(text) if text == settings("models/mine").as_bytes() => "models/mine",
            Some(text) if text == settings("builtin").as_bytes() => "builtin",
            // Moved away, and the new one not yet in its place: the next start ends that.
            None if card.fat.get("new/checked").is_some() => "between the two",
            _ => panic!("image-cut: {cut}: neither the old settings nor the new are whole"),
        };
        println!("image-cut: {cut}: {found}");
    }
    let mut board = card.boot("image-cut");
    picture.wait_for(&mut board, Alike::In16Bits, "picture", PATIENCE);
    drop(board);
    assert!(card.fat.text("segcam.toml").contains(CAMERA));
}
