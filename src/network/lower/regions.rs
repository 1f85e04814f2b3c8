//! The cut between what the integer steps supply and what stays in tract.
//!
//! Steps that wait for nothing of tract's but the graph's inputs are one region; those that wait
//! for a node behind such a region are the next, and so on. A region becomes one operator of
//! tract's graph.

use super::demand::{Demand, reads};
use super::located;
use super::{Fact, Lowering, Why};
use crate::int8::border::Stored;
use crate::int8::draft::{Draft, Sketch, Step, Value};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::prelude::*;

/// Regions that follow each other; a network with more stays in tract.
const MOST_REGIONS: usize = 32;

/// A tensor between regions and tract.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub fact: Fact,
}

/// A part of the network that runs in integers.
#[derive(Clone, Debug)]
pub struct Region {
    pub draft: Draft,
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

/// A graph, lowered.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// What stays in tract: what regions supply are its further inputs (in the order of the
    /// regions and their outputs), what they take its first outputs.
    pub graph: GraphProto,
    pub regions: Vec<Region>,
    /// For each node of the graph, why it stays in tract; None for those that do not.
    pub kept: Vec<Option<Why>>,
}

pub(super) fn cut(lowering: Lowering, compared: Option<(usize, usize)>) -> Lowered {
    let demand = Demand::new(lowering, compared);
    match demand.levels() {
        _ if demand.lowering.exhausted() => Lowered::whole(demand.lowering.graph, |_| {
            "the network has too many operators to plan in integers".to_owned()
        }),
        Some(levels) if !demand.live.is_empty() => demand.regions(&levels),
        _ => Lowered::whole(demand.lowering.graph, |index| {
            demand.lowering.why.get(&index).cloned().unwrap_or_default()
        }),
    }
}

impl Lowered {
    /// Everything stays in tract, each node for a reason.
    pub fn whole(graph: &GraphProto, why: impl Fn(usize) -> Why) -> Lowered {
        let kept = (0..graph.node.len()).map(|index| Some(why(index))).collect();
        Lowered { graph: graph.clone(), regions: Vec::new(), kept }
    }
}

impl<'a> Demand<'a> {
    /// The region of each step; None if there are too many.
    fn levels(&self) -> Option<Vec<usize>> {
        let steps = &self.lowering.draft.steps;
        let given: HashSet<&str> = self.supplied.iter().copied().collect();
        let mut levels = vec![0; steps.len()];
        let mut tensors: HashMap<&str, usize> = HashMap::new();
        for _ in 0..=MOST_REGIONS {
            let mut changed = false;
            for (index, step) in
                steps.iter().enumerate().filter(|(index, _)| self.live.contains(index))
            {
                let loaded = match step.sketch {
                    Sketch::Load { tensor, .. } => {
                        tensors.get(self.lowering.loaded[tensor]).copied()
                    }
                    _ => None,
                };
                let inputs = step.inputs.iter().filter_map(|value| self.writer(*value));
                let level = inputs.map(|writer| levels[writer]).chain(loaded).max().unwrap_or(0);
                changed |= levels[index] != level;
                levels[index] = level;
                if let Some(name) = supplied(&step.sketch).map(|tensor| self.supplied[tensor]) {
                    changed |= tensors.insert(name, level + 1) != Some(level + 1);
                }
            }
            for index in
                (0..self.lowering.graph.node.len()).filter(|index| self.kept.contains(index))
            {
                let node = self.lowering.node(index);
                let mut names = Vec::new();
                reads(node, &mut names);
                let level =
                    names.iter().filter_map(|name| tensors.get(name)).max().copied().unwrap_or(0);
                for name in &node.output {
                    if !given.contains(name.as_str()) {
                        changed |= tensors.insert(name, level) != Some(level) && level > 0;
                    }
                }
            }
            if !changed {
                return Some(levels);
            }
        }
        None
    }

    fn regions(mut self, levels: &[usize]) -> Lowered {
        let count = 1 + self.live.iter().map(|step| levels[*step]).max().unwrap_or(0);
        let mut builders: Vec<Builder> = (0..count).map(|_| Builder::default()).collect();
        let steps = std::mem::take(&mut self.lowering.draft.steps);
        for (index, mut step) in steps.into_iter().enumerate() {
            if !self.live.contains(&index) {
                continue;
            }
            let level = levels[index];
            for value in step.inputs.iter_mut() {
                *value = self.remap(*value, level, levels, &mut builders);
            }
            if let Some(output) = &mut step.output {
                *output = self.remap(*output, level, levels, &mut builders);
            }
            let region = &mut builders[level].region;
            match &mut step.sketch {
                Sketch::Load { tensor, .. } => {
                    let name = self.lowering.loaded[*tensor];
                    *tensor = position(&mut region.inputs, name, &self.lowering);
                }
                sketch => {
                    if let Some(tensor) = supplied_mut(sketch) {
                        let name = self.supplied[*tensor];
                        *tensor = position(&mut region.outputs, name, &self.lowering);
                        if self.compared.is_some_and(|(output, _)| output == name) {
                            region.outputs[*tensor].fact.element = i8::datum_type();
                        }
                    }
                }
            }
            region.draft.steps.push(step);
        }
        let regions: Vec<Region> = builders.into_iter().map(|builder| builder.region).collect();
        let kept = (0..self.lowering.graph.node.len()).map(|index| {
            let why = self.lowering.why.get(&index).cloned();
            self.kept.contains(&index).then(|| why.unwrap_or_default())
        });
        Lowered { kept: kept.collect(), graph: self.rest(&regions), regions }
    }

