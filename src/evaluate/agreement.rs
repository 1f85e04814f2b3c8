//! How two networks' labels differ, pixel by pixel.

use super::{IGNORED, mean, ratio};
use crate::decode::{LabelMap, UNLABELLED};
use serde::Serialize;

/// What a pixel says of two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Same,
    /// They differ, and the model has the true class.
    Model,
    /// They differ, and the other one has it.
    Other,
    /// They differ, and neither has it.
    Neither,
    /// They differ, and there is no truth.
    Unknown,
    /// The same, but it counts nowhere: neither a truth nor a label.
    Nothing,
}

impl Outcome {
    /// `truth` is None or [`IGNORED`] where there is none.
    pub fn of(model: u8, other: u8, truth: Option<u8>) -> Outcome {
        match truth.filter(|truth| *truth != IGNORED) {
            None if model != other => Outcome::Unknown,
            None if truth.is_some() || model == UNLABELLED => Outcome::Nothing,
            _ if model == other => Outcome::Same,
            Some(truth) if model == truth => Outcome::Model,
            Some(truth) if other == truth => Outcome::Other,
            _ => Outcome::Neither,
        }
    }
}

/// How many pixels there are of each [`Outcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub same: u64,
    pub model: u64,
    pub other: u64,
    pub neither: u64,
    pub unknown: u64,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Same => self.same += 1,
            Outcome::Model => self.model += 1,
            Outcome::Other => self.other += 1,
            Outcome::Neither => self.neither += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Nothing => {}
        }
    }

    /// Where their labels differ and there is a truth.
    pub fn differing(&self) -> u64 {
        self.model + self.other + self.neither
    }
}

/// Sums over pictures. With masks the pixels that have a truth count, without masks all that one
/// of the networks gave a label.
#[derive(Clone, Debug)]
pub struct Agreement {
    masks: bool,
    tally: Tally,
    /// Of each class: pixels that both gave it, and the pixels of each added up.
    overlaps: Vec<(u64, u64)>,
}

/// Who is right where two networks differ, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Right {
    pub model: u64,
    pub other: u64,
    pub neither: u64,
}

/// A class's IoU of one network's labels against the other's: it is the same either way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassAgreement {
    pub name: String,
    pub iou: Option<f64>,
}

/// What an [`Agreement`] comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgreementReport {
    /// That count.
    pub pixels: u64,
    pub differing: u64,
    /// Share of the pixels with the same label.
    pub agreement: Option<f64>,
    /// None without masks.
    pub right: Option<Right>,
    pub classes: Vec<ClassAgreement>,
    pub mean_iou: Option<f64>,
}

impl Agreement {
    pub fn new(classes: usize, masks: bool) -> Agreement {
        Agreement { masks, tally: Tally::default(), overlaps: vec![(0, 0); classes] }
    }

    /// Adds a picture, all maps of its size, and gives its own count.
    pub fn add(&mut self, model: &LabelMap, other: &LabelMap, truth: Option<&LabelMap>) -> Tally {
        let mut tally = Tally::default();
        for (pixel, (&model, &other)) in model.ids.iter().zip(&other.ids).enumerate() {
            let truth = truth.and_then(|truth| truth.ids.get(pixel).copied());
            tally.count(Outcome::of(model, other, truth));
            if truth == Some(IGNORED) {
                continue;
            }
            let (model, other) = (usize::from(model), usize::from(other));
            if let Some((both, sum)) = self.overlaps.get_mut(model) {
                *both += u64::from(model == other);
                *sum += 1;
            }
            if let Some((_, sum)) = self.overlaps.get_mut(other) {
                *sum += 1;
            }
        }
        let all = &mut self.tally;
        all.same += tally.same;
        all.model += tally.model;
        all.other += tally.other;
        all.neither += tally.neither;
        all.unknown += tally.unknown;
        tally
    }

    pub fn report(&self, names: &[String]) -> AgreementReport {
        let tally = &self.tally;
        let differing = if self.masks { tally.differing() } else { tally.unknown };
        let pixels = tally.same + differing;
        let classes: Vec<ClassAgreement> = names
            .iter()
            .zip(&self.overlaps)
            .map(|(name, &(both, sum))| ClassAgreement {
                name: name.clone(),
                iou: ratio(both, sum - both),
            })
            .collect();
        let Tally { model, other, neither, .. } = *tally;
        AgreementReport {
            pixels,
            differing,
            agreement: ratio(tally.same, pixels),
            right: self.masks.then_some(Right { model, other, neither }),
            mean_iou: mean(classes.iter().map(|class| class.iou)),
            classes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ids: &[u8]) -> LabelMap {
        LabelMap { width: ids.len() as u32, height: 1, ids: ids.to_vec() }
    }

    fn report(model: &[u8], other: &[u8], truth: Option<&[u8]>) -> AgreementReport {
        let mut agreement = Agreement::new(3, truth.is_some());
        let truth = truth.map(map);
        // Twice the same picture.
        agreement.add(&map(model), &map(other), truth.as_ref());
        agreement.add(&map(model), &map(other), truth.as_ref());
        agreement.report(&["a".into(), "b".into(), "c".into()])
    }

    #[test]
    fn who_is_right_is_counted_where_there_is_a_truth() {
        let model = [0, 0, 1, 1, 255, 255, 0, 1];
        let other = [0, 1, 0, 0, 1, 255, 1, 1];
        let truth = [0, 0, 0, 2, 1, 1, 255, 255];
        let found = report(&model, &other, Some(&truth));
        assert_eq!((found.pixels, found.differing, found.agreement), (12, 8, Some(1.0 / 3.0)));
        assert_eq!(found.right, Some(Right { model: 2, other: 4, neither: 2 }));
        // Class 0: both at pixel 0, one of them at 1, 2 and 3. Class 1: 1, 2, 3 and 4 without both.
        let ious: Vec<_> = found.classes.iter().map(|class| class.iou).collect();
        assert_eq!(ious, [Some(0.25), Some(0.0), None]);
        assert_eq!(found.mean_iou, Some(0.125));
    }

    #[test]
    fn without_a_truth_all_that_one_labelled_counts() {
        let found = report(&[0, 1, 255, 255], &[0, 0, 0, 255], None);
        assert_eq!((found.pixels, found.differing, found.right), (6, 4, None));
        let ious: Vec<_> = found.classes.iter().map(|class| class.iou).collect();
        assert_eq!(ious, [Some(1.0 / 3.0), Some(0.0), None]);
        let nothing = report(&[255], &[255], None);
        assert_eq!((nothing.pixels, nothing.agreement, nothing.mean_iou), (0, None, None));
    }
}
