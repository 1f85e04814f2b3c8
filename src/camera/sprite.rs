//! The things that stand and walk in `synthetic:field`, painted once from a seed out of
//! ellipses and bars, then scaled into each frame.

use super::portrait::blend;
use super::synthetic::Dice;
use super::texture::Texture;

/// Pixels a side. The lowest row stands on the ground.
const SIDE: i32 = 96;
/// One more than a side: every pixel that shows has a right and a lower neighbour.
const STRIDE: usize = SIDE as usize + 1;

pub type Color = [i32; 3];

/// A picture with the size of what it shows.
pub struct Sprite {
    pub class: u8,
    /// In 1024ths of a metre.
    pub width: i32,
    pub height: i32,
    /// Red, green, blue and opacity in lanes of 16 bits.
    pixels: Vec<u64>,
}

/// Where and how a sprite is drawn: its foot, its size on the screen, its light.
pub struct Place {
    pub x: i32,
    pub foot: i32,
    pub width: i32,
    pub height: i32,
    pub mirrored: bool,
    /// 256ths of each channel that reach the camera, and what the haze adds.
    pub gain: Color,
    pub haze: Color,
}

impl Sprite {
    fn new(class: u8, width: i32, height: i32) -> Sprite {
        Sprite { class, width, height, pixels: vec![0; STRIDE * STRIDE] }
    }

    fn put(&mut self, x: i32, y: i32, color: Color, light: i32) {
        if (0..SIDE).contains(&x) && (0..SIDE).contains(&y) {
            let [r, g, b] = color.map(|level| ((level * light) >> 8).clamp(0, 255) as u64);
            self.pixels[y as usize * STRIDE + x as usize] = r | g << 16 | b << 32 | 255 << 48;
        }
    }

    /// An ellipse lit from above, its edge and shade disturbed by `rough` 256ths of the noise.
    fn blob(&mut self, [x, y, rx, ry]: [i32; 4], color: Color, rough: i32, noise: &Texture) {
        for py in y - 2 * ry..=y + 2 * ry {
            for px in x - 2 * rx..=x + 2 * rx {
                let (dx, dy) = ((px - x) * 256 / rx.max(1), (py - y) * 256 / ry.max(1));
                let grain = i32::from(noise.at(px * 3 + x, py * 3 + y)) - 128;
                if dx * dx + dy * dy + grain * rough * 4 < 65536 {
                    self.put(px, py, color, 256 - dy / 4 + dx / 10 + grain * (rough + 24) / 256);
                }
            }
        }
    }

