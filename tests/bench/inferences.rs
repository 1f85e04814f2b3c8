//! Makes inferences with a bare network and calls getppid(2) around each: the marks between which
//! `tests/bench/arm.sh` counts instructions. As for `segcam run`, the scores may come as bytes of
//! the same order.
//!
//!     inferences MODEL

use segcam::int8::kernels::Kernels;
use segcam::network::model::{ModelArguments, open};
use segcam::network::plan::Session;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = std::env::args().nth(1).ok_or("the model's path is missing")?;
    let named = ModelArguments { model, threads: 1, labels: true, ..ModelArguments::default() };
    let model = open(&named)?;
    let mut session = Session::new(&model.network)?;
    for _ in 0..3 {
        std::hint::black_box(std::os::unix::process::parent_id());
        session.run()?;
    }
    std::hint::black_box(std::os::unix::process::parent_id());
    println!("{}", Kernels::detect()?.name());
    Ok(())
}
