//! Segments that somebody wrote to do harm.

use super::format::{HEAD, Head, Kind};
use super::name;
use super::tests::{Found, parts, read, read_bytes};
use allocation_counter::measure;
use serde_json::json;
use std::time::{Duration, Instant};

/// Writes a frame whose checksums are right, whatever its parts are.
fn forged(lengths: [u32; 3], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    bytes[..8].copy_from_slice(&Kind::Frame.mark());
    bytes[12..16].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    for (at, length) in [24, 28, 32].into_iter().zip(lengths) {
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    let checksum = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn hostile_bytes_end_in_a_verdict() {
    let mut random = fastrand::Rng::with_seed(5);
    let parts = parts(3);
    let whole = parts.concat();
    for _ in 0..1500 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] ^= 1 << random.u8(..8),
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.splice(at..at, whole[at.min(whole.len() - 1)..].iter().copied())),
                _ => bytes[at] = random.u8(..),
            }
        }
        let found = read_bytes(&bytes);
        assert!(found.frames.len() <= 3 * 6 && found.torn <= bytes.len() as u64);
    }
    // Inside checksums that vouch for it: lines, sizes and streams of any content.
    let frame = &parts[2];
    let head = Head::parse(frame.first_chunk().unwrap()).unwrap();
    for _ in 0..1500 {
        let mut payload = frame[HEAD..].to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..payload.len());
            payload[at] = if random.bool() { random.u8(..) } else { random.u8(b' '..b'~') };
        }
        let mut lengths = head.lengths.map(|length| length as u32);
        if random.u8(..4) == 0 {
            lengths[random.usize(..3)] = random.u32(..) >> random.u8(..32);
        }
        let found = read_bytes(&[&forged(lengths, &payload)[..], frame].concat());
        assert!(found.frames.len() + found.damages.len() <= 3);
    }
}

#[test]
fn large_claims_cost_no_memory() {
    let claim = |width: u32, height: u32, stored: &[u8]| {
        let picture = json!({"format": "grey", "width": width, "height": height, "stride": width, "matrix": "601", "range": "full"});
        let line =
            json!({"frame": 0, "captured_ms": 0.0, "time_ms": 0, "skipped": 0, "picture": picture});
        let line = line.to_string().into_bytes();
        forged([line.len() as u32, stored.len() as u32, 0], &[&line[..], stored].concat())
    };
    let mut bomb = Vec::new();
    let mut compressor = fdeflate::Compressor::new(&mut bomb).unwrap();
    compressor.write_data(&vec![0; 1 << 20]).unwrap();
    compressor.finish().unwrap();
    // More than there is of it; more than deflate could make of it; more than fits its size.
    let none = forged([0, 200 << 20, 0], b"");
    let least = 1 << 20;
    for (bytes, most) in [
        (none, least),
        (claim(8192, 8192, &bomb), least),
        (claim(16_384, 16_384, &bomb), least),
        (claim(64, 64, &bomb), least),
        (claim(1024, 1024, &bomb[..bomb.len() - 9]), 3 << 20),
        (forged([u32::MAX; 3], b""), least),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name(1)), &bytes).unwrap();
        let mut found = Found::default();
        let heap = measure(|| found = read(folder.path()));
        assert!(found.frames.is_empty() && heap.bytes_max <= most, "{heap:?} {found:?}");
    }
    // A deep line, a line that is no text, one of all brackets.
    for line in [vec![b'['; 60_000], vec![0xff; 100], b"{\"frame\":1e999}".to_vec()] {
        let found = read_bytes(&forged([line.len() as u32, 0, 0], &line));
        assert_eq!((found.frames.len(), found.damages.len()), (0, 1));
    }
}

#[test]
fn heads_without_end_are_read_in_linear_time() {
    let begin = Instant::now();
    // Each claims most of the file, with a wrong payload.
    let mut flood = Vec::new();
    while flood.len() < 4 << 20 {
        let mut head = forged([0, 3 << 20, 0], b"");
        head[12] ^= 1;
        let checksum = crc32fast::hash(&head[12..]);
        head[8..12].copy_from_slice(&checksum.to_le_bytes());
        flood.extend(head);
    }
    let found = read_bytes(&flood);
    assert_eq!((found.frames.len(), found.torn), (0, flood.len() as u64));
    let marks = Kind::Frame.mark().repeat(1 << 19);
    assert_eq!(read_bytes(&marks).torn, 4 << 20);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}
