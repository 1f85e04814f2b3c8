//! Where the values of an activation lie.

/// A picture of bytes inside a larger buffer, channels last: element (y, x, c) is
/// `data[y * row_pitch + x * pixel_pitch + c]`. The pitches may leave room between rows and
/// pixels, since a value can be a slice of a concatenation. All numbers count elements.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    pub data: &'a [i8],
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub row_pitch: usize,
    pub pixel_pitch: usize,
}

/// The same, to be written.
#[derive(Debug)]
pub struct PictureMut<'a> {
    pub data: &'a mut [i8],
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub row_pitch: usize,
    pub pixel_pitch: usize,
}
