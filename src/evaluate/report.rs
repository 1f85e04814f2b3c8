//! The measures of one network as text and JSON.

use serde::Serialize;
use std::fmt;

/// The measures of one class; None where their denominator is 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassReport {
    pub name: String,
    /// Of the truth.
    pub pixels: u64,
    pub iou: Option<f64>,
    pub dice: Option<f64>,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub boundary_f1: Option<f64>,
    /// None where the output holds no probabilities.
    pub soft_dice: Option<f64>,
}

/// All measures of an evaluation; its `Display` is tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub classes: Vec<ClassReport>,
    pub mean_iou: Option<f64>,
    pub frequency_weighted_iou: Option<f64>,
    pub pixel_accuracy: Option<f64>,
    pub mean_class_accuracy: Option<f64>,
    pub boundary_f1: Option<f64>,
    /// In nats; None where the output holds no probabilities.
    pub cross_entropy: Option<f64>,
    pub soft_dice_loss: Option<f64>,
    /// Of the truth, without the ignored ones.
    pub pixels: u64,
    /// Pixels: a row a true class, a column a predicted class, last those without a label.
    pub confusion: Vec<Vec<u64>>,
}

/// Of the confusion matrix in a line of text.
const MOST_COLUMNS: usize = 16;
/// Longer class names are cut above its columns.
const MOST_NAME: usize = 12;

impl ClassReport {
    /// With their names.
    pub fn measures(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("IoU", self.iou),
            ("Dice", self.dice),
            ("precision", self.precision),
            ("recall", self.recall),
            ("boundary F1", self.boundary_f1),
            ("soft Dice", self.soft_dice),
        ]
    }
}

impl Report {
    /// Those over all classes, with their names.
    pub fn measures(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("mean IoU", self.mean_iou),
            ("frequency-weighted IoU", self.frequency_weighted_iou),
            ("pixel accuracy", self.pixel_accuracy),
            ("mean class accuracy", self.mean_class_accuracy),
            ("boundary F1", self.boundary_f1),
            ("cross entropy", self.cross_entropy),
            ("soft Dice loss", self.soft_dice_loss),
        ]
    }

    /// The ids to tell of: where the card names no classes there are many that occur nowhere.
    pub fn listed(&self) -> Vec<usize> {
        let many = self.classes.len() > 32;
        let listed = |id: &usize| !many || self.classes[*id].iou.is_some();
        (0..self.classes.len()).filter(listed).collect()
    }

    fn confusion_table(&self, out: &mut fmt::Formatter, width: usize) -> fmt::Result {
        let listed = self.listed();
        let mut columns: Vec<(usize, &str)> =
            listed.iter().map(|id| (*id, &*self.classes[*id].name)).collect();
        let none = self.classes.len();
        if self.confusion.iter().any(|row| row[none] > 0) {
            columns.push((none, "no label"));
        }
        if columns.len() > MOST_COLUMNS {
            let count = listed.len();
            return writeln!(out, "confusion of {count} classes: see --json, or -o for a picture");
        }
        let wide = |name: &str| name.chars().count().clamp("100.00".len(), MOST_NAME);
        write!(out, "{:width$} ", "true \\ predicted, %")?;
        for (_, name) in &columns {
            let cut: String = name.chars().take(MOST_NAME).collect();
            write!(out, " {cut:>width$}", width = wide(name))?;
        }
        writeln!(out)?;
        for id in listed {
            write!(out, "{:width$} ", self.classes[id].name)?;
            for (column, name) in &columns {
                let share = super::ratio(self.confusion[id][*column], self.classes[id].pixels);
                let share = share.map_or("-".to_owned(), |share| format!("{:.2}", 100.0 * share));
                write!(out, " {share:>width$}", width = wide(name))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let names = self.listed().into_iter().map(|id| self.classes[id].name.chars().count());
        let measures = self.measures();
        let labels = measures.iter().map(|(label, _)| label.len());
        let width = names.chain(labels).max().unwrap_or(0);
        write!(out, "{:width$} ", "class")?;
        let columns = ["IoU", "Dice", "precision", "recall", "boundary F1", "soft Dice"];
        for column in columns {
            write!(out, " {column:>width$}", width = column.len().max(7))?;
        }
        writeln!(out, " {:>12}", "pixels")?;
        for id in self.listed() {
            let class = &self.classes[id];
            write!(out, "{:width$} ", class.name)?;
            for (label, value) in class.measures() {
                write!(out, " {:>width$}", number(value), width = label.len().max(7))?;
            }
            writeln!(out, " {:>12}", class.pixels)?;
        }
        for (label, value) in measures {
            writeln!(out, "{label:width$}  {:>7}", number(value))?;
        }
        writeln!(out)?;
        self.confusion_table(out, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, pixels: u64, numbers: [Option<f64>; 6]) -> ClassReport {
        let [iou, dice, precision, recall, boundary_f1, soft_dice] = numbers;
        let name = name.to_owned();
        ClassReport { name, pixels, iou, dice, precision, recall, boundary_f1, soft_dice }
    }

    fn report() -> Report {
        let ground = [0.6, 0.75, 0.75, 0.75, 0.5, 0.625].map(Some);
        let person = [0.4, 4.0 / 7.0, 2.0 / 3.0, 0.5, 0.25, 0.5].map(Some);
        Report {
            classes: vec![
                class("ground", 4, ground),
                class("person", 4, person),
                class("2", 0, [None; 6]),
            ],
            mean_iou: Some(0.5),
            frequency_weighted_iou: Some(0.5),
            pixel_accuracy: Some(0.625),
            mean_class_accuracy: Some(0.625),
            boundary_f1: Some(0.375),
            cross_entropy: Some(0.75),
            soft_dice_loss: None,
            pixels: 8,
            confusion: vec![vec![3, 1, 0, 0], vec![1, 2, 0, 1], vec![0; 4]],
        }
    }

    #[test]
    fn the_tables_and_the_json_say_the_same() {
        let report = report();
        let expected = "\
class                       IoU    Dice precision  recall boundary F1 soft Dice       pixels
ground                   0.6000  0.7500    0.7500  0.7500      0.5000    0.6250            4
person                   0.4000  0.5714    0.6667  0.5000      0.2500    0.5000            4
2                             -       -         -       -           -         -            0
mean IoU                 0.5000
frequency-weighted IoU   0.5000
pixel accuracy           0.6250
mean class accuracy      0.6250
boundary F1              0.3750
cross entropy            0.7500
soft Dice loss                -

true \\ predicted, %     ground person      2 no label
ground                   75.00  25.00   0.00     0.00
person                   25.00  50.00   0.00    25.00
2                            -      -      -        -
";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["classes"][0]["iou"], 0.6);
        assert!(json["classes"][2]["recall"].is_null());
        assert_eq!((&json["mean_iou"], &json["cross_entropy"]), (&0.5.into(), &0.75.into()));
        assert_eq!(json["confusion"][1], serde_json::json!([1, 2, 0, 1]));
    }

    #[test]
    fn of_many_classes_those_that_occur_are_listed() {
        let mut report = report();
        report.classes.resize(40, class("more", 0, [None; 6]));
        report.confusion = vec![vec![0; 41]; 40];
        assert_eq!(report.listed(), [0, 1]);
        assert!(!report.to_string().contains("more"), "{report}");
        for class in &mut report.classes {
            class.iou = Some(0.5);
        }
        assert!(report.to_string().contains("confusion of 40 classes: see --json"), "{report}");
    }
}
