//! A graph while it is rewritten: names that are free, constants by name, element types.

use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType,
    tensor_proto::DataType, type_proto,
};

pub struct Editor<'g> {
    graph: &'g mut GraphProto,
    taken: HashSet<String>,
    constants: HashMap<String, usize>,
    elements: HashMap<String, DataType>,
}

impl<'g> Editor<'g> {
    /// Takes the nodes out; what is [added](Editor::add) takes their place.
    pub fn new(graph: &'g mut GraphProto) -> (Editor<'g>, Vec<NodeProto>) {
        let nodes = std::mem::take(&mut graph.node);
        let mut taken = HashSet::new();
        for node in &nodes {
            taken.insert(node.name.clone());
            names_in(node, &mut |name| {
                taken.insert(name.to_owned());
            });
        }
        let mut elements = HashMap::new();
        for input in &graph.input {
            taken.insert(input.name.clone());
            let kind = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
            if let Some(type_proto::Value::TensorType(tensor)) = kind
                && let Ok(element) = DataType::try_from(tensor.elem_type)
            {
                elements.insert(input.name.clone(), element);
            }
        }
        let mut constants = HashMap::new();
        for (index, tensor) in graph.initializer.iter().enumerate() {
            taken.insert(tensor.name.clone());
            constants.insert(tensor.name.clone(), index);
            if let Ok(element) = DataType::try_from(tensor.data_type) {
                elements.insert(tensor.name.clone(), element);
            }
        }
        (Editor { graph, taken, constants, elements }, nodes)
    }

    /// `wanted`, or something like it that nothing is called yet.
    pub fn free_name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        // Counts from the number of names, which is rarely taken, however often one is wanted.
        let mut count = self.taken.len();
        while !self.taken.insert(name.clone()) {
            name = format!("{wanted}.{count}");
            count += 1;
        }
        name
    }

    pub fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.constants.get(name).map(|index| &self.graph.initializer[*index])
    }

    /// Adds an initializer under a name like its own; that name is returned.
    pub fn add_constant(&mut self, mut tensor: TensorProto) -> String {
        tensor.name = self.free_name(&tensor.name);
        let name = tensor.name.clone();
        self.constants.insert(name.clone(), self.graph.initializer.len());
        if let Ok(element) = DataType::try_from(tensor.data_type) {
            self.elements.insert(name.clone(), element);
        }
        self.graph.initializer.push(tensor);
        name
    }

    /// The type of a tensor's elements as far as names tell. Operators that move values about
    /// keep it, which is all that quantized networks have between their quantized operators.
    pub fn element(&self, name: &str) -> Option<DataType> {
        self.elements.get(name).copied()
    }

    /// Adds a node as it is.
    pub fn add(&mut self, node: NodeProto) {
        let element = match node.op_type.as_str() {
            "QuantizeLinear" => match node.input.get(2) {
                Some(zero_point) if !zero_point.is_empty() => self.element(zero_point),
                _ => Some(DataType::Uint8),
            },
            "DequantizeLinear" => Some(DataType::Float),
            "Cast" => int(&node, "to").and_then(|to| DataType::try_from(to as i32).ok()),
            _ => node.input.first().and_then(|input| self.element(input)),
        };
        if let Some(element) = element {
            self.elements.extend(node.output.iter().map(|output| (output.clone(), element)));
        }
        self.graph.node.push(node);
    }

    /// The rank that the file declares for a tensor.
    pub fn declared_rank(&self, name: &str) -> Option<usize> {
        let mut values = self.graph.input.iter().chain(&self.graph.value_info);
        let kind = values.find(|value| value.name == name)?.r#type.as_ref()?.value.as_ref()?;
        let type_proto::Value::TensorType(tensor) = kind;
        tensor.shape.as_ref().map(|shape| shape.dim.len())
    }
}

/// Calls `each` with the tensors that a node and the graphs inside it read and make.
fn names_in<'n>(node: &'n NodeProto, each: &mut dyn FnMut(&'n str)) {
    node.input.iter().chain(&node.output).for_each(|name| each(name));
    inner_names(node, each);
}

/// The same, of the graphs inside it only.
pub fn inner_names<'n>(node: &'n NodeProto, each: &mut dyn FnMut(&'n str)) {
    for attribute in &node.attribute {
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            graph.output.iter().for_each(|output| each(&output.name));
            graph.node.iter().for_each(|node| names_in(node, each));
        }
    }
}

pub fn int_attribute(name: &str, i: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto { name: name.to_owned(), r#type, i, ..Default::default() }
}

pub fn ints_attribute(name: &str, ints: Vec<i64>) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.to_owned(), r#type, ints, ..Default::default() }
}

/// A tensor of floats, without dimensions or with one.
pub fn floats(name: &str, values: Vec<f32>) -> TensorProto {
    let dims = if values.len() == 1 { vec![] } else { vec![values.len() as i64] };
    let data_type = DataType::Float as i32;
    TensorProto { name: name.to_owned(), dims, data_type, float_data: values, ..Default::default() }
}

pub fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub fn int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}
