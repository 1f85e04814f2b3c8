//! The calibration pictures, brought to the network's input as `infer` brings its own.

use super::QuantizeError;
use crate::camera::read_picture;
use crate::config::card::{Axes, Fit};
use crate::frame::Frame;
use crate::prepare::{Element, InputSpec, Placement, Prepare, Rect, Samples};
use std::path::{Path, PathBuf};
use tract_onnx::prelude::{Tensor, TractResult};

/// Pictures that are used at most.
const MOST: usize = 512;
/// Bytes that they may take, prepared.
const MOST_BYTES: usize = 256 << 20;
/// Tiles of one picture.
const MOST_TILES: u32 = 4;

/// Inputs as 8-bit channels: a quarter of what floats would take.
pub struct Pictures {
    spec: InputSpec,
    inputs: Vec<Input>,
    /// Files that were found.
    pub files: usize,
    /// The float of each byte, for each channel.
    floats: [[f32; 256]; 3],
}

struct Input {
    pixels: Vec<u8>,
    /// The part of the input that holds the picture.
    area: Rect,
}

impl Pictures {
    pub fn read(folder: &Path, spec: InputSpec, fit: Fit) -> Result<Pictures, QuantizeError> {
        let files = list(folder)?;
        let found = files.len();
        let room = (MOST_BYTES / spec.len().max(1)).clamp(1, MOST);
        let each = if fit == Fit::Tile { MOST_TILES as usize } else { 1 };
        let count = found.min((room / each).max(1));
        if count < found {
            log::warn!("{}: {count} of {found} pictures are used", folder.display());
        }
        let bytes = InputSpec { element: Element::U8, ..spec };
        let mut prepare = Prepare::new(bytes);
        let (mut frame, mut inputs) = (Frame::empty(), Vec::new());
        for index in 0..count {
            // Spread over all of them.
            let file = &files[index * found / count];
            read_picture(file, &mut frame).map_err(QuantizeError::Picture)?;
            for placement in placements(&prepare, &frame, fit) {
                let mut pixels = vec![0; spec.len()];
                prepare
                    .run(&frame, &placement, Samples::U8(&mut pixels))
                    .map_err(|error| QuantizeError::Failed(error.to_string()))?;
                inputs.push(Input { pixels, area: placement.target });
            }
        }
        let mut floats = [[0.0; 256]; 3];
        for (channel, table) in floats.iter_mut().enumerate() {
            for (byte, value) in table.iter_mut().enumerate() {
                *value = (byte as f32 / 255.0 - spec.mean[channel]) / spec.std[channel];
            }
        }
        Ok(Pictures { spec, inputs, files: count, floats })
    }

    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// The lowest and highest value that a float input can take.
    pub fn extremes(&self) -> (f32, f32) {
        let tables = &self.floats[..self.spec.color.channels()];
        let ends = tables.iter().flat_map(|table| [table[0], table[255]]);
        ends.fold((0.0, 0.0), |(low, high), x| (low.min(x), high.max(x)))
    }

    /// The part of input `index` that holds the picture, as shares of its width and height.
    pub fn area(&self, index: usize) -> [f64; 4] {
        let Rect { x, y, width, height } = self.inputs[index].area;
        let (across, down) = (f64::from(self.spec.width), f64::from(self.spec.height));
        let (x, y) = (f64::from(x), f64::from(y));
        [x / across, (x + f64::from(width)) / across, y / down, (y + f64::from(height)) / down]
    }

    /// Fills the network's input tensor.
    pub fn fill(&self, index: usize, tensor: &mut Tensor) -> TractResult<()> {
        let pixels = &self.inputs[index].pixels;
        let mut plain = tensor.try_as_plain_ram_mut()?;
        match self.spec.element {
            Element::U8 => plain.as_slice_mut::<u8>()?.copy_from_slice(pixels),
            Element::I8 => {
                let values = plain.as_slice_mut::<i8>()?;
                values.iter_mut().zip(pixels).for_each(|(out, byte)| *out = (byte ^ 0x80) as i8);
            }
            Element::F32 => {
                let values = plain.as_slice_mut::<f32>()?;
                let channels = self.spec.color.channels();
                let plane = pixels.len() / channels;
                for (at, (out, byte)) in values.iter_mut().zip(pixels).enumerate() {
                    let channel = match self.spec.axes {
                        Axes::Nchw => at / plane,
                        Axes::Nhwc => at % channels,
                    };
                    *out = self.floats[channel][usize::from(*byte)];
                }
            }
        }
        Ok(())
    }
}

