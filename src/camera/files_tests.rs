//! Whole, odd and hostile files.

use super::super::{Wanted, open};
use super::*;
use crate::frame::{Matrix, Range};
use fastrand::Rng;
use std::io::Write;

const LONG: Duration = Duration::from_secs(10);

fn frame() -> Frame {
    Frame::new(Layout::packed(PixelFormat::Rgb, 1, 1).unwrap())
}

fn photo(width: u32, height: u32, grey: bool) -> DynamicImage {
    let level = |x: u32, y: u32| ((x * 23) ^ (y * 41)) as u8;
    if grey {
        image::GrayImage::from_fn(width, height, |x, y| image::Luma([level(x, y)])).into()
    } else {
        let pixel = |x, y| image::Rgb([level(x, y), level(y, x), (x * 7) as u8]);
        image::RgbImage::from_fn(width, height, pixel).into()
    }
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn clip(header: &str, frames: usize, bytes: usize) -> Vec<u8> {
    let mut clip = format!("YUV4MPEG2 {header}\n").into_bytes();
    for n in 0..frames {
        clip.extend_from_slice(b"FRAME\n");
        clip.extend((0..bytes).map(|at| (at * 5 + n) as u8));
    }
    clip
}

/// Writes a file and gives its URI.
fn save(directory: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = directory.path().join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    format!("file:{}", path.display())
}

/// Reads to the end: how many frames came, or the error.
fn read_all(uri: &str) -> Result<u64, String> {
    let mut camera = open(uri, Wanted::default()).map_err(|error| error.to_string())?;
    let mut frame = frame();
    let mut count = 0;
    loop {
        match camera.read(&mut frame, LONG).map_err(|error| error.to_string())? {
            Arrival::Frame => assert!(frame.is_whole() && frame.sequence == count),
            Arrival::End => return Ok(count),
            Arrival::Timeout => panic!("a file waits for its reader"),
        }
        count += 1;
    }
}

#[test]
fn a_scan_of_one_component_of_odd_sampling_is_an_error() {
    let error = decode(&super::super::mjpeg::odd_scan(), "a.jpg", &mut frame()).unwrap_err();
    // On ARM the decoder notices it itself.
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn pictures_keep_their_pixels_and_only_grey_ones_are_grey() {
    let directory = tempfile::tempdir().unwrap();
    for (width, height) in [(1, 1), (7, 5), (16, 16)] {
        for grey in [true, false] {
            let picture = photo(width, height, grey);
            let uri = save(&directory, "a.png", &encoded(&picture, ImageFormat::Png));
            let (mut camera, mut frame) = (open(&uri, Wanted::default()).unwrap(), frame());
            assert!(!camera.is_live());
            assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
            let format = if grey { PixelFormat::Grey } else { PixelFormat::Rgb };
            assert_eq!(frame.layout, Layout::packed(format, width, height).unwrap());
            assert_eq!(frame.data[..], *picture.as_bytes());
            assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::End);
        }
    }
    let picture = DynamicImage::from(photo(6, 4, false).to_rgba16());
    let uri = save(&directory, "deep.png", &encoded(&picture, ImageFormat::Png));
    let (mut camera, mut frame) = (open(&uri, Wanted::default()).unwrap(), frame());
    camera.read(&mut frame, LONG).unwrap();
    assert_eq!(frame.data[..], *photo(6, 4, false).as_bytes());
    let uri = save(&directory, "b.jpg", &encoded(&photo(9, 7, false), ImageFormat::Jpeg));
    assert_eq!(read_all(&uri), Ok(1));
}

#[test]
fn a_directory_is_read_in_the_order_of_names_and_names_what_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("file:{}", directory.path().display());
    assert!(
        read_all(&uri).unwrap_err().contains("holds no pictures; expected files that end in .png")
    );
    for (name, width) in [("b10.png", 3), ("b2.PNG", 4), ("a.jpeg", 5), ("C.jpg", 6)] {
        let format = if name.contains('j') { ImageFormat::Jpeg } else { ImageFormat::Png };
        save(&directory, name, &encoded(&photo(width, 2, false), format));
    }
    save(&directory, "notes.txt", b"not a picture");
    let (mut camera, mut frame) =
        (open(&format!("{uri}?loop"), Wanted::default()).unwrap(), frame());
    let widths: Vec<u32> = (0..6)
        .map(|n| {
            assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
            assert_eq!(frame.sequence, n);
            frame.width()
        })
        .collect();
    assert_eq!(widths, [6, 5, 3, 4, 6, 5]);
    let mut camera = open(&uri, Wanted::default()).unwrap();
    save(&directory, "a.jpeg", b"oops");
    std::fs::remove_file(directory.path().join("b10.png")).unwrap();
    assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
    let broken = camera.read(&mut frame, LONG).unwrap_err().to_string();
    assert!(
        broken.contains("a.jpeg: begins with the bytes 6f 6f 70 73; expected a picture"),
        "{broken}"
    );
    let gone = camera.read(&mut frame, LONG).unwrap_err().to_string();
    assert!(
        gone.contains("b10.png: cannot be read: ") && gone.contains("check the path"),
        "{gone}"
    );
    assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
    assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::End);
}

