//! `segcam run` from outside: sources, displays, faults, ends.

use crate::onnx;
use crate::program::{Ended, Place, call, call_in, finish, segcam};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The frames' lines and the summary of a run with --json.
fn lines(ended: &Ended) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().expect("no summary");
    (lines, last["summary"].clone())
}

fn run(arguments: &[&str]) -> (Vec<Value>, Value) {
    let all = [&["run", "--json", "--display", "null:"][..], arguments].concat();
    lines(&call(&all).success())
}

#[test]
fn the_demonstration_writes_pictures_and_ends_with_a_summary() {
    let place = Place::new();
    let ended = call_in(&place.path(""), &["run", "--frames", "5"]).success();
    assert!(ended.out.contains("5 shown"), "{}", ended.out);
    assert!(ended.out.contains("network"), "{}", ended.out);
    assert!(ended.out.contains("person"), "{}", ended.out);
    assert!(ended.out.contains("segcam-out"), "{}", ended.out);
    let pictures: Vec<_> = std::fs::read_dir(place.path("segcam-out")).unwrap().collect();
    assert!(!pictures.is_empty());
    for picture in pictures {
        assert_eq!(image::open(picture.unwrap().path()).unwrap().width(), 640);
    }
}

#[test]
fn files_are_shown_whole_and_in_order() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    std::fs::create_dir(place.path("pictures")).unwrap();
    for (name, color) in [("b", [0, 200, 0]), ("a", [200, 0, 0]), ("c", [0, 0, 200])] {
        place.image(&format!("pictures/{name}.png"), 12, 10, |_, _| color);
    }
    let (frames, summary) =
        run(&["--model", &model, "--camera", &format!("file:{}", place.text("pictures"))]);
    assert_eq!(frames.len(), 3);
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!(frame["frame"], index);
        assert_eq!(frame["classes"][format!("class {index}")], 1.0, "{frame}");
    }
    assert_eq!((&summary["frames"], &summary["dropped"]), (&Value::from(3), &Value::from(0)));
}

#[test]
fn a_clip_is_shown_frame_by_frame() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    // Limited BT.601: red, then blue.
    let mut clip = b"YUV4MPEG2 W16 H8 F25:1 C420jpeg\n".to_vec();
    for [y, u, v] in [[81, 90, 240], [41, 240, 110]] {
        clip.extend(b"FRAME\n");
        clip.extend([y; 128]);
        clip.extend([u; 32]);
        clip.extend([v; 32]);
    }
    let clip = format!("file:{}", place.write("a.y4m", &clip));
    let (frames, _) = run(&["--model", &model, "--camera", &clip]);
    let winners: Vec<f64> = frames
        .iter()
        .zip(["class 0", "class 2"])
        .map(|(frame, class)| frame["classes"][class].as_f64().unwrap())
        .collect();
    assert_eq!(winners, [1.0, 1.0]);
}

#[test]
fn raw_frames_come_through_a_pipe() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let uri = "pipe:-?format=rgb24&width=8&height=6";
    let command =
        segcam(&["run", "--json", "--model", &model, "--camera", uri, "--display", "null:"]);
    let ended = finish(command, &[10, 200, 30].repeat(8 * 6)).success();
    let (frames, _) = lines(&ended);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0]["classes"]["class 1"], 1.0);
}

#[test]
fn every_frame_is_shown_with_its_own_mask() {
    use segcam::camera::{Wanted, open};
    use segcam::decode::{LabelMap, shares};
    use segcam::frame::Frame;
    use segcam::network::model::{self, ModelArguments};
    use segcam::segment::Segmenter;
    use std::sync::Arc;
    const URI: &str = "synthetic:portrait?fps=0&width=160&height=120";
    let place = Place::new();
    let path = place.write("color.onnx", &onnx::strongest_color(32, 32));
    let (frames, _) = run(&["--model", &path, "--camera", URI, "--frames", "12"]);
    // The same frames one by one, without threads.
    let model = model::open(&ModelArguments { model: path, ..Default::default() }).unwrap();
    let mut segmenter = Segmenter::new(Arc::new(model)).unwrap();
    let mut camera = open(URI, Wanted::default()).unwrap();
    let (mut frame, mut labels) = (Frame::empty(), LabelMap::default());
    let mut all = Vec::new();
    for shown in &frames {
        camera.read(&mut frame, Duration::from_secs(1)).unwrap();
        assert_eq!(shown["frame"], frame.sequence);
        segmenter.segment(&frame, &mut labels).unwrap();
        let mut expected = [0.0; 3];
        shares(&labels, &mut expected);
        for (class, share) in expected.iter().enumerate() {
            let found = shown["classes"][format!("class {class}")].as_f64().unwrap_or(0.0);
            assert!((found - f64::from(*share)).abs() < 1e-6, "{shown} {expected:?}");
        }
        all.push(expected);
    }
    let changes = all.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes > 5, "the camera pans, so a mask of another frame would differ: {all:?}");
}

#[test]
fn a_source_that_sends_nothing_is_said_to_be_starting() {
    let place = Place::new();
    let pictures = format!("png:{}", place.text("out"));
    let uri = "pipe:-?format=grey&width=64&height=48";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "sleep 1.5 | \"$0\" \"$@\"", env!("CARGO_BIN_EXE_segcam")]);
    command.args(["run", "--camera", uri, "--display", &pictures]);
    finish(command, b"").success();
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 1);
}

#[test]
fn dropped_frames_are_counted() {
    let (frames, summary) =
        run(&["--camera", "synthetic:portrait?fps=200&fault.drop=0.5", "--frames", "10"]);
    assert_eq!(frames.len(), 10);
    let last = frames[9]["frame"].as_u64().unwrap();
    let dropped = summary["dropped"].as_u64().unwrap();
    // All up to the last one shown were either shown or dropped.
    assert!(dropped >= last - 9, "{last} {summary}");
}

