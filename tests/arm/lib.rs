//! The integer kernels, without the rest of segcam.
#![deny(unsafe_code)]

#[path = "../../src/int8/mod.rs"]
pub mod int8;
#[path = "../../src/simd.rs"]
pub mod simd;
