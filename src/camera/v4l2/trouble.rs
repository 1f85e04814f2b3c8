//! What can go wrong with a device, in words.

use rustix::io::Errno;
use std::path::Path;
use thiserror::Error;

/// Why a device gives no frames.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Trouble {
    /// It may come, or come back, by itself.
    #[error("{0}")]
    Gone(String),
    /// The user may not.
    #[error("{0}")]
    Forbidden(String),
    /// Somebody has to do something else.
    #[error("{0}")]
    Refused(String),
}

impl Trouble {
    /// `what` a device did when a call failed ("cannot be opened"), with the remedy.
    pub fn of(path: &Path, what: &str, error: Errno) -> Trouble {
        let path = path.display();
        match error {
            Errno::NOENT | Errno::NOTDIR => Trouble::Gone(format!(
                "{path} is not there; connect the camera, or choose another of /dev/video*"
            )),
            Errno::NODEV | Errno::NXIO | Errno::SHUTDOWN => {
                Trouble::Gone(format!("{path} {what}: the device was removed"))
            }
            Errno::IO | Errno::PROTO | Errno::TIMEDOUT | Errno::PIPE => Trouble::Gone(format!(
                "{path} {what}: {error}; check the cable and the camera's power"
            )),
            Errno::NOLINK | Errno::NOLCK | Errno::RANGE => {
                Trouble::Gone(format!("{path} {what}: no signal there that can be taken"))
            }
            Errno::ACCESS | Errno::PERM => Trouble::Forbidden(format!(
                "{path} may not be opened by this user; run: sudo usermod -aG video $USER, and log in again"
            )),
            Errno::BUSY => Trouble::Refused(format!(
                "{path} is in use by another program; stop it (fuser -v {path} names it)"
            )),
            Errno::NOSPC => Trouble::Refused(format!(
                "{path} {what}: the USB bus has no bandwidth left; choose a smaller size, format=mjpeg or another port"
            )),
            Errno::NOMEM => Trouble::Refused(format!(
                "{path} {what}: no memory for its buffers; choose a smaller size, or give the kernel more with cma="
            )),
            error => Trouble::Refused(format!("{path} {what}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_remedy() {
        let of = |error| Trouble::of(Path::new("/dev/video7"), "cannot be opened", error);
        for (error, words) in [
            (Errno::NOENT, "not there"),
            (Errno::NODEV, "removed"),
            (Errno::IO, "cable"),
            (Errno::NOLINK, "signal"),
        ] {
            assert!(matches!(of(error), Trouble::Gone(text) if text.contains(words)));
        }
        assert!(
            matches!(of(Errno::ACCESS), Trouble::Forbidden(text) if text.contains("-aG video"))
        );
        for (error, words) in [
            (Errno::BUSY, "fuser -v /dev/video7"),
            (Errno::NOSPC, "mjpeg"),
            (Errno::NOMEM, "cma="),
            (Errno::INVAL, "cannot be opened"),
        ] {
            assert!(matches!(of(error), Trouble::Refused(text) if text.contains(words)));
        }
    }
}
