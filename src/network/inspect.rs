//! Tells about a network: inputs, outputs, and each operator with its shape, its multiply-
//! accumulates and how it runs.

use super::load::{self, Network, Options, Resolve, describe};
use super::{NetworkError, proto};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display, Formatter};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::Cost;
use tract_onnx::tract_core::ops::cnn::Deconv;

/// One operator of the ONNX graph.
#[derive(Clone, Debug, Serialize)]
pub struct Operator {
    pub name: String,
    pub operator: String,
    /// Element type and shape of the first output; empty where it is not known.
    pub output: String,
    pub macs: u64,
    /// `float`, `fused away`, or why it does not run.
    pub runs: String,
}

/// What there is to tell about a network.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub file: String,
    pub opset: i64,
    pub producer: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub parameters: u64,
    pub macs: u64,
    pub operators: Vec<Operator>,
    /// Why the network does not run, if so.
    pub error: Option<String>,
}

/// Reports on a model, whether it runs or not.
pub fn inspect(path: &str, model: &ModelProto, resolve: &Resolve) -> Report {
    let typed = load::type_graph(path, model.clone(), resolve);
    let network = load::load(
        path,
        model.clone(),
        &Options { resolve, threads: 1, memory: None, compared: &|_| None },
    );
    let mut operators = listed(model);
    if let Ok(typed) = &typed {
        add_shapes_and_macs(&mut operators, typed);
    }
    let mut error = None;
    match &network {
        Ok(network) => mark_fused(&mut operators, network),
        Err(cause) => {
            for operator in &mut operators {
                operator.runs = match cause {
                    NetworkError::Operator { node, .. } if *node == operator.name => {
                        "not supported".to_owned()
                    }
                    _ => "not reached".to_owned(),
                };
            }
            error = Some(cause.to_string());
        }
    }
    let ports = |ports: &[load::Port]| -> Vec<String> {
        ports.iter().map(|port| format!("{} {}", port.name, port.describe())).collect()
    };
    let parameters = model.graph.iter().flat_map(|graph| &graph.initializer);
    let count = |dims: &[i64]| dims.iter().map(|dim| dim.unsigned_abs()).product::<u64>();
    Report {
        file: path.to_owned(),
        opset: proto::opset(model),
        producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_owned(),
        inputs: match &network {
            Ok(network) => ports(&network.ports.inputs),
            Err(_) => load::open_inputs(model).iter().map(declared).collect(),
        },
        outputs: match &network {
            Ok(network) => ports(&network.ports.outputs),
            Err(_) => {
                let outputs = model.graph.iter().flat_map(|graph| &graph.output);
                outputs.map(|output| output.name.clone()).collect()
            }
        },
        parameters: parameters.map(|tensor| count(&tensor.dims)).sum(),
        macs: operators.iter().map(|operator| operator.macs).sum(),
        operators,
        error,
    }
}

fn declared(input: &load::OpenInput) -> String {
    let dims: Vec<String> = input
        .shape
        .iter()
        .map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string()))
        .collect();
    format!("{} {}", input.name, dims.join("x"))
}

fn listed(model: &ModelProto) -> Vec<Operator> {
    let nodes = model.graph.iter().flat_map(|graph| &graph.node);
    nodes
        .map(|node| Operator {
            name: proto::node_name(node).to_owned(),
            operator: node.op_type.clone(),
            output: String::new(),
            macs: 0,
            runs: String::new(),
        })
        .collect()
}

/// The ONNX operator that a node of tract's graph came of: tract appends to its name.
fn origin<'a>(name: &'a str, index: &HashMap<&str, usize>) -> Option<usize> {
    let mut name: &'a str = name;
    loop {
        if let Some(at) = index.get(name) {
            return Some(*at);
        }
        name = &name[..name.rfind('.')?];
    }
}

