//! Quantized networks in integers.
//!
//! Inside, every activation is i8 (u8 has its bytes and zero point moved by 128), channels last.

pub mod argmax;
pub mod coordinates;
pub mod elementwise;
pub mod kernels;
pub mod pool;
mod requantization;
pub mod resize;
pub mod table;
#[cfg(test)]
mod testing;
pub mod view;

pub use requantization::{Quantization, Requantize, round_half_even};
