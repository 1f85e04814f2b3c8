//! Colours for classes that name none.

/// The colour of class `index`, as red, green, blue: twelve well separated colours, then the
/// same ones darker, three times; from class 48 on they come again.
pub fn color(index: usize) -> [u8; 3] {
    const COLORS: [[u8; 3]; 12] = [
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
    let dim = (index / COLORS.len() % 4) as u16;
    COLORS[index % COLORS.len()].map(|channel| (u16::from(channel) * (4 - dim) / 4) as u8)
}

#[cfg(test)]
mod tests {
    use super::color;

    #[test]
    fn forty_eight_colors_differ_and_then_come_again() {
        let colors: std::collections::BTreeSet<_> = (0..48).map(color).collect();
        assert_eq!(colors.len(), 48);
        assert_eq!(color(12), [0xac, 0x12, 0x38]);
        assert_eq!(color(48), color(0));
    }
}
