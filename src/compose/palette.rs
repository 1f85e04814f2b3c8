//! Colours for classes that name none.

/// The colour of class `index`: hues a golden angle apart, so that neighbours differ.
pub fn color(index: usize) -> [u8; 3] {
    // Twelve well separated sector hues, then the same again darker.
    const HUES: [[u8; 3]; 12] = [
        [0xe6, 0x19, 0x4b],
        [0x3c, 0xb4, 0x4b],
        [0x43, 0x63, 0xd8],
        [0xff, 0xe1, 0x19],
        [0xf5, 0x82, 0x31],
        [0x91, 0x1e, 0xb4],
        [0x42, 0xd4, 0xf4],
        [0xf0, 0x32, 0xe6],
        [0xbf, 0xef, 0x45],
        [0xfa, 0xbe, 0xd4],
        [0x46, 0x99, 0x90],
        [0x9a, 0x63, 0x24],
    ];
    let hue = HUES[index % HUES.len()];
    let dim = (index / HUES.len() % 4) as u16;
    hue.map(|channel| (u16::from(channel) * (4 - dim) / 4) as u8)
}
