//! The bytes of a frame: its own, or lent by a camera.

use std::fmt::{self, Debug, Formatter};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A buffer that a camera lends. It may fill it again once nobody else holds the [`Arc`].
pub type Loan = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Bytes to be read as a slice. Writing to lent ones copies them first, as a `Cow` does; the
/// own allocation is kept while others are lent, so that neither costs one in the long run.
#[derive(Clone, Default)]
pub struct Pixels {
    own: Vec<u8>,
    /// Takes the place of `own`, as far as so many bytes.
    lent: Option<(Loan, usize)>,
}

impl Pixels {
    /// Shows the first `length` bytes of a camera's buffer, or all when there are fewer.
    pub fn lend(&mut self, buffer: Loan, length: usize) {
        let length = length.min((*buffer).as_ref().len());
        self.lent = Some((buffer, length));
    }

    /// Gives a lent buffer back. What is left means nothing.
    pub fn give_back(&mut self) {
        self.lent = None;
    }

    /// The own buffer, to be filled; a lent one is given back.
    pub fn own(&mut self) -> &mut Vec<u8> {
        self.lent = None;
        &mut self.own
    }

    /// Shortens to `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        match &mut self.lent {
            Some((_, lent)) => *lent = length.min(*lent),
            None => self.own.truncate(length),
        }
    }
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.lent {
            Some((buffer, length)) => &(**buffer).as_ref()[..*length],
            None => &self.own,
        }
    }
}

impl DerefMut for Pixels {
    fn deref_mut(&mut self) -> &mut [u8] {
        if let Some((buffer, length)) = self.lent.take() {
            self.own.clear();
            self.own.extend_from_slice(&(*buffer).as_ref()[..length]);
        }
        &mut self.own
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(own: Vec<u8>) -> Pixels {
        Pixels { own, lent: None }
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Pixels) -> bool {
        **self == **other
    }
}

impl Debug for Pixels {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let whose = if self.lent.is_some() { "lent" } else { "own" };
        write!(f, "{} bytes, {whose}", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_bytes_are_read_in_place_and_copied_when_written() {
        let buffer = Arc::new([1, 2, 3, 4]);
        let mut pixels = Pixels::from(vec![9; 8]);
        pixels.lend(buffer.clone(), 3);
        assert_eq!(pixels[..], [1, 2, 3]);
        assert_eq!(pixels.as_ptr(), buffer.as_ptr());
        assert_eq!(Arc::strong_count(&buffer), 2);
        pixels[0] = 7;
        assert_eq!((&pixels[..], buffer[0]), (&[7, 2, 3][..], 1));
        assert_eq!(Arc::strong_count(&buffer), 1);
    }

    #[test]
    fn a_loan_ends_and_the_own_buffer_is_still_there() {
        let buffer = Arc::new([1, 2, 3, 4]);
        let mut pixels = Pixels::from(vec![9; 8]);
        pixels.lend(buffer.clone(), 9);
        assert_eq!(pixels.len(), 4);
        pixels.truncate(2);
        assert_eq!(pixels[..], [1, 2]);
        pixels.give_back();
        assert_eq!((pixels.len(), Arc::strong_count(&buffer)), (8, 1));
        pixels.lend(buffer.clone(), 4);
        assert_eq!(pixels.own().len(), 8);
        assert_eq!(Arc::strong_count(&buffer), 1);
    }
}