#[test]
fn old_frames_are_shown_as_stale() {
    let (frames, _) = run(&["--camera", "synthetic:portrait?fault.delay=700", "--frames", "3"]);
    assert!(frames.iter().all(|frame| frame["state"] == "stale"), "{frames:?}");
    assert!(frames.iter().all(|frame| frame["age_ms"].as_f64().unwrap() > 500.0));
    let patient = ["--camera", "synthetic:portrait?fault.delay=700", "--stale-after", "60000"];
    let (frames, _) = run(&[&patient[..], &["--frames", "3"]].concat());
    assert!(frames.iter().all(|frame| frame["state"] == "live"), "{frames:?}");
}

#[test]
fn a_lost_camera_comes_back() {
    let place = Place::new();
    let uri = "synthetic:portrait?fps=20&fault.disconnect=4&fault.return=300";
    let pictures = format!("png:{}", place.text("out"));
    let arguments = ["run", "--camera", uri, "--display", &pictures, "--frames", "9"];
    let ended = call(&arguments).success();
    let (gone, back) =
        (ended.err.matches("no signal").count(), ended.err.matches("is back").count());
    assert!(gone >= 1 && back >= 1, "{}", ended.err);
    // Each change once, in turns.
    assert!((back..=back + 1).contains(&gone), "{}", ended.err);
}

#[test]
fn a_camera_that_stays_away_leaves_no_picture_of_it_on_the_screen() {
    let place = Place::new();
    let uri = "synthetic:portrait?fault.disconnect=3&fault.return=3600000";
    let mut command = segcam(&["run", "--camera", uri, "--display"]);
    command.arg(format!("png:{}?last=1", place.text("out")));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The only words that mean NO SIGNAL here: a neutral ground in every corner.
    let neutral = |picture: &image::RgbImage| {
        let (width, height) = picture.dimensions();
        [(0, 0), (width - 1, 0), (width - 1, height / 3), (0, height / 3)].iter().all(|(x, y)| {
            let [red, green, blue] = picture.get_pixel(*x, *y).0;
            red == green && green == blue && red < 64
        })
    };
    let start = Instant::now();
    loop {
        let files = std::fs::read_dir(place.path("out")).into_iter().flatten();
        let mut pictures = files
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|kind| kind == "png"))
            .filter_map(|path| Some(image::open(path).ok()?.into_rgb8()));
        if pictures.next().is_some_and(|picture| neutral(&picture)) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the picture stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn damaged_frames_are_dropped_not_shown() {
    let (frames, summary) = run(&[
        "--camera",
        "synthetic:portrait?fps=100&fault.truncate=0.5&format=yuyv",
        "--frames",
        "8",
    ]);
    assert_eq!(frames.len(), 8);
    assert!(summary["dropped"].as_u64().unwrap() > 0, "{summary}");
}

#[test]
fn signals_end_a_run_cleanly() {
    for signal in ["-INT", "-TERM"] {
        let place = Place::new();
        let mut command = segcam(&["run", "--camera", "synthetic:portrait", "--display"]);
        command.arg(format!("png:{}?last=2", place.text("out")));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let start = Instant::now();
        while std::fs::read_dir(place.path("out")).map_or(0, |files| files.count()) < 1 {
            assert!(start.elapsed() < Duration::from_secs(60), "no picture");
            std::thread::sleep(Duration::from_millis(10));
        }
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{signal}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("frames"), "{signal}");
        for file in std::fs::read_dir(place.path("out")).unwrap() {
            image::open(file.unwrap().path()).expect("a half-written picture");
        }
    }
}

#[test]
fn a_broken_model_is_said_on_the_screen_too() {
    let place = Place::new();
    let model = place.write("broken.onnx", b"no network");
    let pictures = format!("png:{}", place.text("out"));
    let ended = call(&["run", "--model", &model, "--display", &pictures]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.error().contains("is no ONNX model"), "{ended:?}");
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 1);
}

#[test]
fn a_simulated_field_knows_its_iou() {
    use segcam::camera::{Wanted, field, open};
    use segcam::frame::Frame;
    const URI: &str = "synthetic:field?seed=1&fps=0&width=160&height=120";
    // The truth, counted here: how much of the frames each class covers.
    let mut camera = open(URI, Wanted::default()).unwrap();
    let mut frame = Frame::empty();
    let mut counts = vec![0u64; field::CLASSES.len()];
    for _ in 0..3 {
        camera.read(&mut frame, Duration::from_secs(1)).unwrap();
        assert_eq!(frame.truth.len(), 160 * 120);
        frame.truth.iter().for_each(|id| counts[usize::from(*id)] += 1);
    }
    // A network that always says sky: its IoU for sky is sky's share, 0 for all others there are.
    let place = Place::new();
    let model = place.write("sky.onnx", &onnx::always_first(field::CLASSES.len(), 16, 16));
    let (_, summary) =
        run(&["--model", &model, "--camera", URI, "--frames", "3", "--set", "input.fit=stretch"]);
    let classes = counts.iter().filter(|count| **count > 0).count();
    let expected = counts[0] as f64 / (3.0 * 160.0 * 120.0) / classes as f64;
    let found = summary["mean_iou"].as_f64().unwrap();
    assert!(counts[0] > 1000 && (found - expected).abs() < 1e-9, "{found} {expected} {counts:?}");
    // The built-in network has other classes: no figure rather than a wrong one.
    let (_, summary) = run(&["--camera", URI, "--frames", "2"]);
    assert!(summary["mean_iou"].is_null(), "{summary}");
}