#[test]
fn clips_of_every_layout_and_odd_sizes_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let read = |header: &str, bytes: usize, parameters: &str| {
        let uri = save(&directory, "a.y4m", &clip(header, 2, bytes)) + parameters;
        assert_eq!(read_all(&uri), Ok(2), "{header}");
        let (mut camera, mut frame) = (open(&uri, Wanted::default()).unwrap(), frame());
        camera.read(&mut frame, LONG).unwrap();
        frame
    };
    let raw: Vec<u8> = (0..=255).map(|at| (at * 5) as u8).collect();
    for colours in ["", " C420", " C420jpeg", " C420mpeg2", " C420paldv"] {
        let frame = read(&format!("W5 H3 F30:1{colours}"), 15 + 12, "");
        assert_eq!(frame.layout, Layout::packed(PixelFormat::I420, 5, 3).unwrap());
        assert_eq!(frame.data[..], raw[..27]);
    }
    // Y 0 5 10, 15 20 25; Cb from 30, Cr from 50.
    let frame = read("W3 H2 F30:1 C422", 6 + 8, "");
    let yuyv = [0, 30, 5, 50, 10, 35, 10, 55, 15, 40, 20, 60, 25, 45, 25, 65];
    assert_eq!((frame.layout.format, &frame.data[..]), (PixelFormat::Yuyv, &yuyv[..]));
    // Cb 30 35 40, 45 …; Cr 60 65 70, …
    let frame = read("W3 H2 F30:1 C444", 18, "");
    assert_eq!(frame.data[..8], [0, 33, 5, 63, 10, 40, 10, 70]);
    let frame = read("W8 H8 F30:1 Cmono", 64, "");
    assert_eq!((frame.layout.format, frame.data[3], frame.data[10]), (PixelFormat::Grey, 0, 40));
    assert_eq!(frame.data[47], 255);
    assert_eq!(read("W8 H8 F30:1 Cmono", 64, "?range=full").data[..], raw[..64]);
    assert_eq!(read("W2 H720 F25:1", 2160, "").layout.encoding.matrix, Matrix::Bt709);
    assert_eq!(read("W2 H720 F25:1", 2160, "?matrix=601").layout.encoding.matrix, Matrix::Bt601);
    assert_eq!(read("W2 H2 F25:1 XCOLORRANGE=FULL", 6, "").layout.encoding.range, Range::Full);
}

#[test]
fn clips_loop_and_play_live() {
    let directory = tempfile::tempdir().unwrap();
    let uri = save(&directory, "a.y4m", &clip("W4 H4 F5:1", 3, 24));
    let (mut camera, mut frame) =
        (open(&format!("{uri}?loop"), Wanted::default()).unwrap(), frame());
    for n in 0..7 {
        assert_eq!(camera.read(&mut frame, LONG).unwrap(), Arrival::Frame);
        assert_eq!((frame.sequence, u64::from(frame.data[0])), (n, n % 3));
    }
    let mut camera = open(&format!("{uri}?loop&fps"), Wanted::default()).unwrap();
    assert!(camera.is_live());
    camera.read(&mut frame, LONG).unwrap();
    assert_eq!(camera.read(&mut frame, Duration::ZERO).unwrap(), Arrival::Timeout);
    std::thread::sleep(Duration::from_millis(450));
    camera.read(&mut frame, LONG).unwrap();
    assert!(frame.sequence >= 2);
    assert_eq!(u64::from(frame.data[0]), frame.sequence % 3);
}

