//! Files: read within a limit, written whole or not at all.

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file that could not be written; what was there before is unharmed.
#[derive(Debug, Error)]
#[error("{}: cannot be written: {cause}{}", path.display(), remedy(cause))]
pub struct WriteError {
    pub path: PathBuf,
    pub cause: io::Error,
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room or choose another place",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder that you may write to"
        }
        ErrorKind::NotFound => "; make its folder first",
        ErrorKind::IsADirectory => "; choose another name",
        _ if cause.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            "; a link stands in its place: remove it"
        }
        _ => "",
    }
}

/// Reads a regular file of at most `most` bytes; a device or FIFO could have no end.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("it is longer than the {most} bytes that are read");
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Writes `bytes` to a temporary name beside `path`, syncs, and renames; leaves nothing behind
/// when it fails. Follows no links: one in the file's place is replaced by the file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    replace(path, bytes, true)?;
    sync_folder(path);
    Ok(())
}

/// Writes like [`write`], but a power cut may leave the file as it was, or empty.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    replace(path, bytes, false)
}

fn replace(path: &Path, bytes: &[u8], sync: bool) -> Result<(), WriteError> {
    let failed = |cause| WriteError { path: path.to_owned(), cause };
    let Some(name) = path.file_name() else {
        return Err(failed(io::Error::from(ErrorKind::IsADirectory)));
    };
    // The process id keeps two of us apart.
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = fill(&temporary, bytes, sync).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(cause) = written {
        // It may not even have come to be.
        let _ = std::fs::remove_file(&temporary);
        return Err(failed(cause));
    }
    Ok(())
}

fn fill(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(NO_LINK);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    if sync { file.sync_all() } else { Ok(()) }
}

/// For opening what is written: what somebody else put there may lead elsewhere.
pub const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Makes the new name last. Some file systems cannot; the file itself is safe then, too.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"longer text").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("target"), folder.path().join("a.txt"));
        std::fs::write(&target, "precious").unwrap();
        symlink(&target, &path).unwrap();
        write(&path, b"new").unwrap();
        assert!(path.symlink_metadata().unwrap().is_file());
        let temporary = folder.path().join(format!(".a.txt.{}.tmp", std::process::id()));
        for unsynced in [false, true] {
            symlink(&target, &temporary).unwrap();
            let written = if unsynced { write_unsynced(&path, b"x") } else { write(&path, b"x") };
            let error = written.unwrap_err().to_string();
            assert!(error.ends_with("a link stands in its place: remove it"), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    }

    #[test]
    fn failures_name_the_file_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/a.txt");
        let error = write(&missing, b"x").unwrap_err().to_string();
        assert!(error.contains("no/a.txt: cannot be written: No such file"), "{error}");
        assert!(error.ends_with("; make its folder first"), "{error}");
        // A folder in its place makes the rename fail.
        let taken = folder.path().join("taken");
        std::fs::create_dir_all(taken.join("inside")).unwrap();
        assert!(write(&taken, b"x").is_err());
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        assert!(write(Path::new("/"), b"x").is_err());
    }

    #[test]
    fn reading_has_a_limit_and_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        for endless in ["/dev/zero", "/proc"] {
            let error = read(Path::new(endless), 5).unwrap_err();
            assert_eq!(error.to_string(), "it is not a regular file");
        }
        assert_eq!(read(&folder.path().join("b"), 5).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_full_disk_is_said() {
        // Writing to this device always finds the disk full; its folder takes no other file.
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let cause = full.write_all(b"x").unwrap_err();
        let error = WriteError { path: "a.png".into(), cause }.to_string();
        assert!(error.ends_with("make room or choose another place"), "{error}");
    }
}
