//! Two networks side by side.

use super::agreement::AgreementReport;
use super::report::number;
use super::{Report, ratio};
use serde::Serialize;
use std::fmt;

/// What two networks' evaluation says beside their own reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The names of the two.
    pub model: String,
    pub other: String,
    #[serde(flatten)]
    pub agreement: AgreementReport,
}

/// A pair of reports as a table: each measure, and the other's less the model's.
pub(super) struct Table<'a> {
    pub comparison: &'a Comparison,
    pub reports: [&'a Report; 2],
}

/// Longer names are cut above the columns.
const MOST_NAME: usize = 24;

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let [model, other] = self.reports;
        let mut rows: Vec<(String, [Option<f64>; 2])> = Vec::new();
        for id in 0..model.classes.len().min(other.classes.len()) {
            if !model.listed().contains(&id) && !other.listed().contains(&id) {
                continue;
            }
            let (class, against) = (&model.classes[id], &other.classes[id]);
            for ((label, value), (_, second)) in class.measures().iter().zip(against.measures()) {
                rows.push((format!("{} {label}", class.name), [*value, second]));
            }
        }
        for ((label, value), (_, second)) in model.measures().iter().zip(other.measures()) {
            rows.push(((*label).to_owned(), [*value, second]));
        }
        let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let names = [&self.comparison.model, &self.comparison.other]
            .map(|name| name.chars().take(MOST_NAME).collect::<String>());
        let [first, second] = names.each_ref().map(|name| name.chars().count().max(7));
        let [model, other] = &names;
        writeln!(out, "{:width$}  {model:>first$} {other:>second$} difference", "measure")?;
        for (label, values) in rows {
            let difference = match values {
                [Some(model), Some(other)] => format!("{:+.4}", other - model),
                _ => "-".to_owned(),
            };
            let [model, other] = values.map(number);
            writeln!(out, "{label:width$}  {model:>first$} {other:>second$} {difference:>10}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let AgreementReport { pixels, differing, agreement, right, classes, mean_iou } =
            &self.agreement;
        let percent = |share: Option<f64>| {
            share.map_or("-".to_owned(), |share| format!("{:.3} %", 100.0 * share))
        };
        let mut rows = vec![
            ("same label".to_owned(), percent(*agreement), pixels - differing),
            ("differ".to_owned(), percent(ratio(*differing, *pixels)), *differing),
        ];
        if let Some(right) = right {
            let mut row = |label: String, count: u64| {
                rows.push((format!("  {label}"), percent(ratio(count, *pixels)), count));
            };
            row(format!("{} right", self.model), right.model);
            row(format!("{} right", self.other), right.other);
            row("neither right".to_owned(), right.neither);
        }
        let many = classes.len() > 32;
        let classes: Vec<(String, Option<f64>)> = classes
            .iter()
            .filter(|class| !many || class.iou.is_some())
            .map(|class| (format!("{} IoU", class.name), class.iou))
            .chain([("mean IoU".to_owned(), *mean_iou)])
            .collect();
        let labels = rows.iter().map(|row| &row.0).chain(classes.iter().map(|class| &class.0));
        let width = labels.map(|label| label.chars().count()).max().unwrap_or(0);
        writeln!(out, "{} against {}", self.model, self.other)?;
        for (label, share, count) in rows {
            writeln!(out, "{label:width$}  {share:>9} {count:>12} pixels")?;
        }
        for (label, iou) in classes {
            writeln!(out, "{label:width$}  {:>9}", number(iou))?;
        }
        Ok(())
    }
}
