//! Cameras: what the kernel's video devices offer.

use super::Finding;
use crate::camera::v4l2::{self, ControlSummary, Facts, FormatFacts, Listing};

/// For cameras that V4L2 alone does not make pictures of (raw sensors, libcamera).
const PIPE: &str = "pipe one: rpicam-vid -n -t 0 --codec yuv420 --width 640 --height 480 -o - | \
                    segcam run --camera \"pipe:-?format=yuv420&width=640&height=480\"";

pub fn examine() -> Vec<Finding> {
    let listings = v4l2::list();
    let mut findings: Vec<Finding> = listings.iter().map(look).collect();
    if listings.is_empty() {
        let remedy = format!("plug a camera in, or {PIPE}");
        findings.push(Finding::new("camera", "no /dev/video*").with_remedy(remedy));
    } else if !listings.iter().any(|listing| is_camera(listing) || listing.facts.is_err()) {
        let remedy = format!("plug a USB camera in, or {PIPE}");
        findings.push(Finding::new("camera", "none of these gives pictures").with_remedy(remedy));
    }
    findings
}

fn is_camera(listing: &Listing) -> bool {
    listing.facts.as_ref().is_ok_and(|facts| facts.can_capture.is_ok())
}

fn look(Listing { path, facts }: &Listing) -> Finding {
    let Facts { driver, card, bus, can_capture, formats, controls } = match facts {
        Ok(facts) => facts,
        Err(trouble) => return Finding::of_trouble("camera", path, trouble),
    };
    let found = format!("{} {card} ({driver}, {bus})", path.display());
    if let Err(why) = can_capture {
        return Finding::new("video device", format!("{found}: {why}"))
            .with_details(unread(formats).into_iter().collect());
    }
    let mut details = readable(formats);
    details.extend(unread(formats));
    if !controls.is_empty() {
        let controls: Vec<String> = controls.iter().map(control).collect();
        details.push(format!("controls: {}", controls.join("; ")));
    }
    Finding::new("camera", found).with_details(details)
}

/// Formats of the same sizes and rates together.
fn readable(formats: &[FormatFacts]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for format in formats {
        let Some(word) = format.word else { continue };
        let sizes = condense(&format.sizes);
        match groups.iter_mut().find(|(known, _)| *known == sizes) {
            Some((_, words)) => words.push(word),
            None => groups.push((sizes, vec![word])),
        }
    }
    groups.iter().map(|(sizes, words)| format!("{}: {sizes}", words.join(" "))).collect()
}

/// Formats that segcam does not read.
fn unread(formats: &[FormatFacts]) -> Option<String> {
    let others = formats.iter().filter(|format| format.word.is_none());
    let others: Vec<&str> = others.map(|format| format.letters.as_str()).collect();
    (!others.is_empty()).then(|| format!("not read: {}", others.join(" ")))
}

fn control(control: &ControlSummary) -> String {
    let ControlSummary { name, range, value, .. } = control;
    let range = range.trim_start_matches("a number from ");
    match value {
        Some(value) => format!("{name}={value}, {range}"),
        None => format!("{name}, {range}"),
    }
}

/// Sizes of the same rates together: `640x480 320x240 at 30 15; 1280x720 at 10`.
fn condense(sizes: &[(String, Vec<(f64, f64)>)]) -> String {
    if sizes.is_empty() {
        return "sizes not told".to_owned();
    }
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (size, rates) in sizes {
        let rates = rates_of(rates);
        match groups.iter_mut().find(|(known, _)| *known == rates) {
            Some((_, sizes)) => sizes.push(size),
            None => groups.push((rates, vec![size])),
        }
    }
    let groups = groups.iter().map(|(rates, sizes)| {
        let at = if rates.is_empty() { "" } else { " at " };
        format!("{}{at}{rates}", sizes.join(" "))
    });
    groups.collect::<Vec<_>>().join("; ")
}

