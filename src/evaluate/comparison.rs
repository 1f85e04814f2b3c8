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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::LabelMap;
    use crate::evaluate::{Agreement, Measures};

    #[test]
    fn two_networks_stand_side_by_side() {
        let map = |ids: &[u8]| LabelMap { width: 4, height: 1, ids: ids.to_vec() };
        let (truth, first, second) = (map(&[0, 0, 1, 1]), map(&[0, 1, 1, 1]), map(&[0, 0, 0, 1]));
        let names = ["ground".to_owned(), "person".to_owned()];
        let report = |labels: &LabelMap| {
            let mut measures = Measures::new(2);
            measures.add(&truth, labels).unwrap();
            measures.report(&names)
        };
        let mut agreement = Agreement::new(2, true);
        agreement.add(&first, &second, Some(&truth));
        let agreement = agreement.report(&names);
        let comparison = Comparison { model: "int8".into(), other: "float".into(), agreement };
        let reports = [&report(&first), &report(&second)];
        let text = Table { comparison: &comparison, reports }.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "measure                    int8   float difference");
        assert_eq!(lines[1], "ground IoU               0.5000  0.6667    +0.1667");
        assert_eq!(lines[7], "person IoU               0.6667  0.5000    -0.1667");
        assert_eq!(lines[12], "person soft Dice              -       -          -");
        assert_eq!(lines[13], "mean IoU                 0.5833  0.5833    +0.0000");
        assert_eq!(lines.len(), 1 + 6 + 6 + 7);
        let expected = "\
int8 against float
same label        50.000 %            2 pixels
differ            50.000 %            2 pixels
  int8 right      25.000 %            1 pixels
  float right     25.000 %            1 pixels
  neither right    0.000 %            0 pixels
ground IoU          0.3333
person IoU          0.3333
mean IoU            0.3333
";
        assert_eq!(comparison.to_string(), expected);
        let json = serde_json::to_value(&comparison).unwrap();
        assert_eq!((&json["other"], &json["differing"]), (&"float".into(), &2.into()));
        assert_eq!(json["right"]["model"], 1);
    }
}
