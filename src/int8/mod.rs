//! Quantized networks in integers.
//!
//! Inside, every activation is i8 (u8 has its bytes and zero point moved by 128), channels last.

pub mod kernels;
mod requantization;
pub mod view;

pub use requantization::{Requantize, round_half_even};
