use super::testing::*;
use super::*;
use crate::display::Size;
use bus::Kind;
use std::time::Duration;

const UPRIGHT: Mounting = Mounting {
    size: (0, 0),
    offset: (0, 0),
    rotation: Rotation::Deg0,
    mirror: false,
    invert: false,
    bgr: false,
};

/// The controller as its usual module has it.
fn usual(controller: Controller) -> Mounting {
    let [size, offset] = controller.usual();
    Mounting { size, offset, ..UPRIGHT }
}

fn connect(controller: Controller, wire: &Recorder, mounting: &Mounting) -> Box<dyn Display> {
    let tape = wire.tape.clone();
    let light: Light = Box::new(move |on| {
        let tape = &mut *tape.borrow_mut();
        tape.light.push((tape.messages.len(), on));
        Ok(())
    });
    controller.open("spi:test", wire.clone(), light, mounting).unwrap()
}

/// A pixel of a picture in which no two near ones are the same: blue, green, red.
fn color(x: u32, y: u32) -> [u8; 3] {
    [(x * 8) as u8, (y * 4) as u8, (x / 32 * 64 + y / 64 * 16) as u8]
}

fn packed([blue, green, red]: [u8; 3]) -> u16 {
    let [red, green, blue] = [red, green, blue].map(u16::from);
    red >> 3 << 11 | green >> 2 << 5 | blue >> 3
}

/// Shows the picture, with the colours of some rows changed.
fn show(display: &mut dyn Display, changed: &[u32]) -> Result<(), DisplayError> {
    let size = display.size().unwrap();
    display.begin(size)?;
    for y in 0..size.height {
        let flip = if changed.contains(&y) { 0x80 } else { 0 };
        let row: Vec<u8> = (0..size.width)
            .flat_map(|x| {
                let [blue, green, red] = color(x, y);
                [blue, green, red ^ flip, 0xff]
            })
            .collect();
        display.write_row(y, &row);
    }
    display.present(1)
}

/// The windows in `commands`: first and last column, first and last row, bytes of pixels.
fn windows(commands: &[Command]) -> Vec<([u8; 4], [u8; 4], usize)> {
    let codes: Vec<u8> = commands.iter().map(|command| command.code).collect();
    assert!(codes.chunks(3).all(|codes| codes == [CASET, RASET, RAMWR]), "{codes:x?}");
    let fixed = |data: &[u8]| <[u8; 4]>::try_from(data).unwrap();
    commands
        .chunks(3)
        .map(|window| (fixed(&window[0].data), fixed(&window[1].data), window[2].data.len()))
        .collect()
}

#[test]
fn controllers_are_woken_in_order_and_in_time() {
    std::thread::scope(|scope| {
        for (name, controller) in CONTROLLERS {
            scope.spawn(move || {
                let wide = controller == Controller::Ili9486Shield;
                let wire = Recorder::new(4096);
                let mounting = Mounting { invert: true, bgr: true, ..usual(controller) };
                let display = connect(controller, &wire, &mounting);
                let commands = commands(&wire.take(), wide);
                let at = |code| {
                    let mut places = commands.iter().enumerate().filter(|(_, c)| c.code == code);
                    let (place, command) =
                        places.next().unwrap_or_else(|| panic!("{name} {code:x}"));
                    assert!(places.next().is_none(), "{name}: {code:#x} twice");
                    (place, command)
                };
                assert_eq!(at(SWRESET).0, 0);
                let pixel = if controller == Controller::Ili9486 { 0x66 } else { 0x55 };
                assert_eq!(at(COLMOD).1.data, [pixel], "{name}");
                // Top to bottom, left to right, BGR.
                assert_eq!(at(MADCTL).1.data, [0x08], "{name}");
                for before in [SLPOUT, COLMOD, MADCTL, INVON] {
                    assert!(at(before).0 < at(DISPON).0, "{name}: {before:#x}");
                }
                // After a reset 5 ms until the next command and 120 ms until SLPOUT, and after
                // that 5 ms until the next.
                let gap = |from: usize, to: usize| commands[to].at - commands[from].at;
                assert!(gap(0, 1) >= Duration::from_millis(5), "{name}");
                let sleep_out = at(SLPOUT).0;
                assert!(gap(0, sleep_out) >= Duration::from_millis(120), "{name}");
                assert!(gap(sleep_out, sleep_out + 1) >= Duration::from_millis(5), "{name}");
                let mut chip = Chip::new(controller.memory());
                chip.obey(&commands);
                assert!(chip.awake && chip.on && chip.inverted, "{name}");
                drop(display);
            });
        }
    });
}

