//! `window:`: a window on the desktop.

use super::{Display, DisplayError, Key, Size, no_path};
use crate::config::uri::Uri;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics_simulator::sdl2::Keycode;
use embedded_graphics_simulator::{OutputSettings, SimulatorDisplay, SimulatorEvent};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Opens with the first picture, and anew when pictures change their size.
pub struct Window {
    shown: Option<(embedded_graphics_simulator::Window, SimulatorDisplay<Rgb888>)>,
}

impl Window {
    pub fn open(uri: Uri) -> Result<Window, DisplayError> {
        no_path(&uri)?;
        uri.finish()?;
        // Without a desktop SDL may choose a driver that shows nothing.
        let named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !["DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"].into_iter().any(named) {
            return Err(no_desktop());
        }
        Ok(Window { shown: None })
    }
}

fn no_desktop() -> DisplayError {
    let message =
        "there is no desktop to open a window on (see DISPLAY); take terminal: or png:DIR";
    DisplayError::Failed { display: "window".to_owned(), message: message.to_owned() }
}

impl Display for Window {
    fn size(&self) -> Option<Size> {
        None
    }

    fn begin(&mut self, size: Size) -> Result<(), DisplayError> {
        let size = embedded_graphics::geometry::Size::new(size.width, size.height);
        if self.shown.as_ref().is_some_and(|(_, display)| display.size() == size) {
            return Ok(());
        }
        self.shown = None;
        let mut window =
            embedded_graphics_simulator::Window::new("segcam", &OutputSettings::default());
        // The pipeline has its own pace.
        window.set_max_fps(1000);
        let display = SimulatorDisplay::new(size);
        // The simulator knows no errors: it panics when there is no desktop.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let opened = catch_unwind(AssertUnwindSafe(|| window.update(&display)));
        std::panic::set_hook(hook);
        if opened.is_err() {
            return Err(no_desktop());
        }
        self.shown = Some((window, display));
        Ok(())
    }

    fn write_row(&mut self, y: u32, row: &[u8]) {
        if let Some((_, display)) = &mut self.shown {
            let corner = Point::new(0, y as i32);
            let area = Rectangle::new(
                corner,
                display.size().component_min(embedded_graphics::geometry::Size::new(u32::MAX, 1)),
            );
            let colors = row.chunks_exact(4).map(|p| Rgb888::new(p[2], p[1], p[0]));
            let Ok(()) = display.fill_contiguous(&area, colors);
        }
    }

    fn present(&mut self, _: u64) -> Result<(), DisplayError> {
        if let Some((window, display)) = &mut self.shown {
            window.update(display);
        }
        Ok(())
    }

    fn key(&mut self) -> Option<Key> {
        let (window, _) = self.shown.as_ref()?;
        window.events().find_map(|event| match event {
            SimulatorEvent::Quit => Some(Key::Quit),
            SimulatorEvent::KeyDown { keycode: Keycode::KpPlus, .. } => Some(Key::MoreAlpha),
            SimulatorEvent::KeyDown { keycode: Keycode::KpMinus, .. } => Some(Key::LessAlpha),
            // Printable keys have the codes of their characters.
            SimulatorEvent::KeyDown { keycode, .. } => u32::try_from(i32::from(keycode))
                .ok()
                .and_then(char::from_u32)
                .and_then(Key::from_char),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::display::{open, tests::show};
    use std::process::Command;

    /// Runs in a process of its own, because SDL reads its environment once.
    #[test]
    #[ignore = "is started by other tests"]
    fn child() {
        let mut display = open("window:").unwrap();
        let size = crate::display::Size { width: 64, height: 48 };
        if let Err(error) = display.begin(size) {
            println!("{error}");
            return;
        }
        for (sequence, width) in [64, 64, 32, 64].into_iter().enumerate() {
            show(display.as_mut(), (width, 48), [0, 0, 255, 0], sequence as u64);
            assert_eq!(display.key(), None);
        }
        println!("shown");
    }

    fn run(driver: &str) -> String {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["display::window::tests::child", "--exact", "--ignored", "--nocapture"])
            .env("SDL_VIDEODRIVER", driver)
            .env("DISPLAY", ":7777")
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    #[test]
    fn pictures_of_any_size_are_shown() {
        assert!(run("dummy").contains("shown"));
    }

    #[test]
    fn without_a_desktop_it_says_so() {
        assert!(run("x11").contains("window: there is no desktop to open a window on"));
    }
}
