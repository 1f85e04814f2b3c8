//! Large initializers while shapes are worked out: tract would copy them, and compute with them.

use super::Fact;
use std::collections::HashSet;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};
use tract_onnx::prelude::*;

/// Elements from which on an initializer cannot matter to shapes.
const LARGE: i64 = 1024;

/// Initializers that stand as inputs for a while.
pub struct Weights {
    initializers: Vec<TensorProto>,
    facts: Vec<Fact>,
    /// Inputs of the graph before.
    inputs: usize,
}

/// Makes inputs of a graph's large initializers, behind its others.
pub fn set_weights_aside(model: &mut ModelProto) -> Weights {
    let mut weights = Weights { initializers: Vec::new(), facts: Vec::new(), inputs: 0 };
    let Some(graph) = &mut model.graph else { return weights };
    let inputs: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    let mut kept = Vec::new();
    for initializer in std::mem::take(&mut graph.initializer) {
        let element = DataType::try_from(initializer.data_type).ok();
        let element = element.and_then(|element| DatumType::try_from(element).ok());
        let large = initializer.dims.iter().product::<i64>() >= LARGE;
        // One that is declared as an input too stands there already.
        let declared = inputs.contains(initializer.name.as_str());
        match element.filter(|_| large && !declared) {
            Some(element) => {
                let shape = initializer.dims.iter().map(|dim| *dim as usize).collect();
                weights.facts.push(Fact { element, shape });
                weights.initializers.push(initializer);
            }
            None => kept.push(initializer),
        }
    }
    graph.initializer = kept;
    weights.inputs = graph.input.len();
    let named = weights.initializers.iter().zip(&weights.facts);
    graph.input.extend(named.map(|(initializer, fact)| fact.info(&initializer.name)));
    weights
}

impl Weights {
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub fn put_back(self, graph: &mut GraphProto) {
        graph.input.truncate(self.inputs);
        graph.initializer.extend(self.initializers);
    }
}
