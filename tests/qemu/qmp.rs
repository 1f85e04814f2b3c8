//! QEMU's control socket: one JSON object a line (QEMU: docs/interop/qmp-spec).

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

pub struct Qmp {
    socket: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to QEMU as it starts.
    pub fn connect(path: &Path) -> Qmp {
        let until = Instant::now() + Duration::from_secs(10);
        let socket = loop {
            match UnixStream::connect(path) {
                Ok(socket) => break socket,
                Err(error) if Instant::now() > until => panic!("{}: {error}", path.display()),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut qmp = Qmp { socket: BufReader::new(socket) };
        qmp.read();
        qmp.call("qmp_capabilities", json!({}));
        qmp
    }

    /// The screen as it is, as a PNG file.
    pub fn screendump(&mut self, path: &Path) {
        self.call("screendump", json!({ "filename": path, "format": "png" }));
    }

    fn call(&mut self, command: &str, arguments: Value) {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.socket.get_mut(), "{request}").expect("QEMU's control socket");
        loop {
            let answer = self.read();
            assert!(answer.get("error").is_none(), "{request}: {answer}");
            // Events come in between.
            if answer.get("return").is_some() {
                return;
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.socket.read_line(&mut line).expect("QEMU's control socket");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("QEMU said {line:?}: {error}"))
    }
}
