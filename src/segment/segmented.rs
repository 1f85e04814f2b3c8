//! A frame with the mask computed from it, and the stale rule in types.
//!
//! The screen draws a [`Mask`], and the only way to one leads through [`Segmented::mask`], which
//! asks for its age. A `Segmented` gives its frame away to be changed only without its mask. So a
//! mask over another frame, or one that is too old, cannot be written down.

use super::{SegmentError, Segmenter, StepTimes};
use crate::decode::{LabelMap, shares};
use crate::frame::Frame;
use std::time::{Duration, Instant};

/// A frame on its way, with what was computed from it. Its buffers are used again and again.
pub struct Segmented {
    frame: Frame,
    labels: LabelMap,
    /// Share of the labelled pixels by class, 0 to 1.
    shares: Vec<f32>,
    times: StepTimes,
    /// The labels are this frame's.
    labelled: bool,
}

impl Default for Segmented {
    fn default() -> Segmented {
        Segmented::new(Frame::empty())
    }
}

impl Segmented {
    /// A frame without a mask.
    pub fn new(frame: Frame) -> Segmented {
        Segmented {
            frame,
            labels: LabelMap::default(),
            shares: Vec::new(),
            times: StepTimes::default(),
            labelled: false,
        }
    }

    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// A frame whose mask is empty.
    #[cfg(test)]
    pub fn labelled(frame: Frame) -> Segmented {
        Segmented { labelled: true, ..Segmented::new(frame) }
    }

    /// The frame to be changed: its mask is gone.
    pub fn frame_mut(&mut self) -> &mut Frame {
        self.labelled = false;
        &mut self.frame
    }

    /// Computes the mask of the frame.
    pub fn segment(&mut self, segmenter: &mut Segmenter) -> Result<(), SegmentError> {
        self.labelled = false;
        self.times = segmenter.segment(&self.frame, &mut self.labels)?;
        let start = Instant::now();
        self.shares.resize(segmenter.model().classes.len(), 0.0);
        shares(&self.labels, &mut self.shares);
        self.times.decode += start.elapsed();
        self.labelled = true;
        Ok(())
    }

    /// Time since the frame was captured.
    pub fn age(&self) -> Duration {
        self.frame.captured.elapsed()
    }

    /// The mask, unless there is none or its frame was captured longer than `limit` ago.
    pub fn mask(&self, limit: Duration) -> Option<Mask<'_>> {
        let age = self.age();
        let Segmented { frame, labels, shares, .. } = self;
        (self.labelled && age <= limit).then_some(Mask { frame, labels, shares, age })
    }

    /// What computing the mask took.
    pub fn times(&self) -> &StepTimes {
        &self.times
    }
}

/// A mask that may be drawn now, over its frame.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    frame: &'a Frame,
    labels: &'a LabelMap,
    shares: &'a [f32],
    age: Duration,
}

impl<'a> Mask<'a> {
    /// For tests of what draws it.
    #[cfg(test)]
    pub fn of(frame: &'a Frame, labels: &'a LabelMap, shares: &'a [f32], age: Duration) -> Self {
        Mask { frame, labels, shares, age }
    }

    pub fn frame(&self) -> &'a Frame {
        self.frame
    }

    /// Ids for the whole frame. Of another size than the frame, they are spread over it.
    pub fn labels(&self) -> &'a LabelMap {
        self.labels
    }

    /// Share of the labelled pixels by class id, 0 to 1; missing ones count as 0.
    pub fn shares(&self) -> &'a [f32] {
        self.shares
    }

    /// Time since the frame was captured.
    pub fn age(&self) -> Duration {
        self.age
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::model::{BUILT_IN, ModelArguments, open};
    use std::sync::Arc;

    #[test]
    fn a_mask_goes_with_its_frame_and_with_its_time() {
        let model = BUILT_IN.to_owned();
        let model = open(&ModelArguments { model, threads: 1, ..ModelArguments::default() });
        let mut segmenter = Segmenter::new(Arc::new(model.unwrap())).unwrap();
        let mut segmented = Segmented::new(crate::compose::golden::frame(64, 48));
        let ever = Duration::MAX;
        assert!(segmented.mask(ever).is_none());
        segmented.frame_mut().captured = Instant::now();
        segmented.segment(&mut segmenter).unwrap();
        let mask = segmented.mask(Duration::from_secs(60)).unwrap();
        assert_eq!(mask.labels().ids.len(), 64 * 48);
        assert!((mask.shares().iter().sum::<f32>() - 1.0).abs() < 1e-3);
        std::thread::sleep(Duration::from_millis(2));
        assert!(segmented.mask(Duration::from_millis(1)).is_none());
        assert!(segmented.mask(ever).is_some());
        // Whoever could change the frame has taken the mask away.
        segmented.frame_mut();
        assert!(segmented.mask(ever).is_none());
    }
}