/// Frames a second: `30 15`, `1 to 60` for a range, `1 to 60 (12 rates)` for many.
fn rates_of(rates: &[(f64, f64)]) -> String {
    const FEW: usize = 4;
    if rates.len() <= FEW {
        return rates.iter().map(|(slow, fast)| range(*slow, *fast)).collect::<Vec<_>>().join(" ");
    }
    let slowest = rates.iter().map(|rate| rate.0).fold(f64::INFINITY, f64::min);
    let fastest = rates.iter().map(|rate| rate.1).fold(0.0, f64::max);
    format!("{} ({} rates)", range(slowest, fastest), rates.len())
}

fn range(slowest: f64, fastest: f64) -> String {
    let number = |rate: f64| {
        let text = format!("{rate:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match (number(slowest), number(fastest)) {
        (slowest, fastest) if slowest == fastest => fastest,
        (slowest, fastest) => format!("{slowest} to {fastest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webcam() -> Facts {
        let size = |text: &str, rates: &[f64]| {
            (text.to_owned(), rates.iter().map(|rate| (*rate, *rate)).collect())
        };
        let format =
            |letters: &str, word, sizes| FormatFacts { letters: letters.to_owned(), word, sizes };
        Facts {
            driver: "uvcvideo".to_owned(),
            card: "HD Webcam".to_owned(),
            bus: "usb-0000:01:00.0-1.2".to_owned(),
            can_capture: Ok(()),
            formats: vec![
                format(
                    "YUYV",
                    Some("yuyv"),
                    vec![
                        size("640x480", &[30.0, 15.0]),
                        size("1280x720", &[7.5]),
                        size("320x240", &[30.0, 15.0]),
                    ],
                ),
                format("H264", None, Vec::new()),
            ],
            controls: vec![ControlSummary {
                name: "brightness".to_owned(),
                range: "a number from -64 to 64".to_owned(),
                default: 0,
                value: Some(3),
            }],
        }
    }

    #[test]
    fn a_camera_is_told_in_a_few_lines() {
        let path = "/dev/video0".into();
        let found = look(&Listing { path, facts: Ok(webcam()) });
        assert_eq!((found.what.as_str(), found.remedy), ("camera", None));
        assert_eq!(found.found, "/dev/video0 HD Webcam (uvcvideo, usb-0000:01:00.0-1.2)");
        let expected = [
            "yuyv: 640x480 320x240 at 30 15; 1280x720 at 7.5",
            "not read: H264",
            "controls: brightness=3, -64 to 64",
        ];
        assert_eq!(found.details, expected);
    }

    #[test]
    fn formats_with_the_same_sizes_are_told_together() {
        let Facts { mut formats, .. } = webcam();
        formats.insert(1, FormatFacts { word: Some("nv12"), ..formats[0].clone() });
        formats.push(FormatFacts { word: Some("mjpeg"), sizes: Vec::new(), ..formats[0].clone() });
        let told = readable(&formats);
        assert!(told[0].starts_with("yuyv nv12: 640x480"), "{told:?}");
        assert_eq!(told[1..], ["mjpeg: sizes not told"]);
    }

    #[test]
    fn what_is_no_camera_says_why() {
        let facts = Facts { can_capture: Err("has no format".to_owned()), ..webcam() };
        let listing = Listing { path: "/dev/video1".into(), facts: Ok(facts) };
        let found = look(&listing);
        assert_eq!(found.what, "video device");
        assert!(found.found.ends_with("-1.2): has no format"), "{}", found.found);
        assert!(!is_camera(&listing));
        let facts = Err("/dev/null does not speak V4L2; take another".to_owned());
        let found = look(&Listing { path: "/dev/null".into(), facts });
        assert_eq!(found.found, "/dev/null does not speak V4L2");
        assert_eq!(found.remedy.as_deref(), Some("take another"));
    }

    #[test]
    fn rates_are_short() {
        assert_eq!(rates_of(&[(1.0, 60.0)]), "1 to 60");
        assert_eq!(rates_of(&[(29.97, 29.97), (7.5, 7.5)]), "29.97 7.5");
        let many = [60.0, 30.0, 15.0, 10.0, 5.0].map(|rate| (rate, rate));
        assert_eq!(rates_of(&many), "5 to 60 (5 rates)");
        assert_eq!(condense(&[("16x16 to 64x64".to_owned(), Vec::new())]), "16x16 to 64x64");
    }
}
