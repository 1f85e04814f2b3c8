//! `synthetic:field`: farmland seen from a vehicle that drives or flies slowly over it, with
//! the class of every pixel.
//!
//! The ground is a plane: a row of pixels has one depth, so its texture, crop rows, light and
//! haze are tables that one pass along the row looks up. Things on it are [`Sprite`]s, drawn
//! from far to near, some of them walking or driving across. Seeds vary camera, weather, soil,
//! crops, things and sensor noise.

use super::sensor::Sensor;
use super::sprite::{Color, Place, Sprite};
use super::synthetic::{Dice, Scene, mix, wave};
use super::texture::Texture;

/// The names of the class ids in [`Frame::truth`](crate::frame::Frame::truth).
pub const CLASSES: [&str; 7] = ["sky", "ground", "crop", "tree", "animal", "vehicle", "person"];

const SKY: u8 = 0;
const GROUND: u8 = 1;
const CROP: u8 = 2;
const TREE: u8 = 3;
const ANIMAL: u8 = 4;
const VEHICLE: u8 = 5;
const PERSON: u8 = 6;

/// Lengths are in 1024ths of a metre.
const METRE: i32 = 1024;
/// The depth at which the plane is taken to end.
const FARTHEST: i64 = 1 << 20;
/// Things stand in cells of this depth, two in each.
const CELL: i64 = 6 * METRE as i64;
const CELLS: i64 = 36;
/// Things nearer are out of sight.
const NEAREST: i64 = 5 * METRE as i64 / 2;
/// The field changes its crop after this depth.
const STRIP: i64 = 48 * METRE as i64;
/// A thing lower than this on the screen is not drawn.
const LEAST_HEIGHT: i32 = 4;
/// Shades of a surface.
const SHADES: usize = 64;
type Shades = [[u8; 3]; SHADES];

/// Darkest and brightest shade.
const SOILS: [[Color; 2]; 5] = [
    [[58, 40, 28], [134, 100, 72]],
    [[84, 44, 30], [160, 98, 70]],
    [[70, 66, 60], [150, 142, 130]],
    [[30, 26, 24], [92, 80, 70]],
    [[120, 98, 68], [206, 182, 140]],
];
const CROPS: [[Color; 2]; 6] = [
    [[22, 54, 14], [104, 150, 52]],
    [[28, 64, 52], [120, 164, 132]],
    [[60, 84, 16], [170, 186, 70]],
    [[130, 98, 36], [224, 190, 104]],
    [[14, 44, 16], [84, 124, 44]],
    [[96, 104, 12], [232, 214, 56]],
];

/// Sky above, sky at the horizon, the light on things, and whether the sun throws shadows.
const WEATHERS: [(Color, Color, Color, bool); 5] = [
    ([66, 120, 200], [180, 206, 232], [256, 252, 240], true),
    ([150, 156, 164], [204, 208, 212], [212, 216, 224], false),
    ([80, 92, 140], [240, 190, 140], [236, 196, 160], true),
    ([120, 160, 210], [220, 230, 238], [272, 264, 250], true),
    ([100, 106, 116], [160, 166, 172], [156, 160, 170], false),
];

/// A crop and how it stands.
struct Crop {
    shades: [Color; 2],
    /// 2^32 over the distance of rows.
    rows: i64,
    /// Half the width of a row in 256ths of half their distance; above 256 nothing is bare.
    half: i32,
    /// How much bare patches take of it.
    patchy: i32,
}

pub struct Field {
    seed: u64,
    width: i32,
    height: i32,
    /// Pixels a unit of slope.
    focal: i64,
    camera_height: i64,
    horizon: i32,
    speed: i64,
    weather: usize,
    clouds: i32,
    haze: i64,
    soil: [Color; 2],
    crops: [Crop; 3],
    /// Half the width of the bare track that is driven on; 0 where there is none.
    track: i64,
    treeline: i32,
    leaves: Color,
    /// How likely a place in a cell is taken, in 256ths.
    crowd: u64,
    sprites: Vec<[Sprite; 2]>,
    grain: Texture,
    patches: Texture,
    sensor: Sensor,
}

/// The camera at one instant.
struct View {
    horizon: i32,
    /// The column straight ahead, and how far it drove and swayed.
    center: i64,
    z: i64,
    x: i64,
}

fn mixed(a: Color, b: Color, at: i32) -> Color {
    std::array::from_fn(|channel| a[channel] + (((b[channel] - a[channel]) * at) >> 8))
}

fn bytes(color: Color) -> [u8; 3] {
    color.map(|level| level.clamp(0, 255) as u8)
}

