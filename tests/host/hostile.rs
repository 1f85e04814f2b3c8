//! Bytes from outside that mean harm, or went through a bad cable: each ends in one sentence
//! and exit code 1 or 2, soon, without a half-written file.

use crate::onnx::{self, Attribute, Graph};
use crate::program::{Ended, Place, call, finish, segcam};
use segcam::config::card::Card;
use segcam::network::{load, plan::Session, proto};
use tract_onnx::pb::tensor_proto::DataType;

/// The file cut at every 64th of its length.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..64).map(|part| bytes[..bytes.len() * part / 64].to_vec())
}

/// The file with one to four bits flipped, `count` times.
fn flips(bytes: &[u8], seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(move |_| {
        let mut flipped = bytes.to_vec();
        for _ in 0..random.usize(1..=4) {
            let at = random.usize(..flipped.len());
            flipped[at] ^= 1 << random.u8(..8);
        }
        flipped
    })
}

fn refused(ended: &Ended) {
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    assert!(ended.error().len() > 20, "{ended:?}");
    assert!(!ended.err.contains("panicked"), "{ended:?}");
}

fn load_network(bytes: &[u8]) -> Result<load::Network, String> {
    let model = proto::parse("m.onnx", bytes).map_err(|error| error.to_string())?;
    let resolve =
        |input: &load::OpenInput| Ok(input.shape.iter().map(|dim| dim.unwrap_or(16)).collect());
    let options = load::Options { resolve: &resolve, threads: 1, compared: &|_| None };
    load::load("m.onnx", model, &options).map_err(|error| error.to_string())
}

fn load_bytes(bytes: &[u8]) -> Result<(), String> {
    load_network(bytes).map(|_| ())
}

#[test]
fn damaged_networks_are_refused_or_run() {
    for (model, seed) in [(onnx::pooled(), 1), (onnx::strongest_color(16, 16), 2)] {
        assert_eq!(load_bytes(&model), Ok(()));
        let mut refusals = 0;
        for bytes in cuts(&model).chain(flips(&model, seed, 2000)) {
            if let Err(message) = load_bytes(&bytes) {
                assert!(message.starts_with("m.onnx: "), "{message}");
                refusals += 1;
            }
        }
        assert!(refusals > 100, "{refusals}");
    }
}

#[test]
fn damaged_networks_end_the_program_in_one_sentence() {
    let place = Place::new();
    let model = onnx::pooled();
    let image = place.image("a.png", 16, 16, |x, y| [x as u8, y as u8, 9]);
    let out = place.text("out");
    for (index, bytes) in cuts(&model).step_by(8).chain(flips(&model, 7, 24)).enumerate() {
        let path = place.write(&format!("{index}.onnx"), &bytes);
        let ended = call(&["infer", &path, &image, "-o", &out, "--set", "input.size=[16,16]"]);
        if ended.code != Some(0) {
            refused(&ended);
        }
    }
}

