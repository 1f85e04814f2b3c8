//! The ONNX file as bytes from outside: read within a limit and checked before tract sees it.

use super::NetworkError;
use crate::files;
use std::collections::HashSet;
use std::path::Path;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use tract_onnx::prelude::Framework;

/// The largest ONNX file that is read.
const MAX_FILE: u64 = 512 << 20;
/// The newest operator set that is understood (default domain).
pub const MAX_OPSET: i64 = 21;

/// Reads a model file's bytes.
pub fn read(path: &Path) -> Result<Vec<u8>, NetworkError> {
    files::read(path, MAX_FILE)
        .map_err(|cause| NetworkError::Read { path: path.display().to_string(), cause })
}

/// Parses the protobuf and checks what can be checked without knowing the operators.
pub fn parse(path: &str, bytes: &[u8]) -> Result<ModelProto, NetworkError> {
    let refuse = |message: String| NetworkError::File { path: path.to_owned(), message };
    let proto = tract_onnx::onnx().proto_model_for_read(&mut &*bytes).map_err(|_| {
        refuse(format!(
            "is no ONNX model, or is cut short ({} bytes do not parse); export or copy it again",
            bytes.len()
        ))
    })?;
    let graph = proto.graph.as_ref().ok_or_else(|| {
        refuse("holds no graph; is it really an ONNX model? Export or copy it again".to_owned())
    })?;
    let opset = opset(&proto);
    if !(1..=MAX_OPSET).contains(&opset) {
        return Err(refuse(format!(
            "is written for operator set {opset}; 7 to {MAX_OPSET} are understood, so export it with one of these"
        )));
    }
    check_graph(graph, &mut Vec::new()).map_err(refuse)?;
    if graph.output.is_empty() {
        return Err(refuse("has no output; name at least one when exporting it".to_owned()));
    }
    Ok(proto)
}

/// The version of the default operator set.
pub fn opset(proto: &ModelProto) -> i64 {
    proto
        .opset_import
        .iter()
        .find(|set| set.domain.is_empty() || set.domain == "ai.onnx")
        .map_or(0, |set| set.version)
}

/// The name a node goes by: its own, else its first output's.
pub fn node_name(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("?", String::as_str) } else { &node.name }
}

/// Gives each node a name, so that every message can say which it is about.
pub fn name_nodes(graph: &mut GraphProto) {
    for node in graph.node.iter_mut().filter(|node| node.name.is_empty()) {
        node.name = node_name(node).to_owned();
    }
}

/// The names known in a graph and in those around it, outermost first.
type Scopes<'a> = Vec<HashSet<&'a str>>;

fn check_graph<'a>(graph: &'a GraphProto, scopes: &mut Scopes<'a>) -> Result<(), String> {
    let mut own: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    for tensor in &graph.initializer {
        check_tensor(tensor).map_err(|why| format!("initializer \"{}\" {why}", tensor.name))?;
        own.insert(&tensor.name);
    }
    scopes.push(own);
    let checked = check_nodes(graph, scopes);
    scopes.pop();
    checked
}

fn check_nodes<'a>(graph: &'a GraphProto, scopes: &mut Scopes<'a>) -> Result<(), String> {
    let known = |scopes: &Scopes, name: &str| scopes.iter().any(|scope| scope.contains(name));
    for node in &graph.node {
        let at = |why: String| format!("node \"{}\" ({}) {why}", node_name(node), node.op_type);
        for input in node.input.iter().filter(|name| !name.is_empty()) {
            if !known(scopes, input) {
                return Err(at(format!("reads \"{input}\", which nothing before it makes")));
            }
        }
        for attribute in &node.attribute {
            check_window(attribute).map_err(at)?;
            if let Some(tensor) = &attribute.t {
                check_tensor(tensor).map_err(|why| at(format!("attribute {why}")))?;
            }
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                check_graph(inner, scopes)?;
            }
        }
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if !scopes.last_mut().is_some_and(|own| own.insert(output)) {
                return Err(at(format!("makes \"{output}\", which is made before it already")));
            }
        }
    }
    match graph.output.iter().find(|output| !known(scopes, &output.name)) {
        Some(output) => Err(format!("output \"{}\" is made by no node", output.name)),
        None => Ok(()),
    }
}

