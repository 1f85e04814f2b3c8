//! ONNX file + card -> a network that runs.
//!
//! [`model`] resolves what the user named (a folder, an ONNX file, the built-in one) and checks
//! card against network. [`proto`] checks the file's bytes, [`qdq`] brings quantized graphs to one
//! form, and [`load`] makes tract's plan, its [`shapes`] checked: [`lower`] finds what runs in
//! integers, our own operators ([`ops`]) stand where tract lacks one or differs from ONNX. [`plan`]
//! runs it, [`memory`] knows what that takes, [`inspect`] tells about it, [`receptive`] finds what
//! tiles need to know.

pub mod inspect;
pub mod load;
pub mod lower;
pub mod memory;
pub mod model;
pub mod ops;
pub mod plan;
pub mod proto;
pub(crate) mod qdq;
pub mod receptive;
mod shapes;
pub mod specs;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum NetworkError {
    #[error(
        "{path}: cannot be read: {cause}; check the path (a model is a folder with a model.toml, or an .onnx file)"
    )]
    Read { path: String, cause: std::io::Error },
    #[error("{path}: {message}")]
    File { path: String, message: String },
    #[error(
        "{path}: node \"{node}\": operator {operator} (domain {domain}, operator set {opset}) is not supported; {hint}"
    )]
    Operator {
        path: String,
        node: String,
        operator: String,
        domain: String,
        opset: i64,
        hint: &'static str,
    },
    #[error("{path}: {place}: {cause}")]
    Graph { path: String, place: String, cause: String },
    #[error(
        "{path}: would take {found} MB for its largest values; at most {limit} MB are allowed. Use a smaller input size"
    )]
    Memory { path: String, found: u64, limit: u64 },
    #[error(
        "{path}: needs {found} MB to run; the board allows it {limit} (memory_mb). Use a smaller or a quantized network, or a smaller input size"
    )]
    Budget { path: String, found: u64, limit: u64 },
    #[error("{path}: {field}: found {found}, expected {expected}")]
    Card { path: String, field: String, found: String, expected: String },
    #[error("input {index} \"{name}\": found {found}, expected {expected}")]
    Input { index: usize, name: String, found: String, expected: String },
    #[error("{0}")]
    Kernels(#[from] crate::int8::kernels::UnknownKernels),
    #[error("no {0} threads to be had: {1}; take fewer")]
    Threads(usize, rayon::ThreadPoolBuildError),
    #[error("the network failed while running: {0}")]
    Run(String),
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
}