impl Field {
    pub fn new(seed: u64, width: u32, height: u32) -> Field {
        let mut dice = Dice::new(seed);
        let (width, height) = (width as i32, height as i32);
        let grain = Texture::new(mix(seed), &[(16, 60), (4, 80), (2, 60), (1, 56)]);
        let patches = Texture::new(mix(seed) ^ 1, &[(64, 100), (32, 70), (16, 50), (8, 36)]);
        let mut sprites = Vec::new();
        for class in [
            TREE, TREE, TREE, ANIMAL, ANIMAL, ANIMAL, ANIMAL, VEHICLE, VEHICLE, PERSON, PERSON,
            PERSON,
        ] {
            // The same dice for both steps: the same thing, moved.
            let look = dice.roll(0, i32::MAX) as u64;
            sprites.push([-1, 1].map(|step| {
                let dice = &mut Dice::new(look);
                match class {
                    TREE => Sprite::tree(class, dice, &grain),
                    ANIMAL => Sprite::animal(class, dice, 3 * step, &grain),
                    VEHICLE => Sprite::vehicle(class, dice, &grain),
                    _ => Sprite::person(class, dice, 5 * step, &grain),
                }
            }));
        }
        let sensor = Sensor::new(&mut Dice::new(mix(seed) ^ 2));
        let crops = [0; 3].map(|_| Crop {
            shades: dice.pick(&CROPS),
            rows: (1 << 32) / i64::from(dice.roll(400, 1100)),
            half: if dice.roll(0, 3) == 0 { 400 } else { dice.roll(70, 170) },
            patchy: dice.roll(0, 200),
        });
        let weather = dice.roll(0, WEATHERS.len() as i32 - 1) as usize;
        Field {
            seed,
            width,
            height,
            focal: i64::from(width.max(height) * dice.roll(70, 110) / 100).max(1),
            camera_height: i64::from(dice.pick(&[1300, 1800, 2600, 4000, 6500])),
            horizon: height * dice.roll(14, 44) / 100,
            speed: i64::from(dice.roll(20, 70)),
            weather,
            clouds: dice.roll(90, 190),
            haze: i64::from(dice.roll(100, 900) * METRE),
            soil: dice.pick(&SOILS),
            crops,
            track: if dice.roll(0, 2) == 0 { i64::from(dice.roll(900, 1700)) } else { 0 },
            treeline: height * dice.roll(0, 11) / 100,
            leaves: [dice.roll(24, 60), dice.roll(50, 90), dice.roll(20, 44)],
            crowd: dice.roll(60, 160) as u64,
            sprites,
            grain,
            patches,
            sensor,
        }
    }

    fn view(&self, n: u64) -> View {
        let sway = |period: u64, by: i32| {
            let phase = (n % period * 65536 / period).wrapping_add(mix(self.seed ^ period));
            i64::from((wave(phase) * by) >> 15)
        };
        let bounce = sway(23, self.height / 160) + sway(71, self.height / 100);
        View {
            horizon: self.horizon + bounce as i32,
            center: i64::from(self.width / 2) + sway(410, self.width / 10),
            // Wraps after centuries.
            z: (n % (1 << 40)) as i64 * self.speed,
            x: sway(330, METRE / 3),
        }
    }

    /// 256ths of the haze at a depth.
    fn haze_at(&self, z: i64) -> i32 {
        (z * 200 / (z + self.haze)) as i32
    }

    /// The shades of a surface at a depth, lit and hazy.
    fn shades(&self, [dark, bright]: [Color; 2], haze: i32) -> Shades {
        let (_, far, light, _) = WEATHERS[self.weather];
        std::array::from_fn(|shade| {
            let color = mixed(dark, bright, shade as i32 * 256 / SHADES as i32);
            let lit = std::array::from_fn(|channel| (color[channel] * light[channel]) >> 8);
            bytes(mixed(lit, far, haze))
        })
    }

