//! Takes from the process what it does not need, before it reads what others made.
//!
//! A model, a camera's bytes, a clip or a memory stick may be made to find a mistake in a reader.
//! Types and bounds are the first fence; this one is for what gets past them: it may then look at
//! and change little, start nothing, and tell nobody. Two things of the kernel's:
//!
//! * **Landlock** (Documentation/userspace-api/landlock.rst) for files: reading what the run is
//!   made of, writing where it keeps things, and nothing else. Where the kernel can (6.7, 6.12), no
//!   TCP, no signals to others, no abstract sockets.
//! * **seccomp** (Documentation/userspace-api/seccomp_filter.rst) for calls: no sockets but the
//!   local ones that systemd listens on, no other program, no look into another process.
//!
//! Both stay until the end, and hold for all threads: Landlock for those that are started later,
//! so it has to come before any.
//!
//! **Why calls are denied by a list.** A list of what is allowed would be stronger. But what
//! drivers, C libraries and a desktop's libraries call differs from one kernel and release to the
//! next, and can be tried on few of them; a call that is missing there stops a device in the
//! field. So the list names what segcam never does and what an intruder needs: to reach out, to
//! start a program, to look into others, to gain rights, to reach parts of the kernel where most
//! of its holes were found. A call on it answers EPERM, which is an error to be told, not the end.
//!
//! **Old kernels** have neither, or less. That is a warning: a picture matters more.

mod calls;
mod files;

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

/// What a run needs beside devices, sysfs and itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Files, and folders with all that is below them.
    pub read: Vec<PathBuf>,
    /// Folders to keep files in; made when they are missing.
    pub write: Vec<PathBuf>,
    /// Libraries and settings of a desktop, and its sockets.
    pub desktop: bool,
}

/// How far a fence stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    Whole,
    /// The kernel is too old for all of it.
    Partly,
    Missing(String),
}

impl Display for Fence {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Fence::Whole => f.write_str("whole"),
            Fence::Partly => f.write_str("partly, for the kernel's age"),
            Fence::Missing(cause) => write!(f, "missing: {cause}"),
        }
    }
}

/// What the process is held to from now on.
#[derive(Debug)]
pub struct Guard {
    pub files: Fence,
    pub calls: Fence,
    /// What may be read, resolved.
    read: Vec<PathBuf>,
}

impl Guard {
    /// To be called before any thread is started. Cannot be undone. What does not stand is logged.
    pub fn install(needs: &Needs) -> Guard {
        let (files, read) = files::install(needs);
        let guard = Guard { files, calls: calls::install(), read };
        for (name, fence) in [("files (Landlock)", &guard.files), ("calls (seccomp)", &guard.calls)]
        {
            let level = match fence {
                Fence::Missing(_) => log::Level::Warn,
                _ => log::Level::Info,
            };
            log::log!(level, "the fence around {name}: {fence}");
        }
        guard
    }

    /// The first of these paths that lies outside of what may be read.
    pub fn outside<'a>(&self, needs: &'a Needs) -> Option<&'a Path> {
        if matches!(self.files, Fence::Missing(_)) {
            return None;
        }
        let inside = |path: &Path| {
            let path = files::resolve(path);
            self.read.iter().any(|read| path.starts_with(read))
        };
        needs.read.iter().map(PathBuf::as_path).find(|path| !inside(path))
    }
}
