use crate::board::{Board, Kit, Machine};
use crate::screens::frame;

#[test]
#[ignore = "boots a board: tests/qemu/run"]
fn lab() {
    let mut kit = Kit::new()
        .modules(&["virtio_pci", "virtio_gpu", "vivid"])
        .with("n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1");
    kit.add("bin/grab", &std::fs::read("/tmp/wt/qemu-arm/aarch64-unknown-linux-gnu/release/grab").unwrap());
    let all = [("yuyv", "YUYV"), ("nv12", "NV12"), ("rgb24", "RGB3"), ("grey", "GREY")];
    for (ours, _) in all {
        for (w, h) in [(640, 480), (1280, 720)] {
            kit.add(&format!("frames/{ours}-{w}"), &frame(ours, w, h, 3).data);
        }
    }
    let mut board = Board::boot("vivid", Machine::Virt { card: "virtio-gpu-pci,xres=800,yres=480" }, kit);
    println!("{}", board.run("ls -l /dev/video*; cat /sys/class/video4linux/*/name"));
    for (ours, cc) in all {
        for (w, h) in [(640, 480), (1280, 720)] {
            println!("== {ours} {w}");
            println!("{}", board.run(&format!("guest feed {cc} {w} {h} /frames/{ours}-{w} >/tmp/feed 2>&1 &")));
            println!("{:?}", board.attempt(&format!("sleep 1; cat /tmp/feed; timeout 15 grab {cc} {w} {h} /frames/{ours}-{w}; cat /tmp/feed")));
            println!("{:?}", board.attempt("kill %1; kill $!; sleep 0.3"));
        }
    }
    println!("{:?}", board.attempt("guest set nothing 1"));
    println!("{:?}", board.attempt("dmesg | tail -20"));
}