#[test]
fn the_memory_is_the_picture_turned() {
    let turns = [Rotation::Deg0, Rotation::Deg90, Rotation::Deg180, Rotation::Deg270];
    let part = |size, offset| Mounting { size, offset, ..UPRIGHT };
    let mut cases: Vec<(Controller, Mounting)> =
        CONTROLLERS.into_iter().map(|(_, controller)| (controller, usual(controller))).collect();
    cases.push((Controller::St7789, part((135, 240), (52, 40))));
    cases.push((Controller::St7789, part((240, 240), (0, 0))));
    cases.push((Controller::St7735s, part((80, 160), (26, 1))));
    cases.push((Controller::Ili9341, part((1, 1), (239, 319))));
    std::thread::scope(|scope| {
        for (controller, mounting) in cases {
            for (quarters, rotation) in turns.into_iter().enumerate() {
                let mirror = mounting.size.0 == 135 && quarters > 1;
                let mounting = Mounting { rotation, mirror, ..mounting };
                // An odd limit: messages end with whole pixels all the same.
                scope.spawn(move || check_memory(controller, &mounting, quarters, 1001));
            }
        }
    });
}

fn check_memory(controller: Controller, mounting: &Mounting, quarters: usize, limit: usize) {
    let wire = Recorder::new(limit);
    let mut display = connect(controller, &wire, mounting);
    let (width, height) = (usize::from(mounting.size.0), usize::from(mounting.size.1));
    let size = display.size().unwrap();
    let turned = if quarters % 2 == 1 { (height, width) } else { (width, height) };
    assert_eq!((size.width as usize, size.height as usize), turned);
    show(display.as_mut(), &[]).unwrap();
    let messages = wire.take();
    let commands = commands(&messages, controller == Controller::Ili9486Shield);
    let first = commands.iter().position(|command| command.code == CASET).unwrap();
    let bytes = if controller == Controller::Ili9486 { 3 } else { 2 };
    let windows = windows(&commands[first..]);
    assert_eq!(windows.len(), 1);
    assert_eq!(windows[0].2, bytes * width * height);
    // Chip select rises between messages: only whole pixels go through.
    assert!(messages.iter().all(|(.., sent)| sent.len() < 64 || sent.len().is_multiple_of(bytes)));
    let mut chip = Chip::new(controller.memory());
    chip.obey(&commands);
    let memory = controller.memory();
    for y in 0..usize::from(memory.1) {
        for x in 0..usize::from(memory.0) {
            let seen = x
                .checked_sub(mounting.offset.0.into())
                .zip(y.checked_sub(mounting.offset.1.into()));
            let seen = seen.filter(|(x, y)| *x < width && *y < height).map(|(x, y)| {
                let x = if mounting.mirror { width - 1 - x } else { x };
                // Where the picture has this point before it is turned clockwise.
                let (x, y) = match quarters {
                    0 => (x, y),
                    1 => (y, width - 1 - x),
                    2 => (width - 1 - x, height - 1 - y),
                    _ => (height - 1 - y, x),
                };
                packed(color(x as u32, y as u32))
            });
            assert_eq!(chip.memory(x, y), seen, "{controller:?} {mounting:?} {x},{y}");
        }
    }
}

#[test]
fn only_rows_that_changed_are_sent() {
    let cases = [
        // 135 columns from 52; rows from 40.
        (Rotation::Deg0, [0, 52, 0, 186], [[0, 43, 0, 44], [0, 49, 0, 49]], 2 * 135),
        // Turned right, columns are the panel's 240 rows and begin at 40. Rows count the panel's
        // columns from its right, where 240 - 135 - 52 are out of sight.
        (Rotation::Deg90, [0, 40, 1, 23], [[0, 56, 0, 57], [0, 62, 0, 62]], 2 * 240),
    ];
    for (rotation, columns, rows, bytes) in cases {
        let wire = Recorder::new(4096);
        let mounting = Mounting { size: (135, 240), offset: (52, 40), rotation, ..UPRIGHT };
        let mut display = connect(Controller::St7789, &wire, &mounting);
        show(display.as_mut(), &[]).unwrap();
        wire.take();
        show(display.as_mut(), &[]).unwrap();
        assert!(wire.take().is_empty(), "nothing changed");
        show(display.as_mut(), &[3, 4, 9]).unwrap();
        let sent = commands(&wire.take(), false);
        let expected = [(columns, rows[0], 2 * bytes), (columns, rows[1], bytes)];
        assert_eq!(windows(&sent), expected, "{rotation:?}");
        // And back; the last row too.
        let last = display.size().unwrap().height - 1;
        show(display.as_mut(), &[last]).unwrap();
        assert_eq!(windows(&commands(&wire.take(), false)).len(), 3);
    }
}

#[test]
fn differences_that_565_does_not_know_are_none() {
    let wire = Recorder::new(4096);
    let mounting = Mounting { size: (2, 2), ..UPRIGHT };
    let mut display = connect(Controller::Ili9341, &wire, &mounting);
    let mut write = |rows: [[u8; 8]; 2]| {
        display.begin(Size { width: 2, height: 2 }).unwrap();
        display.write_row(0, &rows[0]);
        display.write_row(1, &rows[1]);
        // Rows and pixels beyond the panel are left out.
        display.write_row(2, &[9; 8]);
        display.write_row(0, &[rows[0], [9; 8]].concat());
        display.present(0).unwrap();
        wire.take()
    };
    write([[0; 8]; 2]);
    assert!(write([[7, 3, 7, 255, 0, 0, 0, 1]; 2]).is_empty());
    let sent = commands(&write([[7, 3, 7, 0, 0, 4, 0, 0], [0; 8]]), false);
    assert_eq!(windows(&sent), [([0, 0, 0, 1], [0, 0, 0, 0], 4)]);
    assert_eq!(sent[2].data, [0x00, 0x00, 0x00, 0x20]);
}

