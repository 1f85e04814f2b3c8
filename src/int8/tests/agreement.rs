//! One program of all kinds of layers, whose answers are known: every set of kernels, any number
//! of threads and every target give the same bits.

use crate::int8::Quantization;
use crate::int8::argmax::{ArgMax, ResizedArgMax};
use crate::int8::border::{Stored, TensorMut, TensorRef};
use crate::int8::convolution::Geometry;
use crate::int8::coordinates::{Coordinates, linear_taps};
use crate::int8::draft::{Convolution, Draft, Sketch, Step, TransposedConvolution, Value};
use crate::int8::elementwise::{Add, Mul};
use crate::int8::kernels::Kernels;
use crate::int8::pool::{AveragePool, MaxPool, Window};
use crate::int8::program::Program;
use crate::int8::requantization::Requantize;
use crate::int8::resize::ResizeLinear;
use crate::int8::table::Table;

/// What the reference answers, on x86-64.
const ANSWERS: [u64; 14] = [
    0xAA4A_8DFC_AA0C_DEF3,
    0x0C34_F1A8_4EE3_3144,
    0xF675_C4B2_6D22_97B8,
    0x88C7_42E5_0035_28D3,
    0xDC55_8AE0_0D2B_EE02,
    0xA7F7_C9DE_2C34_C78A,
    0xEB55_C0BA_587E_A12F,
    0x9C83_3253_E304_63E0,
    0x05C1_05F7_F704_ECCC,
    0x38EE_95B4_81E6_E7E6,
    0x72D7_F1DD_1286_9D19,
    0x1723_58AA_E057_2707,
    0x9E0A_25F8_907E_A3C5,
    0x539A_20D4_40A6_5325,
];

/// Rows and columns of most activations.
const SIZE: [usize; 2] = [21, 34];
const ZERO_POINT: i32 = 9;
const QUANTIZATION: Quantization = Quantization { scale: 0.031, zero_point: ZERO_POINT };

/// SplitMix64: its numbers must never change.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % end
    }

    fn between(&mut self, low: i32, high: i32) -> i32 {
        low + self.below((high - low) as u64 + 1) as i32
    }
}

/// FNV-1a.
fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    bytes.into_iter().fold(0xCBF2_9CE4_8422_2325, step)
}

/// A program in the making; each value but the labels also leaves as i8.
struct Builder {
    draft: Draft,
    numbers: Numbers,
    /// Bytes of each result.
    results: Vec<usize>,
}

impl Builder {
    fn value(&self, value: Value) -> [usize; 4] {
        self.draft.values[value].dims
    }

    fn step(&mut self, sketch: Sketch, inputs: &[Value], output: Option<Value>) {
        let inputs = inputs.to_vec();
        self.draft.steps.push(Step { name: String::new(), node: 0, sketch, inputs, output });
    }

    fn push(&mut self, sketch: Sketch, inputs: &[Value], dims: [usize; 4]) -> Value {
        let output = self.draft.add_value(dims);
        self.step(sketch, inputs, Some(output));
        let [_, height, width, channels] = dims;
        let strides = [width * channels, channels, 1];
        let tensor = self.results.len();
        let store = Sketch::Store { tensor, strides, batch: 0, stored: Stored::Signed };
        self.step(store, &[output], None);
        self.results.push(height * width * channels);
        output
    }

    /// Padded so that with a stride of 1 sizes stay.
    fn parts(
        &mut self,
        input: Value,
        kernel: usize,
        stride: usize,
        groups: usize,
        columns: usize,
        weights: [i32; 2],
    ) -> Convolution {
        let [_, in_height, in_width, channels] = self.value(input);
        let in_channels = channels / groups;
        let geometry = Geometry {
            in_height,
            in_width,
            in_channels,
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1, 1],
            pad_top: (kernel / 2) as isize,
            pad_left: (kernel / 2) as isize,
            out_height: in_height.div_ceil(stride),
            out_width: in_width.div_ceil(stride),
        };
        let terms = kernel * kernel * in_channels;
        let numbers = &mut self.numbers;
        let [low, high] = weights;
        let mut requantize = Requantize {
            multiplier: Vec::new(),
            addend: Vec::new(),
            zero_point: ZERO_POINT,
            low: -128,
            high: 120,
        };
        for _ in 0..columns {
            let factor = (1.0 + numbers.below(1000) as f64 / 1000.0) / 90.0;
            let factor = factor / (terms as f64).sqrt() / f64::from(high - low).sqrt();
            requantize.push(factor, numbers.below(100) as f64 / 70.0, 1 << 24, 0.031, 0.0);
        }
        Convolution {
            geometry,
            groups,
            columns,
            weights: (0..columns * terms).map(|_| numbers.between(low, high) as i16).collect(),
            bias: (0..columns).map(|_| numbers.between(-9999, 9999)).collect(),
            input_zero_point: ZERO_POINT,
            requantize,
        }
    }

    fn convolution(
        &mut self,
        input: Value,
        kernel: usize,
        stride: usize,
        groups: usize,
        columns: usize,
        weights: [i32; 2],
    ) -> Value {
        let convolution = self.parts(input, kernel, stride, groups, columns, weights);
        let Geometry { out_height, out_width, .. } = convolution.geometry;
        let dims = [1, out_height, out_width, columns];
        self.push(Sketch::Convolution(Box::new(convolution)), &[input], dims)
    }

    /// Twice as large.
    fn transposed(&mut self, input: Value, columns: usize, size: [usize; 2]) -> Value {
        let mut convolution = self.parts(input, 3, 1, 1, columns, [-128, 127]);
        [convolution.geometry.out_height, convolution.geometry.out_width] = size;
        let (stride, dilation, pad) = ([2, 2], [1, 1], [1, 1]);
        let transposed = TransposedConvolution { convolution, stride, dilation, pad };
        let dims = [1, size[0], size[1], columns];
        self.push(Sketch::Transposed(Box::new(transposed)), &[input], dims)
    }

    fn resize(&self, input: Value, size: [usize; 2]) -> ResizeLinear {
        let [_, height, width, _] = self.value(input);
        let taps = |from: usize, to: usize| {
            linear_taps(Coordinates::HalfPixel, from, to, to as f32 / from as f32)
        };
        let [rows, columns] = [taps(height, size[0]), taps(width, size[1])];
        let out = Quantization { scale: 0.027, zero_point: -3 };
        ResizeLinear::new(rows, columns, QUANTIZATION, out, -128, 127)
    }
}

