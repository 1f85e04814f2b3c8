//! Puts the regions into tract's graph.

use super::Region;
use crate::int8::kernels::Kernels;
use crate::int8::program::Program;
use crate::network::ops::region::{self, Threads};
use std::sync::Arc;
use tract_onnx::prelude::*;

/// How a node of the file runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    pub node: String,
    pub runs: String,
}

/// How each node runs.
pub struct Ways(Vec<Way>);

impl Ways {
    /// `kept`: why a node stays in tract.
    pub fn new(names: Vec<String>, kept: Vec<Option<String>>) -> Ways {
        let ways = names.into_iter().zip(kept).map(|(node, why)| {
            let runs = match why {
                None => "fused away".to_owned(),
                Some(why) if why.is_empty() => "float".to_owned(),
                Some(why) => format!("float: {why}"),
            };
            Way { node, runs }
        });
        Ways(ways.collect())
    }

    pub fn list(self) -> Vec<Way> {
        self.0
    }

    fn integer(&mut self, node: usize, algorithm: &str) {
        if let Some(way) = self.0.get_mut(node) {
            way.runs = format!("int8 {algorithm}");
        }
    }
}

/// Puts the regions between what they take (the model's first outputs) and what they supply
/// (its inputs behind its own).
pub fn wire(
    model: &mut TypedModel,
    kernels: Kernels,
    threads: &Threads,
    regions: Vec<Region>,
    mut supplied: usize,
    ways: &mut Ways,
) -> TractResult<()> {
    let mut taken = 0;
    for (index, region) in regions.into_iter().enumerate() {
        let inputs = model.output_outlets()?[taken..][..region.inputs.len()].to_vec();
        taken += inputs.len();
        let program = Arc::new(Program::new(kernels, region.draft));
        for step in &program.steps {
            ways.integer(step.node, step.algorithm());
        }
        let outputs = region.outputs.iter().map(|output| output.fact.clone()).collect();
        let operator = region::Region { program, outputs, threads: threads.clone() };
        let name = format!("integers {index}");
        let outlets = model.wire_node(name, operator, &inputs)?;
        for (outlet, tensor) in outlets.into_iter().zip(&region.outputs) {
            let source = model.input_outlets()?[supplied];
            supplied += 1;
            for reader in model.node(source.node).outputs[source.slot].successors.clone() {
                model.add_edge(outlet, reader)?;
            }
            let outputs = model.output_outlets()?.iter();
            let outputs: Vec<_> = outputs.map(|o| if *o == source { outlet } else { *o }).collect();
            model.select_output_outlets(&outputs)?;
            model.outlet_labels.remove(&source);
            model.set_outlet_label(outlet, tensor.name.clone())?;
        }
    }
    Ok(())
}
