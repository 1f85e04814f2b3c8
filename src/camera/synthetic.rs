//! `synthetic:`: pictures made by arithmetic. Frame `n` depends on seed, size and `n` alone,
//! and is the same bits on every machine.

use super::encode::from_rgb;
use super::field::Field;
use super::pace::{Pace, next_frame};
use super::portrait::Portrait;
use super::{Arrival, Camera, CameraError};
use crate::config::uri::Uri;
use crate::frame::{Frame, Layout, PixelFormat};
use std::time::Duration;

const SCENES: [&str; 2] = ["portrait", "field"];
const MAX_SIZE: u32 = 4096;

/// Something that can be drawn at any instant.
pub trait Scene: Send {
    /// Draws frame `n` as packed RGB into `rgb` and, where it is known, the class of each
    /// pixel into `truth`.
    fn draw(&mut self, n: u64, rgb: &mut [u8], truth: &mut Vec<u8>);
}

pub fn open(mut uri: Uri) -> Result<Box<dyn Camera>, CameraError> {
    if !SCENES.contains(&uri.path.as_str()) {
        let nearest = crate::config::nearest(&uri.path, &SCENES).unwrap_or(SCENES[0]);
        let names = SCENES.join(" ");
        let expected = format!("a scene; did you mean \"{nearest}\"? (there are {names})");
        return Err(uri.refuse_path(expected).into());
    }
    let width = uri.take_in("width", 1..=MAX_SIZE)?.unwrap_or(640);
    let height = uri.take_in("height", 1..=MAX_SIZE)?.unwrap_or(480);
    let formats = PixelFormat::ALL.map(|format| (format.name(), format));
    let format = uri.take_one_of("format", &formats)?.unwrap_or(PixelFormat::Rgb);
    let seed = uri.take_in("seed", 0..=u64::MAX)?.unwrap_or(0);
    let still = uri.clone().take("fps").is_some_and(|value| value == "0");
    let fps = if still {
        uri.take("fps").and(None)
    } else {
        Some(Pace::take_fps(&mut uri)?.unwrap_or(30.0))
    };
    let name = uri.text().to_owned();
    let layout = Layout::packed(format, width, height).map_err(CameraError::layout(&name))?;
    let scene: Box<dyn Scene> = match uri.path.as_str() {
        "field" => Box::new(Field::new(seed, width, height)),
        _ => Box::new(Portrait::new(seed, width, height)?),
    };
    uri.finish()?;
    let pace = fps.map(Pace::new);
    Ok(Box::new(SyntheticCamera { name, layout, scene, pace, next: 0, rgb: Vec::new() }))
}

struct SyntheticCamera {
    name: String,
    layout: Layout,
    scene: Box<dyn Scene>,
    /// Where it is live.
    pace: Option<Pace>,
    next: u64,
    /// The picture before it is encoded, unless the frame itself is RGB.
    rgb: Vec<u8>,
}

impl Camera for SyntheticCamera {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_live(&self) -> bool {
        self.pace.is_some()
    }

    fn read(&mut self, frame: &mut Frame, timeout: Duration) -> Result<Arrival, CameraError> {
        let Some((sequence, captured)) = next_frame(&mut self.pace, self.next, timeout) else {
            return Ok(Arrival::Timeout);
        };
        frame.reshape(self.layout);
        if self.layout.format == PixelFormat::Rgb {
            self.scene.draw(sequence, &mut frame.data, &mut frame.truth);
        } else {
            self.rgb.resize(3 * self.layout.width as usize * self.layout.height as usize, 0);
            self.scene.draw(sequence, &mut self.rgb, &mut frame.truth);
            from_rgb(&self.rgb, frame);
        }
        (frame.sequence, frame.captured) = (sequence, captured);
        self.next = sequence + 1;
        Ok(Arrival::Frame)
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        Ok(())
    }
}

/// A well mixed number from any number (the finalizer of SplitMix64).
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Seeded numbers in a row.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(mix(seed))
    }

    /// From `least` to `most`, both included.
    pub fn roll(&mut self, least: i32, most: i32) -> i32 {
        self.0 = mix(self.0);
        let span = (i64::from(most) - i64::from(least) + 1) as u64;
        (i64::from(least) + (((self.0 >> 32) * span) >> 32) as i64) as i32
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(0, from.len() as i32 - 1) as usize]
    }
}