#[test]
fn damaged_cards_are_refused_or_read() {
    let text = include_str!("../../models/selfie/model.toml");
    for bytes in cuts(text.as_bytes()).chain(flips(text.as_bytes(), 3, 2000)) {
        if let Err(error) = Card::parse("model.toml", &String::from_utf8_lossy(&bytes), &[]) {
            let error = error.to_string();
            assert!(error.starts_with("model.toml"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}

#[test]
fn damaged_images_end_in_one_sentence() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let out = place.text("out");
    let paint = |x: u32, y: u32| [(x * 7) as u8, (y * 5) as u8, (x ^ y) as u8];
    for kind in ["png", "jpg"] {
        let whole = std::fs::read(place.image(&format!("whole.{kind}"), 40, 30, paint)).unwrap();
        // Thousands more flips run against the reader itself, inside its own tests.
        for (index, bytes) in cuts(&whole).step_by(4).chain(flips(&whole, 4, 60)).enumerate() {
            let image = place.write(&format!("{index}.{kind}"), &bytes);
            let ended = call(&["infer", &model, &image, "-o", &out]);
            if ended.code != Some(0) {
                refused(&ended);
                let mask = place.path(&format!("out/{index}.mask.png"));
                assert!(!mask.exists(), "{kind} {index}: a mask of a broken image");
            }
            let _ = std::fs::remove_file(place.path(&format!("out/{index}.mask.png")));
        }
    }
}

/// A PNG header that promises `width` times `height` pixels.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&header);
    png.extend(crc32(&header).to_be_bytes());
    png
}

/// ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[test]
fn impossible_sizes_are_refused_before_memory_is_taken() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    for (width, height) in [(0, 10), (10, 0), (100_000, 100_000), (16_384, 16_384)] {
        let image = place.write("a.png", &png_header(width, height));
        let mut command = segcam(&["infer", &model, &image, "-o", &place.text("out")]);
        limit_memory(&mut command);
        refused(&finish(command, b""));
        for format in ["rgb24", "yuyv", "yuv420", "nv12"] {
            let uri = format!("pipe:-?format={format}&width={width}&height={height}");
            let arguments = ["run", "--model", &model, "--camera", &uri, "--display", "null:"];
            let mut command = segcam(&arguments);
            limit_memory(&mut command);
            refused(&finish(command, &[0; 1000]));
        }
        let clip = format!("YUV4MPEG2 W{width} H{height} F25:1 C420\nFRAME\n");
        let clip = format!("file:{}", place.write("a.y4m", clip.as_bytes()));
        let mut command =
            segcam(&["run", "--model", &model, "--camera", &clip, "--display", "null:"]);
        limit_memory(&mut command);
        refused(&finish(command, b""));
    }
    let huge = place.write("huge.onnx", &onnx::strongest_color(100_000, 100_000));
    let image = place.image("b.png", 8, 8, |_, _| [1, 2, 3]);
    let mut command = segcam(&["infer", &huge, &image, "-o", &place.text("out")]);
    limit_memory(&mut command);
    refused(&finish(command, b""));
}

/// 2 GB of address space: more than segcam needs, far less than these files promise.
fn limit_memory(command: &mut std::process::Command) {
    let program = command.get_program().to_owned();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_owned()).collect();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -v 2000000; exec \"$0\" \"$@\""]).arg(program).args(arguments);
    *command = limited;
}

#[test]
fn damaged_streams_end_in_one_sentence_or_are_shown() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let mut clip = b"YUV4MPEG2 W18 H10 F25:1 Ip A1:1 C420jpeg\n".to_vec();
    for frame in 0..3u8 {
        clip.extend(b"FRAME\n");
        clip.extend((0..18 * 10 + 2 * 9 * 5).map(|index| (index as u8).wrapping_mul(frame)));
    }
    for (index, bytes) in cuts(&clip).step_by(4).chain(flips(&clip[..60], 9, 60)).enumerate() {
        let path = place.write(&format!("{index}.y4m"), &bytes);
        let uri = format!("file:{path}");
        let ended = call(&["run", "--model", &model, "--camera", &uri, "--display", "null:"]);
        if ended.code != Some(0) {
            refused(&ended);
        }
    }
    let uri = "pipe:-?format=nv12&width=16&height=8";
    for length in (0..16 * 12 * 2).step_by(31) {
        let command =
            segcam(&["-q", "run", "--model", &model, "--camera", uri, "--display", "null:"]);
        finish(command, &vec![128; length]).success();
    }
}

#[test]
fn a_full_disk_and_a_closed_pipe_are_said() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let image = place.image("a.png", 16, 16, |x, y| [x as u8, y as u8, 9]);
    // Standard output on a device that is always full.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" > /dev/full"]).arg(env!("CARGO_BIN_EXE_segcam"));
    command.args(["infer", &model, &image, "-o", &place.text("out")]);
    refused(&finish(command, b""));
    // A reader that is gone.
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "{ \"$0\" \"$@\"; echo \"code $?\" >&2; } | true"])
        .arg(env!("CARGO_BIN_EXE_segcam"))
        .args(["run", "--model", &model, "--json", "--camera", "synthetic:portrait?fps=0"])
        .args(["--display", "null:", "--frames", "2000"]);
    let ended = finish(command, b"");
    assert!(ended.err.contains("standard output"), "{ended:?}");
    assert!(ended.err.contains("code 1"), "{ended:?}");
    // A folder that cannot be written to, even by root.
    refused(&call(&["infer", &model, &image, "-o", "/proc/none"]));
    let ended = call(&["infer", &model, "/proc/self/mem", "-o", &place.text("out")]);
    refused(&ended);
}

