use super::write::{Pen, rfc3339};
use super::*;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

fn state(cause: &str) -> Event {
    Event::State { from: "live", to: "stale", cause: cause.to_owned() }
}

fn write(folder: &Path, full: u64, causes: &[&str]) {
    let mut pen = Pen::open(folder, full).unwrap();
    for cause in causes {
        pen.tell(&state(cause), SystemTime::now(), Instant::now(), 0);
    }
    pen.sync();
}

fn causes(report: &Report) -> Vec<String> {
    let entries = report.entries.iter();
    entries.filter_map(|entry| Some(entry.fields.get("cause")?.as_str()?.to_owned())).collect()
}

#[test]
fn entries_come_back_in_order_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, &["a", "b"]);
    write(folder.path(), 1 << 20, &["c \" } \n \u{1b}"]);
    let report = read(folder.path()).unwrap();
    assert_eq!(causes(&report), ["a", "b", "c \" } \n \u{1b}"]);
    assert_eq!((report.torn, &report.broken), (0, &None));
    let numbers: Vec<_> = report.entries.iter().map(|entry| entry.fields["n"].clone()).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert!(!report.to_string().contains('\u{1b}'));
}

#[test]
fn a_changed_a_moved_and_a_missing_line_are_found() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, &["aaaa", "bbbb", "cccc", "dddd"]);
    let path = current(folder.path());
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let broken = |lines: &[&str]| {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        read(folder.path()).unwrap().broken
    };
    assert_eq!(broken(&lines), None);
    let changed = lines[1].replace("bbbb", "xxxx");
    assert!(broken(&[lines[0], &changed, lines[2]]).unwrap().contains("line 2"));
    let changed = lines[0].replace("aaaa", "xxxx");
    assert!(broken(&[&changed, lines[1]]).unwrap().contains("line 1"));
    assert!(broken(&[lines[0], lines[2], lines[3]]).unwrap().contains("line 2"));
    assert!(broken(&[lines[0], lines[2], lines[1], lines[3]]).is_some());
    assert!(broken(&[lines[0], lines[1], lines[1]]).is_some());
}

#[test]
fn a_full_file_makes_room_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    write(folder.path(), 2000, &many);
    let report = read(folder.path()).unwrap();
    assert_eq!(report.broken, None);
    let found = causes(&report);
    assert!(found.len() < 40 && found.last().unwrap() == "199", "{found:?}");
    for path in [before(folder.path()), current(folder.path())] {
        assert!(fs::metadata(path).unwrap().len() < 2500);
    }
    // A cut between the rename and the new file.
    fs::rename(current(folder.path()), before(folder.path())).unwrap();
    write(folder.path(), 2000, &["after"]);
    let report = read(folder.path()).unwrap();
    assert_eq!((report.broken, causes_last(folder.path())), (None, "after".to_owned()));
}

#[test]
fn a_cut_in_the_midst_of_a_rotation_breaks_no_chain() {
    let folder = tempfile::tempdir().unwrap();
    let full = 2000;
    let many: Vec<&str> = vec!["x"; 20];
    for cut in [None, Some(0), Some(40)] {
        write(folder.path(), full, &many);
        fs::rename(current(folder.path()), before(folder.path())).unwrap();
        if let Some(length) = cut {
            fs::write(current(folder.path()), "{".repeat(length)).unwrap();
        }
        assert_eq!(read(folder.path()).unwrap().broken, None, "{cut:?}");
        // Until the older file is gone whose last entry was the last of all.
        for _ in 0..30 {
            write(folder.path(), full, &["y"]);
            assert_eq!(read(folder.path()).unwrap().broken, None, "{cut:?}");
        }
    }
    // A disk that took the rename, and no new file.
    let mut pen = Pen::open(folder.path(), full).unwrap();
    let tell = |pen: &mut Pen| pen.tell(&state("z"), SystemTime::now(), Instant::now(), 0);
    while fs::metadata(current(folder.path())).unwrap().len() < full {
        tell(&mut pen);
    }
    fs::rename(current(folder.path()), before(folder.path())).unwrap();
    tell(&mut pen);
    let report = read(folder.path()).unwrap();
    assert_eq!((report.broken, causes_last(folder.path())), (None, "z".to_owned()));
    assert!(current(folder.path()).exists());
}

fn causes_last(folder: &Path) -> String {
    causes(&read(folder).unwrap()).pop().unwrap()
}

#[test]
fn whatever_a_power_cut_leaves_is_read_and_written_on() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, &["a", "b", "c"]);
    let whole = fs::read(current(folder.path())).unwrap();
    for length in 0..whole.len() {
        fs::write(current(folder.path()), &whole[..length]).unwrap();
        let ends =
            || whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        // A line is whole without its end.
        let kept = ends().filter(|end| *end <= length).count();
        write(folder.path(), 1 << 20, &["next"]);
        let report = read(folder.path()).unwrap();
        assert_eq!(report.broken, None, "{length}");
        assert_eq!(causes(&report).len(), kept + 1, "{length}");
        let torn = length > 0 && ends().all(|end| end != length && end + 1 != length);
        assert_eq!(report.torn, u64::from(torn), "{length}");
        let last = report.entries.last().unwrap();
        assert_eq!(last.fields.contains_key("torn"), torn, "{length}");
    }
}

#[test]
fn hostile_journals_are_read_without_harm() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, &["a", "b", "c"]);
    let whole = fs::read(current(folder.path())).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        fs::write(current(folder.path()), &bytes).unwrap();
        let report = read(folder.path()).unwrap();
        assert!(bytes == whole || report.broken.is_some() || report.torn > 0);
        let _ = report.to_string();
    }
}

#[test]
fn an_entry_of_the_last_number_is_written_on() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, &["a"]);
    let path = current(folder.path());
    let last = fs::read_to_string(&path).unwrap().replace("\"n\":0", "\"n\":18446744073709551615");
    fs::write(&path, last).unwrap();
    write(folder.path(), 1 << 20, &["b", "c"]);
    let report = read(folder.path()).unwrap();
    assert_eq!(causes(&report), ["a", "b", "c"]);
    assert!(report.entries.iter().all(|entry| entry.fields["n"] == u64::MAX));
}

#[test]
fn a_link_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "precious").unwrap();
    std::os::unix::fs::symlink(&other, current(folder.path())).unwrap();
    assert!(Pen::open(folder.path(), 1 << 20).is_err());
    assert_eq!(fs::read_to_string(other).unwrap(), "precious");
}

#[test]
fn telling_does_not_wait_and_dropping_writes_all() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    for _ in 0..2000 {
        journal.tell(state("x"));
    }
    drop(journal);
    let report = read(folder.path()).unwrap();
    let lost: u64 =
        report.entries.iter().filter_map(|entry| entry.fields.get("lost")?.as_u64()).sum();
    assert!(report.entries.len() as u64 + lost <= 2000);
    assert!(report.entries.len() >= 256 && report.broken.is_none());
}

#[test]
fn times_are_those_of_the_calendar() {
    let at = |seconds, millis| {
        rfc3339(
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis),
        )
    };
    // By `date -u -d @N`.
    assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
    assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.007Z");
    assert_eq!(at(1_709_251_199, 999), "2024-02-29T23:59:59.999Z");
    assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
}
