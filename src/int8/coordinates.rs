//! Where a resized picture's values come from, on one axis: ONNX Resize's coordinate modes,
//! computed in single precision in ONNX Runtime's order of operations.

/// `coordinate_transformation_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
}

/// `nearest_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// The two neighbours of an output position and their weights, which are not negative and add up
/// to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    pub first: u32,
    pub second: u32,
    pub weight_first: f32,
    pub weight_second: f32,
}

impl Coordinates {
    /// The place of output position `index` in the input.
    fn original(self, index: usize, from: usize, to: usize, scale: f32) -> f32 {
        let x = index as f32;
        if scale == 1.0 {
            return x;
        }
        match self {
            Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = to as f32 / (scale * from as f32);
                let center = from as f32 / 2.0;
                let offset = center * (1.0 - adjustment);
                offset + (x + 0.5) / scale - 0.5
            }
            Coordinates::PytorchHalfPixel if to == 1 => 0.0,
            Coordinates::PytorchHalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::AlignCorners if to == 1 => 0.0,
            Coordinates::AlignCorners => x * (from as f32 - 1.0) / (to as f32 - 1.0),
            Coordinates::Asymmetric => x / scale,
            Coordinates::TfHalfPixelForNn => (x + 0.5) / scale,
        }
    }
}

/// The taps of mode "linear" on an axis of size `from` resized to `to`; `scale` is the operator's
/// (its input, or `to / from`). `from` is at least 1.
pub fn linear_taps(coordinates: Coordinates, from: usize, to: usize, scale: f32) -> Vec<Tap> {
    let last = from - 1;
    let tap = |index| {
        let at = coordinates.original(index, from, to, scale).max(0.0).min(last as f32);
        let first = (at as usize).min(last);
        let second = (first + 1).min(last);
        let (weight_first, weight_second) = match first == second {
            true => (0.5, 0.5),
            false => ((at - second as f32).abs(), (at - first as f32).abs()),
        };
        Tap { first: first as u32, second: second as u32, weight_first, weight_second }
    };
    (0..to).map(tap).collect()
}

/// The sources of mode "nearest", arguments as in [`linear_taps`].
pub fn nearest_indices(
    coordinates: Coordinates,
    nearest: Nearest,
    from: usize,
    to: usize,
    scale: f32,
) -> Vec<u32> {
    let source = |index| {
        let at = coordinates.original(index, from, to, scale);
        let rounded = match nearest {
            Nearest::RoundPreferFloor if at == at.floor() + 0.5 => at.floor(),
            Nearest::RoundPreferFloor | Nearest::RoundPreferCeil => at.round(),
            Nearest::Floor => at.floor(),
            Nearest::Ceil => at.ceil(),
        };
        (rounded.max(0.0) as usize).min(from - 1) as u32
    };
    (0..to).map(source).collect()
}