    /// A bar with round ends from one point to another.
    fn bar(&mut self, [x0, y0, x1, y1]: [i32; 4], thick: i32, color: Color) {
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).max(1);
        for step in 0..=steps {
            let (x, y) = (x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps);
            for dy in -thick..=thick {
                for dx in -thick..=thick {
                    if dx * dx + dy * dy <= thick * thick {
                        self.put(x + dx, y + dy, color, 256 - 40 * dx / thick.max(1));
                    }
                }
            }
        }
    }

    fn panel(&mut self, [left, top, right, bottom]: [i32; 4], color: Color) {
        for y in top..bottom {
            for x in left..right {
                self.put(x, y, color, 276 - 60 * (y - top) / (bottom - top));
            }
        }
    }

    fn wheel(&mut self, x: i32, r: i32, rim: Color, noise: &Texture) {
        self.blob([x, SIDE - r, r, r], [36, 36, 38], 0, noise);
        self.blob([x, SIDE - r, r / 2, r / 2], rim, 0, noise);
    }

    /// Gives transparent pixels beside the shape its colour, so that edges do not darken.
    fn bleed(mut self) -> Sprite {
        for _ in 0..2 {
            let before = self.pixels.clone();
            let colored = |at: usize| before.get(at).copied().filter(|pixel| *pixel != 0);
            for (at, pixel) in self.pixels.iter_mut().enumerate().filter(|(_, pixel)| **pixel == 0)
            {
                let around = [at + 1, at.wrapping_sub(1), at + STRIDE, at.wrapping_sub(STRIDE)];
                if let Some(beside) = around.into_iter().find_map(colored) {
                    *pixel = beside & 0x0000_ffff_ffff_ffff;
                }
            }
        }
        self
    }

    pub fn tree(class: u8, dice: &mut Dice, noise: &Texture) -> Sprite {
        let green = [dice.roll(30, 80), dice.roll(70, 120), dice.roll(20, 50)];
        let bark = dice.pick(&[[84, 62, 44], [60, 50, 42], [150, 146, 136]]);
        match dice.roll(0, 3) {
            0 => {
                let height = dice.roll(900, 2200);
                let mut bush = Sprite::new(class, height * 3 / 2, height);
                for _ in 0..8 {
                    let at = [
                        dice.roll(22, 74),
                        dice.roll(46, 80),
                        dice.roll(14, 20),
                        dice.roll(12, 24),
                    ];
                    bush.blob(at, brighter(green, dice.roll(-16, 16)), 90, noise);
                }
                bush.blob([48, 84, 36, 11], brighter(green, -16), 90, noise);
                bush
            }
            1 => {
                let height = dice.roll(5000, 10_000);
                let mut conifer = Sprite::new(class, height / 2, height);
                conifer.bar([48, 94, 48, 20], 3, bark);
                let green = [green[0] / 2, green[1] * 3 / 4, green[2]];
                for tier in 0..9 {
                    let at = [48, 84 - tier * 9, 38 - tier * 4, 10];
                    conifer.blob(at, brighter(green, tier * 3 - 10), 110, noise);
                }
                conifer
            }
            _ => {
                let height = dice.roll(4000, 9000);
                let mut tree = Sprite::new(class, height * dice.roll(7, 10) / 10, height);
                tree.bar([48, 95, 48, 50], dice.roll(3, 5), bark);
                tree.bar([48, 66, 32, 44], 2, bark);
                tree.bar([48, 62, 66, 40], 2, bark);
                for _ in 0..11 {
                    let at = [
                        dice.roll(24, 72),
                        dice.roll(20, 54),
                        dice.roll(12, 21),
                        dice.roll(11, 18),
                    ];
                    tree.blob(at, brighter(green, dice.roll(-20, 24)), 90, noise);
                }
                tree
            }
        }
        .bleed()
    }

    /// An animal seen from its right side; `step` swings its legs.
    pub fn animal(class: u8, dice: &mut Dice, step: i32, noise: &Texture) -> Sprite {
        let coats = [[40, 34, 32], [120, 78, 48], [228, 222, 212], [170, 130, 88], [90, 84, 80]];
        if dice.roll(0, 2) == 0 {
            let mut sheep = Sprite::new(class, 1350, 950);
            let (wool, skin) = (dice.pick(&[[226, 220, 204], [196, 184, 160]]), dice.pick(&coats));
            for (x, swing) in [(28, step), (36, -step), (58, step), (66, -step)] {
                sheep.bar([x, 66, x + swing, 94], 3, brighter(skin, -20));
            }
            sheep.blob([47, 46, 36, 27], wool, 70, noise);
            sheep.blob([82, 34 + step, 9, 12], skin, 10, noise);
            return sheep.bleed();
        }
        let (coat, patch) = (dice.pick(&coats), dice.pick(&coats));
        let mut cow = Sprite::new(class, 2400, 1500);
        for (x, swing) in [(18, step), (26, -step), (60, -step), (68, step)] {
            cow.bar([x, 56, x + swing, 94], 3, brighter(coat, -24));
        }
        cow.blob([43, 42, 36, 21], coat, 12, noise);
        for _ in 0..dice.roll(0, 4) {
            cow.blob(
                [dice.roll(18, 66), dice.roll(32, 48), dice.roll(4, 10), dice.roll(4, 9)],
                patch,
                60,
                noise,
            );
        }
        cow.bar([74, 36, 82, 22 + step], 6, coat);
        cow.blob([86, 22 + step, 9, 7], coat, 6, noise);
        cow.bar([82, 16 + step, 79, 10 + step], 1, [206, 196, 172]);
        cow.bar([7, 34, 4, 66], 1, brighter(coat, -24));
        cow.bleed()
    }

    /// A person; `step` swings legs and arms.
    pub fn person(class: u8, dice: &mut Dice, step: i32, noise: &Texture) -> Sprite {
        let clothes = [
            [190, 40, 36],
            [40, 70, 150],
            [230, 140, 20],
            [220, 220, 216],
            [50, 54, 60],
            [70, 110, 60],
            [210, 200, 40],
        ];
        let skin = dice.pick(&[[226, 180, 150], [160, 112, 80], [96, 66, 48]]);
        let (shirt, trousers) =
            (dice.pick(&clothes), dice.pick(&[[44, 52, 76], [60, 54, 48], [120, 110, 92]]));
        let hat = dice.pick(&[[60, 44, 30], [210, 190, 130], [240, 200, 20], [34, 30, 28]]);
        let mut person = Sprite::new(class, dice.roll(900, 1050), dice.roll(1600, 1900));
        person.bar([44, 52, 42 - step, 91], 6, trousers);
        person.bar([52, 52, 54 + step, 91], 6, brighter(trousers, -10));
        person.bar([44 - step, 93, 48 - step, 93], 3, [40, 34, 30]);
        person.bar([54 + step, 93, 58 + step, 93], 3, [40, 34, 30]);
        person.bar([38, 26, 34 + step, 50], 4, brighter(shirt, -20));
        person.blob([48, 38, 14, 20], shirt, 12, noise);
        person.bar([58, 26, 63 - step, 50], 4, shirt);
        person.blob([34 + step, 53, 4, 3], skin, 0, noise);
        person.blob([63 - step, 53, 4, 3], skin, 0, noise);
        person.blob([48, 11, 9, 10], skin, 0, noise);
        person.blob([48, 5, 10, 5], hat, 20, noise);
        person.bleed()
    }

    pub fn vehicle(class: u8, dice: &mut Dice, noise: &Texture) -> Sprite {
        let paint = dice.pick(&[
            [170, 30, 28],
            [40, 110, 50],
            [40, 80, 160],
            [220, 170, 30],
            [210, 210, 206],
            [70, 72, 78],
        ]);
        let (glass, rim) =
            ([110, 140, 156], dice.pick(&[[220, 190, 60], [180, 180, 180], [190, 60, 40]]));
        if dice.roll(0, 1) == 0 {
            let mut tractor = Sprite::new(class, 4000, 2900);
            tractor.panel([46, 40, 90, 66], paint);
            tractor.panel([86, 46, 93, 66], brighter(paint, -40));
            tractor.panel([18, 10, 50, 62], paint);
            tractor.panel([22, 14, 46, 42], glass);
            tractor.panel([15, 6, 54, 12], brighter(paint, 24));
            tractor.bar([68, 40, 68, 18], 1, [50, 50, 50]);
            tractor.wheel(26, 27, rim, noise);
            tractor.wheel(78, 18, rim, noise);
            return tractor.bleed();
        }
        let mut van = Sprite::new(class, dice.roll(3900, 4700), dice.roll(1600, 2100));
        let hood = dice.roll(40, 52);
        van.panel([6, hood, 92, 82], paint);
        for row in 0..hood - 12 {
            van.panel([12 + row / 8, 12 + row, 62 + row / 2, 13 + row], paint);
        }
        van.panel([18, 18, 36, hood], glass);
        van.panel([40, 18, 62, hood], glass);
        van.panel([88, hood + 6, 93, hood + 14], [240, 236, 200]);
        van.wheel(24, 15, rim, noise);
        van.wheel(74, 15, rim, noise);
        van.bleed()
    }

    /// Draws it into packed RGB and marks its class in the label map of the same width.
    pub fn draw(&self, place: &Place, rgb: &mut [u8], truth: &mut [u8], width: i32) {
        let height = truth.len() as i32 / width;
        let (left, top) = (place.x - place.width / 2, place.foot - place.height);
        // The middle of a pixel, in 256ths of a sprite's pixel.
        let middle = |at: i32, step: i64| {
            let position = (i64::from(at) * step + step / 2) >> 8;
            position.clamp(0, i64::from(SIDE - 1) << 8) as i32
        };
        let step_x = (i64::from(SIDE) << 16) / i64::from(place.width);
        let step_y = (i64::from(SIDE) << 16) / i64::from(place.height);
        let columns = left.max(0)..(left + place.width).min(width);
        for y in top.max(0)..place.foot.min(height) {
            let v = middle(y - top, step_y);
            let above = &self.pixels[(v >> 8) as usize * STRIDE..][..2 * STRIDE];
            let (above, below) = above.split_at(STRIDE);
            for x in columns.clone() {
                let from_left =
                    if place.mirrored { place.width - 1 - (x - left) } else { x - left };
                let u = middle(from_left, step_x);
                let (at, fx, fy) = ((u >> 8) as usize, (u & 255) as u64, (v & 255) as u64);
                let pixel = blend(
                    blend(above[at], above[at + 1], fx),
                    blend(below[at], below[at + 1], fx),
                    fy,
                );
                if pixel >> 48 < 128 {
                    continue;
                }
                let to = (y * width + x) as usize;
                truth[to] = self.class;
                for (channel, to) in rgb[3 * to..3 * to + 3].iter_mut().enumerate() {
                    let level = (pixel >> (16 * channel) & 255) as i32;
                    *to =
                        (((level * place.gain[channel]) >> 8) + place.haze[channel]).min(255) as u8;
                }
            }
        }
    }
}

pub fn brighter(color: Color, by: i32) -> Color {
    color.map(|level| (level + by).clamp(0, 255))
}
