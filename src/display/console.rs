//! The text console under a picture: its cursor and keys' echo are kept away while we draw.

use super::fbdev::kernel::{ConsoleMode, console_mode, set_console_mode};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

/// Always the virtual terminal that is shown.
const ACTIVE: &str = "/dev/tty0";

/// Holds the shown virtual terminal in graphics mode; dropping it brings the text back, after
/// a panic too.
pub struct Console {
    terminal: Option<File>,
}

impl Console {
    /// Boards without virtual terminals, and users who may not open them, go without.
    pub fn hide() -> Console {
        let terminal = hide().inspect_err(|error| log::debug!("{ACTIVE}: {error}")).ok();
        Console { terminal: terminal.flatten() }
    }
}

/// None when it has graphics already: then it is not ours to bring back.
fn hide() -> std::io::Result<Option<File>> {
    let flags = rustix::fs::OFlags::NOCTTY.bits() as i32;
    let terminal = OpenOptions::new().read(true).write(true).custom_flags(flags).open(ACTIVE)?;
    if console_mode(&terminal)? == ConsoleMode::Graphics {
        return Ok(None);
    }
    set_console_mode(&terminal, ConsoleMode::Graphics)?;
    Ok(Some(terminal))
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal
            && let Err(error) = set_console_mode(terminal, ConsoleMode::Text)
        {
            log::warn!("{ACTIVE}: the text does not come back: {error}; run `chvt 2; chvt 1`");
        }
    }
}
