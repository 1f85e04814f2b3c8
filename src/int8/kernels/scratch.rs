//! Bytes seen as other numbers: scratch memory is bytes to whoever holds it, and numbers to whoever works in it.
#![allow(unsafe_code)]

/// Types without invalid bit patterns.
pub trait Number: Copy {}
impl Number for u8 {}
impl Number for i8 {}
impl Number for i16 {}
impl Number for i32 {}

/// Cuts `count` numbers off the front of `scratch`, at a cache line; count `size_of_val` of them
/// and [`SLACK`] bytes. Panics if the scratch is too short.
pub fn split<T: Number>(scratch: &mut [u8], count: usize) -> (&mut [T], &mut [u8]) {
    let skip = scratch.as_ptr().align_offset(SLACK);
    let (numbers, rest) = scratch[skip..].split_at_mut(count * size_of::<T>());
    // SAFETY: every bit pattern is a number.
    let (_, numbers, _) = unsafe { numbers.align_to_mut() };
    assert_eq!(numbers.len(), count);
    (numbers, rest)
}

/// The same bytes, unsigned.
pub fn unsigned(bytes: &[i8]) -> &[u8] {
    // SAFETY: both are single bytes, and every bit pattern is a number.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// What alignment may cost each [`split`].
pub const SLACK: usize = 64;
