//! ONNX -> tract's plan: shapes fixed, operators of ours in place, memory bounded.

use super::lower::wire::{Way, Ways, wire};
use super::lower::{self, Fact, Facts, Lowered, lower};
use super::ops::region::{Region, Threads};
use super::{NetworkError, memory, ops, proto, qdq, shapes};
use crate::contain::contain;
use crate::int8::kernels::Kernels;
use crate::int8::program::Program;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType,
    tensor_shape_proto::dimension::Value, type_proto,
};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::SimplePlan;
use tract_onnx::tract_hir::infer::{InferenceFact, InferenceModel, InferenceModelExt};

/// An input or output: its name, element type and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: String,
    pub element: DatumType,
    pub shape: Vec<usize>,
}

impl Port {
    pub fn describe(&self) -> String {
        describe(self.element, &self.shape)
    }
}

/// As messages and tables write a tensor: `f32 1x3x256x256`.
pub fn describe(element: DatumType, shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("{} {}", format!("{element:?}").to_lowercase(), dims.join("x"))
}

/// An input as the file declares it; None stands for a dimension it leaves open.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenInput {
    pub index: usize,
    pub name: String,
    pub shape: Vec<Option<usize>>,
}

/// What goes into a network and what comes out of it, as its file has it.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Of the file, for messages.
    pub path: String,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

/// How to load.
pub struct Options<'a> {
    /// Chooses the dimensions that an input leaves open.
    pub resolve: &'a Resolve<'a>,
    /// That integer operators split their rows over.
    pub threads: usize,
    /// The most bytes it may take; None: as many as there are.
    pub memory: Option<u64>,
    /// The output of which only the largest along an axis will be asked for, and that axis: it
    /// may come as bytes (i8) that have the same order.
    pub compared: &'a dyn Fn(&Ports) -> Option<(usize, usize)>,
}

/// A loaded network.
#[derive(Clone, Debug)]
pub struct Network {
    pub ports: Ports,
    pub plan: Arc<TypedSimplePlan>,
    /// How each node of the file runs, in the normal form's order.
    pub ways: Vec<Way>,
}

impl Network {
    /// The parts that run in integers.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        let nodes = self.plan.model().nodes().iter();
        nodes.filter_map(|node| node.op_as::<Region>().map(|region| &*region.program))
    }
}

/// Chooses the dimensions that an input leaves open.
pub type Resolve<'a> = dyn Fn(&OpenInput) -> Result<Vec<usize>, NetworkError> + 'a;

/// Makes a plan of a checked model. `path` is for the messages.
pub fn load(path: &str, mut model: ModelProto, options: &Options) -> Result<Network, NetworkError> {
    let kernels = Kernels::detect()?;
    let threads = options.threads;
    let threads = Threads::new(threads).map_err(|cause| NetworkError::Threads(threads, cause))?;
    let opset = proto::opset(&model);
    let inputs = prepare(path, &mut model, options.resolve)?;
    let fail = |error| graph_error(path, &error);
    let weights = lower::set_weights_aside(&mut model);
    let declared: Vec<Fact> = inputs.iter().chain(weights.facts()).cloned().collect();
    let inferred = contained(path, || infer(&model, &declared).map_err(fail))?;
    let mut whole = model.graph.take().unwrap_or_default();
    weights.put_back(&mut whole);
    let facts = contained(path, || Facts::new(&whole, &inferred).map_err(fail))?;
    drop(inferred);
    memory::check_values(path, facts.bytes())?;
    check_windows(path, &whole, &facts)?;
    let ports = ports(path, &whole, &facts)?;
    let compared = (options.compared)(&ports);
    // What fails here runs in float all the same.
    let lowered = contain(|| lower(&whole, opset, &facts, compared)).unwrap_or_else(|panic| {
        Lowered::whole(&whole, |_| format!("planning it in integers failed ({panic})"))
    });
    let Lowered { graph, regions, kept } = lowered;
    drop(facts);
    let own = inputs.len();
    let taken = regions.iter().map(|region| region.inputs.len()).sum();
    let names = whole.node.iter().map(|node| proto::node_name(node).to_owned()).collect();
    drop(whole);
    model.graph = Some(graph);
    contained(path, || {
        let supplied = regions.iter().flat_map(|region| &region.outputs).map(|tensor| &tensor.fact);
        let inputs: Vec<Fact> = inputs.iter().chain(supplied).cloned().collect();
        let inferred = infer(&model, &inputs).map_err(fail)?;
        model.graph = None;
        let mut typed = inferred.into_typed().map_err(fail)?;
        let mut ways = Ways::new(names, kept);
        wire(&mut typed, kernels, &threads, regions, own, &mut ways).map_err(fail)?;
        let inputs = typed.input_outlets().map_err(fail)?[..own].to_vec();
        typed.set_input_outlets(&inputs).map_err(fail)?;
        let outputs = typed.output_outlets().map_err(fail)?[taken..].to_vec();
        typed.select_output_outlets(&outputs).map_err(fail)?;
        let mut optimized = typed.into_decluttered().map_err(fail)?;
        ops::replace_resize(&mut optimized).map_err(fail)?;
        let optimized = optimized.into_optimized().map_err(fail)?;
        memory::check_values(path, memory::values(&optimized))?;
        let plan = SimplePlan::new(optimized).map_err(fail)?;
        if let Some(limit) = options.memory {
            memory::check_budget(path, &plan, limit)?;
        }
        Ok(Network { ports, plan, ways: ways.list() })
    })
}

