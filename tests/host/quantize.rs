//! `segcam quantize`: what it writes, what it says, what it refuses.

use crate::onnx::{Attribute, Graph};
use crate::program::{Place, call};
use prost::Message;
use serde_json::Value;
use std::collections::HashMap;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

const SIDE: u32 = 32;

fn random(count: usize, seed: u64, spread: f32) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (random.f32() - 0.5) * 2.0 * spread).collect()
}

fn pictures(place: &Place) -> String {
    std::fs::create_dir_all(place.path("pictures")).unwrap();
    for index in 0..6 {
        place.image(&format!("pictures/{index}.png"), 48, 40, |x, y| {
            let wave = |by: u32| ((x * by + y * (3 + index)) % 256) as u8;
            [wave(2 + index), wave(5), wave(7).wrapping_mul(3)]
        });
    }
    place.text("pictures")
}

fn pads(pads: i64) -> Attribute {
    Attribute::Ints("pads", vec![pads; 4])
}

/// Convolution, batch normalization, Relu, pool, depthwise, transposed convolution, concatenation.
fn small(opset: i64) -> Graph {
    let side = i64::from(SIDE);
    Graph::new(opset)
        .input("x", DataType::Float, &[1, 3, side, side])
        .output("scores", DataType::Float)
        .floats("w1", &[8, 3, 3, 3], &random(216, 1, 0.4))
        .floats("gain", &[8], &[1.0, 0.02, 1.0, 2.0, 1.0, 0.1, 1.0, 1.0])
        .floats("shift", &[8], &random(8, 2, 0.2))
        .floats("mean", &[8], &random(8, 3, 0.1))
        .floats("variance", &[8], &[1.0; 8])
        .floats("w2", &[8, 1, 3, 3], &random(72, 4, 0.5))
        .floats("b2", &[8], &random(8, 5, 0.1))
        .floats("w3", &[8, 4, 2, 2], &random(128, 6, 0.5))
        .floats("w4", &[3, 12, 1, 1], &random(36, 7, 0.5))
        .node("Conv", &["x", "w1"], &["c1"], vec![pads(1)])
        .node(
            "BatchNormalization",
            &["c1", "gain", "shift", "mean", "variance"],
            &["n1"],
            vec![Attribute::Float("epsilon", 1e-5)],
        )
        .node("Relu", &["n1"], &["r1"], vec![])
        .node(
            "MaxPool",
            &["r1"],
            &["p1"],
            vec![
                Attribute::Ints("kernel_shape", vec![2, 2]),
                Attribute::Ints("strides", vec![2, 2]),
            ],
        )
        .node("Conv", &["p1", "w2", "b2"], &["c2"], vec![pads(1), Attribute::Int("group", 8)])
        .node("Relu", &["c2"], &["r2"], vec![])
        .node("ConvTranspose", &["r2", "w3"], &["u"], vec![Attribute::Ints("strides", vec![2, 2])])
        .node("Concat", &["u", "r1"], &["k"], vec![Attribute::Int("axis", 1)])
        .node("Conv", &["k", "w4"], &["scores"], vec![])
}

fn graph(place: &Place, name: &str) -> GraphProto {
    let bytes = std::fs::read(place.path(name)).unwrap();
    ModelProto::decode(&bytes[..]).unwrap().graph.unwrap()
}