#[test]
fn what_cannot_be_read_is_said_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let error = |name: &str, bytes: &[u8]| read_all(&save(&directory, name, bytes)).unwrap_err();
    assert!(error("empty.png", b"").contains("empty.png: is empty; expected a picture"));
    assert!(error("a.gif", b"GIF89a").contains("begins with the bytes 47 49 46 38"));
    assert!(read_all("file:/nowhere/a.png").unwrap_err().contains("check the path"));
    assert!(read_all("file:/dev/zero").unwrap_err().contains("is not a regular file"));
    for (header, message) in [
        ("W0 H4 F25:1", "gives the width as 0; expected 1 to 16384"),
        ("W4 H100000 F25:1", "gives the height as 100000; expected"),
        ("W99999999999999999999 H4 F25:1", "gives the width as 99999999999999999999"),
        ("W16384 H16384 F25:1", "16384x16384 pixels cannot be taken"),
        ("W16384 H16384 F25:1 Cmono", "16384x16384 pixels cannot be taken"),
        ("W4 F25:1", "is not that of a Y4M clip"),
        ("W4 H4 F25:1 C411", "colour space is 411; those read are 420"),
        ("W4 H4 F25:1 C420p10", "8 bits"),
        ("W4 H4 F25:0 C444p12", "8 bits"),
        ("W4 H4 F25:1", "holds no frames"),
    ] {
        let found = error("a.y4m", &clip(header, 0, 0));
        assert!(found.contains("a.y4m") && found.contains(message), "{header}: {found}");
    }
    let cut = clip("W4 H4 F25:1", 2, 24);
    let found = error("a.y4m", &cut[..cut.len() - 1]);
    assert!(found.contains("frame 1 is cut short after 29 bytes"), "{found}");
    let uri = save(&directory, "a.png", &encoded(&photo(4, 4, false), ImageFormat::Png));
    assert!(read_all(&(uri.clone() + "?range=full")).unwrap_err().contains("unknown parameter"));
    assert!(read_all(&(uri + "?fps")).unwrap_err().contains("only clips have a rate"));
}

#[test]
fn sizes_in_a_png_header_are_checked_before_memory_is_taken() {
    for (width, height) in [(0u32, 4u32), (100_000, 100_000), (16_384, 16_384), (u32::MAX, 1)] {
        let mut bytes = encoded(&photo(4, 4, false), ImageFormat::Png);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let mut result = Ok(());
        let found = allocation_counter::measure(|| result = decode(&bytes, "a.png", &mut frame()));
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("a.png: "), "{error}");
        assert!(found.bytes_max < 1 << 20, "{width}x{height}: {} bytes", found.bytes_max);
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// Files cut short are refused unless nothing of the picture is missing.
#[test]
fn every_cut_ends_in_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let picture = photo(24, 20, false);
    let files = [
        ("a.png", encoded(&picture, ImageFormat::Png)),
        ("a.jpg", encoded(&picture, ImageFormat::Jpeg)),
        ("a.y4m", clip("W24 H20 F25:1", 3, 720)),
    ];
    for (name, bytes) in files {
        for part in 0..64 {
            let cut = bytes.len() * part / 64;
            let result = read_all(&save(&directory, name, &bytes[..cut]));
            // The checksum and the end chunk of a PNG are not of the picture.
            let complete = name == "a.png" && cut + 24 >= bytes.len();
            match result {
                Err(error) => assert!(error.contains(name) && error.len() < 400, "{error}"),
                Ok(_) => assert!(complete, "{name} cut at {cut} was taken"),
            }
        }
    }
}

#[test]
fn flipped_bits_never_panic_nor_take_much_memory() {
    let picture = photo(24, 20, false);
    let directory = tempfile::tempdir().unwrap();
    let mut random = Rng::with_seed(1);
    let mut flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for _ in 0..random.usize(1..4) {
            let bit = random.usize(0..8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        bytes
    };
    let mut greyscale = frame();
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let whole = encoded(&picture, format);
        let mut refused = 0;
        for _ in 0..2000 {
            let bytes = flip(&whole);
            let found = allocation_counter::measure(|| {
                if let Err(error) = decode(&bytes, "a", &mut greyscale) {
                    refused += 1;
                    assert!(error.to_string().len() < 400, "{error}");
                }
            });
            assert!(found.bytes_max < 9 * MAX_PIXELS, "{} bytes", found.bytes_max);
        }
        assert!(refused > 100, "{format:?}: only {refused} refused");
    }
    let whole = clip("W24 H20 F25:1 C420jpeg", 2, 720);
    for _ in 0..2000 {
        // The header and the frame marks more often than the samples.
        let mut bytes = flip(&whole[..48]);
        bytes.extend_from_slice(&whole[48..]);
        if let Err(error) = read_all(&save(&directory, "a.y4m", &bytes)) {
            assert!(error.contains("a.y4m"), "{error}");
        }
    }
}
