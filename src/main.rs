fn main() {
    println!("segcam");
}