/// Brings the graph to its normal form and fixes its inputs.
fn prepare(
    path: &str,
    model: &mut ModelProto,
    resolve: &Resolve,
) -> Result<Vec<Fact>, NetworkError> {
    let opset = proto::opset(model);
    if let Some(graph) = model.graph.as_mut() {
        proto::name_nodes(graph);
        scales_to_inputs(graph);
        qdq::normalize(path, opset, graph)?;
    }
    if let Some(graph) = &model.graph {
        check_operators(path, opset, graph, &ops::reader())?;
    }
    fixed_inputs(model, resolve)
}

/// tract's view of a model with these inputs.
fn infer(model: &ModelProto, inputs: &[Fact]) -> TractResult<InferenceModel> {
    let mut graph = ops::reader().model_for_proto_model(model)?;
    for (index, Fact { element, shape }) in inputs.iter().enumerate() {
        graph.set_input_fact(index, InferenceFact::dt_shape(*element, shape))?;
    }
    shapes::analyse(&mut graph, model.graph.as_ref())?;
    Ok(graph)
}

/// The graph with all types and shapes known, its operators as the file has them but quantized
/// ones in QDQ form.
pub fn type_graph(
    path: &str,
    mut model: ModelProto,
    resolve: &Resolve,
) -> Result<TypedModel, NetworkError> {
    let inputs = prepare(path, &mut model, resolve)?;
    contained(path, || {
        let fail = |error| graph_error(path, &error);
        let graph = infer(&model, &inputs).map_err(fail)?;
        drop(model);
        let typed = graph.into_typed().map_err(fail)?;
        memory::check_values(path, memory::values(&typed))?;
        Ok(typed)
    })
}

/// What is known of each tensor of a checked model, but for those whose shape depends on data.
pub(crate) fn facts(
    path: &str,
    mut model: ModelProto,
    resolve: &Resolve,
) -> Result<HashMap<String, Fact>, NetworkError> {
    let inputs = prepare(path, &mut model, resolve)?;
    let weights = lower::set_weights_aside(&mut model);
    let declared: Vec<Fact> = inputs.iter().chain(weights.facts()).cloned().collect();
    let graph = model.graph.clone().unwrap_or_default();
    contained(path, || {
        let fail = |error| graph_error(path, &error);
        let inferred = infer(&model, &declared).map_err(fail)?;
        let facts = Facts::new(&graph, &inferred).map_err(fail)?;
        memory::check_values(path, facts.bytes())?;
        Ok(facts.into_facts())
    })
}

/// Turns a panic inside tract into an error of this file.
fn contained<T>(
    path: &str,
    work: impl FnOnce() -> Result<T, NetworkError>,
) -> Result<T, NetworkError> {
    contain(work).unwrap_or_else(|panic| {
        Err(NetworkError::Graph {
            path: path.to_owned(),
            place: "the graph".to_owned(),
            cause: format!("is malformed ({panic}); export it again"),
        })
    })
}

/// A graph's inputs and outputs.
fn ports(path: &str, graph: &GraphProto, facts: &Facts) -> Result<Ports, NetworkError> {
    let port = |info: &ValueInfoProto| match facts.get(&info.name) {
        Some(Fact { element, shape }) => {
            Ok(Port { name: info.name.clone(), element: *element, shape: shape.clone() })
        }
        None => Err(NetworkError::Graph {
            path: path.to_owned(),
            place: format!("\"{}\"", info.name),
            cause: "its shape depends on the data; export with fixed sizes".to_owned(),
        }),
    };
    let inputs = real_inputs(graph).map(port).collect::<Result<_, _>>()?;
    let outputs = graph.output.iter().map(port).collect::<Result<_, _>>()?;
    Ok(Ports { path: path.to_owned(), inputs, outputs })
}

/// The names of the inputs a caller has to give: those without an initializer.
fn real_inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    let given: HashSet<&str> =
        graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.iter().filter(move |input| !given.contains(input.name.as_str()))
}

