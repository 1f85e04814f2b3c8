//! Scores -> [`LabelMap`].

/// Not labelled: outside of what the network saw.
pub const UNLABELLED: u8 = 255;

/// A class id for each pixel of the frame it was computed from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMap {
    pub width: u32,
    pub height: u32,
    /// `width * height` ids, row by row; [`UNLABELLED`] where the network saw nothing.
    pub ids: Vec<u8>,
}

impl LabelMap {
    /// Takes a size, keeping the allocation, with all pixels unlabelled.
    pub fn reset(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        self.ids.clear();
        self.ids.resize(width as usize * height as usize, UNLABELLED);
    }

    pub fn row(&self, y: u32) -> &[u8] {
        let width = self.width as usize;
        &self.ids[y as usize * width..][..width]
    }
}
