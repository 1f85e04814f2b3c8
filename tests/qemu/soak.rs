//! The soak on a board: random faults of the kernel's camera driver, judged by what the screen
//! shows. Each frame carries its number, in bright and dark blocks, and so does its mask.
//!
//! `SEGCAM_SOAK_SEED` and `SEGCAM_SOAK_FAULTS` choose other faults, and more of them.

use crate::board::{Board, Kit, Machine};
use crate::device::CABLE;
use crate::picture::{CARD, Format, Said, network, paint, read};
use crate::screens::has_bar;
use std::time::{Duration, Instant};

const FORMAT: Format = Format { name: "yuyv", width: 640, height: 480 };
/// Frames that are fed, again and again.
const FRAMES: u32 = 24;
/// How old a mask may be here, in milliseconds; the board is a slow one.
const STALE: u64 = 3000;
/// Beyond what a fault takes by itself, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fault's name, what begins and ends it, and whether the camera is gone in between.
const FAULTS: [(&str, &str, &str, bool); 7] = [
    (
        "half of the buffers dropped",
        "guest set 'Percentage of Dropped Buffers' 50",
        "guest set 'Percentage of Dropped Buffers' 0",
        false,
    ),
    ("a buffer marked damaged", "guest set 'Inject V4L2_BUF_FLAG_ERROR' 1", "true", false),
    (
        "all buffers dropped",
        "guest set 'Percentage of Dropped Buffers' 100",
        "guest set 'Percentage of Dropped Buffers' 0",
        true,
    ),
    ("disconnected", "guest set Disconnect 1", "true", true),
    ("fatal streaming error", "guest set 'Inject Fatal Streaming Error' 1", "true", true),
    (
        "no buffers at first",
        "guest set 'Inject VIDIOC_REQBUFS Error' 1; guest set Disconnect 1",
        "true",
        true,
    ),
    ("process stopped", "killall -STOP segcam", "killall -CONT segcam", false),
];

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn random_faults_of_the_driver() {
    let told = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let count = told("SEGCAM_SOAK_FAULTS").unwrap_or(8);
    let seed = told("SEGCAM_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("SEGCAM_SOAK_SEED={seed} SEGCAM_SOAK_FAULTS={count}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kit = Kit::new().modules(&["virtio_pci", "virtio_gpu", "vivid"]).with(CABLE);
    let mut frames = Vec::new();
    for number in 0..FRAMES {
        let mut frame = Vec::new();
        paint(FORMAT, number, &mut frame);
        frames.extend(frame);
    }
    kit.add("frames/code", &frames);
    kit.add("model/model.toml", CARD.as_bytes());
    kit.add("model/code.onnx", &network(false));
    let card = "virtio-gpu-pci,xres=640,yres=480";
    let mut board = Board::boot("soak", Machine::Virt { card }, kit);
    // Some faults end the driver's output, too; noise is its picture then.
    let feed = "guest feed YUYV 640 480 /frames/code >>/tmp/feed 2>&1";
    board.run(&format!("while true; do {feed}; sleep 0.1; done &"));
    board.run("wait_for 'grep streaming /tmp/feed' || { cat /tmp/feed; false; }");
    board.run(&format!(
        "{{ segcam run --model /model --camera 'v4l2:/dev/video0?format=yuyv&width=640&height=480' \
         --display drm: --stale-after {STALE} 2>&1; echo ended $?; }} | guest stamp >/tmp/log &"
    ));
    // Until then there is the kernel's console.
    board.wait_for("first", has_bar);
    let mut soak = Soak { board, pictures: 0 };
    soak.moves("first picture");
    println!("{:30} {:>12} {:>12}", "fault", "told after", "live after");
    for _ in 0..count {
        let (name, begin, end, gone) = FAULTS[random.usize(..FAULTS.len())];
        let (begun, returns) = (Instant::now(), soak.returns());
        soak.board.run(begin);
        let told = gone.then(|| soak.told(name, begun, returns)).flatten();
        std::thread::sleep(Duration::from_millis(random.u64(..1000)));
        let ended = Instant::now();
        soak.board.run(end);
        soak.moves(name);
        let told = told.map_or("-".to_owned(), |told| format!("{} ms", told.as_millis()));
        println!("{name:30} {told:>12} {:>9} ms", ended.elapsed().as_millis());
    }
    println!("seed {seed}: {count} faults, 0 failures; {} pictures", soak.pictures);
    soak.board.stop();
}

struct Soak {
    board: Board,
    pictures: u64,
}

impl Soak {
    /// Looks at the screen, where no mask may be another frame's.
    fn look(&mut self, when: &str) -> Said {
        let screen = self.board.screen();
        let said = read(&screen);
        self.pictures += 1;
        let wrong = match &said {
            // Noise may look like a number.
            Said::Live { frame, mask, .. } => frame != mask && *frame < FRAMES,
            Said::Nothing(_) => true,
            _ => false,
        };
        if wrong {
            let path = self.board.folder.join("wrong.png");
            screen.save(&path).unwrap();
            panic!("{when}: {said:?}: {}\n{}", path.display(), self.board.log());
        }
        said
    }

    fn until(&mut self, when: &str, wanted: impl Fn(&Said) -> bool) -> Said {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.look(when);
            if wanted(&said) {
                return said;
            }
            assert!(Instant::now() < end, "{when}: {said:?}\n{}", self.board.log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// How often the camera came back.
    fn returns(&mut self) -> usize {
        self.board.log().matches("the signal is back").count()
    }

    /// The time until NO SIGNAL; None when the camera was back before the screen was looked at.
    fn told(&mut self, when: &str, begun: Instant, returns: usize) -> Option<Duration> {
        while begun.elapsed() < PATIENCE {
            if self.look(when) == Said::NoSignal {
                return Some(begun.elapsed());
            }
            if self.returns() > returns {
                return None;
            }
        }
        panic!("{when}: no NO SIGNAL\n{}", self.board.log());
    }

    /// Waits for two different frames, both live: one alone may be an old one.
    fn moves(&mut self, when: &str) {
        let live = |said: &Said| matches!(said, Said::Live { .. });
        let first = self.until(when, live);
        self.until(when, |said| live(said) && *said != first);
    }
}
