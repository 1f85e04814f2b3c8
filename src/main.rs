use segcam::network::{load, proto};
use std::path::Path;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let t = segcam::npy::read(Path::new(&a[2])).unwrap();
    let bytes = proto::read(Path::new(&a[1])).unwrap();
    let p = match proto::parse(&a[1], &bytes) {
        Ok(p) => p,
        Err(e) => {
            eprintln!("{e}");
            return;
        }
    };
    let resolve = |_i: &load::OpenInput| Ok(t.shape().to_vec());
    println!("{:?}", segcam::network::receptive::receptive_field(&p, 0));
    let s = std::time::Instant::now();
    let n = match load::load(&a[1], p.clone(), &resolve) {
        Ok(n) => n,
        Err(e) => {
            eprintln!("{e}");
            return;
        }
    };
    println!("load {:?}", s.elapsed());
    if a.len() > 4 {
        println!("{}", segcam::network::inspect::inspect(&a[1], &p, &resolve));
    }
    let mut s = segcam::network::plan::Session::new(&n).unwrap();
    *s.input(0) = t;
    for _ in 0..3 {
        let i = std::time::Instant::now();
        let o = s.run();
        println!("{:?} {:?}", i.elapsed(), o.as_ref().map(|o| o.len()));
        for (i, o) in o.unwrap().iter().enumerate() {
            std::fs::write(format!("{}.{i}.npy", a[3]), segcam::npy::to_bytes(o).unwrap()).unwrap();
        }
    }
}