fn add_shapes_and_macs(operators: &mut [Operator], typed: &TypedModel) {
    let names: Vec<String> = operators.iter().map(|operator| operator.name.clone()).collect();
    let index: HashMap<&str, usize> =
        names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    for node in typed.nodes() {
        let Some(at) = origin(&node.name, &index) else { continue };
        operators[at].macs += macs(typed, node);
        if let Some(output) = node.outputs.first()
            && let Some(shape) = output.fact.shape.as_concrete()
        {
            operators[at].output = describe(output.fact.datum_type, shape);
        }
    }
}

/// Multiply-accumulates of a node.
pub fn macs(model: &TypedModel, node: &TypedNode) -> u64 {
    let Ok(inputs) = model.node_input_facts(node.id) else { return 0 };
    if let Some(op) = node.op_as::<Deconv>() {
        return deconv_macs(op, &inputs).unwrap_or(0);
    }
    let Ok(costs) = node.op.cost(&inputs) else { return 0 };
    costs
        .iter()
        .filter(|(cost, _)| matches!(cost, Cost::FMA(_)))
        .filter_map(|(_, count)| count.to_i64().ok()?.try_into().ok())
        .fold(0, u64::saturating_add)
}

/// Of a ConvTranspose, which tract gives no cost: each pixel of the input meets the whole kernel.
fn deconv_macs(op: &Deconv, inputs: &[&TypedFact]) -> Option<u64> {
    let count = |fact: &TypedFact| u64::try_from(fact.shape.volume().to_i64().ok()?).ok();
    let channels = op.pool_spec.input_channels.max(1) as u64;
    let (input, kernel) = (count(inputs.first()?)?, count(inputs.get(1)?)?);
    Some((input / channels).saturating_mul(kernel))
}

fn mark_fused(operators: &mut [Operator], network: &Network) {
    let names: Vec<String> = operators.iter().map(|operator| operator.name.clone()).collect();
    let index: HashMap<&str, usize> =
        names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut left = vec![false; operators.len()];
    let model = network.plan.model();
    for id in network.plan.order_without_consts() {
        if let Some(at) = origin(&model.node(*id).name, &index) {
            left[at] = true;
        }
    }
    let ways: HashMap<&str, &str> =
        network.ways.iter().map(|way| (way.node.as_str(), way.runs.as_str())).collect();
    for (operator, left) in operators.iter_mut().zip(left) {
        operator.runs = match ways.get(operator.name.as_str()) {
            Some(way) if left || !way.starts_with("float") => way,
            _ => "fused away",
        }
        .to_owned();
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: operator set {}, by {}", self.file, self.opset, self.producer)?;
        for input in &self.inputs {
            writeln!(f, "input   {input}")?;
        }
        for output in &self.outputs {
            writeln!(f, "output  {output}")?;
        }
        writeln!(f, "{} parameters, {:.1} million MACs", self.parameters, self.macs as f64 / 1e6)?;
        writeln!(f)?;
        let width = |text: fn(&Operator) -> &str, least: usize| {
            self.operators.iter().map(|op| text(op).len()).max().unwrap_or(0).clamp(least, 48)
        };
        let (name, kind) = (width(|op| &op.name, 4), width(|op| &op.operator, 8));
        let output = width(|op| &op.output, 6);
        writeln!(
            f,
            "{:name$}  {:kind$}  {:output$}  {:>10}  runs",
            "name", "operator", "output", "kMACs"
        )?;
        for op in &self.operators {
            writeln!(
                f,
                "{:name$}  {:kind$}  {:output$}  {:>10.1}  {}",
                op.name,
                op.operator,
                op.output,
                op.macs as f64 / 1e3,
                op.runs
            )?;
        }
        let mut census: BTreeMap<&str, usize> = BTreeMap::new();
        for op in &self.operators {
            *census.entry(&op.runs).or_default() += 1;
        }
        let census: Vec<String> =
            census.iter().map(|(runs, count)| format!("{count} {runs}")).collect();
        writeln!(f, "\n{}", census.join(", "))?;
        match &self.error {
            Some(error) => writeln!(f, "does not run: {error}"),
            None => Ok(()),
        }
    }
}
