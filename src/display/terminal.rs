//! `terminal:`: the picture in the terminal that standard output is, and keys from standard
//! input when that is one too.

use super::ansi::{Canvas, Colors, ENTER, LEAVE};
use super::{Display, DisplayError, Key, Size, no_path};
use crate::config::uri::Uri;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize,
    tcsetattr,
};
use std::io::{self, Write, stdin, stdout};

/// A terminal that claims more characters is taken for one of this size.
const MAX_COLUMNS: usize = 1000;
const MAX_ROWS: usize = 500;

pub struct Terminal {
    canvas: Canvas,
    picture: Size,
    /// How standard input was, when it is a terminal.
    input: Option<Termios>,
}

impl Terminal {
    pub fn open(uri: Uri) -> Result<Terminal, DisplayError> {
        no_path(&uri)?;
        let failed = |message: &str| {
            let display = "terminal".to_owned();
            Err(DisplayError::Failed { display, message: message.to_owned() })
        };
        uri.finish()?;
        if !isatty(stdout()) {
            return failed("standard output is no terminal; take png:DIR, or do not redirect it");
        }
        if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
            return failed("TERM names no terminal that can show pictures; take png:DIR");
        }
        let true_color =
            std::env::var("COLORTERM").is_ok_and(|value| matches!(&*value, "truecolor" | "24bit"));
        let colors = if true_color { Colors::True } else { Colors::Indexed };
        let (canvas, picture) = (Canvas::new(colors), Size { width: 0, height: 0 });
        let input = quiet_input().map_err(io_error)?;
        // From here on dropping it brings all back.
        let terminal = Terminal { canvas, picture, input };
        send(ENTER.as_bytes()).map_err(io_error)?;
        Ok(terminal)
    }
}

/// Columns and rows of characters.
fn extent() -> (usize, usize) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col).min(MAX_COLUMNS), usize::from(size.ws_row).min(MAX_ROWS))
        }
        _ => (80, 24),
    }
}

/// Has keys come at once and unseen; returns how it was. Ctrl-C stays a signal; Ctrl-Z would
/// leave the picture behind.
fn quiet_input() -> io::Result<Option<Termios>> {
    if !isatty(stdin()) {
        return Ok(None);
    }
    let before = tcgetattr(stdin())?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    quiet.special_codes[SpecialCodeIndex::VMIN] = 0;
    quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
    quiet.special_codes[SpecialCodeIndex::VSUSP] = 0;
    tcsetattr(stdin(), OptionalActions::Now, &quiet)?;
    Ok(Some(before))
}

fn send(text: &[u8]) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text)?;
    out.flush()
}

fn io_error(cause: io::Error) -> DisplayError {
    DisplayError::Io { display: "terminal".to_owned(), cause }
}

impl Display for Terminal {
    /// Two pixels for each character, the upper and the lower half; changes with the terminal.
    fn size(&self) -> Option<Size> {
        let (columns, rows) = extent();
        Some(Size { width: columns as u32, height: 2 * rows as u32 })
    }

    fn begin(&mut self, size: Size) -> Result<(), DisplayError> {
        let (columns, rows) = extent();
        self.canvas.resize(columns, rows);
        self.picture = size;
        Ok(())
    }

    fn write_row(&mut self, y: u32, row: &[u8]) {
        self.canvas.write_row(self.picture, y, row);
    }

    fn present(&mut self, _: u64) -> Result<(), DisplayError> {
        send(self.canvas.update()).map_err(io_error)
    }

    fn key(&mut self) -> Option<Key> {
        self.input.as_ref()?;
        let input = stdin();
        let mut ready = [PollFd::new(&input, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut ready, Some(&now)) != Ok(1) {
            return None;
        }
        let mut bytes = [0; 16];
        match rustix::io::read(&input, &mut bytes) {
            // Ready, but nothing there: the terminal was closed.
            Ok(0) => Some(Key::Quit),
            Ok(length) => read_key(&bytes[..length]),
            Err(_) => None,
        }
    }
}

/// The first key among what was typed. Arrows and the like begin with an escape, too.
fn read_key(bytes: &[u8]) -> Option<Key> {
    if let [0x1b, _, ..] = bytes {
        return None;
    }
    bytes.iter().find_map(|byte| Key::from_char(char::from(*byte)))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nobody left to tell when it fails.
        let _ = send(LEAVE.as_bytes());
        if let Some(before) = &self.input {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::{open, tests::show};
    use std::process::{Command, Stdio};

    #[test]
    fn escape_sequences_are_no_escape() {
        assert_eq!(read_key(b"\x1b"), Some(Key::Quit));
        assert_eq!(read_key(b"\x1b[A"), None);
        assert_eq!(read_key(b"\x1bOP"), None);
        assert_eq!(read_key(b"xv"), Some(Key::View));
        assert_eq!(read_key("é".as_bytes()), None);
    }

    /// Runs in a process of its own: see the tests below.
    #[test]
    #[ignore = "is started by other tests"]
    fn child() {
        let way = std::env::var("SEGCAM_TERMINAL_TEST").unwrap_or_default();
        let mut display = match open("terminal:") {
            Ok(display) => display,
            Err(error) => {
                println!("{error}");
                return;
            }
        };
        let size = display.size().unwrap();
        let picture = (size.width, size.height);
        show(display.as_mut(), picture, [0, 0, 255, 0], 1);
        show(display.as_mut(), picture, [0, 0, 255, 0], 2);
        assert!(way != "panic", "as asked for");
    }

    fn run(line: &[&str], way: &str) -> String {
        let out = Command::new(line[0])
            .args(&line[1..])
            .env("SEGCAM_TERMINAL_TEST", way)
            .env("TERM", "xterm")
            .env("COLORTERM", "truecolor")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    const CHILD: [&str; 4] =
        ["display::terminal::tests::child", "--exact", "--ignored", "--nocapture"];

    #[test]
    fn without_a_terminal_it_says_so() {
        let program = std::env::current_exe().unwrap();
        let line = [&[program.to_str().unwrap()], &CHILD[..]].concat();
        assert!(run(&line, "").contains("terminal: standard output is no terminal"));
    }

    #[test]
    fn the_terminal_is_left_as_it_was() {
        let program = std::env::current_exe().unwrap();
        let child = format!("stty rows 5 cols 10; {} {}", program.display(), CHILD.join(" "));
        for way in ["", "panic"] {
            // The `script` of util-linux runs a command on a terminal of its own.
            let out = run(&["script", "-qec", &child, "/dev/null"], way);
            let enter = out.find(ENTER).expect("the alternate screen");
            let leave = out.find(LEAVE).expect("the screen from before");
            let shown = &out[enter..leave];
            assert_eq!(shown.matches('▀').count(), 50, "each cell once");
            assert_eq!(shown.matches("\x1b[38;2;255;0;0m").count(), 1);
        }
    }
}
