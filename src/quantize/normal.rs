//! The float network as the rest of the room takes it: checked, of operator set 13 or newer,
//! constants in one place, batch normalization and padding folded.

use super::QuantizeError;
use super::fold::fold;
use super::net::{Facts, Net, input};
use super::transposes::sink;
use super::{opset, write};
use crate::network::load::{self, Resolve};
use crate::network::proto::{self, node_name};
use crate::network::qdq::tidy;
use tract_onnx::pb::{ModelProto, tensor_proto::DataType};

/// Operators that are looked at: passes here take the square of their number in time.
const MOST_NODES: usize = 4000;

pub fn normal(
    path: &str,
    model: &ModelProto,
    resolve: &Resolve,
) -> Result<(Net, Facts), QuantizeError> {
    let refuse = |message: String| QuantizeError::Refused(format!("{path}: {message}"));
    let mut graph = model.graph.clone().unwrap_or_default();
    if graph.node.len() > MOST_NODES {
        let found = graph.node.len();
        return Err(refuse(format!(
            "has {found} operators; at most {MOST_NODES} can be quantized, so export it without \
             unrolled loops"
        )));
    }
    let quantized = |operator: &str| {
        operator.starts_with("QLinear")
            || ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QGemm"]
                .contains(&operator)
            || ["ConvInteger", "MatMulInteger"].contains(&operator)
    };
    if let Some(node) = graph.node.iter().find(|node| quantized(&node.op_type)) {
        return Err(refuse(format!(
            "is quantized already (node \"{}\" is a {}); give the float network it was made from",
            node_name(node),
            node.op_type
        )));
    }
    proto::name_nodes(&mut graph);
    tidy::constants_to_initializers(&mut graph);
    tidy::remove_identities(&mut graph);
    let facts = load::facts(path, model.clone(), resolve)?;
    let mut net = Net::new(graph);
    check_numbers(&net).map_err(refuse)?;
    opset::raise(&mut net, proto::opset(model), &facts, path)?;
    sink(&mut net, &facts);
    let facts = load::facts(path, write::pack(model, net.clone()), resolve)?;
    fold(&mut net, &facts);
    check_numbers(&net).map_err(refuse)?;
    let facts = load::facts(path, write::pack(model, net.clone()), resolve)?;
    Ok((net, facts))
}

/// Weights that are no numbers spoil everything after them.
fn check_numbers(net: &Net) -> Result<(), String> {
    for node in &net.graph.node {
        for name in (0..node.input.len()).filter_map(|at| input(node, at)) {
            let float = net.constant(name).is_some_and(|tensor| {
                tensor.data_type == DataType::Float as i32
                    && !matches!(node.op_type.as_str(), "Clip" | "Pad" | "Where" | "Max" | "Min")
            });
            let Some(values) = net.reals(name).filter(|_| float) else { continue };
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(format!(
                    "\"{name}\", read by node \"{}\" ({}), holds {} at {at}; train or export the \
                     network again",
                    node_name(node),
                    node.op_type,
                    values[at]
                ));
            }
        }
    }
    Ok(())
}
