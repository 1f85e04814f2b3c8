//! Operators of our own: those tract lacks, and those where it differs from ONNX.

mod bilinear;
mod conv_transpose;
mod max_unpool;
mod pad;
mod quantize;
pub mod region;
mod upsample;

pub use bilinear::replace as replace_resize;
use tract_onnx::Onnx;

/// tract's ONNX reader with our operators in it.
pub fn reader() -> Onnx {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    quantize::register(&mut onnx.op_register);
    upsample::register(&mut onnx.op_register);
    max_unpool::register(&mut onnx.op_register);
    conv_transpose::register(&mut onnx.op_register);
    pad::register(&mut onnx.op_register);
    onnx
}
