//! Brings 640x480 YUYV frames to pictures of the same size, as `segcam run` does between the
//! camera's buffer and the screen's, and calls getppid(2) around: the marks between which
//! `tests/bench/arm.sh --frame` counts instructions. First the bare network three times, then whole
//! frames three times; the difference is what a frame costs beside its inference.

use segcam::camera::{self, Wanted};
use segcam::compose::{Compositor, Scene, Settings, Shown, Stage, Status};
use segcam::display::Size;
use segcam::network::model::{BUILT_IN, ModelArguments, open};
use segcam::network::plan::Session;
use segcam::segment::{Segmented, Segmenter};
use std::hint::black_box;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::time::Duration;

const CAMERA: &str = "synthetic:portrait?format=yuyv&width=640&height=480&fps=0";
const SCREEN: Size = Size { width: 640, height: 480 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let named = ModelArguments {
        model: BUILT_IN.to_owned(),
        threads: 1,
        labels: true,
        ..ModelArguments::default()
    };
    let model = Arc::new(open(&named)?);
    let mut session = Session::new(&model.network)?;
    for _ in 0..3 {
        black_box(parent_id());
        session.run()?;
    }
    black_box(parent_id());

    let mut segmented = Segmented::default();
    camera::open(CAMERA, Wanted::default())?.read(segmented.frame_mut(), Duration::ZERO)?;
    let mut segmenter = Segmenter::new(Arc::clone(&model))?;
    let mut compositor = Compositor::default();
    let (mut status, settings) = (Status::default(), Settings::default());
    let stride = 4 * SCREEN.width as usize;
    let mut screen = vec![0_u8; stride * SCREEN.height as usize];
    for number in 0..3 {
        black_box(parent_id());
        segmented.segment(&mut segmenter)?;
        // The words of the status bar change with every frame.
        status.stages = vec![Stage { name: "network", milliseconds: number as f32 }];
        let shown = Shown::result(&segmented, Duration::MAX);
        let scene = Scene { shown, classes: &model.classes, status: &status, settings: &settings };
        compositor.compose(&scene, Some(SCREEN), &mut |y, row| {
            screen[y as usize * stride..][..stride].copy_from_slice(row);
        });
        black_box(&screen);
    }
    black_box(parent_id());
    Ok(())
}
