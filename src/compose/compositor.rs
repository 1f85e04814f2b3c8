//! Puts pictures together, row by row.

use super::banner::Banner;
use super::legend::Legend;
use super::scale::{LabelScaler, Scaler};
use super::status::StatusBar;
use super::tint::Tints;
use super::{Scene, Shown, View};
use crate::display::Size;
use crate::frame::Frame;

/// The picture's size before the first frame, where the display leaves it open.
const NO_FRAME: Size = Size { width: 640, height: 480 };

/// Grey level behind words without a picture.
const NEUTRAL: u8 = 24;

/// Bytes of a line of the processors' caches.
const CACHE_LINE: usize = 64;

/// Composes pictures; keeps its buffers, so that from the second picture of a size on nothing
/// is allocated. One is needed for each display.
#[derive(Default)]
pub struct Compositor {
    /// The row in work begins at a cache line in it: copies of it take half as long.
    row: Vec<u8>,
    video: Scaler,
    labels: LabelScaler,
    tints: Tints,
    legend: Legend,
    bar: StatusBar,
    banner: Banner,
    /// Of the last frame.
    size: Option<Size>,
}

/// What fills a part of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panel {
    Video,
    Overlay,
    Mask,
}

/// Where the panels lie: side by side, all of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Panels {
    width: u32,
    height: u32,
    top: u32,
    /// The left edge of each, from left to right.
    left: [Option<(u32, Panel)>; 2],
}

impl Panels {
    /// The frame as large as it fits into the picture, in its own aspect ratio.
    fn place(frame: Size, picture: Size, view: View) -> Panels {
        let room = match view {
            View::SideBySide => picture.width / 2,
            _ => picture.width,
        };
        let Size { width, height } = fit(frame, Size { width: room, height: picture.height });
        let left = (room - width) / 2;
        let left = match view {
            View::Overlay => [Some((left, Panel::Overlay)), None],
            View::Mask => [Some((left, Panel::Mask)), None],
            View::SideBySide => {
                [Some((left, Panel::Video)), Some((picture.width - room + left, Panel::Mask))]
            }
        };
        Panels { width, height, top: (picture.height - height) / 2, left }
    }

    /// Whether each pixel of the picture belongs to a panel.
    fn cover(&self, picture: Size) -> bool {
        let panels = self.left.iter().flatten().count() as u32;
        (panels * self.width, self.height) == (picture.width, picture.height)
    }
}

/// The largest size in the aspect ratio of `frame` that fits into `room`.
fn fit(frame: Size, room: Size) -> Size {
    let [fw, fh, rw, rh] = [frame.width, frame.height, room.width, room.height].map(u64::from);
    if rw == 0 || rh == 0 {
        return Size { width: 0, height: 0 };
    }
    // Rounded to the nearest, so that a frame's own size stays what it is.
    let part = |a: u64, b: u64, of: u64| ((2 * a * b + of) / (2 * of)).max(1);
    let (width, height) = if rw * fh <= rh * fw {
        (rw, part(rw, fh, fw).min(rh))
    } else {
        (part(rh, fw, fh).min(rw), rh)
    };
    Size { width: width as u32, height: height as u32 }
}

impl Compositor {
    /// The size of the picture: the screen's own, else what the frame and the view ask for.
    pub fn size(&self, scene: &Scene, screen: Option<Size>) -> Size {
        let frame = scene.shown.frame().map(size_of).or(self.size).unwrap_or(NO_FRAME);
        screen.unwrap_or(match scene.settings.view {
            View::SideBySide => Size { width: 2 * frame.width, ..frame },
            _ => frame,
        })
    }

