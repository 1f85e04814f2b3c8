//! The memory of a driver's buffers, mapped to be read in place.

#![allow(unsafe_code)]

use rustix::io::{Errno, Result};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::os::fd::AsFd;
use std::ptr::NonNull;

/// The largest buffer that is mapped: 8K RGB of 4 bytes a pixel, and a half.
const MAX_BYTES: u32 = 200 << 20;

/// A buffer's memory; lives until the last [`Arc`](std::sync::Arc) to it goes, also when its
/// device is closed or gone. The driver writes into it while it is queued: whoever shares it
/// must hold it out of the queue.
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to no thread and is only read.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes of a device's memory at the `offset` that it told.
    pub fn new(device: impl AsFd, offset: u32, length: u32) -> Result<Mapping> {
        if length == 0 || length > MAX_BYTES {
            return Err(Errno::OVERFLOW);
        }
        let length = length as usize;
        // SAFETY: the kernel chooses the place, so no memory in use is touched, and the mapping
        // is read by nobody but this value.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ,
                MapFlags::SHARED,
                device,
                offset.into(),
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Mapping { start, length })
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped and readable until the value is dropped, and the
        // driver does not write to them while the buffer is not queued.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and no slice of it outlives the value.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.length) } {
            log::debug!("a camera's buffer cannot be unmapped: {error}");
        }
    }
}
