use super::format::{HEAD, Head, Kind, Writer, unpack};
use super::ring::Ring;
use super::*;
use crate::camera::{self, Arrival, Wanted};
use crate::decode::LabelMap;
use crate::frame::Frame;
use crate::network::model::{self, BUILT_IN, ModelArguments};
use allocation_counter::measure;
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub fn noise(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

fn line(frame: u64, layout: Layout) -> Vec<u8> {
    let picture = Picture::of(layout);
    let line = json!({"frame": frame, "captured_ms": 40 * frame, "time_ms": 0, "skipped": 0, "picture": picture});
    line.to_string().into_bytes()
}

/// A grey picture of 8x6 that changes with its number, and its mask.
fn framed(writer: &mut Writer, frame: u64) -> Vec<u8> {
    let layout = Layout::packed(PixelFormat::Grey, 8, 6).unwrap();
    let picture: Vec<u8> = (0..48).map(|pixel| (pixel * 3 + frame) as u8).collect();
    let mask: Vec<u8> = (0..48).map(|pixel| u8::from(pixel < frame % 48)).collect();
    writer.frame(frame, &line(frame, layout), (&picture, 8), (&mask, 8)).to_vec()
}

fn about_line() -> Vec<u8> {
    let (model, text) = (json!({"name": "m", "sha256": "", "settings": {}, "classes": []}), "");
    let about =
        json!({"segcam": text, "model": model, "kernels": text, "camera": text, "board": text});
    about.to_string().into_bytes()
}

/// A segment's parts: its header, then its frames.
pub fn parts(frames: u64) -> Vec<Vec<u8>> {
    let mut writer = Writer::default();
    let mut parts = vec![writer.header(&about_line()).to_vec()];
    parts.extend((0..frames).map(|frame| framed(&mut writer, frame)));
    parts
}

/// What a reader makes of a segment: the frames' numbers, damages, torn bytes.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    pub frames: Vec<u64>,
    pub damages: Vec<Damage>,
    pub torn: u64,
}

pub fn read(folder: &Path) -> Found {
    let (folder, numbers) = Folder::open(folder).unwrap();
    let (mut found, mut record) = (Found::default(), Record::default());
    for number in numbers {
        let mut segment = Segment::open(&folder, number).unwrap();
        loop {
            match segment.next(&mut record).unwrap() {
                Step::Frame => found.frames.push(record.frame),
                Step::Damaged(damage) => found.damages.push(damage),
                Step::End { torn } => {
                    found.torn += torn;
                    break;
                }
            }
        }
    }
    found
}

pub fn read_bytes(bytes: &[u8]) -> Found {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name(1)), bytes).unwrap();
    read(folder.path())
}

#[test]
fn packing_loses_nothing() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut writer = Writer::default();
    let mut kinds: Vec<Vec<u8>> = vec![vec![0; 5000], vec![7; 1], noise(&mut random, 4999)];
    kinds.push((0..6000).map(|at| (at / 60) as u8).collect());
    for bytes in kinds {
        for row in [1, 3, 64, 100, 9999] {
            let out = writer.frame(3, b"{}", (&bytes, row), (&bytes, row)).to_vec();
            let head = Head::parse(out.first_chunk().unwrap()).unwrap();
            assert_eq!((head.kind, head.frame, head.lengths[0]), (Kind::Frame, 3, 2));
            assert!(head.lengths[1] <= bytes.len());
            let mut back = Vec::new();
            unpack(&out[HEAD + 2..][..head.lengths[1]], bytes.len(), row, &mut back).unwrap();
            assert_eq!(back, bytes);
        }
    }
}