fn count(graph: &GraphProto, operator: &str) -> usize {
    graph.node.iter().filter(|node| node.op_type == operator).count()
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    tensor.raw_data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn quantize(place: &Place, graph: Graph, more: &[&str]) -> Value {
    let model = place.write("float.onnx", &graph.bytes());
    let (folder, out) = (pictures(place), place.text("out.onnx"));
    let mut arguments = vec!["-q", "quantize", &model, "--calibrate", &folder, "-o", &out];
    arguments.extend(["--json"]);
    arguments.extend(more);
    let ended = call(&arguments).success();
    assert_eq!(ended.err, "");
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn everything_runs_in_integers_and_the_masks_agree() {
    let place = Place::new();
    let report = quantize(&place, small(13), &[]);
    assert!(report["masks"][0]["agreement"].as_f64().unwrap() > 0.97, "{report}");
    assert_eq!(report["integer_macs"], 1.0);
    let layers = report["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["float"].is_null()), "{report}");
    let snr = |layer: &Value| layer["snr_db"].as_f64();
    assert!(layers.iter().filter_map(snr).all(|snr| snr > 15.0), "{report}");
    let quantized = graph(&place, "out.onnx");
    assert_eq!(count(&quantized, "BatchNormalization"), 0);
    let tensor = |name: &str| {
        quantized.initializer.iter().find(|tensor| tensor.name == name).unwrap().clone()
    };
    let producers: HashMap<&str, _> =
        quantized.node.iter().map(|node| (node.output[0].as_str(), node)).collect();
    for node in &quantized.node {
        if !["Conv", "ConvTranspose"].contains(&node.op_type.as_str()) {
            continue;
        }
        let weights = producers[node.input[1].as_str()];
        assert_eq!(weights.op_type, "DequantizeLinear");
        let axis = weights.attribute.iter().find(|attribute| attribute.name == "axis").unwrap().i;
        assert_eq!(axis, if node.op_type == "Conv" { 0 } else { 1 });
        let values = tensor(&weights.input[0]);
        let scales = tensor(&weights.input[1]);
        assert_eq!(values.data_type, DataType::Int8 as i32);
        assert_eq!(scales.dims, [values.dims[axis as usize]]);
        assert!(tensor(&weights.input[2]).raw_data.iter().all(|zero| *zero == 0));
        if let Some(bias) = node.input.get(2) {
            // In the scale of the sums.
            let bias = producers[bias.as_str()];
            let input = floats(&tensor(&producers[node.input[0].as_str()].input[1]))[0];
            let sums: Vec<f32> = floats(&scales).iter().map(|scale| scale * input).collect();
            assert_eq!(floats(&tensor(&bias.input[1])), sums);
            assert_eq!(tensor(&bias.input[0]).data_type, DataType::Int32 as i32);
        }
    }
    for node in quantized.node.iter().filter(|node| node.op_type == "QuantizeLinear") {
        let scale = floats(&tensor(&node.input[1]))[0];
        assert!(scale.is_normal() && scale > 0.0);
        assert_eq!(tensor(&node.input[2]).data_type, DataType::Uint8 as i32);
    }
    // The same again gives the same bytes.
    let first = std::fs::read(place.path("out.onnx")).unwrap();
    quantize(&place, small(13), &[]);
    assert!(first == std::fs::read(place.path("out.onnx")).unwrap());
}

/// A network of three classes, the last of which is never the best one.
#[test]
fn classes_on_no_calibration_picture_are_said() {
    let place = Place::new();
    let side = i64::from(SIDE);
    let never = Graph::new(13)
        .input("x", DataType::Float, &[1, 3, side, side])
        .output("scores", DataType::Float)
        .floats("w", &[3, 3, 1, 1], &[1.0, -1.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
        .floats("b", &[3], &[0.0, 0.0, -9.0])
        .node("Conv", &["x", "w", "b"], &["scores"], vec![]);
    let report = quantize(&place, never, &[]);
    let notes: Vec<&str> =
        report["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let note = notes.iter().find(|note| note.contains("calibration picture"));
    let note = note.unwrap_or_else(|| panic!("{notes:?}"));
    assert!(note.starts_with("mask \"scores\": the float network finds class 2 on no"), "{note}");
    let report = quantize(&place, small(13), &[]);
    assert!(!report.to_string().contains("on no calibration picture"), "{report}");
}

#[test]
fn old_operator_sets_are_raised() {
    let place = Place::new();
    let side = i64::from(SIDE);
    let graph = || {
        Graph::new(9)
            .input("x", DataType::Float, &[1, 3, side, side])
            // As files of that time have it.
            .input("w", DataType::Float, &[4, 3, 1, 1])
            .output("y", DataType::Float)
            .floats("w", &[4, 3, 1, 1], &random(12, 1, 1.0))
            .floats("s", &[4], &[1.0, 1.0, 2.0, 2.0])
            .floats("v", &[2, 4, 1, 1], &random(8, 2, 1.0))
            .node("Conv", &["x", "w"], &["a"], vec![])
            .node(
                "Clip",
                &["a"],
                &["b"],
                vec![Attribute::Float("min", 0.0), Attribute::Float("max", 0.5)],
            )
            .node("Dropout", &["b"], &["c"], vec![])
            .node("Upsample", &["c", "s"], &["d"], vec![Attribute::Text("mode", "nearest")])
            .node(
                "Pad",
                &["d"],
                &["e"],
                vec![Attribute::Ints("pads", vec![0, 0, 1, 1, 0, 0, 1, 1])],
            )
            .node("Conv", &["e", "v"], &["f"], vec![])
            .node("Softmax", &["f"], &["y"], vec![Attribute::Int("axis", 1)])
    };
    let error = {
        let model = place.write("float.onnx", &graph().bytes());
        let (folder, out) = (pictures(&place), place.text("out.onnx"));
        call(&["-q", "quantize", &model, "--calibrate", &folder, "-o", &out, "--json"])
    };
    let report: Value = serde_json::from_str(&error.success().out).unwrap();
    assert_eq!(report["integer_macs"], 1.0);
    let quantized = graph_of(&place);
    for gone in ["Upsample", "Pad", "Dropout"] {
        assert_eq!(count(&quantized, gone), 0, "{gone}");
    }
    let softmax = quantized.node.iter().find(|node| node.op_type == "Softmax").unwrap();
    // Over all channels and places, as the old one did.
    assert_eq!(softmax.attribute[0].i, 1);
    assert_eq!((count(&quantized, "Flatten"), count(&quantized, "Reshape")), (1, 1));
}

fn graph_of(place: &Place) -> GraphProto {
    graph(place, "out.onnx")
}

#[test]
fn what_has_no_rule_stays_in_float_by_name() {
    let place = Place::new();
    let side = i64::from(SIDE);
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[1, 3, side, side])
        .output("y", DataType::Float)
        .floats("w", &[4, 3, 3, 3], &random(108, 1, 0.5))
        .floats("v", &[2, 4, 1, 1], &random(8, 2, 0.5))
        .node("Conv", &["x", "w"], &["a"], vec![pads(1)])
        .node("InstanceNormalization", &["a", "one", "zero"], &["b"], vec![])
        .floats("one", &[4], &[1.0; 4])
        .floats("zero", &[4], &[0.0; 4])
        .node("Conv", &["b", "v"], &["y"], vec![]);
    let report = quantize(&place, graph, &[]);
    let layers = report["layers"].as_array().unwrap();
    let float: Vec<&str> = layers
        .iter()
        .filter(|layer| !layer["float"].is_null())
        .map(|layer| layer["operator"].as_str().unwrap())
        .collect();
    assert_eq!(float, ["InstanceNormalization"]);
    assert!(report["integer_macs"].as_f64().unwrap() > 0.8, "{report}");
}

#[test]
fn strange_weights_and_activations_get_scales_all_the_same() {
    let place = Place::new();
    let side = i64::from(SIDE);
    // Channel 0 is always 0, channel 1 constant, channel 2 next to nothing beside its bias.
    let mut weights = vec![0.0; 12];
    weights[6..9].copy_from_slice(&[1e-30, -1e-30, 1e-31]);
    weights[9..].copy_from_slice(&[0.3, -0.2, 0.5]);
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[1, 3, side, side])
        .output("y", DataType::Float)
        .floats("w", &[4, 3, 1, 1], &weights)
        .floats("b", &[4], &[0.0, 2.5, 1.0, 0.0])
        .floats("v", &[2, 4, 1, 1], &[1.0, 0.5, -0.5, 1.0, 2.0, 0.25, 0.25, -1.0])
        .floats("none", &[1, 3, 1, 1], &[0.0; 3])
        .floats("u", &[1, 1, 1, 1], &[1.0])
        .node("Conv", &["x", "w", "b"], &["a"], vec![])
        .node("Conv", &["x", "none"], &["n"], vec![])
        .node("Relu", &["n"], &["m"], vec![])
        .node("Conv", &["m", "u"], &["l"], vec![])
        .node("Conv", &["a", "v"], &["s"], vec![])
        .node("Add", &["s", "l"], &["y"], vec![]);
    let report = quantize(&place, graph, &[]);
    assert!(report["masks"][0]["agreement"].as_f64().unwrap() > 0.95, "{report}");
    for tensor in graph_of(&place).initializer {
        if tensor.data_type == DataType::Float as i32 && tensor.name.contains("scale") {
            assert!(floats(&tensor).iter().all(|scale| scale.is_normal() && *scale > 0.0));
        }
    }
}

#[test]
fn a_folder_takes_the_card_too() {
    let place = Place::new();
    let model = place.write("float.onnx", &small(13).bytes());
    let card = "name = \"n\" # mine\nfile = \"float.onnx\"\nlicense = \"MIT\"\n\n[input]\nfit = \"stretch\"\n";
    let card = place.write("card.toml", card.as_bytes());
    let (folder, out) = (pictures(&place), place.text("made/"));
    let arguments = ["quantize", &model, "--calibrate", &folder, "-o", &out, "--card", &card];
    call(&arguments).success();
    let written = std::fs::read_to_string(place.path("made/model.toml")).unwrap();
    assert!(written.contains("name = \"n\" # mine") && written.contains("fit = \"stretch\""));
    // Its hash is right.
    call(&["inspect", &place.text("made")]).success();
    let again = call(&arguments).success();
    assert!(again.out.contains("model.toml is there already: set file"), "{}", again.out);
}

/// A refusal's code and sentence; nothing is written.
fn refused(place: &Place, model: &[u8], folder: &str, more: &[&str]) -> (Option<i32>, String) {
    let model = place.write("given.onnx", model);
    let out = place.text("refused.onnx");
    let mut arguments = vec!["-q", "quantize", &model, "--calibrate", folder, "-o", &out];
    arguments.extend(more);
    let ended = call(&arguments);
    let left = std::fs::read_dir(place.path(".")).unwrap();
    for entry in left {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("refused"), "{name} is left");
    }
    (ended.code, ended.error().to_owned())
}

#[test]
fn bad_pictures_are_said() {
    let place = Place::new();
    let model = small(13).bytes();
    let empty = place.text("empty");
    std::fs::create_dir(&empty).unwrap();
    let (code, error) = refused(&place, &model, &empty, &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("empty: holds no PNG or JPEG pictures"), "{error}");
    place.write("empty/notes.txt", b"no picture");
    let (_, error) = refused(&place, &model, &empty, &[]);
    assert!(error.contains("but 1 other files"), "{error}");
    let (code, error) = refused(&place, &model, &place.text("missing"), &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("missing: cannot be read"), "{error}");
    place.write("empty/a.png", b"no picture either");
    let (code, error) = refused(&place, &model, &empty, &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("a.png"), "{error}");
}

#[test]
fn networks_that_cannot_be_quantized_are_said() {
    let place = Place::new();
    let folder = pictures(&place);
    quantize(&place, small(13), &[]);
    let quantized = std::fs::read(place.path("out.onnx")).unwrap();
    let (code, error) = refused(&place, &quantized, &folder, &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("is quantized already (node \"x_quantize\""), "{error}");

    for bad in [f32::NAN, f32::INFINITY] {
        let side = i64::from(SIDE);
        let mut weights = random(12, 1, 1.0);
        weights[7] = bad;
        let graph = Graph::new(13)
            .input("x", DataType::Float, &[1, 3, side, side])
            .output("y", DataType::Float)
            .floats("w", &[4, 3, 1, 1], &weights)
            .node("Conv", &["x", "w"], &["y"], vec![]);
        let (code, error) = refused(&place, &graph.bytes(), &folder, &[]);
        assert_eq!(code, Some(2));
        assert!(
            error.contains(&format!("\"w\", read by node \"Conv y\" (Conv), holds {bad} at 7"))
        );
    }

    let side = i64::from(SIDE);
    let plain = |opset| {
        Graph::new(opset)
            .input("x", DataType::Float, &[1, 3, side, side])
            .output("y", DataType::Float)
            .node("Softmax", &["x"], &["y"], vec![Attribute::Int("axis", 1)])
    };
    let (code, error) = refused(&place, &plain(13).bytes(), &folder, &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("holds no convolution or matrix product"), "{error}");
    let (code, error) = refused(&place, &plain(6).bytes(), &folder, &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("operator set 6"), "{error}");

    let model = small(13).bytes();
    let (code, _) = refused(&place, &model[..model.len() / 2], &folder, &[]);
    assert_eq!(code, Some(2));
    let (code, error) = refused(&place, &model, &folder, &["--card", "missing.toml"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("missing.toml"), "{error}");
    let given = place.write("given.onnx", &model);
    let out = place.text("no/such/out.onnx");
    let ended = call(&["quantize", &given, "--calibrate", &folder, "-o", &out]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.error().ends_with("out.onnx: make its folder first"), "{}", ended.err);
}

/// Values that become infinite on the way are found while calibrating.
#[test]
fn activations_that_are_no_numbers_are_said() {
    let place = Place::new();
    let folder = pictures(&place);
    let side = i64::from(SIDE);
    let graph = Graph::new(13)
        .input("x", DataType::Float, &[1, 3, side, side])
        .output("y", DataType::Float)
        .floats("w", &[2, 3, 1, 1], &[3e38; 6])
        .floats("v", &[2, 2, 1, 1], &[1.0; 4])
        .node("Conv", &["x", "w"], &["a"], vec![])
        .node("Conv", &["a", "v"], &["y"], vec![]);
    let (code, error) = refused(&place, &graph.bytes(), &folder, &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("is not finite on calibration picture"), "{error}");
}
