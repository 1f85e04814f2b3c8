//! segcam from outside: the program as its users call it, on files made here.

mod cuts;
mod eval;
mod field;
mod guard;
mod hostile;
mod infer;
mod integers;
mod messages;
mod networks;
mod onnx;
mod program;
mod qoperator;
mod quantize;
mod record;
mod run;
mod soak;
mod strange;
mod tiles;
mod zoo;