    /// A value as the region of `level` has it; one of an earlier region is handed over.
    fn remap(
        &self,
        value: Value,
        level: usize,
        levels: &[usize],
        builders: &mut [Builder],
    ) -> Value {
        if let Some(known) = builders[level].values.get(&value) {
            return *known;
        }
        let mut spec = self.lowering.draft.values[value].clone();
        let home = self.writer(value).map_or(level, |writer| levels[writer]);
        let new = if home == level {
            if let Some(part) = &mut spec.part {
                part.whole = self.remap(part.whole, level, levels, builders);
            }
            if let Some(whole) = spec.reshaped {
                spec.reshaped = Some(self.remap(whole, level, levels, builders));
            }
            let draft = &mut builders[level].region.draft;
            draft.values.push(spec);
            draft.values.len() - 1
        } else {
            let source = self.remap(value, home, levels, builders);
            let name = format!("bytes of value {value}");
            let fact = Fact { element: i8::datum_type(), shape: spec.dims.to_vec() };
            let tensor = Tensor { name, fact };
            let (batch, strides) = located::strides(&spec.dims, &[0, 1, 2, 3]);
            let from = &mut builders[home].region;
            let known = from.outputs.iter().position(|output| output.name == tensor.name);
            if known.is_none() {
                from.outputs.push(tensor.clone());
                let store = Sketch::Store {
                    tensor: from.outputs.len() - 1,
                    batch,
                    strides,
                    stored: Stored::Signed,
                };
                from.draft.steps.push(Step {
                    name: tensor.name.clone(),
                    node: usize::MAX,
                    sketch: store,
                    inputs: vec![source],
                    output: None,
                });
            }
            let to = &mut builders[level].region;
            to.inputs.push(tensor.clone());
            let new = to.draft.add_value(spec.dims);
            let load =
                Sketch::Load { tensor: to.inputs.len() - 1, batch, strides, quantization: None };
            to.draft.steps.push(Step {
                name: tensor.name,
                node: usize::MAX,
                sketch: load,
                inputs: vec![],
                output: Some(new),
            });
            new
        };
        builders[level].values.insert(value, new);
        new
    }

    /// The graph without what regions do.
    fn rest(&self, regions: &[Region]) -> GraphProto {
        let graph = self.lowering.graph;
        let kept = graph.node.iter().enumerate().filter(|(index, _)| self.kept.contains(index));
        let node: Vec<NodeProto> = kept.map(|(_, node)| node.clone()).collect();
        let mut needed = Vec::new();
        node.iter().for_each(|node| reads(node, &mut needed));
        needed.extend(graph.output.iter().map(|output| output.name.as_str()));
        let needed: HashSet<&str> = needed.into_iter().collect();
        let given: HashSet<&str> =
            graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let initializer =
            graph.initializer.iter().filter(|tensor| needed.contains(tensor.name.as_str()));
        let own = graph.input.iter().filter(|input| !given.contains(input.name.as_str())).cloned();
        let supplied = regions
            .iter()
            .flat_map(|region| &region.outputs)
            .map(|tensor| tensor.fact.info(&tensor.name));
        let taken = regions
            .iter()
            .flat_map(|region| &region.inputs)
            .map(|tensor| tensor.fact.info(&tensor.name));
        GraphProto {
            name: graph.name.clone(),
            initializer: initializer.cloned().collect(),
            input: own.chain(supplied).collect(),
            output: taken.chain(graph.output.iter().cloned()).collect(),
            node,
            ..Default::default()
        }
    }
}

/// A region in the making.
struct Builder {
    region: Region,
    values: HashMap<Value, Value>,
}

impl Default for Builder {
    fn default() -> Self {
        let region = Region { draft: Draft::default(), inputs: Vec::new(), outputs: Vec::new() };
        Builder { region, values: HashMap::new() }
    }
}

/// The number of a tensor among a region's.
fn position(tensors: &mut Vec<Tensor>, name: &str, lowering: &Lowering) -> usize {
    if let Some(known) = tensors.iter().position(|tensor| tensor.name == name) {
        return known;
    }
    let fact = lowering.facts.get(name).cloned();
    let fact = fact.unwrap_or(Fact { element: f32::datum_type(), shape: Vec::new() });
    tensors.push(Tensor { name: name.to_owned(), fact });
    tensors.len() - 1
}

/// The tensor that a step gives to tract.
fn supplied_mut(sketch: &mut Sketch) -> Option<&mut usize> {
    match sketch {
        Sketch::Store { tensor, .. }
        | Sketch::RealConvolution { tensor, .. }
        | Sketch::ArgMax { tensor, .. }
        | Sketch::ResizedArgMax { tensor, .. } => Some(tensor),
        _ => None,
    }
}

fn supplied(sketch: &Sketch) -> Option<usize> {
    match sketch {
        Sketch::Store { tensor, .. }
        | Sketch::RealConvolution { tensor, .. }
        | Sketch::ArgMax { tensor, .. }
        | Sketch::ResizedArgMax { tensor, .. } => Some(*tensor),
        _ => None,
    }
}
