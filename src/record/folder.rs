//! A recording's folder: which segments there are, and their opening, making and deleting without
//! following links.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum FolderError {
    #[error("{}: cannot be read: {cause}; expected a folder that `segcam run --record` wrote", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}: holds no recordings; expected files such as {}, written by `segcam run --record`", path.display(), name(1))]
    Empty { path: PathBuf },
}

/// The last number that a segment can have.
pub(super) const LAST: u32 = 99_999_999;

/// A segment's file name.
pub fn name(number: u32) -> String {
    format!("{number:08}.segcam")
}

fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".segcam")?;
    let plain = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// An open folder: it stays the same one when its name is given to another.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    fd: OwnedFd,
}

impl Folder {
    fn open_bare(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Folder { path: path.to_owned(), fd })
    }

    /// Opens a folder to read the segments that it holds, the oldest first.
    pub fn open(path: &Path) -> Result<(Folder, Vec<u32>), FolderError> {
        let read = |cause| FolderError::Read { path: path.to_owned(), cause };
        let folder = Folder::open_bare(path).map_err(read)?;
        let numbers: Vec<u32> =
            folder.segments().map_err(read)?.into_iter().map(|(number, _)| number).collect();
        match numbers.is_empty() {
            true => Err(FolderError::Empty { path: path.to_owned() }),
            false => Ok((folder, numbers)),
        }
    }

    /// Opens a folder to write to, made when it is missing.
    pub(super) fn create(path: &Path) -> io::Result<Folder> {
        std::fs::create_dir_all(path)?;
        Folder::open_bare(path)
    }

    /// The segments by number, with their bytes; whatever else has such a name, with none.
    pub(super) fn segments(&self) -> io::Result<Vec<(u32, u64)>> {
        let mut segments = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let Some(number) = entry.file_name().to_str().ok().and_then(number) else { continue };
            let stat = rustix::fs::statat(&self.fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            // It may have gone since.
            let Ok(stat) = stat else { continue };
            let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
            let bytes = if is_file { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
            segments.push((number, bytes));
        }
        segments.sort_unstable();
        Ok(segments)
    }

    /// Opens a segment to read; only a regular file is one.
    pub(super) fn segment(&self, number: u32) -> io::Result<File> {
        // Opening a FIFO must not wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name(number), flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(file)
    }

    /// Makes a segment, for this user's eyes: there must be none of its name.
    pub(super) fn make(&self, number: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(rustix::fs::openat(&self.fd, name(number), flags, mode)?))
    }

    pub(super) fn delete(&self, number: u32) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name(number), AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Makes names last. Some file systems cannot; the files themselves are safe then, too.
    pub(super) fn sync(&self) {
        let _ = rustix::fs::fsync(&self.fd);
    }

    /// Bytes that may still be written to its disk.
    pub(super) fn free(&self) -> io::Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.fd)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}
