//! Quantized networks in integers.
//!
//! Inside, every activation is i8 (u8 has its bytes and zero point moved by 128), channels last.

pub mod convolution;
pub mod depthwise;
mod direct;
pub mod kernels;
mod packing;
mod requantization;
pub mod transposed;
pub mod view;
mod winograd;

pub use requantization::{Requantize, round_half_even};

#[cfg(test)]
mod tests;
