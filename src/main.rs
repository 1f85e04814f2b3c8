fn main() { println!("segcam"); }
