use super::*;
use crate::int8::view::Picture;

#[test]
fn bytes_keep_their_order() {
    let rng = &mut fastrand::Rng::with_seed(2);
    for _ in 0..300 {
        let [height, width] = [rng.usize(1..4), rng.usize(1..70)];
        let channels = if rng.bool() { 8 * rng.usize(1..4) } else { rng.usize(1..20) };
        let pixel_pitch = channels + rng.usize(..3);
        let row_pitch = width * pixel_pitch + rng.usize(..3);
        let mut data: Vec<i8> = (0..height * row_pitch).map(|_| rng.i8(..)).collect();
        // Nothing follows the last value.
        data.truncate((height - 1) * row_pitch + (width - 1) * pixel_pitch + channels);
        let picture = Picture { data: &data, height, width, channels, row_pitch, pixel_pitch };
        let strides = match rng.bool() {
            true => [width, 1, height * width],
            false => [width * channels, channels, 1],
        };
        let mut values = vec![0; 2 + height * width * channels];
        let tensor = &mut TensorMut::I8(&mut values);
        store(&picture, &Stored::Signed, tensor, 2, strides);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            for c in 0..channels {
                let byte = data[y * row_pitch + x * pixel_pitch + c];
                let at = 2 + y * strides[0] + x * strides[1] + c * strides[2];
                assert_eq!(values[at], byte, "({y}, {x}, {c}) with {strides:?}");
            }
        }
    }
}

#[test]
fn loaded_reals_are_quantized_in_any_order_of_the_tensor() {
    let rng = &mut fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let [height, width, channels] = [rng.usize(1..4), rng.usize(1..150), rng.usize(1..7)];
        let pixel_pitch = channels + if rng.bool() { 0 } else { rng.usize(..3) };
        let row_pitch = width * pixel_pitch + rng.usize(..3);
        let strides = match rng.bool() {
            true => [width, 1, height * width],
            false => [width * channels, channels, 1],
        };
        let quantization = Quantization { scale: 0.01, zero_point: rng.i32(-128..128) };
        let values: Vec<f32> =
            (0..2 + height * width * channels).map(|_| rng.f32() * 4.0 - 2.0).collect();
        let mut data = vec![55; height * row_pitch];
        let mut out =
            PictureMut { data: &mut data, height, width, channels, row_pitch, pixel_pitch };
        load(TensorRef::F32(&values), 2, strides, Some(quantization), &mut out);
        for (at, byte) in data.into_iter().enumerate() {
            let (y, x, c) =
                (at / row_pitch, at % row_pitch / pixel_pitch, at % row_pitch % pixel_pitch);
            if x >= width || c >= channels {
                assert_eq!(byte, 55, "a gap was written");
                continue;
            }
            let real = values[2 + y * strides[0] + x * strides[1] + c * strides[2]];
            let y = (real / 0.01).round_ties_even() + quantization.zero_point as f32;
            assert_eq!(byte, y.clamp(-128.0, 127.0) as i8, "{real}");
        }
    }
}

#[test]
fn stored_reals_are_their_entries_in_any_order_of_the_tensor() {
    let rng = &mut fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let [height, width, channels] = [rng.usize(1..5), rng.usize(1..9), rng.usize(1..20)];
        let pixel_pitch = channels + rng.usize(..3);
        let row_pitch = width * pixel_pitch + rng.usize(..3);
        let data: Vec<i8> = (0..height * row_pitch).map(|_| rng.i8(..)).collect();
        let picture = Picture { data: &data, height, width, channels, row_pitch, pixel_pitch };
        let count = if rng.bool() { 1 } else { channels };
        let tables: Vec<[f32; 256]> =
            (0..count).map(|_| std::array::from_fn(|_| rng.f32())).collect();
        let strides = match rng.u8(..3) {
            0 => [width, 1, height * width],
            1 => [width * channels, channels, 1],
            // Rows outermost: planes lie in one another.
            _ => [width * channels, 1, width],
        };
        let mut values = vec![-1.0; 2 + height * width * channels];
        let stored = Stored::Reals(tables.clone());
        store(&picture, &stored, &mut TensorMut::F32(&mut values), 2, strides);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            for c in 0..channels {
                let byte = data[y * row_pitch + x * pixel_pitch + c];
                let entry = tables[c % count][(i32::from(byte) + 128) as usize];
                let at = 2 + y * strides[0] + x * strides[1] + c * strides[2];
                assert_eq!(values[at], entry, "({y}, {x}, {c}) with {strides:?}");
            }
        }
    }
}
