//! A journal's two files, parted by a NUL, are read, written on, and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcam::journal::{Event, Journal, read};
use segcam_fuzz::scratch;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

fn put(path: &Path, bytes: &[u8]) {
    let put = match bytes {
        [] => std::fs::remove_file(path).or(Ok(())),
        bytes => std::fs::write(path, bytes),
    };
    put.unwrap_or_else(|error: std::io::Error| panic!("{error}"));
}

fuzz_target!(init: FOLDER.get_or_init(scratch), |bytes: &[u8]| {
    let folder = FOLDER.get_or_init(scratch);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    put(&folder.join("journal.1.jsonl"), &bytes[..end]);
    put(&folder.join("journal.jsonl"), bytes.get(end + 1..).unwrap_or_default());
    let before = read(folder).ok();
    if let Some(report) = &before {
        assert!(report.to_string().ends_with('\n'));
    }
    let journal = Journal::open(folder).expect("it is written on, whatever is there");
    journal.tell(Event::Refused { cause: "the fuzzer's".to_owned() });
    drop(journal);
    let after = read(folder).expect("there is a file now");
    let last = after.entries.last().expect("an entry was written");
    assert_eq!(last.fields["cause"], "the fuzzer's");
    if let Some(before) = before {
        // A line that only lacked its end counts now, too.
        assert!(after.entries.len() > before.entries.len());
        if before.broken.is_none() && before.torn == 0 {
            assert_eq!(after.broken, None);
        }
    }
});