#[test]
fn what_is_recorded_is_read_back_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let named = ModelArguments { model: BUILT_IN.into(), threads: 1, ..Default::default() };
    let model = Arc::new(model::open(&named).unwrap());
    let (recording, mut recorder) = start(folder.path().join("new"), 1 << 30, "c", "b");
    let mut random = fastrand::Rng::with_seed(2);
    let mut frames = Vec::new();
    for (index, format) in PixelFormat::ALL.into_iter().enumerate() {
        let least = format.min_stride(13);
        let encoding = Encoding { matrix: Matrix::Bt709, range: Range::Full };
        let layout = Layout::strided(format, 13, 7, least + index).unwrap().with_encoding(encoding);
        let mut frame = Frame::new(layout);
        frame.data = noise(&mut random, layout.bytes()).into();
        frame.sequence = 10 * index as u64;
        let labels = LabelMap { width: 13, height: 7, ids: noise(&mut random, 13 * 7) };
        recorder.record(
            &model,
            &frame,
            &labels,
            &json!({"frame": frame.sequence, "state": "live"}),
        );
        frames.push((frame, labels));
        // However slow the disk is.
        while recording.counts().recorded <= index as u64 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    drop(recorder);
    assert_eq!(recording.finish(), Recorded { recorded: 7, skipped: 0 });
    let path = folder.path().join("new");
    let (opened, numbers) = Folder::open(&path).unwrap();
    let mut segment = Segment::open(&opened, numbers[0]).unwrap();
    let mut record = Record::default();
    let mut camera =
        camera::open(&format!("replay:{}", path.display()), Wanted::default()).unwrap();
    let mut replayed = Frame::empty();
    for (frame, labels) in &frames {
        assert_eq!(segment.next(&mut record).unwrap(), Step::Frame);
        assert_eq!((record.frame, record.layout), (frame.sequence, frame.layout));
        assert_eq!((&record.picture[..], &record.labels), (&frame.data[..], labels));
        assert_eq!(camera.read(&mut replayed, Duration::ZERO).unwrap(), Arrival::Frame);
        assert_eq!((replayed.sequence, replayed.layout), (frame.sequence, frame.layout));
        assert_eq!(replayed.data[..], frame.data[..]);
    }
    assert_eq!(segment.next(&mut record).unwrap(), Step::End { torn: 0 });
    assert_eq!(camera.read(&mut replayed, Duration::ZERO).unwrap(), Arrival::End);
    let said = segment.about.unwrap();
    assert_eq!((&said.model.sha256, &*said.kernels), (&model.sha256, model.kernels()));
    assert_eq!(said.model.settings["input.fit"], "\"letterbox\"");
    assert_eq!(said.model.classes.len(), model.classes.len());
}