#[test]
fn a_disk_that_fills_up_leaves_no_half_written_file() {
    let place = Place::new();
    let model = place.write("color.onnx", &onnx::strongest_color(8, 8));
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<[u8; 3]> =
        (0..1 << 18).map(|_| [random.u8(..), random.u8(..), random.u8(..)]).collect();
    // Its overlay takes hundreds of kilobytes, its mask tens.
    let image = place.image("a.png", 512, 512, |x, y| noise[(y * 512 + x) as usize]);
    std::fs::create_dir(place.path("disk")).unwrap();
    let script = "mount -t tmpfs -o size=256k none \"$1\" 2>/dev/null || exit 77
        \"$0\" infer \"$2\" \"$3\" -o \"$1\"; code=$?; ls -A \"$1\" >&2; exit $code";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_segcam")]);
    command.args([&place.text("disk"), &model, &image]);
    let ended = finish(command, b"");
    if !matches!(ended.code, Some(0..=2)) {
        eprintln!("skipped: a small disk cannot be mounted here: {ended:?}");
        return;
    }
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (message, files) = ended.err.split_once('\n').unwrap();
    assert!(message.contains("overlay.png: cannot be written"), "{ended:?}");
    assert!(message.contains("make room"), "{ended:?}");
    assert_eq!(files.trim(), "a.mask.png", "only what is whole");
}

/// A quantized convolution, to be spoilt in one place.
struct Quantized {
    scales: [f32; 3],
    zero_point: i32,
    /// Of the zero points of input and output.
    element: DataType,
    weights: [i64; 4],
    weight: i32,
    bias: Option<i64>,
    channels: i64,
    attributes: Vec<Attribute>,
    /// Of the first QuantizeLinear.
    quantizing: Vec<Attribute>,
}

impl Default for Quantized {
    fn default() -> Quantized {
        Quantized {
            scales: [0.1, 0.01, 0.2],
            zero_point: 10,
            element: DataType::Uint8,
            weights: [4, 4, 3, 3],
            weight: 5,
            bias: None,
            channels: 4,
            attributes: vec![],
            quantizing: vec![],
        }
    }
}

impl Quantized {
    fn graph(self) -> Graph {
        let count = self.weights.iter().product::<i64>() as usize;
        let mut graph = Graph::new(21)
            .input("x", DataType::Float, &[1, self.channels, 8, 8])
            .output("y", DataType::Float)
            .floats("xs", &[], &self.scales[..1])
            .floats("ws", &[], &self.scales[1..2])
            .floats("ys", &[], &self.scales[2..])
            .integers("z", self.element, &[], &[self.zero_point])
            .integers("w", DataType::Int8, &self.weights, &vec![self.weight; count])
            .integers("wz", DataType::Int8, &[], &[0])
            .node("QuantizeLinear", &["x", "xs", "z"], &["xq"], self.quantizing)
            .node("DequantizeLinear", &["xq", "xs", "z"], &["xd"], vec![])
            .node("DequantizeLinear", &["w", "ws", "wz"], &["wd"], vec![]);
        let mut inputs = vec!["xd", "wd"];
        if let Some(count) = self.bias {
            graph = graph.floats("b", &[count], &vec![0.5; count as usize]);
            inputs.push("b");
        }
        graph
            .node("Conv", &inputs, &["c"], self.attributes)
            .node("QuantizeLinear", &["c", "ys", "z"], &["yq"], vec![])
            .node("DequantizeLinear", &["yq", "ys", "z"], &["y"], vec![])
    }

    fn error(self) -> String {
        let error = load_network(&self.graph().bytes()).map(|_| ()).expect_err("it loads");
        assert!(error.starts_with("m.onnx: ") && !error.contains("malformed"), "{error}");
        error
    }

    /// Loads and runs; how the convolution runs is returned.
    fn way(self) -> String {
        let network = load_network(&self.graph().bytes()).unwrap();
        Session::new(&network).unwrap().run().unwrap();
        let conv = network.ways.iter().find(|way| way.node == "Conv c").unwrap();
        conv.runs.clone()
    }
}

#[test]
fn strange_quantization_is_refused_or_runs_in_float() {
    assert!(Quantized::default().way().starts_with("int8"));
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        for (index, node) in ["QuantizeLinear xq", "DequantizeLinear wd", "QuantizeLinear yq"]
            .into_iter()
            .enumerate()
        {
            let mut quantized = Quantized::default();
            quantized.scales[index] = scale;
            let error = quantized.error();
            assert!(error.contains(node) && error.contains("scale"), "{node}: {error}");
        }
    }
    for zero_point in [-1, 256, 70_000] {
        let error = Quantized { zero_point, ..Default::default() }.error();
        let right = error.contains("initializer \"z\"") && error.contains("from 0 to 255");
        assert!(right, "{error}");
    }
    let blocks = vec![Attribute::Int("block_size", 2)];
    let error = Quantized { quantizing: blocks, ..Default::default() }.error();
    assert!(error.contains("QuantizeLinear xq") && error.contains("block_size"), "{error}");
    for element in [DataType::Int4, DataType::Uint4, DataType::Float8e4m3fn, DataType::Float8e5m2] {
        let error = Quantized { element, ..Default::default() }.error();
        assert!(error.contains("initializer \"z\""), "{error}");
        assert!(error.contains(&format!("{element:?}")), "{error}");
    }
    let way = Quantized { element: DataType::Int16, ..Default::default() }.way();
    assert!(way.starts_with("float"), "{way}");
}

