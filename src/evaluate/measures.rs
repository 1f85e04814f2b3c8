//! Everything that is measured of one network.

use super::{Boundaries, ClassReport, Confusion, EvaluateError, Losses, Report, mean, ratio};
use crate::decode::LabelMap;

/// Sums over the pictures seen so far.
#[derive(Clone, Debug)]
pub struct Measures {
    pub confusion: Confusion,
    pub boundaries: Boundaries,
    pub losses: Losses,
}

impl Measures {
    /// `classes`: 1 to 255.
    pub fn new(classes: usize) -> Measures {
        Measures {
            confusion: Confusion::new(classes),
            boundaries: Boundaries::new(classes),
            losses: Losses::new(classes),
        }
    }

    /// Adds a picture's labels; its losses are added part by part. On an error nothing is.
    pub fn add(&mut self, truth: &LabelMap, predicted: &LabelMap) -> Result<(), EvaluateError> {
        self.confusion.add(&truth.ids, &predicted.ids)?;
        self.boundaries.add(truth, predicted);
        Ok(())
    }

    /// Classes without a name are numbered.
    pub fn report(&self, names: &[String]) -> Report {
        let confusion = &self.confusion;
        let classes: Vec<ClassReport> = (0..confusion.classes())
            .map(|class| self.class(names.get(class).cloned().unwrap_or(class.to_string()), class))
            .collect();
        let pixels = confusion.pixels();
        let weighted = classes.iter().filter_map(|class| Some(class.iou? * class.pixels as f64));
        let weighted = weighted.sum::<f64>() / pixels as f64;
        Report {
            mean_iou: confusion.mean_iou(),
            frequency_weighted_iou: (pixels > 0).then_some(weighted),
            pixel_accuracy: ratio(confusion.hits(), pixels),
            mean_class_accuracy: mean(classes.iter().map(|class| class.recall)),
            boundary_f1: self.boundaries.mean(),
            cross_entropy: self.losses.cross_entropy(),
            soft_dice_loss: self.losses.soft_dice_loss(),
            pixels,
            confusion: (0..classes.len()).map(|class| confusion.row(class).to_vec()).collect(),
            classes,
        }
    }

    fn class(&self, name: String, class: usize) -> ClassReport {
        let confusion = &self.confusion;
        let hits = confusion.count(class, Some(class));
        let (pixels, predicted) = (confusion.true_pixels(class), confusion.predicted_pixels(class));
        ClassReport {
            name,
            pixels,
            iou: confusion.iou(class),
            dice: ratio(2 * hits, pixels + predicted),
            precision: ratio(hits, predicted),
            recall: ratio(hits, pixels),
            boundary_f1: self.boundaries.class(class),
            soft_dice: self.losses.soft_dice(class),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ids: &[u8]) -> LabelMap {
        LabelMap { width: ids.len() as u32, height: 1, ids: ids.to_vec() }
    }

    /// truth 0: 3 right, 1 as class 1; truth 1: 2 right, 1 as 0, 1 unlabelled; no truth 2.
    fn example() -> Measures {
        let mut measures = Measures::new(3);
        measures.add(&map(&[0, 0, 0, 0, 255]), &map(&[0, 0, 0, 1, 2])).unwrap();
        measures.add(&map(&[1, 1, 1, 1, 255]), &map(&[1, 1, 0, 255, 255])).unwrap();
        measures
    }

    #[test]
    fn measures_equal_numbers_by_hand() {
        let report = example().report(&["ground".into(), "person".into()]);
        let [ground, person, empty] = &report.classes[..] else { panic!() };
        assert_eq!((ground.pixels, ground.iou, ground.dice), (4, Some(0.6), Some(0.75)));
        assert_eq!((ground.precision, ground.recall), (Some(0.75), Some(0.75)));
        assert_eq!((person.pixels, person.iou, person.dice), (4, Some(0.4), Some(4.0 / 7.0)));
        assert_eq!((person.precision, person.recall), (Some(2.0 / 3.0), Some(0.5)));
        assert_eq!((&empty.name[..], empty.pixels), ("2", 0));
        assert_eq!([empty.iou, empty.dice, empty.precision, empty.recall], [None; 4]);
        assert_eq!((report.mean_iou, report.pixel_accuracy), (Some(0.5), Some(5.0 / 8.0)));
        // (4 * 0.6 + 4 * 0.4) / 8 and (0.75 + 0.5) / 2.
        assert_eq!(report.frequency_weighted_iou, Some(0.5));
        assert_eq!(report.mean_class_accuracy, Some(0.625));
        assert_eq!((report.pixels, report.cross_entropy, report.soft_dice_loss), (8, None, None));
        assert_eq!(report.confusion, [[3, 1, 0, 0], [1, 2, 0, 1], [0, 0, 0, 0]]);
    }

    #[test]
    fn frequent_classes_weigh_more() {
        // IoU 6/7 of 7 pixels and 2/3 of 2, by frequency: (7 * 6/7 + 2 * 2/3) / 9.
        let mut measures = Measures::new(2);
        let truth = map(&[0, 0, 0, 0, 0, 0, 0, 1, 1]);
        measures.add(&truth, &map(&[0, 0, 0, 0, 0, 0, 1, 1, 1])).unwrap();
        let report = measures.report(&[]);
        let found = report.frequency_weighted_iou.unwrap();
        assert!((found - (6.0 + 4.0 / 3.0) / 9.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_class_that_was_only_predicted_has_an_iou_of_0() {
        let mut measures = Measures::new(2);
        measures.add(&map(&[0, 0]), &map(&[0, 1])).unwrap();
        let report = measures.report(&[]);
        let class = &report.classes[1];
        assert_eq!((class.iou, class.precision, class.recall), (Some(0.0), Some(0.0), None));
        assert_eq!((report.mean_iou, report.mean_class_accuracy), (Some(0.25), Some(0.5)));
    }

    #[test]
    fn nothing_counted_is_nothing_defined() {
        let mut measures = Measures::new(2);
        measures.add(&map(&[255, 255]), &map(&[0, 1])).unwrap();
        let report = measures.report(&[]);
        assert_eq!([report.mean_iou, report.pixel_accuracy, report.boundary_f1], [None; 3]);
        assert_eq!([report.frequency_weighted_iou, report.mean_class_accuracy], [None; 2]);
        assert_eq!((report.cross_entropy, report.pixels), (None, 0));
    }

    #[test]
    fn wrong_truths_are_refused_and_not_counted() {
        let mut measures = example();
        assert_eq!(
            measures.add(&map(&[0, 3]), &map(&[0, 0])).unwrap_err().to_string(),
            "the truth holds class id 3, but there are 3 classes: ids 0 to 2 and 255 (ignored) are expected"
        );
        let size = EvaluateError::Size { found: 1, expected: 0 };
        assert_eq!(measures.add(&map(&[0]), &map(&[])), Err(size));
        assert_eq!(measures.confusion, example().confusion);
    }
}
