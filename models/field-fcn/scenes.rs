//! Writes frames of `synthetic:field` as a folder for `segcam eval`: pictures in `images`,
//! true class ids in `masks`, both PNG.
//!
//!     cargo run --release --example scenes -- DIR WIDTH HEIGHT FIRST_SEED SEEDS FRAME...

use image::{GrayImage, RgbImage};
use segcam::camera::{self, Wanted};
use segcam::frame::Frame;
use std::path::Path;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, width, height, first, seeds, frames @ ..] = &arguments[..] else {
        return Err("expected DIR WIDTH HEIGHT FIRST_SEED SEEDS FRAME...".into());
    };
    let (width, height): (u32, u32) = (width.parse()?, height.parse()?);
    let (first, seeds): (u64, u64) = (first.parse()?, seeds.parse()?);
    let frames = frames.iter().map(|frame| frame.parse()).collect::<Result<Vec<u64>, _>>()?;
    let last = *frames.iter().max().ok_or("expected at least one FRAME")?;

    let [images, masks] = ["images", "masks"].map(|kind| Path::new(folder).join(kind));
    std::fs::create_dir_all(&images)?;
    std::fs::create_dir_all(&masks)?;
    let mut frame = Frame::empty();
    for seed in first..first + seeds {
        let uri = format!("synthetic:field?seed={seed}&width={width}&height={height}&fps=0");
        let mut camera = camera::open(&uri, Wanted::default())?;
        for number in 0..=last {
            camera.read(&mut frame, Duration::ZERO)?;
            if !frames.contains(&number) {
                continue;
            }
            let name = format!("{seed:05}-{number:04}.png");
            let picture = RgbImage::from_raw(width, height, frame.data.to_vec());
            picture.ok_or("a frame that is not packed RGB")?.save(images.join(&name))?;
            let truth = GrayImage::from_raw(width, height, frame.truth.clone());
            truth.ok_or("a frame without truth")?.save(masks.join(&name))?;
        }
    }
    Ok(())
}
