//! segcam turns an ARM board with a camera and a screen into an offline segmentation device.
//!
//! A frame goes one way, top-down through these rooms:
//!
//! 1. [`camera`] fills a [`frame::Frame`]: pixels, sequence number, capture time.
//! 2. [`prepare`] brings it to the network's input: crop or tile, resize, colour, quantize, in
//!    integers.
//! 3. [`network`] loads an ONNX file with its card and runs it: what is quantized in integers
//!    ([`int8`]), the rest with tract.
//! 4. [`decode`] turns scores into a [`decode::LabelMap`] of the frame's size.
//! 5. [`compose`] puts frame, mask, legend and status together, row by row.
//! 6. [`display`] shows the rows.
//!
//! [`segment`] is steps 2 to 4 for one frame. [`pipeline`] runs the whole way in three threads,
//! with [`health`] saying what the screen may show: a mask only over the frame it was computed
//! from, and only while that is fresh; [`record`] keeps what was shown, [`journal`] what
//! happened. [`guard`] takes from the process what it does not need for that. [`cli`] is the
//! command line on top; [`infer`], [`evaluate`], [`bench`], [`quantize`] and [`doctor`] are its
//! other commands.
//!
//! What comes from outside (files, pipes, cameras) is checked where it comes in, and each error
//! type's message names the place, what was found, what was expected and the next step.

#![deny(unsafe_code)]

pub mod bench;
pub mod camera;
pub mod cli;
pub mod compose;
pub mod config;
mod contain;
pub mod decode;
pub mod display;
pub mod doctor;
pub mod evaluate;
pub mod files;
pub mod frame;
pub mod guard;
pub mod health;
pub mod infer;
pub mod int8;
pub mod journal;
pub mod metrics;
pub mod network;
pub mod npy;
pub mod pipeline;
pub mod prepare;
pub mod quantize;
pub mod record;
pub mod segment;
mod simd;