#[test]
fn recording_allocates_nothing_after_the_first_frames() {
    let folder = tempfile::tempdir().unwrap();
    let named = ModelArguments { model: BUILT_IN.into(), threads: 1, ..Default::default() };
    let model = Arc::new(model::open(&named).unwrap());
    let (recording, mut recorder) = start(folder.path().to_owned(), 1 << 30, "c", "b");
    let frame = Frame::new(Layout::packed(PixelFormat::Yuyv, 64, 48).unwrap());
    let labels = LabelMap { width: 64, height: 48, ids: vec![1; 64 * 48] };
    let line = Classes { frame: 0, age_ms: 3.25 };
    for index in 0..20 {
        let heap = measure(|| recorder.record(&model, &frame, &labels, &line));
        assert!(index < 8 || heap.count_total == 0, "{index}: {heap:?}");
        while recording.counts().recorded <= index {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[derive(Serialize)]
struct Classes {
    frame: u64,
    age_ms: f32,
}

#[test]
fn the_oldest_make_room_for_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.segcam");
    std::fs::write(&other, vec![0; 100_000]).unwrap();
    // Names that are taken by what is no segment.
    symlink("/nowhere", folder.path().join(name(1))).unwrap();
    std::fs::create_dir(folder.path().join(name(2))).unwrap();
    let limit = 16_000;
    let mut ring = Ring::new(folder.path().to_owned(), limit);
    let (mut writer, about) = (Writer::default(), Arc::from(about_line()));
    let mut longest = 0;
    for frame in 0..300 {
        let frame = framed(&mut writer, frame);
        ring.append(&about, &frame).unwrap();
        longest = longest.max(frame.len() as u64);
        let opened = Folder::create(folder.path()).unwrap();
        let bytes: u64 = opened.segments().unwrap().iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes <= limit + longest, "{bytes}");
    }
    ring.close().unwrap();
    assert!(other.exists());
    for left in [1, 2] {
        std::fs::remove_file(folder.path().join(name(left))).unwrap_or_default();
        std::fs::remove_dir(folder.path().join(name(left))).unwrap_or_default();
    }
    let found = read(folder.path());
    assert_eq!((found.frames.last(), found.torn), (Some(&299), 0));
    assert!(found.frames.len() > 20 && found.frames[0] > 100, "{found:?}");
    assert!(found.frames.windows(2).all(|pair| pair[1] == pair[0] + 1));
    // Another header begins another segment, and so does another run.
    let count = || Folder::open(folder.path()).unwrap().1;
    let before = count();
    ring.append(&Arc::from(about_line()), &framed(&mut writer, 0)).unwrap();
    drop(ring);
    Ring::new(folder.path().to_owned(), limit).append(&about, &framed(&mut writer, 0)).unwrap();
    let after = count();
    assert_eq!(after.last().unwrap() - before.last().unwrap(), 2);
}

#[test]
fn a_folder_that_takes_nothing_costs_frames_and_nothing_else() {
    let named = ModelArguments { model: BUILT_IN.into(), threads: 1, ..Default::default() };
    let model = Arc::new(model::open(&named).unwrap());
    let (recording, mut recorder) = start("/proc/segcam".into(), 1 << 30, "c", "b");
    let frame = Frame::empty();
    let labels = LabelMap { width: 1, height: 1, ids: vec![0] };
    let begin = Instant::now();
    for _ in 0..200 {
        recorder.record(&model, &frame, &labels, &json!({"frame": 0}));
    }
    assert!(begin.elapsed() < Duration::from_secs(1));
    drop(recorder);
    assert_eq!(recording.finish(), Recorded { recorded: 0, skipped: 200 });
}

#[test]
fn a_cut_anywhere_costs_what_follows_it_and_nothing_else() {
    let parts = parts(6);
    let whole = parts.concat();
    assert_eq!(read_bytes(&whole).frames, [0, 1, 2, 3, 4, 5]);
    for cut in 0..whole.len() {
        // The ends of what lies before.
        let ends = parts.iter().scan(0, |end, part| {
            *end += part.len();
            Some(*end)
        });
        let kept: Vec<usize> = ends.take_while(|end| *end <= cut).collect();
        let torn = (cut - kept.last().unwrap_or(&0)) as u64;
        let frames: Vec<u64> = (0..kept.len().saturating_sub(1) as u64).collect();
        let found = read_bytes(&whole[..cut]);
        assert_eq!(found, Found { frames: frames.clone(), damages: vec![], torn }, "cut at {cut}");
        // The file system knew its length, but not yet its bytes.
        let mut zeroed = whole[..cut].to_vec();
        zeroed.resize(whole.len(), 0);
        // Some end in zeros anyway.
        let mut start = parts[0].len();
        let same = parts[1..].iter().filter(|part| {
            start += part.len();
            zeroed[start - part.len()..start] == part[..]
        });
        let same = same.count() as u64;
        let found = read_bytes(&zeroed);
        assert_eq!((found.frames, found.damages.len()), ((0..same).collect(), 0), "from {cut}");
    }
}

#[test]
fn damage_inside_is_named_and_passed_over() {
    let parts = parts(4);
    // In a head, in a payload.
    for (at, into) in [(2, 10), (2, HEAD + 30)] {
        let mut bytes = parts.clone();
        bytes[at][into] ^= 0x40;
        let found = read_bytes(&bytes.concat());
        assert_eq!((&found.frames[..], found.torn), (&[0, 2, 3][..], 0));
        let start = (parts[0].len() + parts[1].len()) as u64;
        let cause = format!("{} bytes that are no whole frame", parts[2].len());
        assert_eq!(found.damages, [Damage { segment: name(1), at: start, cause }]);
    }
    // Nothing but noise.
    let bytes = noise(&mut fastrand::Rng::with_seed(4), 300_000);
    assert_eq!(read_bytes(&bytes), Found { torn: 300_000, ..Found::default() });
    assert_eq!(read_bytes(b""), Found::default());
}

#[test]
fn a_line_of_another_frame_is_damage() {
    let layout = Layout::packed(PixelFormat::Grey, 8, 6).unwrap();
    let mut writer = Writer::default();
    let mixed = writer.frame(5, &line(4, layout), (&[1; 48], 8), (&[0; 48], 8)).to_vec();
    let found = read_bytes(&[&parts(2).concat()[..], &mixed].concat());
    assert_eq!(found.frames, [0, 1]);
    let cause = &found.damages[0].cause;
    assert_eq!(cause, "its line is frame 4's, its picture and mask are frame 5's");
}

#[test]
fn a_replay_keeps_the_recorded_pace_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name(1)), parts(4).concat()).unwrap();
    let open = |query: &str| {
        let uri = format!("replay:{}{query}", folder.path().display());
        camera::open(&uri, Wanted::default()).unwrap()
    };
    let mut frame = Frame::empty();
    let mut timed = |query: &str| {
        let (mut camera, begin) = (open(query), Instant::now());
        let far = Duration::from_secs(5);
        let mut count = 0;
        while camera.read(&mut frame, far).unwrap() == Arrival::Frame {
            assert_eq!(frame.sequence, count);
            count += 1;
        }
        assert_eq!(count, 4);
        (camera.is_live(), begin.elapsed().as_millis() as u64)
    };
    let (live, _) = timed("");
    assert!(!live);
    // 40 ms between each of the four.
    let (live, time) = timed("?fps");
    assert!(live && time >= 120, "{time}");
    let (live, time) = timed("?fps=100");
    assert!(live && time >= 30, "{time}");
    let mut camera = open("?fps=1");
    assert_eq!(camera.read(&mut frame, Duration::ZERO).unwrap(), Arrival::Frame);
    assert_eq!(camera.read(&mut frame, Duration::from_millis(5)).unwrap(), Arrival::Timeout);
    let error = |uri: &str| camera::open(uri, Wanted::default()).err().unwrap().to_string();
    assert!(error("replay:/nowhere").contains("expected a folder that `segcam run --record`"));
    assert!(error("replay:/proc").contains("/proc: holds no recordings"));
    assert!(error("replay:").contains("the folder of a recording"));
}

#[test]
fn links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    std::fs::write(&target, parts(1).concat()).unwrap();
    symlink(&target, folder.path().join(name(1))).unwrap();
    let (opened, numbers) = Folder::open(folder.path()).unwrap();
    assert!(Segment::open(&opened, numbers[0]).is_err());
    assert!(opened.make(1).is_err());
}
