//! What is known of each tensor of an ONNX graph: element type, shape, and constants.

use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::data_resolver;
use tract_onnx::pb::GraphProto;
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModel};

/// A tensor's element type and shape, both known.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub element: DatumType,
    pub shape: Vec<usize>,
}

#[derive(Debug, Default)]
pub struct Facts {
    facts: HashMap<String, Fact>,
    constants: HashMap<String, Arc<Tensor>>,
}

impl Facts {
    /// Of an analysed model; tensors whose shape depends on data are left out.
    pub fn new(graph: &GraphProto, model: &InferenceModel) -> TractResult<Facts> {
        let mut known = Facts::default();
        for node in model.nodes() {
            for (slot, output) in node.outputs.iter().enumerate() {
                let label = model.outlet_label(OutletId::new(node.id, slot));
                let name = match label {
                    Some(label) => label,
                    // Inputs and initializers carry their name as nodes.
                    None if slot == 0 => &node.name,
                    None => continue,
                };
                let element = output.fact.datum_type.concretize();
                let shape = output.fact.shape.as_concrete_finite().ok().flatten();
                let shape = shape.map(|shape| shape.to_vec());
                if let (Some(element), Some(shape)) = (element, shape) {
                    known.facts.insert(name.to_owned(), Fact { element, shape });
                }
                if let Some(value) = output.fact.value.concretize() {
                    known.constants.insert(name.to_owned(), value);
                }
            }
        }
        // tract keeps equal initializers once, under one of their names.
        for initializer in &graph.initializer {
            if !known.constants.contains_key(&initializer.name) {
                let value = load_tensor(&*data_resolver::default(), initializer, None)?;
                let (element, shape) = (value.datum_type(), value.shape().to_vec());
                known.facts.insert(initializer.name.clone(), Fact { element, shape });
                known.constants.insert(initializer.name.clone(), value.into_arc_tensor());
            }
        }
        Ok(known)
    }

    /// What all tensors take together.
    pub fn bytes(&self) -> u64 {
        let bytes = self.facts.values().map(|fact| {
            let size = fact.element.size_of() as u64;
            fact.shape.iter().fold(size, |bytes, dim| bytes.saturating_mul(*dim as u64))
        });
        bytes.fold(0, u64::saturating_add)
    }

    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.facts.get(name)
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.facts.get(name).map(|fact| &fact.shape[..])
    }

    pub fn constant(&self, name: &str) -> Option<&Arc<Tensor>> {
        self.constants.get(name)
    }

    /// A constant's values as reals.
    pub fn reals(&self, name: &str) -> Option<Vec<f32>> {
        let tensor = self.constant(name)?.cast_to::<f32>().ok()?;
        Some(tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.to_vec())
    }

    /// A constant's values as integers; None for a real one.
    pub fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let constant = self.constant(name)?;
        if !constant.datum_type().is_integer() && constant.datum_type() != TDim::datum_type() {
            return None;
        }
        let tensor = constant.cast_to::<i64>().ok()?;
        Some(tensor.try_as_plain_ram().ok()?.as_slice::<i64>().ok()?.to_vec())
    }
}