#[test]
fn the_light_is_on_between_the_first_picture_and_the_end() {
    let wire = Recorder::new(4096);
    let mut display = connect(Controller::Ili9341, &wire, &usual(Controller::Ili9341));
    assert_eq!(wire.tape.borrow().light, []);
    show(display.as_mut(), &[]).unwrap();
    show(display.as_mut(), &[5]).unwrap();
    display.finish().unwrap();
    let pictures = wire.tape.borrow().messages.len();
    drop(display);
    let tape = wire.tape.borrow();
    let [(first, true), (last, false)] = tape.light[..] else { panic!("{:?}", tape.light) };
    assert!(first > 40 && first < pictures, "after the first picture");
    assert_eq!(last, pictures);
    let sleep = (Kind::Command, vec![SLPIN]);
    let sent: Vec<_> = tape.messages[pictures..].iter().map(|m| (m.1, m.2.clone())).collect();
    assert_eq!(sent, [sleep]);
}

#[test]
fn what_a_broken_bus_did_not_take_is_sent_again() {
    let wire = Recorder::new(256);
    let mut display = connect(Controller::Ili9341, &wire, &usual(Controller::Ili9341));
    show(display.as_mut(), &[]).unwrap();
    wire.take();
    wire.tape.borrow_mut().breaks_after = Some(6);
    let error = show(display.as_mut(), &[1, 100]).unwrap_err().to_string();
    assert_eq!(error, "spi:test: cut");
    wire.tape.borrow_mut().breaks_after = None;
    wire.take();
    show(display.as_mut(), &[1, 100]).unwrap();
    let rows: Vec<[u8; 4]> =
        windows(&commands(&wire.take(), false)).iter().map(|window| window.1).collect();
    assert_eq!(rows, [[0, 1, 0, 1], [0, 100, 0, 100]]);
}

fn parse(text: &str) -> Result<Wanted, String> {
    let uri = Uri::parse(text, "display", &["spi"], "spi:st7789").unwrap();
    read(uri).map_err(|error| error.to_string())
}

#[test]
fn uris_are_read_whole() {
    let text = "spi:st7789?bus=/dev/spidev1.0&dc=25&reset=24&backlight=18&chip=/dev/gpiochip4\
                &speed=62500000&rotate=90&size=135x240&offset=52,40&invert&bgr&mirror";
    let wanted = parse(text).unwrap();
    let mounting = Mounting {
        size: (135, 240),
        offset: (52, 40),
        rotation: Rotation::Deg90,
        mirror: true,
        invert: true,
        bgr: true,
    };
    let wiring = Wiring {
        bus: "/dev/spidev1.0".into(),
        speed: 62_500_000,
        chip: Some("/dev/gpiochip4".into()),
        dc: 25,
        reset: Some(24),
        backlight: Some(18),
    };
    let name = text.to_owned();
    assert_eq!(wanted, Wanted { name, controller: Controller::St7789, mounting, wiring });
    let wanted = parse("spi:st7735s?dc=25").unwrap();
    assert_eq!(wanted.mounting, usual(Controller::St7735s));
    assert_eq!((wanted.wiring.speed, wanted.wiring.chip), (16_000_000, None));
    assert_eq!(wanted.wiring.bus, PathBuf::from("/dev/spidev0.0"));
    // The usual offset only where there is room for it.
    assert_eq!(parse("spi:st7735s?dc=25&size=132x162").unwrap().mounting.offset, (0, 0));
}

#[test]
fn wrong_uris_say_what_would_be_right() {
    let refused = |text: &str| parse(text).unwrap_err();
    assert!(
        refused("spi:ssd1306?dc=1")
            .ends_with("there are st7789 ili9341 ili9486 ili9486-shield st7735s")
    );
    assert!(refused("spi:st7789").contains("the parameter dc is missing; add dc=25"));
    assert!(refused("spi:st7789?dc=25&reset=25").contains("reset=25 is not a line of its own"));
    assert!(refused("spi:st7789?dc=25&reset=24&backlight=24").contains("backlight=24 is not"));
    assert!(refused("spi:st7789?dc=25&speed=1").contains("a number from 100000 to 125000000"));
    assert!(refused("spi:st7789?dc=25&rotate=45").contains("one of 0 90 180 270"));
    for size in ["241x320", "240x321", "0x1", "240", "240x", "99999x1"] {
        let error = refused(&format!("spi:st7789?dc=25&size={size}"));
        assert!(error.contains("is not a size from 1x1 to 240x320"), "{error}");
    }
    let error = refused("spi:st7789?dc=25&size=240x240&offset=0,81");
    assert!(error.contains("is not an offset from 0,0 to 0,80 for this size"), "{error}");
    assert!(refused("spi:st7789?dc=25&rotation=90").contains("did you mean \"rotate\"?"));
}