    /// Composes the picture of [`Compositor::size`] and hands out each row once, from the top:
    /// 4 bytes for each pixel, blue, green, red, unused.
    pub fn compose(
        &mut self,
        scene: &Scene,
        screen: Option<Size>,
        emit: &mut dyn FnMut(u32, &[u8]),
    ) {
        let size = self.size(scene, screen);
        let readable = self.draw_text(size, scene);
        // A frame that cannot be called stale for lack of room is not shown at all.
        let frame = scene.shown.frame().filter(|frame| readable && frame.is_whole());
        let panels = frame.map(|frame| self.begin(frame, scene, size));
        let background = if frame.is_some() { 0 } else { NEUTRAL };
        let bytes = 4 * size.width as usize;
        self.row.resize(bytes + CACHE_LINE, 0);
        let start = self.row.as_ptr().align_offset(CACHE_LINE).min(CACHE_LINE);
        let mut row = std::mem::take(&mut self.row);
        let line = &mut row[start..][..bytes];
        let covered = panels.as_ref().is_some_and(|panels| panels.cover(size));
        for y in 0..size.height {
            if !covered {
                line.fill(background);
            }
            if let (Some(frame), Some(panels)) = (frame, &panels) {
                self.draw_panels(line, frame, scene, panels, y);
            }
            self.legend.layer.cover(y, line);
            self.bar.layer.cover(y, line);
            self.banner.layer.cover(y, line);
            emit(y, line);
        }
        self.row = row;
    }

    /// Draws the layers of text; false when there are words that must be seen and cannot.
    fn draw_text(&mut self, size: Size, scene: &Scene) -> bool {
        let settings = scene.settings;
        let mut below = 0;
        if settings.status {
            below = self.bar.draw(size, &scene.shown, scene.status);
        } else {
            self.bar.hide();
        }
        match scene.shown {
            Shown::Live(mask) if settings.legend => {
                self.legend.draw(size, below, scene.classes, mask.shares(), settings.only);
            }
            _ => self.legend.hide(),
        }
        self.banner.draw(size, below, &scene.shown, settings.paused)
    }

    fn begin(&mut self, frame: &Frame, scene: &Scene, size: Size) -> Panels {
        let source = size_of(frame);
        self.size = Some(source);
        let panels = Panels::place(source, size, scene.settings.view);
        if panels.width > 0 {
            let target = (panels.width, panels.height);
            self.video.begin((source.width, source.height), target);
            if let Shown::Live(mask) = scene.shown {
                self.labels.begin(mask.labels(), target);
                self.tints.set(scene.classes, scene.settings.alpha, scene.settings.only);
            }
        }
        panels
    }

    fn draw_panels(
        &mut self,
        line: &mut [u8],
        frame: &Frame,
        scene: &Scene,
        panels: &Panels,
        y: u32,
    ) {
        let Some(y) = y.checked_sub(panels.top).filter(|y| *y < panels.height) else { return };
        for (left, panel) in panels.left.into_iter().flatten() {
            let row = &mut line[4 * left as usize..][..4 * panels.width as usize];
            match scene.shown {
                Shown::Live(mask) => {
                    let labels = mask.labels();
                    if panel != Panel::Mask {
                        self.video.row(frame, y, row);
                    }
                    match panel {
                        Panel::Video => {}
                        Panel::Overlay => self.tints.blend(self.labels.row(labels, y), row),
                        Panel::Mask => self.tints.paint(self.labels.row(labels, y), row),
                    }
                }
                // The mask is gone: the frame stands in for it, unless it is there already.
                _ if panel == Panel::Mask && panels.left[1].is_some() => row.fill(0),
                _ => {
                    self.video.row(frame, y, row);
                    fade(row);
                }
            }
        }
    }
}

fn size_of(frame: &Frame) -> Size {
    Size { width: frame.width(), height: frame.height() }
}

/// Takes the colour and half the light away.
fn fade(row: &mut [u8]) {
    for pixel in row.chunks_exact_mut(4) {
        let [blue, green, red] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
        let luma = (29 * blue + 150 * green + 77 * red) >> 9;
        pixel[..3].fill(luma as u8);
    }
}
