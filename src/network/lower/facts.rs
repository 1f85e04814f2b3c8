//! What is known of each tensor of an ONNX graph: element type, shape, and constants.

use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::data_resolver;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    GraphProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto,
    type_proto,
};
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModel};

/// A tensor's element type and shape, both known.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub element: DatumType,
    pub shape: Vec<usize>,
}

impl Fact {
    /// As ONNX declares an input.
    pub fn info(&self, name: &str) -> ValueInfoProto {
        let element = match self.element {
            element if element == u8::datum_type() => DataType::Uint8,
            element if element == i8::datum_type() => DataType::Int8,
            element if element == i32::datum_type() => DataType::Int32,
            element if element == i64::datum_type() => DataType::Int64,
            _ => DataType::Float,
        };
        let dimension = |extent: &usize| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(*extent as i64)),
            ..Default::default()
        };
        let shape = TensorShapeProto { dim: self.shape.iter().map(dimension).collect() };
        let tensor = type_proto::Tensor { elem_type: element as i32, shape: Some(shape) };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, ..Default::default() });
        ValueInfoProto { name: name.to_owned(), r#type, ..Default::default() }
    }
}

#[derive(Debug)]
pub struct Facts<'a> {
    facts: HashMap<String, Fact>,
    constants: HashMap<String, Arc<Tensor>>,
    /// Those that tract was not shown, or has under another name.
    initializers: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Facts<'a> {
    /// Of an analysed model; tensors whose shape depends on data are left out.
    pub fn new(graph: &'a GraphProto, model: &InferenceModel) -> TractResult<Facts<'a>> {
        let mut known = Facts {
            facts: HashMap::new(),
            constants: HashMap::new(),
            initializers: HashMap::new(),
        };
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
                let element = DataType::try_from(initializer.data_type)?;
                let element = DatumType::try_from(element)?;
                let shape = initializer.dims.iter().map(|dim| *dim as usize).collect();
                known.facts.insert(initializer.name.clone(), Fact { element, shape });
                known.initializers.insert(&initializer.name, initializer);
            }
        }
        Ok(known)
    }

    /// By name.
    pub fn into_facts(self) -> HashMap<String, Fact> {
        self.facts
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

    /// The number of a tensor's elements; 0 for one that is not known.
    pub fn elements(&self, name: &str) -> usize {
        self.shape(name).map_or(0, |shape| {
            shape.iter().fold(1, |product, extent| product.saturating_mul(*extent))
        })
    }

    pub fn is_constant(&self, name: &str) -> bool {
        self.constants.contains_key(name) || self.initializers.contains_key(name)
    }

    /// A constant's value; a large one is read anew each time.
    pub fn constant(&self, name: &str) -> Option<Arc<Tensor>> {
        if let Some(constant) = self.constants.get(name) {
            return Some(Arc::clone(constant));
        }
        let initializer = self.initializers.get(name)?;
        let value = load_tensor(&*data_resolver::default(), initializer, None).ok()?;
        Some(value.into_arc_tensor())
    }

    /// A constant's values as reals.
    pub fn reals(&self, name: &str) -> Option<Vec<f32>> {
        let constant = self.constant(name)?;
        let tensor = constant.cast_to::<f32>().ok()?;
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
