//! segcam: camera frames in, segmentation maps on the screen.

#![deny(unsafe_code)]

pub mod atomic;
pub mod camera;
pub mod compose;
pub mod config;
pub mod decode;
pub mod display;
pub mod frame;
pub mod prepare;
