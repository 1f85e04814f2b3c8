//! What makes the raw pointers of every set safe: that each load and store stays inside.

use super::{
    Columns, DepthwiseRow, Element, Format, Products, ProductsFormat, Row, Store, Weights,
};
use crate::int8::requantization::Requantize;

impl Columns {
    /// Panics unless every load and store of `dense` stays inside its slices. Every set asks this
    /// first, so that raw pointers are safe behind it.
    pub(super) fn check(&self, row: &Row, store: &Store, format: Format) {
        let size = if format.element == Element::Difference { 2 } else { 1 };
        let blocks = self.count.div_ceil(format.block);
        let weights = match &self.weights {
            Weights::Bytes(weights) if size == 1 => weights.len(),
            Weights::Words(weights) if size == 2 => weights.len(),
            _ => panic!("the weights are packed for another set of kernels"),
        };
        assert_eq!(row.run % format.group, 0);
        assert_eq!(row.runs.len() * row.run, self.depth);
        assert!(weights >= blocks * format.block * self.depth);
        assert!(self.start.len() >= blocks * format.block);
        if let Some(shift) = &self.shift {
            assert!(shift.len() >= blocks * format.block);
            assert!(row.window_sums.is_some_and(|sums| sums.len() >= row.pixels));
        }
        let Some(last) = row.pixels.checked_sub(1) else { return };
        for start in row.runs {
            assert!(last * row.pixel_stride + start + row.run * size <= row.panel.len());
        }
        match store {
            Store::Bytes { requantize, out, pixel_pitch, segments } => {
                assert!(requantize.multiplier.len() >= self.count);
                assert!(requantize.addend.len() >= self.count);
                for segment in *segments {
                    assert!(last * pixel_pitch + segment.offset + segment.columns <= out.len());
                }
            }
            Store::Sums { out, pixel_pitch } => {
                assert!(last * pixel_pitch + self.count <= out.len());
            }
        }
    }
}

impl Products<'_> {
    /// The same for `products`.
    pub(super) fn check(&self, out: &[i32], format: ProductsFormat) {
        assert!(self.columns.is_multiple_of(8) && self.depth.is_multiple_of(format.group));
        assert!(self.panel.len() >= self.positions * self.tiles * self.depth);
        assert!(self.weights.len() >= self.positions * self.depth * self.columns);
        assert!(out.len() >= self.positions * self.tiles * self.columns);
    }
}

impl DepthwiseRow<'_> {
    /// The same for `depthwise`.
    pub(super) fn check(&self, requantize: &Requantize, out: &[i8], pixel_pitch: usize) {
        assert!(self.weights.len() >= self.taps.len() * self.channels);
        assert!(self.bias.len() >= self.channels);
        assert!(requantize.multiplier.len() >= self.channels);
        assert!(requantize.addend.len() >= self.channels);
        let Some(last) = self.pixels.checked_sub(1) else { return };
        for tap in self.taps {
            assert!(last * self.pixel_stride + tap + self.channels <= self.panel.len());
        }
        assert!(last * pixel_pitch + self.channels <= out.len());
    }
}
