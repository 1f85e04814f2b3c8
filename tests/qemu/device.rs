//! segcam on a board: fed, started, looked at, stopped.

use crate::board::{Board, Kit};
use crate::screens::{Alike, Expected, frame};
use image::RgbImage;
use segcam::display::Size;
use segcam::frame::Frame;
use std::time::{Duration, Instant};

/// vivid as an HDMI cable: what goes into its output comes out of its camera.
pub const CABLE: &str =
    "n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1";
/// vivid as a webcam with a test picture.
pub const WEBCAM: &str = "n_devs=1 node_types=0x1 num_inputs=1 input_types=0";

/// From the start of segcam to its first picture, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A format that is fed: segcam's name for it and V4L2's.
pub type Format = (&'static str, &'static str);
pub const FORMATS: [Format; 4] =
    [("yuyv", "YUYV"), ("nv12", "NV12"), ("rgb24", "RGB3"), ("grey", "GREY")];
pub const VGA: (u32, u32) = (640, 480);
pub const HD: (u32, u32) = (1280, 720);

/// A camera's picture, in one format and size.
pub struct Feed {
    pub name: String,
    format: Format,
    frame: Frame,
}

impl Feed {
    /// Frame `number` of the person that moves: another picture for each number.
    pub fn new(format: Format, (width, height): (u32, u32), number: u64) -> Feed {
        let name = format!("{}-{height}", format.0);
        Feed { name, format, frame: frame(format.0, width, height, number) }
    }

    pub fn add_to(&self, kit: &mut Kit) {
        kit.add(&format!("frames/{}", self.name), &self.frame.data);
    }
}

impl Board {
    /// Puts a picture into the camera, shows it, and checks the screen; what it showed.
    pub fn show(&mut self, feed: &Feed, display: &str, size: Size, alike: Alike) -> RgbImage {
        let Feed { name, format: (ours, theirs), frame } = feed;
        let (width, height) = (frame.width(), frame.height());
        self.run(&format!(
            "guest feed {theirs} {width} {height} /frames/{name} >/tmp/feed 2>&1 & feed=$!"
        ));
        // The cable's timings are set when the picture is on it.
        self.run("wait_for 'grep streaming /tmp/feed' || { cat /tmp/feed; false; }");
        let camera = format!("v4l2:/dev/video0?format={ours}&width={width}&height={height}");
        self.start(&camera, display);
        let expected = Expected::of(frame, &camera, size, &self.folder);
        let name = format!("{}-{name}", display.split(':').next().unwrap_or_default());
        let shown = expected.wait_for(self, alike, &name, PATIENCE);
        self.stop();
        self.run("kill $feed; rm /tmp/feed");
        shown
    }

    /// Starts segcam; its log, with the kernel's uptime, is /tmp/log. Inference takes its time
    /// here, so that masks may be old.
    pub fn start(&mut self, camera: &str, display: &str) {
        let segcam = format!("segcam run --camera '{camera}' --display '{display}'");
        self.run(&format!(
            "{{ {segcam} --stale-after 60000 2>&1; echo ended $?; }} | guest stamp >/tmp/log &"
        ));
    }

    /// Waits for a screen; a name for messages and the picture that is kept where it never comes.
    pub fn wait_for(&mut self, name: &str, is_it: impl Fn(&RgbImage) -> bool) -> RgbImage {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_it(&screen) {
                return screen;
            }
            if Instant::now() > until {
                let path = self.folder.join(format!("{name}.png"));
                screen.save(&path).unwrap();
                let log =
                    self.attempt("cat /tmp/log; dmesg | tail; ls -l /proc/$(pidof segcam)/fd").1;
                panic!("{name}: the screen is {}\n{log}", path.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops segcam, which shall end well.
    pub fn stop(&mut self) {
        self.run("killall segcam");
        self.attempt("wait_for 'grep -q ended /tmp/log'");
        let log = self.log();
        assert!(log.ends_with(" ended 0"), "{log}");
    }

    /// What segcam said since it was started.
    pub fn log(&mut self) -> String {
        self.run("cat /tmp/log")
    }
}