/// The program, the bytes of its results, and the labels of the last.
fn draft() -> (Draft, Vec<usize>, usize) {
    let [height, width] = SIZE;
    let mut builder = Builder { draft: Draft::default(), numbers: Numbers(3), results: Vec::new() };
    let b = &mut builder;
    let load = Sketch::Load {
        tensor: 0,
        strides: [width, 1, height * width],
        batch: 0,
        quantization: Some(QUANTIZATION),
    };
    let signed = [-128, 127];
    let input = b.push(load, &[], [1, height, width, 3]);
    // Winograd's algorithm has these two where it pays.
    let first = b.convolution(input, 3, 1, 1, 24, signed);
    let wide = b.convolution(first, 3, 1, 1, 40, signed);
    // Nine bits.
    let pointwise = b.convolution(wide, 1, 1, 1, 24, [-255, 0]);
    let depthwise = b.convolution(pointwise, 3, 1, 24, 24, [-200, 55]);
    let half = b.convolution(depthwise, 3, 2, 1, 21, [0, 255]);
    let back = b.transposed(half, 24, SIZE);
    let q = QUANTIZATION;
    let add = Sketch::Add(Add::new(q, q, q, -128, 127));
    let dims = [1, height, width, 24];
    let sum = b.push(add, &[back, depthwise], dims);
    let table = Sketch::Table(Table::new(|x| (i32::from(x) * i32::from(x) / 64 - 128) as i8));
    let squares = b.push(table, &[sum], dims);
    let mul = Sketch::Mul(Mul::new(q, q, q, -128, 127));
    let product = b.push(mul, &[squares, sum], dims);
    let window =
        Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], before: [1, 1], after: [1, 1] };
    let dims = [1, height.div_ceil(2), width.div_ceil(2), 24];
    b.push(Sketch::MaxPool(MaxPool::new(window)), &[product], dims);
    let mean = AveragePool::new(window, true, q, q, -128, 127).unwrap();
    let mean = b.push(Sketch::AveragePool(mean), &[product], dims);
    let resize = Sketch::Resize(b.resize(mean, [29, 50]));
    b.push(resize, &[mean], [1, 29, 50, 24]);
    let labels = [40, 64];
    let argmax = ArgMax { select_last_index: false };
    let argmax = Box::new(ResizedArgMax::new(b.resize(mean, labels), argmax));
    let tensor = b.results.len();
    b.step(Sketch::ResizedArgMax { argmax, tensor }, &[mean], None);
    (builder.draft, builder.results, labels[0] * labels[1])
}

/// The hashes of all results.
fn answers(kernels: Kernels, threads: usize) -> Vec<u64> {
    let (draft, results, labels) = draft();
    let [height, width] = SIZE;
    let mut numbers = Numbers(4);
    let real = |_| numbers.between(-4000, 4000) as f32 / 1024.0;
    let input: Vec<f32> = (0..3 * height * width).map(real).collect();
    let mut results: Vec<_> = results.iter().map(|size| vec![0i8; *size]).collect();
    let mut labels = vec![0i64; labels];
    let mut tensors: Vec<_> = results.iter_mut().map(|result| TensorMut::I8(result)).collect();
    tensors.push(TensorMut::I64(&mut labels));
    let program = Program::new(kernels, draft);
    program.run(&mut program.state(threads), &[TensorRef::F32(&input)], &mut tensors);
    for result in &results {
        // Not all the same, and most of them within the range.
        let extremes = result.iter().filter(|byte| [-128, 127].contains(*byte)).count();
        assert!(3 * extremes < result.len(), "{extremes} of {}", result.len());
    }
    let bytes = results.iter().map(|result| hash(result.iter().map(|byte| *byte as u8)));
    bytes.chain([hash(labels.iter().map(|label| *label as u8))]).collect()
}

#[test]
fn every_set_and_target_gives_these_bits() {
    for kernels in Kernels::all_available() {
        assert_eq!(answers(kernels, 1), ANSWERS, "{kernels:?}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for kernels in Kernels::all_available() {
        pool.install(|| assert_eq!(answers(kernels, 3), ANSWERS, "{kernels:?}"));
    }
}
