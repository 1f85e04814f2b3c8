//! An ONNX file is inspected, loaded as a network for pictures, and labels a grey one when it is
//! small.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use segcam::network::load::OpenInput;
use segcam::network::model::{Model, ModelArguments, open};
use segcam::network::{inspect, memory, proto};
use segcam::segment::Segmenter;
use segcam_fuzz::{graphs, scratch};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tract_onnx::pb::ModelProto;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();
/// A network may be as slow as it likes; these are fast.
const MACS: u64 = 10 << 20;
const READS: u64 = 100 << 20;

fuzz_target!(init: FOLDER.get_or_init(scratch), |bytes: &[u8]| {
    let Ok(model) = proto::parse("m.onnx", bytes) else { return };
    let resolve =
        |input: &OpenInput| Ok(input.shape.iter().map(|dim| dim.unwrap_or(16)).collect());
    let report = inspect::inspect("m.onnx", &model, &resolve);
    assert!(!report.to_string().is_empty());
    let path = FOLDER.get_or_init(scratch).join("m.onnx");
    std::fs::write(&path, bytes).expect("/dev/shm has room");
    let named = ModelArguments {
        model: path.display().to_string(),
        set: vec!["input.size=[16,16]".to_owned()],
        threads: 1,
        memory: Some(256 << 20),
        labels: true,
        ..ModelArguments::default()
    };
    match open(&named) {
        Ok(network) if is_fast(&network, &model, report.macs) => {
            let _ = Segmenter::checked(Arc::new(network));
        }
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = (!seed.is_multiple_of(4)).then(|| graphs::mutate(&data[..size], seed)).flatten();
    match changed {
        Some(bytes) if bytes.len() <= max_size => {
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});

fn is_fast(network: &Model, model: &ModelProto, macs: u64) -> bool {
    let attributes = model.graph.iter().flat_map(|graph| &graph.node).flat_map(|n| &n.attribute);
    let windows = attributes.filter(|attribute| attribute.name == "kernel_shape");
    let longest = windows.map(|window| window.ints.iter().product::<i64>()).max().unwrap_or(1);
    let reads = memory::values(network.network.plan.model()).saturating_mul(longest as u64);
    macs <= MACS && reads <= READS
}