/// A smooth wave from -32768 to 32767 over a phase of 65536 a turn: parabolas for a sine,
/// at most 6 % from it.
pub fn wave(phase: u64) -> i32 {
    let half = (phase & 0x7fff) as i32;
    let arch = ((half * (32768 - half)) >> 13).min(32767);
    if phase & 0x8000 == 0 { arch } else { -arch }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{self, Wanted};
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(10);

    fn frame() -> Frame {
        Frame::new(Layout::packed(PixelFormat::Grey, 1, 1).unwrap())
    }

    /// Frames `0..count` of a camera that is not live.
    fn frames(uri: &str, count: u64) -> Vec<Frame> {
        let mut camera = camera::open(uri, Wanted::default()).unwrap();
        assert!(!camera.is_live());
        (0..count)
            .map(|n| {
                let mut frame = frame();
                assert_eq!(camera.read(&mut frame, Duration::ZERO).unwrap(), Arrival::Frame);
                assert_eq!(frame.sequence, n);
                assert!(frame.is_whole());
                frame
            })
            .collect()
    }

    #[test]
    fn the_wave_is_odd_smooth_and_turns_once() {
        assert_eq!((wave(0), wave(16384), wave(32768), wave(49152)), (0, 32767, 0, -32767));
        for phase in 0..70_000 {
            assert!((wave(phase + 64) - wave(phase)).abs() <= 256);
        }
    }

    #[test]
    fn dice_stay_within_their_bounds_and_reach_them() {
        let mut dice = Dice::new(1);
        let rolls: Vec<i32> = (0..1000).map(|_| dice.roll(-2, 3)).collect();
        assert_eq!((rolls.iter().min(), rolls.iter().max()), (Some(&-2), Some(&3)));
        assert_eq!(dice.roll(i32::MIN, i32::MIN), i32::MIN);
    }

    #[test]
    fn every_format_and_odd_size_is_drawn() {
        for scene in SCENES {
            for format in PixelFormat::ALL {
                for (width, height) in [(1, 1), (1, 9), (9, 1), (33, 17), (64, 48)] {
                    let format = format.name();
                    let uri = format!(
                        "synthetic:{scene}?format={format}&width={width}&height={height}&fps=0"
                    );
                    for frame in frames(&uri, 3) {
                        assert_eq!((frame.width(), frame.height()), (width, height));
                        assert_eq!(frame.data.len(), frame.layout.bytes());
                    }
                }
            }
        }
    }

    #[test]
    fn a_frame_depends_on_seed_and_number_alone_and_changes_with_both() {
        for scene in SCENES {
            let uri = |seed| format!("synthetic:{scene}?seed={seed}&width=64&height=48&fps=0");
            let (a, b, other) = (frames(&uri(1), 5), frames(&uri(1), 5), frames(&uri(2), 5));
            for n in 0..5 {
                assert_eq!((&a[n].data, &a[n].truth), (&b[n].data, &b[n].truth));
                assert_ne!(a[n].data, other[n].data);
            }
            assert_ne!(a[0].data, a[4].data);
        }
    }

    #[test]
    fn live_frames_keep_their_time_and_leave_gaps_when_nobody_reads() {
        let uri = "synthetic:portrait?width=32&height=24&fps=5";
        let (mut camera, mut frame) = (camera::open(uri, Wanted::default()).unwrap(), frame());
        assert!(camera.is_live());
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
        assert_eq!(frame.sequence, 0);
        assert_eq!(camera.read(&mut frame, Duration::ZERO).unwrap(), Arrival::Timeout);
        std::thread::sleep(Duration::from_millis(450));
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
        assert!(frame.sequence >= 2, "{}", frame.sequence);
        // The same frame as when it is read at leisure.
        let all = frames("synthetic:portrait?width=32&height=24&fps=0", frame.sequence + 1);
        assert_eq!(all.last().unwrap().data[..], frame.data[..]);
    }

    #[test]
    fn nothing_is_allocated_after_the_first_frame() {
        for scene in SCENES {
            for format in ["rgb24", "yuyv"] {
                let uri = format!("synthetic:{scene}?width=160&height=120&fps=0&format={format}");
                let (mut camera, mut frame) =
                    (camera::open(&uri, Wanted::default()).unwrap(), frame());
                let mut read = || camera.read(&mut frame, LONG).unwrap();
                read();
                let found = allocation_counter::measure(|| {
                    for _ in 0..50 {
                        read();
                    }
                });
                assert_eq!(found.count_total, 0, "{uri}");
            }
        }
    }

    /// Prints the cost of a frame: `cargo test --release --lib synthetic -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_a_frame() {
        for uri in [
            "synthetic:portrait?fps=0",
            "synthetic:portrait?fps=0&format=yuyv",
            "synthetic:portrait?fps=0&width=1280&height=720&format=yuyv",
            "synthetic:field?fps=0",
            "synthetic:field?fps=0&seed=3",
            "synthetic:field?fps=0&seed=5",
            "synthetic:field?fps=0&format=yuyv",
        ] {
            let (mut camera, mut frame) = (camera::open(uri, Wanted::default()).unwrap(), frame());
            let mut best = Duration::MAX;
            for _ in 0..60 {
                let start = Instant::now();
                camera.read(&mut frame, LONG).unwrap();
                best = best.min(start.elapsed());
            }
            println!("{uri}: {best:?}");
        }
    }
}
