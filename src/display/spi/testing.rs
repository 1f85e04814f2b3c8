//! A controller that lives on the bytes it is sent, after the command sets in the datasheets of
//! ST7735S, ST7789, ILI9341 and ILI9486, which agree in what is used here.

use super::bus::{Kind, Wire};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

pub const SWRESET: u8 = 0x01;
pub const SLPIN: u8 = 0x10;
pub const SLPOUT: u8 = 0x11;
pub const INVOFF: u8 = 0x20;
pub const INVON: u8 = 0x21;
pub const DISPON: u8 = 0x29;
pub const CASET: u8 = 0x2a;
pub const RASET: u8 = 0x2b;
pub const RAMWR: u8 = 0x2c;
pub const MADCTL: u8 = 0x36;
pub const COLMOD: u8 = 0x3a;

/// What goes over a bus.
#[derive(Default)]
pub struct Tape {
    pub messages: Vec<(Instant, Kind, Vec<u8>)>,
    /// So many messages go through, then there is an error.
    pub breaks_after: Option<usize>,
    /// What the backlight was switched to, and after how many messages.
    pub light: Vec<(usize, bool)>,
}

/// A bus that records.
#[derive(Clone)]
pub struct Recorder {
    pub limit: usize,
    pub tape: Rc<RefCell<Tape>>,
}

impl Recorder {
    pub fn new(limit: usize) -> Recorder {
        Recorder { limit, tape: Rc::default() }
    }

    /// What was sent since the last call.
    pub fn take(&self) -> Vec<(Instant, Kind, Vec<u8>)> {
        std::mem::take(&mut self.tape.borrow_mut().messages)
    }
}

impl Wire for Recorder {
    fn limit(&self) -> usize {
        self.limit
    }

    fn send(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        assert!((1..=self.limit).contains(&bytes.len()), "a message of {} bytes", bytes.len());
        let tape = &mut *self.tape.borrow_mut();
        match &mut tape.breaks_after {
            Some(0) => return Err(io::Error::other("cut")),
            Some(left) => *left -= 1,
            None => {}
        }
        tape.messages.push((Instant::now(), kind, bytes.to_owned()));
        Ok(())
    }
}

/// A command and the data behind it; with 16-bit registers, the low bytes but of pixels.
#[derive(Debug)]
pub struct Command {
    pub at: Instant,
    pub code: u8,
    pub data: Vec<u8>,
}

pub fn commands(messages: &[(Instant, Kind, Vec<u8>)], wide: bool) -> Vec<Command> {
    let low = |bytes: &[u8]| -> Vec<u8> {
        if !wide {
            return bytes.to_owned();
        }
        let (words, rest) = bytes.as_chunks::<2>();
        assert!(rest.is_empty() && words.iter().all(|word| word[0] == 0), "{bytes:?}");
        words.iter().map(|word| word[1]).collect()
    };
    let mut commands: Vec<Command> = Vec::new();
    for (at, kind, bytes) in messages {
        match (kind, commands.last_mut()) {
            (Kind::Command, _) => {
                let code = low(bytes);
                assert_eq!(code.len(), 1);
                commands.push(Command { at: *at, code: code[0], data: Vec::new() });
            }
            (Kind::Data, None) => panic!("data before any command"),
            (Kind::Data, Some(Command { code: RAMWR, data, .. })) => data.extend(bytes),
            (Kind::Data, Some(command)) => command.data.extend(low(bytes)),
        }
    }
    commands
}

/// The controller's state and memory.
pub struct Chip {
    width: usize,
    height: usize,
    /// Row by row as the panel is wired: 5-6-5, None where nothing was written.
    memory: Vec<Option<u16>>,
    pub awake: bool,
    pub on: bool,
    pub inverted: bool,
    pub madctl: u8,
    pub colmod: u8,
    /// First and last column and row.
    columns: (u16, u16),
    rows: (u16, u16),
}

impl Chip {
    pub fn new((width, height): (u16, u16)) -> Chip {
        let (width, height) = (width.into(), height.into());
        Chip {
            width,
            height,
            memory: vec![None; width * height],
            awake: false,
            on: false,
            inverted: false,
            madctl: 0,
            colmod: 0x66,
            columns: (0, 0),
            rows: (0, 0),
        }
    }

    pub fn memory(&self, x: usize, y: usize) -> Option<u16> {
        self.memory[y * self.width + x]
    }

    pub fn obey(&mut self, commands: &[Command]) {
        for Command { code, data, .. } in commands {
            match *code {
                SWRESET => *self = Chip::new((self.width as u16, self.height as u16)),
                SLPIN => self.awake = false,
                SLPOUT => self.awake = true,
                INVOFF => self.inverted = false,
                INVON => self.inverted = true,
                DISPON => self.on = true,
                MADCTL => self.madctl = data[0],
                COLMOD => self.colmod = data[0],
                CASET => self.columns = window(data),
                RASET => self.rows = window(data),
                RAMWR => self.write(data),
                // Normal mode, and registers of the manufacturer.
                code => assert!(code == 0x13 || code >= 0xb0, "command {code:#x}"),
            }
        }
    }

    /// Columns first; MV exchanges columns and rows, MX and MY count them from the other end.
    fn write(&mut self, data: &[u8]) {
        let swapped = self.madctl & 0x20 != 0;
        let (across, down) =
            if swapped { (self.height, self.width) } else { (self.width, self.height) };
        let (columns, rows) = (self.columns, self.rows);
        assert!(columns.0 <= columns.1 && usize::from(columns.1) < across, "columns {columns:?}");
        assert!(rows.0 <= rows.1 && usize::from(rows.1) < down, "rows {rows:?}");
        let places = (rows.0..=rows.1)
            .flat_map(|row| (columns.0..=columns.1).map(move |column| (column, row)));
        let pixels: Vec<u16> = match self.colmod {
            0x55 => data.chunks(2).map(|pixel| u16::from_be_bytes([pixel[0], pixel[1]])).collect(),
            // 6 bits a colour, in the upper bits of a byte.
            0x66 => {
                let pack = |pixel: &[u8]| {
                    assert!(pixel.iter().all(|byte| byte & 3 == 0));
                    let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u16::from);
                    red >> 3 << 11 | green >> 2 << 5 | blue >> 3
                };
                data.chunks(3).map(pack).collect()
            }
            colmod => panic!("COLMOD {colmod:#x}"),
        };
        assert_eq!(pixels.len(), places.clone().count(), "pixels of a window");
        for ((column, row), pixel) in places.zip(pixels) {
            let (column, row) = (usize::from(column), usize::from(row));
            let (x, y) = if swapped { (row, column) } else { (column, row) };
            let x = if self.madctl & 0x40 != 0 { self.width - 1 - x } else { x };
            let y = if self.madctl & 0x80 != 0 { self.height - 1 - y } else { y };
            self.memory[y * self.width + x] = Some(pixel);
        }
    }
}

/// Start and end, 16 bits each, high byte first.
fn window(data: &[u8]) -> (u16, u16) {
    let [a, b, c, d] = *data else { panic!("a window of {} bytes", data.len()) };
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}
