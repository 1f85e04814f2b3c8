//! segcam: camera frames in, segmentation maps on the screen.

#![deny(unsafe_code)]

pub mod atomic;
pub mod bench;
pub mod camera;
pub mod cli;
pub mod compose;
pub mod config;
pub mod decode;
pub mod display;
pub mod doctor;
pub mod evaluate;
pub mod frame;
pub mod health;
pub mod infer;
pub mod network;
pub mod npy;
pub mod pipeline;
pub mod prepare;
pub mod segment;
