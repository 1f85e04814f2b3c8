//! Quantized networks in integers.
//!
//! Inside, every activation is i8 (u8 has its bytes and zero point moved by 128), channels last.
//! The graph passes (`network::lower`) write a [`draft`]; [`program`] plans its memory
//! ([`arena`]), packs its weights and runs it, rows split over threads ([`rows`]).
//!
//! Operators: [`convolution`] (direct or [`winograd`]), [`depthwise`], [`transposed`], [`pool`],
//! [`elementwise`], [`table`], [`resize`], [`argmax`], [`movement`], and [`border`] to and from
//! the tensors outside. The inner loops of the convolutions are the [`kernels`], one file an
//! instruction set.

mod arena;
pub mod argmax;
pub mod border;
pub mod convolution;
pub mod coordinates;
pub mod depthwise;
mod direct;
pub mod draft;
pub mod elementwise;
pub mod kernels;
pub mod movement;
mod packing;
pub mod pool;
pub mod program;
mod requantization;
pub mod resize;
mod rows;
mod step;
pub mod table;
pub mod transposed;
pub mod view;
mod winograd;

pub use requantization::{Quantization, Requantize, round_half_even};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
