//! Networks that others trained, with right answers, where they are at hand: a folder named by
//! SEGCAM_ZOO, or ../shared/zoo. Without it these tests say so and pass.

use crate::program::{Place, call};
use std::path::PathBuf;
use tract_onnx::prelude::{DatumType, Tensor};

fn zoo() -> Option<PathBuf> {
    let named = std::env::var_os("SEGCAM_ZOO").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from("../shared/zoo"));
    if !folder.is_dir() {
        eprintln!("skipped: no zoo in {}", folder.display());
        return None;
    }
    Some(folder)
}

/// Largest difference over the range of the right answer, and the share of equal decisions.
fn compare(right: &Tensor, found: &Tensor) -> (f64, f64) {
    assert_eq!((right.shape(), right.datum_type()), (found.shape(), found.datum_type()));
    let floats = |tensor: &Tensor| -> Vec<f32> {
        let tensor = tensor.cast_to::<f32>().unwrap();
        tensor.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
    };
    let (right_values, found_values) = (floats(right), floats(found));
    let low = right_values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = right_values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let pairs = right_values.iter().zip(&found_values);
    let worst = pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    let shape = right.shape();
    let (classes, step, pixels): (usize, usize, Vec<usize>) = match shape {
        _ if right.datum_type() == DatumType::I64 => (1, 1, (0..right.len()).collect()),
        [1, classes, height, width] if *classes < 30 => {
            (*classes, height * width, (0..height * width).collect())
        }
        [1, height, width, classes] => {
            (*classes, 1, (0..height * width).map(|pixel| pixel * classes).collect())
        }
        other => panic!("shape {other:?}"),
    };
    let decide = |values: &[f32], start: usize| -> i64 {
        match classes {
            1 if right.datum_type() == DatumType::I64 => values[start] as i64,
            1 => i64::from(values[start] >= 0.5),
            _ => (0..classes)
                .rev()
                .max_by(|a, b| values[start + a * step].total_cmp(&values[start + b * step]))
                .unwrap_or(0) as i64,
        }
    };
    let equal = pixels
        .iter()
        .filter(|pixel| decide(&right_values, **pixel) == decide(&found_values, **pixel))
        .count();
    (worst / f64::from(high - low), equal as f64 / pixels.len() as f64)
}

#[test]
fn right_answers() {
    let Some(zoo) = zoo() else { return };
    // Worst difference over range, least agreement.
    let networks = [
        ("ai85-camvid-unet", 0.0, 1.0),
        ("ai85-aisegment-unet", 0.0, 1.0),
        ("portrait-mnv3-int8", 1.0, 0.999),
        ("portrait-mnv3-float", 1e-3, 0.9999),
        // ONNX Runtime adds some sums up in single precision: its rounding decides near-ties, and
        // later layers amplify them. Exact arithmetic would give 0.9946.
        ("deeplab-mnv2-pascal", 1.0, 0.995),
        ("selfie", 1e-3, 0.9999),
        ("sinet", 1e-3, 0.9999),
        ("retina-unet", 1e-3, 0.9999),
        ("twinlitenet", 1e-3, 0.9999),
        ("made-unet-qdq-u8", 1.0, 0.950),
        ("made-unet-qdq-s8", 1.0, 0.952),
        ("made-unet-qop-u8", 1.0, 0.957),
        ("made-unet-bil-qdq-u8", 1.0, 0.979),
        ("made-fcn-qdq-u8", 1.0, 0.960),
        ("made-fcn-qop-u8", 1.0, 0.956),
    ];
    let place = Place::new();
    for (name, difference, agreement) in networks {
        let folder = zoo.join(name);
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let out = place.text("out.npy");
        call(&["infer", &file("model.onnx"), "--tensor", &file("in.npy"), "-o", &out]).success();
        for output in ["out.npy", "out.1.npy"] {
            let right = folder.join(output);
            if !right.exists() {
                continue;
            }
            let right = segcam::npy::read(&right).unwrap();
            let found = segcam::npy::read(&place.path(output)).unwrap();
            let (worst, equal) = compare(&right, &found);
            println!(
                "{name} {output}: worst {worst:.2e} of the range, {:.4} % agree",
                100.0 * equal
            );
            assert!(worst <= difference && equal >= agreement, "{name}: {worst} {equal}");
        }
    }
}

#[test]
fn quantized_networks_convolve_in_integers_only() {
    let Some(zoo) = zoo() else { return };
    // Convolutions that may stay: the weights of these ConvTransposes are floats in the file.
    let networks = [
        ("ai85-camvid-unet", &[][..]),
        ("ai85-aisegment-unet", &[]),
        ("portrait-mnv3-int8", &[]),
        ("deeplab-mnv2-pascal", &[]),
        ("made-unet-qdq-u8", &[]),
        ("made-unet-qdq-s8", &[]),
        ("made-unet-qop-u8", &["ConvTranspose"]),
        ("made-unet-bil-qdq-u8", &[]),
        ("made-fcn-qdq-u8", &[]),
        ("made-fcn-qop-u8", &["ConvTranspose"]),
    ];
    for (name, floats) in networks {
        let model = zoo.join(name).join("model.onnx");
        let told = call(&["inspect", model.to_str().unwrap()]).success().out;
        let convolutions = ["Conv", "ConvTranspose", "QLinearConv", "Gemm", "MatMul"];
        let mut count = 0;
        for line in told.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(operator) = words.iter().find(|word| convolutions.contains(word)) else {
                continue;
            };
            count += 1;
            let integer = words.contains(&"int8");
            assert!(integer || floats.contains(operator), "{name}: {line}");
        }
        assert!(count > 5, "{name}: {count} convolutions\n{told}");
    }
}
