//! Frame and labels -> picture.

pub mod palette;