/// The inputs as the file declares them.
pub fn open_inputs(model: &ModelProto) -> Vec<OpenInput> {
    let Some(graph) = &model.graph else { return Vec::new() };
    let shape_of = |input: &ValueInfoProto| {
        let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_ref().and_then(|kind| kind.value.as_ref())
        else {
            return Vec::new();
        };
        let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
        dims.map(|dim| match &dim.value {
            Some(Value::DimValue(value)) => usize::try_from(*value).ok().filter(|dim| *dim > 0),
            _ => None,
        })
        .collect()
    };
    real_inputs(graph)
        .enumerate()
        .map(|(index, input)| OpenInput { index, name: input.name.clone(), shape: shape_of(input) })
        .collect()
}

fn fixed_inputs(model: &ModelProto, resolve: &Resolve) -> Result<Vec<Fact>, NetworkError> {
    let elements = model.graph.iter().flat_map(real_inputs).map(|input| {
        let kind = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
        let type_proto::Value::TensorType(tensor) = kind?;
        DatumType::try_from(DataType::try_from(tensor.elem_type).ok()?).ok()
    });
    let inputs = open_inputs(model);
    let fixed = inputs.iter().zip(elements).map(|(input, element)| {
        let element = element.unwrap_or(f32::datum_type());
        let shape = input.shape.iter().copied().collect::<Option<Vec<usize>>>();
        let shape = match shape.filter(|shape| !shape.is_empty()) {
            Some(shape) => shape,
            None => resolve(input)?,
        };
        Ok(Fact { element, shape })
    });
    fixed.collect()
}

/// Upsample of opset 7 carries its scales as an attribute: makes them an input, as opset 9 has.
fn scales_to_inputs(graph: &mut GraphProto) {
    let mut added = Vec::new();
    for (index, node) in graph.node.iter_mut().enumerate() {
        if node.op_type != "Upsample" || node.input.len() != 1 {
            continue;
        }
        let Some(at) = node.attribute.iter().position(|attribute| attribute.name == "scales")
        else {
            continue;
        };
        let scales = node.attribute.remove(at).floats;
        let name = format!("{} scales {index}", proto::node_name(node));
        node.input.push(name.clone());
        added.push(TensorProto {
            name,
            dims: vec![scales.len() as i64],
            data_type: DataType::Float as i32,
            float_data: scales,
            ..Default::default()
        });
    }
    graph.initializer.extend(added);
}

/// Names the first node whose operator nobody here knows.
fn check_operators(
    path: &str,
    opset: i64,
    graph: &GraphProto,
    onnx: &tract_onnx::Onnx,
) -> Result<(), NetworkError> {
    for node in &graph.node {
        if !onnx.op_register.0.contains_key(&node.op_type) {
            return Err(unsupported(path, opset, node));
        }
        for inner in node.attribute.iter().flat_map(|attribute| &attribute.g) {
            check_operators(path, opset, inner, onnx)?;
        }
    }
    Ok(())
}

fn unsupported(path: &str, opset: i64, node: &NodeProto) -> NetworkError {
    let hint = if node.op_type.starts_with("QLinear") {
        "it has no QDQ form here, so quantize the network in QDQ format (quant_format=QDQ)"
    } else {
        "leave it out of the network, or export with operators that `segcam inspect` lists as supported"
    };
    NetworkError::Operator {
        path: path.to_owned(),
        node: proto::node_name(node).to_owned(),
        operator: node.op_type.clone(),
        domain: if node.domain.is_empty() { "ai.onnx" } else { &node.domain }.to_owned(),
        opset,
        hint,
    }
}

/// Names the first node whose window is longer than its padded input: nothing comes out of it.
fn check_windows(path: &str, graph: &GraphProto, facts: &Facts) -> Result<(), NetworkError> {
    let empty = |names: &[String]| {
        names.first().and_then(|name| facts.shape(name)).is_some_and(|shape| shape.contains(&0))
    };
    let slides =
        |node: &&NodeProto| matches!(node.op_type.as_str(), "Conv" | "MaxPool" | "AveragePool");
    let mut nodes = graph.node.iter().filter(slides);
    match nodes.find(|node| empty(&node.output) && !empty(&node.input)) {
        Some(node) => Err(NetworkError::Graph {
            path: path.to_owned(),
            place: format!("node \"{}\" ({})", proto::node_name(node), node.op_type),
            cause: "its kernel_shape and dilations reach beyond its input, so that nothing comes \
                    out; use a larger input, or export it again"
                .to_owned(),
        }),
        None => Ok(()),
    }
}

/// tract tells where it failed in the outer errors and why in the innermost.
fn graph_error(path: &str, error: &TractError) -> NetworkError {
    let chain: Vec<String> = error.chain().map(|cause| cause.to_string()).collect();
    let place = chain.iter().find_map(|text| {
        let from = text.find("node ")?;
        Some(text[from..].lines().next().unwrap_or_default().trim().to_owned())
    });
    let cause = chain.last().map(|text| text.lines().next().unwrap_or_default().to_owned());
    NetworkError::Graph {
        path: path.to_owned(),
        place: place.unwrap_or_else(|| "the graph".to_owned()),
        cause: cause.unwrap_or_default(),
    }
}