    fn draw_sky(&self, view: &View, n: u64, rgb: &mut [u8], truth: &mut [u8]) {
        let (top, far, light, _) = WEATHERS[self.weather];
        let width = self.width as usize;
        for y in 0..view.horizon.clamp(0, self.height) {
            let above = view.horizon - y;
            let blue = mixed(far, top, (above * 256 / self.height.max(1) * 2).min(256));
            // Clouds thin out where they are far.
            let veil = (above * 1200 / self.height.max(1)).min(230);
            let cloud = light.map(|level| ((level * 240) >> 8).min(255));
            let shades: Shades = std::array::from_fn(|shade| {
                let cover = ((shade as i32 * 4 - self.clouds).clamp(0, 64) * veil) >> 6;
                bytes(mixed(blue, cloud, cover))
            });
            let depth = i64::from(self.height) * 96 / i64::from(above + 4);
            let row = self.patches.row((depth + (n as i64 & 0xffff) / 8) as i32);
            let step = (depth << 8) / i64::from(self.height);
            let mut u = -view.center * step;
            let line = &mut rgb[3 * width * y as usize..][..3 * width];
            for to in line.chunks_exact_mut(3) {
                to.copy_from_slice(&shades[usize::from(row[(u >> 8) as u8 as usize] >> 2)]);
                u += step;
            }
            truth[width * y as usize..][..width].fill(SKY);
        }
    }

    /// Woods at the horizon.
    fn draw_treeline(&self, view: &View, rgb: &mut [u8], truth: &mut [u8]) {
        let dark = self.leaves.map(|level| level / 2);
        let shades = self
            .shades([dark, self.leaves.map(|level| level * 3 / 2)], self.haze_at(FARTHEST / 3) / 2);
        for x in 0..self.width {
            // Texels turn with the camera; a picture is about 200 of them wide.
            let at = (i64::from(x) - view.center) * 800 / i64::from(self.width);
            let outline =
                |row: i32, scale: i64| i32::from(self.patches.at((at / scale) as i32, row));
            let crown = i32::from(self.grain.at(at as i32, 9)) - 128;
            let wood = outline(1, 4) * 2 + outline(2, 1) / 2 - 230 + crown / 4;
            let high = (wood * self.treeline) >> 8;
            for y in (view.horizon - high).max(0)..view.horizon.min(self.height) {
                let shade =
                    (i32::from(self.grain.at(at as i32, y * 800 / self.width)) + outline(2, 1)) / 2
                        - 60 * (y - view.horizon + high) / high.max(1)
                        + 30;
                let to = (y * self.width + x) as usize;
                truth[to] = TREE;
                rgb[3 * to..3 * to + 3].copy_from_slice(&shades[(shade / 4).clamp(0, 63) as usize]);
            }
        }
    }

    fn draw_ground(&self, view: &View, rgb: &mut [u8], truth: &mut [u8]) {
        let width = self.width as usize;
        for y in view.horizon.max(0)..self.height {
            // Twice the distance to the horizon from the middle of the row.
            let below = i64::from(2 * (y - view.horizon) + 1);
            let z = (2 * self.camera_height * self.focal / below).min(FARTHEST);
            let far = z + view.z;
            let crop = &self.crops[(mix(self.seed ^ (far / STRIP) as u64) % 3) as usize];
            let haze = self.haze_at(z);
            let (soil, green) = (self.shades(self.soil, haze), self.shades(crop.shades, haze));
            // 65536ths of a unit a pixel.
            let step = (z << 16) / self.focal;
            // Grain of about a pixel.
            let fine = ((step >> 16).max(1).ilog2() + 1).clamp(3, 12);
            let grain = self.grain.row((far >> fine) as i32);
            let patches = self.patches.row((far >> 8) as i32);
            let bend = (i64::from(wave((far / 4) as u64 & 0xffff)) * i64::from(METRE)) >> 15;
            let mut x = (view.x << 16) - view.center * step;
            let row_step = (step * crop.rows) >> 16;
            let mut phase = ((x >> 16) + bend) * crop.rows;
            // Rows close up with distance, until they cannot be told apart.
            let half = crop.half + (row_step >> 22).min(400) as i32;
            // A strip begins with a headland of bare soil.
            let half = if far % STRIP < i64::from(3 * METRE) { -400 } else { half };
            let line = rgb[3 * width * y as usize..][..3 * width].chunks_exact_mut(3);
            let labels = &mut truth[width * y as usize..][..width];
            for (to, label) in line.zip(labels) {
                let grain = i32::from(grain[(x >> (16 + fine)) as u8 as usize]);
                let patch = i32::from(patches[(x >> 24) as u8 as usize]);
                let from_row = ((phase as i32).unsigned_abs() >> 23) as i32;
                let reach = half + (((patch - 160).min(0) * crop.patchy) >> 6) + (grain - 128) / 2;
                let on_track = self.track > 0 && (x >> 16).abs() < self.track + i64::from(grain);
                let is_crop = from_row < reach && !on_track;
                let shade = if is_crop {
                    *label = CROP;
                    &green[((grain * 2 + patch + 200 - from_row) >> 4).clamp(0, 63) as usize]
                } else {
                    *label = GROUND;
                    // Darker in the shadow of a row.
                    let shadow = (from_row - reach - 40).clamp(-40, 0);
                    &soil[((grain + patch + 2 * shadow) >> 3).clamp(0, 63) as usize]
                };
                to.copy_from_slice(shade);
                x += step;
                phase += row_step;
            }
        }
    }

