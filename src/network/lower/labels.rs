//! ArgMax: which of the channels is the largest needs no scale.

use super::located::Located;
use super::real::Real;
use super::{Lowering, Why};
use crate::int8::argmax::{ArgMax, ResizedArgMax};
use crate::int8::draft::Sketch;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;

impl<'a> Lowering<'a> {
    /// Adds the step that gives an ArgMax's output outside.
    pub(super) fn labels(&mut self, node: &'a NodeProto, tensor: usize) -> Result<(), Why> {
        let input = node.input.first().ok_or("it has no input")?;
        let rank = self.facts.shape(input).map(<[usize]>::len);
        let rank = rank.ok_or("its input's shape is not known")? as i64;
        let axis = self.integer(node, "axis", 0);
        let axis = if axis < 0 { axis + rank } else { axis };
        let located = self.compared(input, axis)?;
        if located.shape.len() > 4 || !(0..rank).contains(&axis) {
            return Err("it works on more than four axes".into());
        }
        let axis = axis as usize;
        let mut order: Vec<usize> =
            (0..located.shape.len()).filter(|other| *other != axis).collect();
        order.push(axis);
        let located = self.ordered(&located, &order);
        let select_last_index = self.integer(node, "select_last_index", 0) != 0;
        let argmax = ArgMax { select_last_index };
        // A linear Resize just for this is not written out.
        let writer = self.writers.get(&located.value).map(|writer| &self.draft.steps[*writer]);
        if let Some(step) = writer
            && let Sketch::Resize(resize) = &step.sketch
            && step.output == Some(located.value)
        {
            let argmax = Box::new(ResizedArgMax::new(resize.clone(), argmax));
            let inputs = step.inputs.clone();
            self.push(Sketch::ResizedArgMax { argmax, tensor }, inputs, None);
            return Ok(());
        }
        self.push(Sketch::ArgMax { argmax, tensor }, vec![located.value], None);
        Ok(())
    }

    /// Bytes in the same order as the reals of `name` along `axis`.
    pub(super) fn compared(&self, mut name: &'a str, axis: i64) -> Result<Located, Why> {
        loop {
            if let Some(bytes) = self.bytes.get(name) {
                return Ok(bytes.located.clone());
            }
            match self.reals.get(name) {
                Some(Real::View { located, .. }) => return Ok(located.clone()),
                Some(Real::Points { located, points }) => {
                    let rising =
                        |table: &[f32; 256]| table.windows(2).all(|pair| pair[0] < pair[1]);
                    return match &points.tables[..] {
                        [table] if rising(table) => Ok(located.clone()),
                        _ => Err("its input is not in the order of its bytes".into()),
                    };
                }
                _ => name = self.before_softmax(name, axis)?,
            }
        }
    }

    /// What a Softmax along `axis` reads: its output has the same order.
    fn before_softmax(&self, name: &str, axis: i64) -> Result<&'a str, Why> {
        let node = self.producers.get(name).map(|index| self.node(*index));
        let node = node.filter(|node| matches!(node.op_type.as_str(), "Softmax" | "LogSoftmax"));
        let node = node.ok_or("its input is not quantized")?;
        let rank = self.facts.shape(name).map_or(0, <[usize]>::len) as i64;
        let default = if self.opset < 13 { 1 } else { -1 };
        let own = self.integer(node, "axis", default).rem_euclid(rank.max(1));
        // Before operator set 13 it normalized over all axes from this one on.
        match node.input.first() {
            Some(input) if own == axis && (self.opset >= 13 || own == rank - 1) => Ok(input),
            _ => Err("its Softmax runs along another axis".into()),
        }
    }

    /// Whether `labels` may work for the node.
    pub(super) fn labels_apply(&self, node: &NodeProto) -> bool {
        let output = node.output.first().and_then(|name| self.facts.get(name));
        node.op_type == "ArgMax" && output.is_some_and(|fact| fact.element == i64::datum_type())
    }
}
