//! Which tensors the integer steps supply and which nodes stay in tract, from the graph's outputs
//! back.

use super::located::{self, Located};
use super::real::Real;
use super::{Lowering, Why};
use crate::int8::border::Stored;
use crate::int8::draft::{Sketch, Value};
use std::collections::HashSet;
use tract_onnx::pb::NodeProto;

/// What is known of the graph's demands.
pub(super) struct Demand<'a> {
    pub lowering: Lowering<'a>,
    pub kept: HashSet<usize>,
    pub supplied: Vec<&'a str>,
    pub live: HashSet<usize>,
    queue: Vec<&'a str>,
    /// The output that may come as bytes of the same order along an axis.
    pub compared: Option<(&'a str, usize)>,
}

/// All names a node reads, those its subgraphs read among them.
pub(super) fn reads<'a>(node: &'a NodeProto, names: &mut Vec<&'a str>) {
    names.extend(node.input.iter().map(String::as_str).filter(|name| !name.is_empty()));
    for attribute in &node.attribute {
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            names.extend(graph.output.iter().map(|output| output.name.as_str()));
            graph.node.iter().for_each(|node| reads(node, names));
        }
    }
}

impl<'a> Demand<'a> {
    /// Of output `compared.0` only the largest along axis `compared.1` is asked for.
    pub fn new(lowering: Lowering<'a>, compared: Option<(usize, usize)>) -> Demand<'a> {
        let graph = lowering.graph;
        let queue = graph.output.iter().map(|output| output.name.as_str()).collect();
        let (kept, supplied, live) = (HashSet::new(), Vec::new(), HashSet::new());
        let mut demand = Demand { lowering, kept, supplied, live, queue, compared: None };
        if let Some((index, axis)) = compared
            && let Some(output) = graph.output.get(index)
        {
            let mut names = Vec::new();
            graph.node.iter().for_each(|node| reads(node, &mut names));
            let only_output = !names.contains(&output.name.as_str());
            demand.compared = only_output.then_some((&output.name, axis));
        }
        let mut seen = HashSet::new();
        while let Some(name) = demand.queue.pop() {
            if seen.insert(name) {
                demand.want(name);
            }
        }
        demand
    }

    /// Finds who gives a tensor to tract: a step, or the node itself.
    fn want(&mut self, name: &'a str) {
        let Some(&producer) = self.lowering.producers.get(name) else { return };
        self.lowering.now = producer;
        let before = self.lowering.draft.steps.len();
        match self.supply(name) {
            Ok(()) => {
                self.supplied.push(name);
                for step in before..self.lowering.draft.steps.len() {
                    self.enliven(step);
                }
            }
            Err(why) => {
                self.lowering.why.entry(producer).or_insert(why);
                if self.kept.insert(producer) {
                    let mut names = Vec::new();
                    reads(self.lowering.node(producer), &mut names);
                    self.queue.extend(names);
                }
            }
        }
    }

    /// Adds the step that gives a tensor to tract.
    fn supply(&mut self, name: &'a str) -> Result<(), Why> {
        let tensor = self.supplied.len();
        let node = self.lowering.node(self.lowering.now);
        if let Some((output, axis)) = self.compared.filter(|(output, _)| *output == name) {
            if let Ok(located) = self.lowering.compared(output, axis as i64)
                && located.shape.len() <= 4
                && self.store(&located, Stored::Signed, tensor).is_ok()
            {
                return Ok(());
            }
            self.compared = None;
        }
        if let Some(bytes) = self.lowering.bytes.get(name).cloned() {
            let stored = if bytes.unsigned { Stored::Unsigned } else { Stored::Signed };
            return self.store(&bytes.located, stored, tensor);
        }
        if self.lowering.labels_apply(node) {
            return self.lowering.labels(node, tensor);
        }
        if self.lowering.reals.contains_key(name) {
            return self.real(name, tensor, (f64::NEG_INFINITY, f64::INFINITY));
        }
        Err(String::new())
    }

    fn real(&mut self, name: &'a str, tensor: usize, bounds: (f64, f64)) -> Result<(), Why> {
        if let Some((located, points)) = self.lowering.points(name) {
            let located = self.lowering.with_channels(&located, &points);
            let bound = |real: f32| (f64::from(real).max(bounds.0)).min(bounds.1) as f32;
            self.lowering.spend_tables(points.tables.len())?;
            let tables = points.tables.iter().map(|table| table.map(bound)).collect();
            return self.store(&located, Stored::Reals(tables), tensor);
        }
        match self.lowering.reals.get(name).cloned() {
            Some(Real::Waiting { node }) => {
                let node = self.lowering.node(node);
                self.lowering.real_linear(node, tensor, bounds)
            }
            Some(Real::Clamped { input, low, high }) => {
                let bounds = (bounds.0.max(low).min(high), bounds.1.min(high).max(low.min(high)));
                let is_sum = matches!(self.lowering.reals.get(input), Some(Real::Waiting { .. }));
                match is_sum {
                    true => self.real(input, tensor, bounds),
                    false => Err("its output is not quantized".into()),
                }
            }
            _ => Err("its output is not quantized".into()),
        }
    }

    fn store(&mut self, located: &Located, stored: Stored, tensor: usize) -> Result<(), Why> {
        // What a step only loaded, tract has.
        let writer = self.writer(located.value);
        if writer.is_some_and(|step| {
            matches!(self.lowering.draft.steps[step].sketch, Sketch::Load { .. })
        }) {
            return Err("nothing before it runs in integers".into());
        }
        let located = match located.shape.len() {
            0..=4 => located.clone(),
            rank => {
                let own: Vec<usize> = (0..rank).collect();
                let ordered = self.lowering.ordered(located, &own);
                let elements = ordered.shape.iter().product();
                self.lowering.reshaped(&ordered, vec![elements], vec![0])
            }
        };
        let (batch, strides) = located::strides(&located.shape, &located.order);
        let sketch = Sketch::Store { tensor, batch, strides, stored };
        self.lowering.push(sketch, vec![located.value], None);
        Ok(())
    }

    /// The step that writes a value or what it is a part of; None for constants.
    pub fn writer(&self, mut value: Value) -> Option<usize> {
        loop {
            if let Some(writer) = self.lowering.writers.get(&value) {
                return Some(*writer);
            }
            let spec = &self.lowering.draft.values[value];
            value = spec.part.as_ref().map(|part| part.whole).or(spec.reshaped)?;
        }
    }

    /// Marks a step and all it needs; what those load is wanted too.
    fn enliven(&mut self, step: usize) {
        let mut stack = vec![step];
        while let Some(step) = stack.pop() {
            if !self.live.insert(step) {
                continue;
            }
            let step = &self.lowering.draft.steps[step];
            if let Sketch::Load { tensor, .. } = step.sketch {
                self.queue.push(self.lowering.loaded[tensor]);
            }
            let inputs = step.inputs.clone();
            stack.extend(inputs.iter().filter_map(|value| self.writer(*value)));
        }
    }
}