    fn draw_things(&self, view: &View, n: u64, rgb: &mut [u8], truth: &mut [u8]) {
        let (_, far, light, sunny) = WEATHERS[self.weather];
        let first = view.z / CELL;
        for cell in (first..first + CELLS).rev() {
            for half in [1, 0] {
                let mut dice = Dice::new(self.seed ^ mix((2 * cell + half) as u64));
                if dice.roll(0, 255) as u64 > self.crowd {
                    continue;
                }
                let [one, other] =
                    &self.sprites[dice.roll(0, self.sprites.len() as i32 - 1) as usize];
                let z =
                    cell * CELL + half * CELL / 2 + i64::from(dice.roll(0, CELL as i32 / 2 - 1))
                        - view.z;
                let side = if dice.roll(0, 1) == 0 { -1 } else { 1 };
                let (pace, start) = (dice.roll(20, 80), dice.roll(0, 80 * METRE));
                let (stands, phase) = (dice.roll(0, 2) == 0, dice.roll(0, 30) as u64);
                if z < NEAREST {
                    continue;
                }
                // Walks across sixteen metres, drives across eighty.
                let moves = one.class != TREE && !stands;
                let walked = if moves { (n % (1 << 32)) as i64 * i64::from(pace) } else { 0 };
                let across = i64::from(80 * METRE);
                let x = match one.class {
                    TREE => i64::from(2 * METRE + start / 2),
                    VEHICLE => (walked + i64::from(start)) % across - across / 2,
                    _ => (walked / 2 + i64::from(start)) % (across / 5) - across / 10,
                } * side;
                let swinging = moves && n.wrapping_add(phase) / 8 % 2 == 1;
                let sprite = if swinging { other } else { one };
                let size = |length: i32| (i64::from(length) * self.focal / z) as i32;
                let (wide, high) = (size(sprite.width), size(sprite.height));
                let column = (x - view.x) * self.focal / z + view.center;
                if high < LEAST_HEIGHT || wide < 2 || column.abs() > 4 * i64::from(self.width) {
                    continue;
                }
                let haze = self.haze_at(z);
                let foot = view.horizon + (self.camera_height * self.focal / z) as i32;
                let place = Place {
                    x: column as i32,
                    foot,
                    width: wide,
                    height: high,
                    mirrored: side < 0,
                    gain: light.map(|level| (level * (256 - haze)) >> 8),
                    haze: far.map(|level| (level * haze) >> 8),
                };
                let flat = (i64::from(wide) * self.camera_height / z / 2).clamp(1, 1 << 12) as i32;
                self.shadow(&place, flat, if sunny { 140 } else { 210 }, rgb, truth);
                sprite.draw(&place, rgb, truth, self.width);
            }
        }
    }

    /// Darkens the ground around a foot to `light` 256ths.
    fn shadow(&self, place: &Place, flat: i32, light: u16, rgb: &mut [u8], truth: &[u8]) {
        let (half, middle) = (place.width * 5 / 8, place.x + place.width / 5);
        for y in (place.foot - flat).max(0)..(place.foot + flat).min(self.height) {
            let off = i64::from((y - place.foot) * 256 / flat);
            let squares = (65536 - off * off).max(0) as u64;
            let reach = ((i64::from(half) * squares.isqrt() as i64) >> 8) as i32;
            for x in (middle - reach).max(0)..(middle + reach).min(self.width) {
                let at = (y * self.width + x) as usize;
                if truth[at] == GROUND || truth[at] == CROP {
                    for level in &mut rgb[3 * at..3 * at + 3] {
                        *level = ((u16::from(*level) * light) >> 8) as u8;
                    }
                }
            }
        }
    }
}

impl Scene for Field {
    fn draw(&mut self, n: u64, rgb: &mut [u8], truth: &mut Vec<u8>) {
        truth.resize((self.width * self.height) as usize, SKY);
        let view = self.view(n);
        self.draw_sky(&view, n, rgb, truth);
        self.draw_ground(&view, rgb, truth);
        self.draw_treeline(&view, rgb, truth);
        self.draw_things(&view, n, rgb, truth);
        self.sensor.expose(mix(self.seed ^ n), self.width as usize, rgb);
    }
}

#[cfg(test)]
#[path = "field_tests.rs"]
mod tests;
