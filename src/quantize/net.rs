//! The graph while it is rewritten: constants by name, who makes and who reads a tensor.

use crate::network::lower::Fact;
use crate::network::qdq::editor::inner_names;
use std::collections::{HashMap, HashSet};
use tract_onnx::data_resolver;
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType,
    tensor_proto::DataType,
};
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;

/// Element types and shapes by tensor.
pub type Facts = HashMap<String, Fact>;

#[derive(Clone, Debug)]
pub struct Net {
    pub graph: GraphProto,
    constants: HashMap<String, usize>,
    taken: HashSet<String>,
}

impl Net {
    pub fn new(mut graph: GraphProto) -> Net {
        let mut constants = HashMap::new();
        let mut taken = HashSet::new();
        for (index, tensor) in graph.initializer.iter().enumerate() {
            constants.insert(tensor.name.clone(), index);
            taken.insert(tensor.name.clone());
        }
        // Older files list constants among the inputs, too.
        graph.input.retain(|input| !constants.contains_key(&input.name));
        taken.extend(graph.input.iter().map(|input| input.name.clone()));
        for node in &graph.node {
            taken.insert(node.name.clone());
            taken.extend(node.input.iter().chain(&node.output).cloned());
            inner_names(node, &mut |name| {
                taken.insert(name.to_owned());
            });
        }
        Net { graph, constants, taken }
    }

    /// `wanted`, or something like it that nothing is called yet.
    pub fn free_name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut count = 1;
        while !self.taken.insert(name.clone()) {
            name = format!("{wanted}_{count}");
            count += 1;
        }
        name
    }

    pub fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.constants.get(name).map(|index| &self.graph.initializer[*index])
    }

    pub fn is_constant(&self, name: &str) -> bool {
        self.constants.contains_key(name)
    }

    /// A constant's shape.
    pub fn dims(&self, name: &str) -> Option<&[i64]> {
        self.constant(name).map(|tensor| &tensor.dims[..])
    }

    fn tensor(&self, name: &str) -> Option<Tensor> {
        load_tensor(&*data_resolver::default(), self.constant(name)?, None).ok()
    }

    /// A constant of single-precision reals.
    pub fn reals(&self, name: &str) -> Option<Vec<f32>> {
        let tensor = self.tensor(name)?;
        Some(tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.to_vec())
    }

    /// A constant of integers.
    pub fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let tensor = self.tensor(name).filter(|tensor| tensor.datum_type().is_integer())?;
        let tensor = tensor.cast_to::<i64>().ok()?;
        Some(tensor.try_as_plain_ram().ok()?.as_slice::<i64>().ok()?.to_vec())
    }

    /// Adds a constant under a name like its own, which is returned.
    pub fn add(&mut self, mut tensor: TensorProto) -> String {
        tensor.name = self.free_name(&tensor.name);
        let name = tensor.name.clone();
        self.constants.insert(name.clone(), self.graph.initializer.len());
        self.graph.initializer.push(tensor);
        name
    }

    pub fn add_reals(&mut self, name: &str, dims: Vec<i64>, values: &[f32]) -> String {
        self.add(reals(name, dims, values))
    }

    pub fn add_integers(&mut self, name: &str, values: Vec<i64>) -> String {
        self.add(TensorProto {
            name: name.to_owned(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values,
            ..Default::default()
        })
    }

    /// The node that makes each tensor.
    pub fn producers(&self) -> HashMap<String, usize> {
        let mut producers = HashMap::new();
        for (index, node) in self.graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                producers.insert(output.clone(), index);
            }
        }
        producers
    }

    /// How often each tensor's values are read, by nodes, graphs inside nodes, and as outputs.
    /// A Shape reads no values.
    pub fn readers(&self) -> HashMap<String, usize> {
        let mut readers: HashMap<String, usize> = HashMap::new();
        let mut read = |name: &str| *readers.entry(name.to_owned()).or_default() += 1;
        for node in &self.graph.node {
            if !matches!(node.op_type.as_str(), "Shape" | "Size") {
                node.input.iter().for_each(|name| read(name));
            }
            inner_names(node, &mut read);
        }
        self.graph.output.iter().for_each(|output| read(&output.name));
        readers
    }

    /// Names that graphs inside nodes know.
    pub fn inner(&self) -> HashSet<String> {
        let mut names = HashSet::new();
        for node in &self.graph.node {
            inner_names(node, &mut |name| {
                names.insert(name.to_owned());
            });
        }
        names
    }

    pub fn is_output(&self, name: &str) -> bool {
        self.graph.output.iter().any(|output| output.name == name)
    }

    /// Drops the constants and nodes that nothing reads.
    pub fn sweep(&mut self) {
        let mut needed: HashSet<String> =
            self.graph.output.iter().map(|output| output.name.clone()).collect();
        let mut kept = Vec::new();
        for node in std::mem::take(&mut self.graph.node).into_iter().rev() {
            if node.output.iter().any(|name| needed.contains(name)) {
                needed.extend(node.input.iter().cloned());
                inner_names(&node, &mut |name| {
                    needed.insert(name.to_owned());
                });
                kept.push(node);
            }
        }
        kept.reverse();
        self.graph.node = kept;
        self.graph.initializer.retain(|tensor| needed.contains(&tensor.name));
        let constants = self.graph.initializer.iter().enumerate();
        self.constants = constants.map(|(index, tensor)| (tensor.name.clone(), index)).collect();
    }
}

/// A tensor of reals.
pub fn reals(name: &str, dims: Vec<i64>, values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims,
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..Default::default()
    }
}

pub fn node(name: &str, operator: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: name.to_owned(),
        op_type: operator.to_owned(),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

pub fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

pub fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).map_or(default, |attribute| attribute.f)
}

pub fn ints(node: &NodeProto, name: &str) -> Vec<i64> {
    attribute(node, name).map_or_else(Vec::new, |attribute| attribute.ints.clone())
}

pub fn text(node: &NodeProto, name: &str) -> String {
    let bytes = attribute(node, name).map(|attribute| &attribute.s[..]).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn text_attribute(name: &str, text: &str) -> AttributeProto {
    let (name, s) = (name.to_owned(), text.as_bytes().to_vec());
    AttributeProto { name, r#type: AttributeType::String as i32, s, ..Default::default() }
}

/// Input `at`, if it is given.
pub fn input(node: &NodeProto, at: usize) -> Option<&str> {
    node.input.get(at).map(String::as_str).filter(|name| !name.is_empty())
}

/// Puts an attribute in the place of one of its name.
pub fn set(node: &mut NodeProto, attribute: AttributeProto) {
    node.attribute.retain(|other| other.name != attribute.name);
    node.attribute.push(attribute);
}
