//! What the measures cost beside labelling a picture.

use super::folder::Subject;
use super::*;
use crate::decode::LabelMap;
use crate::frame::{Frame, Layout, PixelFormat};
use crate::network::model::{BUILT_IN, ModelArguments, open};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// `cargo test --release --lib evaluate::cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn table() {
    let named = ModelArguments { model: BUILT_IN.to_owned(), threads: 1, ..Default::default() };
    let model = Arc::new(open(&named).unwrap());
    let mut subject = Subject::new(model, Path::new("")).unwrap();
    let mut frame = Frame::new(Layout::packed(PixelFormat::Rgb, 640, 480).unwrap());
    let camera = crate::camera::Wanted { width: 256, height: 256 };
    let mut portrait =
        crate::camera::open("synthetic:portrait?width=640&height=480", camera).unwrap();
    portrait.read(&mut frame, Duration::from_secs(9)).unwrap();
    subject.look(&frame, None).unwrap();
    let (labels, truth) = (subject.labels.clone(), {
        let mut truth = subject.labels.clone();
        truth.ids.rotate_right(3 * 640 + 3);
        truth
    });
    let names = ["label", "label and losses", "confusion", "boundaries", "agreement"];
    let mut least = [Duration::MAX; 5];
    let (mut confusion, mut boundaries) = (Confusion::new(2), Boundaries::new(2));
    let mut agreement = Agreement::new(2, true);
    for _ in 0..50 {
        let mut time = |at: usize, work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            least[at] = least[at].min(start.elapsed());
        };
        let truth: &LabelMap = black_box(&truth);
        time(0, &mut || subject.look(&frame, None).unwrap());
        time(1, &mut || subject.look(&frame, Some(truth)).unwrap());
        time(2, &mut || confusion.add(&truth.ids, &labels.ids).unwrap());
        time(3, &mut || boundaries.add(truth, &labels));
        time(4, &mut || {
            black_box(agreement.add(&labels, truth, Some(truth)));
        });
    }
    for (name, least) in names.iter().zip(least) {
        println!("{name:20} {least:?}");
    }
}
