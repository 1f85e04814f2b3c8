//! Figures in Prometheus' text format.

use super::Figures;
use crate::health::State;
use std::fmt::{Display, Write};
use std::time::SystemTime;

/// One family after the other, each with its `HELP` and `TYPE`.
pub fn render(figures: &Figures) -> String {
    let mut text = Text(String::with_capacity(4096));
    text.family("segcam_build_info", "gauge", "What runs: its version, board and model.");
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("board", &figures.board),
        ("model", &figures.model),
        ("model_sha256", &figures.model_sha256),
    ];
    text.sample("segcam_build_info", &labels, 1);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = format!("{:.3}", since.as_secs_f64());
    text.one(
        "segcam_updated_timestamp_seconds",
        "gauge",
        "When this was written, since 1970.",
        seconds,
    );
    text.family("segcam_state", "gauge", "1 for the state that the screen shows.");
    for state in State::ALL {
        let is = u8::from(figures.state == Some(state));
        text.sample("segcam_state", &[("state", state.name())], is);
    }
    text.family("segcam_state_entered_total", "counter", "How often each state was entered.");
    for (state, count) in State::ALL.into_iter().zip(figures.entered) {
        text.sample("segcam_state_entered_total", &[("state", state.name())], count);
    }
    text.one("segcam_frames_total", "counter", "Frames shown.", figures.frames);
    let help = "Frames shown with a mask that was fresh.";
    text.one("segcam_masks_total", "counter", help, figures.masks);
    let help = "Frames captured, or lost by the camera, that were never shown.";
    text.one("segcam_dropped_total", "counter", help, figures.dropped);
    text.one("segcam_frames_per_second", "gauge", "Frames shown.", figures.frames_per_second);
    text.family("segcam_inference_seconds", "summary", "What the network took for a shown frame.");
    text.sample("segcam_inference_seconds_sum", &[], figures.inference.as_secs_f64());
    text.sample("segcam_inference_seconds_count", &[], figures.frames);
    if let Some(age) = figures.age {
        let help = "Time since the newest mask's frame was captured.";
        text.one("segcam_mask_age_seconds", "gauge", help, age.as_secs_f64());
    }
    let help = "Times that a lost camera came back.";
    text.one("segcam_reconnects_total", "counter", help, figures.reconnects);
    text.family("segcam_reloads_total", "counter", "Changes of model or settings.");
    for (result, count) in [("taken", figures.reloads), ("refused", figures.refused)] {
        text.sample("segcam_reloads_total", &[("result", result)], count);
    }
    if let Some(celsius) = figures.celsius {
        text.one("segcam_temperature_celsius", "gauge", "The processor's.", celsius);
    }
    if let Some(bytes) = resident() {
        text.one("segcam_resident_memory_bytes", "gauge", "Memory in use.", bytes);
    }
    text.0
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.put(format_args!("{name}"));
        for (index, (label, text)) in labels.iter().enumerate() {
            let mark = if index == 0 { '{' } else { ',' };
            let text = text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
            self.put(format_args!("{mark}{label}=\"{text}\""));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.put(format_args!("{end} {value}\n"));
    }

    /// A family of one sample.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn put(&mut self, text: std::fmt::Arguments) {
        // Writing to a String does not fail.
        let _ = self.0.write_fmt(text);
    }
}

/// Bytes in memory (proc_pid_statm(5)).
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_what_is_unknown_is_left_out() {
        let figures = Figures { model: "a\"b\\c\nd".to_owned(), ..Figures::default() };
        let text = render(&figures);
        assert!(text.contains(r#",model="a\"b\\c\nd","#), "{text}");
        assert!(!text.contains("celsius") && !text.contains("mask_age"), "{text}");
        assert!(text.contains("segcam_inference_seconds_sum 0\n"), "{text}");
        let figures = Figures { celsius: Some(61.5), ..figures };
        assert!(render(&figures).contains("\nsegcam_temperature_celsius 61.5\n"));
    }
}
