//! Where a resized picture's values come from, on one axis: ONNX Resize's coordinate modes,
//! computed in ONNX Runtime's precision and order of operations.

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
                let offset = f64::from(center * (1.0 - adjustment));
                (offset + (f64::from(x) + 0.5) / f64::from(scale) - 0.5) as f32
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
/// (its input, or `to / from`). `from` is at least 1. ONNX Runtime copies pictures all of whose
/// sizes stay, whatever the scales; that is the caller's to know.
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

/// The sources of mode "nearest", arguments as in [`linear_taps`]. Before opset 11 the operator
/// had no `nearest_mode`: it was ceil where the scale is below 1, else floor.
pub fn nearest_indices(
    coordinates: Coordinates,
    nearest: Nearest,
    from: usize,
    to: usize,
    scale: f32,
) -> Vec<u32> {
    let source = |index| {
        let at = coordinates.original(index, from, to, scale);
        // Scales are rounded, so places that mean a half miss it by a little.
        let is_half = (at - at.floor() - 0.5).abs() < 1e-6;
        let rounded = match nearest {
            Nearest::RoundPreferFloor if is_half => at.floor(),
            Nearest::RoundPreferCeil if is_half => at.ceil(),
            Nearest::RoundPreferFloor | Nearest::RoundPreferCeil => at.round(),
            Nearest::Floor => at.floor(),
            Nearest::Ceil => at.ceil(),
        };
        (rounded.max(0.0) as usize).min(from - 1) as u32
    };
    (0..to).map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Coordinates; 6] = [
        Coordinates::HalfPixel,
        Coordinates::HalfPixelSymmetric,
        Coordinates::PytorchHalfPixel,
        Coordinates::AlignCorners,
        Coordinates::Asymmetric,
        Coordinates::TfHalfPixelForNn,
    ];

    /// Positions in the input, as ONNX Runtime 1.32 has them.
    #[test]
    fn each_mode_has_its_positions() {
        let position = |tap: &Tap| {
            let (first, second) = (f64::from(tap.first), f64::from(tap.second));
            first * f64::from(tap.weight_first) + second * f64::from(tap.weight_second)
        };
        let expected = [
            [0.0, 0.25, 0.75, 1.25, 1.75],
            [0.0, 0.5, 1.0, 1.5, 2.0],
            [0.0, 0.25, 0.75, 1.25, 1.75],
            [0.0, 0.5, 1.0, 1.5, 2.0],
            [0.0, 0.5, 1.0, 1.5, 2.0],
            [0.25, 0.75, 1.25, 1.75, 2.0],
        ];
        // The output is a pixel smaller than the scale says.
        for (mode, expected) in MODES.into_iter().zip(expected) {
            let positions: Vec<f64> = linear_taps(mode, 3, 5, 2.0).iter().map(position).collect();
            let near = positions.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(near, "{mode:?}: {positions:?} instead of {expected:?}");
        }
        for mode in [Coordinates::PytorchHalfPixel, Coordinates::AlignCorners] {
            assert_eq!(position(&linear_taps(mode, 7, 1, 1.0 / 7.0)[0]), 0.0);
        }
    }

    #[test]
    fn taps_lie_inside_and_weigh_one() {
        for mode in MODES {
            for from in 1..12 {
                for to in 1..30 {
                    for tap in linear_taps(mode, from, to, to as f32 / from as f32) {
                        assert!(tap.first <= tap.second && (tap.second as usize) < from);
                        assert!(tap.weight_first >= 0.0 && tap.weight_second >= 0.0);
                        assert!((tap.weight_first + tap.weight_second - 1.0).abs() < 1e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn halves_are_halves_though_the_scale_is_rounded() {
        let nearest = |nearest, from, to| {
            nearest_indices(Coordinates::Asymmetric, nearest, from, to, to as f32 / from as f32)
        };
        // Place 3.5 comes out as 3.4999998, and 3.5 of the second pair as 3.5000002.
        assert_eq!(nearest(Nearest::RoundPreferCeil, 7, 4), [0, 2, 4, 5]);
        assert_eq!(nearest(Nearest::RoundPreferFloor, 7, 4), [0, 2, 3, 5]);
        assert_eq!(nearest(Nearest::RoundPreferFloor, 7, 38)[19], 3);
        assert_eq!(nearest(Nearest::RoundPreferCeil, 7, 38)[19], 4);
        assert_eq!(nearest(Nearest::Floor, 7, 4), [0, 1, 3, 5]);
        assert_eq!(nearest(Nearest::Ceil, 7, 4), [0, 2, 4, 6]);
    }
}