/// PNG and JPEG files by name, of the folder or of its images/.
fn list(folder: &Path) -> Result<Vec<PathBuf>, QuantizeError> {
    let images = folder.join("images");
    let folder = if images.is_dir() { &images } else { folder };
    let shown = folder.display();
    let unreadable = |cause| {
        QuantizeError::Refused(format!(
            "{shown}: cannot be read: {cause}; expected a folder with pictures to calibrate on"
        ))
    };
    let (mut pictures, mut others) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let kind = path.extension().and_then(|kind| kind.to_str()).map(str::to_ascii_lowercase);
        match kind.as_deref() {
            Some("png" | "jpg" | "jpeg") => pictures.push(path),
            _ => others += 1,
        }
    }
    pictures.sort();
    match pictures.is_empty() {
        true => Err(QuantizeError::Refused(format!(
            "{shown}: holds no PNG or JPEG pictures (but {others} other files); put 16 or more in \
             it that show what the camera will see"
        ))),
        false => Ok(pictures),
    }
}

/// One placement, or some tiles spread over the picture.
fn placements(prepare: &Prepare, frame: &Frame, fit: Fit) -> Vec<Placement> {
    let (width, height) = (frame.width(), frame.height());
    let middle = prepare.place(width, height, fit);
    if fit != Fit::Tile {
        return vec![middle];
    }
    let Rect { width: across, height: down, .. } = middle.source;
    let steps = |whole: u32, tile: u32| whole.div_ceil(tile.max(1)).clamp(1, 2);
    let (columns, rows) = (steps(width, across), steps(height, down));
    let at = |whole: u32, tile: u32, index: u32, count: u32| match count {
        1 => (i64::from(whole) - i64::from(tile)).div_euclid(2) as i32,
        _ => (u64::from(whole - tile) * u64::from(index) / u64::from(count - 1)) as i32,
    };
    let tile = |index: u32| Placement {
        source: Rect {
            x: at(width, across, index % columns, columns),
            y: at(height, down, index / columns, rows),
            ..middle.source
        },
        ..middle
    };
    (0..columns * rows).map(tile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::card::Color;

    /// Grey, where a pixel's level is its place: 7 times its column and 10 times its row.
    fn level(x: u32, y: u32) -> u8 {
        (7 * x + 10 * y) as u8
    }

    fn read(width: u32, height: u32, side: u32) -> Pictures {
        let folder = tempfile::tempdir().unwrap();
        let pixels: Vec<u8> = (0..width * height).map(|at| level(at % width, at / width)).collect();
        let picture = image::GrayImage::from_raw(width, height, pixels).unwrap();
        picture.save(folder.path().join("picture.png")).unwrap();
        let spec = InputSpec {
            element: Element::F32,
            axes: Axes::Nchw,
            color: Color::Gray,
            mean: [0.0; 3],
            std: [1.0; 3],
            height: side,
            width: side,
        };
        Pictures::read(folder.path(), spec, Fit::Tile).unwrap()
    }

    #[test]
    fn tiles_of_a_large_picture_hold_its_corners() {
        let pictures = read(20, 12, 8);
        assert_eq!((pictures.len(), pictures.files), (4, 1));
        let corners = [level(0, 0), level(12, 0), level(0, 4), level(12, 4)];
        let first: Vec<u8> = pictures.inputs.iter().map(|input| input.pixels[0]).collect();
        assert_eq!(first, corners);
        assert_eq!(pictures.inputs[3].pixels[63], level(19, 11));
        assert_eq!(pictures.area(3), [0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_picture_smaller_than_its_tile_goes_on_as_its_mirror_image() {
        let pictures = read(8, 4, 8);
        assert_eq!(pictures.len(), 1);
        let column: Vec<u8> = pictures.inputs[0].pixels.iter().step_by(8).copied().collect();
        let rows = [2, 1, 0, 1, 2, 3, 2, 1];
        assert_eq!(column, rows.map(|y| level(0, y)));
    }
}
