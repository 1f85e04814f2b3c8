//! What the targets share.

pub mod graphs;

use segcam::network::model::ModelArguments;
use std::path::{Path, PathBuf};

/// Labels 16x16 pixels with three classes; seeds.py makes it.
const TINY: &[u8] = include_bytes!("../tiny.onnx");

/// A folder of this process's own, in memory. Those of ended processes are removed.
pub fn scratch() -> PathBuf {
    const NAME: &str = "segcam-fuzz-";
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(NAME));
        if owner.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = PathBuf::from(format!("/dev/shm/{NAME}{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("/dev/shm can be written to");
    folder
}

/// The tiny network, with keys of its card.
pub fn tiny(folder: &Path, set: &[&str]) -> ModelArguments {
    let path = folder.join("tiny.onnx");
    std::fs::write(&path, TINY).expect("/dev/shm has room");
    ModelArguments {
        model: path.display().to_string(),
        set: set.iter().map(|pair| pair.to_string()).collect(),
        threads: 1,
        labels: true,
        ..ModelArguments::default()
    }
}