/// The longest window, stride, dilation, padding or block.
const MAX_EXTENT: i64 = 1 << 16;
/// The most values that one window may cover: 1024x1024 of them.
const MAX_WINDOW: i64 = 1 << 20;

/// Numbers that operators multiply, and loop over, before anything is computed.
fn check_window(attribute: &AttributeProto) -> Result<(), String> {
    let name = attribute.name.as_str();
    let single = [attribute.i];
    if name == "perm" {
        return check_permutation(&attribute.ints);
    }
    let (values, least) = match name {
        "kernel_shape" | "strides" | "dilations" => (&attribute.ints[..], 1),
        "pads" => (&attribute.ints[..], -MAX_EXTENT),
        "output_padding" => (&attribute.ints[..], 0),
        "group" | "blocksize" => (&single[..], 1),
        _ => return Ok(()),
    };
    if let Some(value) = values.iter().find(|value| !(least..=MAX_EXTENT).contains(value)) {
        return Err(format!("has {name} {value}; expected {least} to {MAX_EXTENT}"));
    }
    let covered = values.iter().fold(1i64, |product, value| product.saturating_mul(*value));
    match name == "kernel_shape" && covered > MAX_WINDOW {
        true => {
            Err(format!("has kernel_shape {values:?}; at most {MAX_WINDOW} values are allowed"))
        }
        false => Ok(()),
    }
}

fn check_permutation(axes: &[i64]) -> Result<(), String> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    match sorted.into_iter().eq(0..axes.len() as i64) {
        true => Ok(()),
        false => Err(format!("has perm {axes:?}; expected each axis once")),
    }
}

/// A tensor's bytes must be here, and as many as its shape says.
fn check_tensor(tensor: &TensorProto) -> Result<(), String> {
    if tensor.data_location == Some(DataLocation::External as i32) {
        return Err("keeps its data in another file; save the model with its data inside".into());
    }
    let size = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Uint8 | DataType::Int8 | DataType::Bool) => 1,
        Ok(DataType::Uint16 | DataType::Int16 | DataType::Float16) => 2,
        Ok(DataType::Float | DataType::Int32 | DataType::Uint32) => 4,
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64) => 8,
        Ok(other) => return Err(format!("has type {other:?}, which is not supported")),
        Err(_) => return Err(format!("has unknown type {}", tensor.data_type)),
    };
    let elements = tensor
        .dims
        .iter()
        .try_fold(1usize, |product, dim| product.checked_mul(usize::try_from(*dim).ok()?))
        .ok_or_else(|| format!("has an impossible shape {:?}", tensor.dims))?;
    let found = if tensor.raw_data.is_empty() {
        tensor
            .float_data
            .len()
            .max(tensor.int32_data.len())
            .max(tensor.int64_data.len())
            .max(tensor.double_data.len())
    } else if tensor.raw_data.len().is_multiple_of(size) {
        tensor.raw_data.len() / size
    } else {
        return Err(format!("holds {} bytes, no whole number of values", tensor.raw_data.len()));
    };
    let bounds = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Uint8) => 0..=255,
        Ok(DataType::Int8) => -128..=127,
        Ok(DataType::Uint16) => 0..=65_535,
        Ok(DataType::Int16) => -32_768..=32_767,
        _ => i32::MIN..=i32::MAX,
    };
    if let Some(value) = tensor.int32_data.iter().find(|value| !bounds.contains(value)) {
        return Err(format!(
            "holds {value}; its type goes from {} to {}",
            bounds.start(),
            bounds.end()
        ));
    }
    if found != elements {
        return Err(format!("has shape {:?} but holds {found} values", tensor.dims));
    }
    Ok(())
}