#[test]
fn shapes_that_disagree_name_their_node() {
    let cases = [
        Quantized { weights: [4, 3, 3, 3], ..Default::default() },
        Quantized { bias: Some(3), ..Default::default() },
        Quantized { attributes: vec![Attribute::Int("group", 3)], ..Default::default() },
        Quantized { attributes: vec![Attribute::Int("group", 0)], ..Default::default() },
        Quantized {
            attributes: vec![Attribute::Ints("dilations", vec![9, 9])],
            ..Default::default()
        },
        Quantized {
            attributes: vec![Attribute::Ints("strides", vec![0, 1])],
            ..Default::default()
        },
    ];
    for (index, case) in cases.into_iter().enumerate() {
        let error = case.error();
        assert!(error.contains("Conv c"), "{index}: {error}");
    }
}

#[test]
fn sums_beyond_32_bits_stay_in_float() {
    let wide = |channels: i64| Quantized {
        channels,
        weights: [1, channels, 1, 1],
        weight: 127,
        ..Default::default()
    };
    // 255 * 127 * 66,311 is the first beyond 2^31.
    assert!(wide(66_000).way().starts_with("int8"));
    let way = wide(67_000).way();
    assert!(way.contains("more than 32 bits hold"), "{way}");
}

#[test]
fn windows_without_end_are_refused_at_once() {
    let pool = |operator: &str, name: &'static str, values: Vec<i64>| {
        let mut attributes = vec![Attribute::Ints(name, values)];
        if name != "kernel_shape" {
            attributes.push(Attribute::Ints("kernel_shape", vec![2, 2]));
        }
        let graph = Graph::new(13)
            .input("x", DataType::Float, &[1, 1, 8, 8])
            .output("y", DataType::Float)
            .node(operator, &["x"], &["y"], attributes);
        load_bytes(&graph.bytes()).expect_err("it loads")
    };
    for operator in ["MaxPool", "AveragePool"] {
        for name in ["kernel_shape", "strides", "dilations", "pads"] {
            for value in [1i64 << 40, i64::MAX, i64::MIN] {
                let count = if name == "pads" { 4 } else { 2 };
                let error = pool(operator, name, vec![value; count]);
                assert!(
                    error.contains(&format!("{operator} y")) && error.contains(name),
                    "{error}"
                );
            }
        }
        let error = pool(operator, "kernel_shape", vec![1 << 15; 2]);
        assert!(error.contains("kernel_shape"), "{error}");
    }
}

#[test]
fn names_are_made_once() {
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[1, 4])
        .output("y", DataType::Float)
        .node("Softmax", &["x"], &["y"], vec![])
        .node("Softmax", &["y"], &["y"], vec![]);
    let error = load_bytes(&graph.bytes()).unwrap_err();
    assert!(error.contains("Softmax y") && error.contains("made before"), "{error}");
}

#[test]
fn long_networks_load_soon() {
    let base = || {
        Graph::new(13)
            .input("x", DataType::Float, &[1, 4])
            .floats("s", &[], &[0.1])
            .integers("z", DataType::Uint8, &[], &[128])
            .node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![])
            .node("DequantizeLinear", &["q", "s", "z"], &["0"], vec![])
    };
    let chain = |operator: &str, count: usize| {
        let mut graph = base();
        for index in 0..count {
            let (from, to) = (index.to_string(), (index + 1).to_string());
            graph = graph.node(operator, &[&from], &[&to], vec![]);
        }
        graph
            .node("ArgMax", &[&count.to_string()], &["y"], vec![Attribute::Int("axis", 1)])
            .output("y", DataType::Int64)
    };
    for operator in ["Softmax", "Relu", "Transpose"] {
        let start = std::time::Instant::now();
        let _ = load_bytes(&chain(operator, 3000).bytes());
        println!("{operator}: {:?}", start.elapsed());
        assert!(start.elapsed().as_secs() < 60, "{operator}: {:?}", start.elapsed());
    }
}
