//! The text console under a picture: its cursor and what is typed are kept away while we draw.

use super::fbdev::kernel::{ConsoleMode, set_console_mode};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

/// Always the virtual terminal that is shown.
const ACTIVE: &str = "/dev/tty0";

/// Holds the shown virtual terminal in graphics mode; dropping it brings the text back, after
/// a panic too. Whoever has the screen has its terminal: graphics that were there already are
/// what a killed program left behind.
pub struct Console(Option<File>);

impl Console {
    /// Boards without virtual terminals, and users who may not open them, go without.
    pub fn hide() -> Console {
        let flags = OFlags::NOCTTY.bits() as i32;
        let terminal = OpenOptions::new().read(true).write(true).custom_flags(flags).open(ACTIVE);
        let terminal = terminal.and_then(|terminal| {
            set_console_mode(&terminal, ConsoleMode::Graphics)?;
            Ok(terminal)
        });
        Console(terminal.inspect_err(|error| log::debug!("{ACTIVE}: {error}")).ok())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(terminal) = &self.0
            && let Err(error) = set_console_mode(terminal, ConsoleMode::Text)
        {
            log::warn!("{ACTIVE}: its text does not come back: {error}; press Ctrl-Alt-F2");
        }
    }
}
