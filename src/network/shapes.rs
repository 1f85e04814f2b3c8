//! Works out types and shapes, with a check before each of tract's operators.
//!
//! Nodes whose inputs are all constant are computed then. tract makes their values before it looks
//! how large they are, and a Pad or Resize of one number can be larger than any memory. And some
//! of its rules count the axes but one or two, or up to one: on and on where there are fewer. Where
//! it expects a number it reads it, even from a tensor that has none; and a window slides over as
//! many axes as its attributes have numbers, whether the picture has them or not.

use std::collections::HashMap;
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;

/// The most bytes that are computed from constants at once.
const LARGEST: usize = 256 << 20;
/// tract's operators that count axes, an input, and the fewest axes it must have.
const AXES: [(&str, usize, i64); 7] = [
    ("LayerNorm", 0, 1),
    ("RmsNormalization", 0, 1),
    ("GatherNd", 1, 1),
    ("GridSample", 0, 2),
    ("MatMulNBits", 0, 1),
    ("Dft", 0, 1),
    ("Dft17", 0, 1),
];
/// tract's operators that take lists, which may be empty.
const LISTS: [&str; 15] = [
    "Cast",
    "ConstantOfShape",
    "Identity",
    "InferenceConcat",
    "MultiBroadcastTo",
    "Reduce13",
    "Reshape",
    "Resize",
    "Shape",
    "Size",
    "Split13",
    "Squeeze13",
    "StridedSlice",
    "Unsqueeze13",
    "onnx.Cast",
];

/// Finds out all types and shapes of a model made of `graph`.
pub fn analyse(model: &mut InferenceModel, graph: Option<&GraphProto>) -> TractResult<()> {
    // By their first outputs: names of nodes may be missing, or be there twice.
    let nodes = graph.iter().flat_map(|graph| &graph.node);
    let written: HashMap<&str, &NodeProto> = nodes
        .filter_map(|node| Some((&**node.output.iter().find(|name| !name.is_empty())?, node)))
        .collect();
    for id in 0..model.nodes().len() {
        let written = model.outlet_label(id.into()).and_then(|name| written.get(name));
        let node = model.node_mut(id);
        if node.inputs.is_empty() {
            continue;
        }
        node.op = Box::new(Guarded {
            op: node.op.clone(),
            axis: written.and_then(|node| axis(node)),
            window: written.map(|node| window(node)).unwrap_or_default(),
        });
    }
    let analysed = model.analyse(false);
    for node in model.nodes_mut() {
        if let Some(Guarded { op, .. }) = node.op_as() {
            node.op = op.clone();
        }
    }
    analysed.map(|_| ())
}

/// The axis of its first input that a node names.
fn axis(node: &NodeProto) -> Option<i64> {
    // Where one scale is for all, it is not looked at; OneHot's is the output's.
    if matches!(node.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear" | "OneHot") {
        return None;
    }
    node.attribute.iter().find(|attribute| attribute.name == "axis").map(|attribute| attribute.i)
}

/// The attributes of a pooling's or convolution's window, and how many numbers they have.
fn window(node: &NodeProto) -> Vec<(&'static str, usize)> {
    let length = |name| {
        let found = node.attribute.iter().find(|attribute| attribute.name == name);
        found.map(|attribute| (name, attribute.ints.len()))
    };
    if node.op_type.contains("Conv") || node.op_type.ends_with("Pool") {
        ["kernel_shape", "strides", "dilations", "pads"].into_iter().filter_map(length).collect()
    } else {
        Vec::new()
    }
}

/// An operator that fails where tract's would not end, would take memory without bound, or would
/// read what is not there.
#[derive(Clone, Debug)]
struct Guarded {
    op: Box<dyn InferenceOp>,
    axis: Option<i64>,
    window: Vec<(&'static str, usize)>,
}

// Only that an operator can be compared; this one is not.
impl PartialEq for Guarded {
    fn eq(&self, _: &Guarded) -> bool {
        false
    }
}

impl Eq for Guarded {}

impl Op for Guarded {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.op.info()
    }

    not_a_typed_op!();
}

impl EvalOp for Guarded {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.op.eval_out_of_plan(inputs)
    }
}

impl InferenceOp for Guarded {
    fn infer(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let name = self.op.name();
        for (_, at, least) in AXES.into_iter().filter(|(operator, ..)| *operator == name) {
            let found = inputs.get(at).and_then(|input| input.shape.rank().concretize());
            if let Some(found) = found.filter(|found| *found < least) {
                bail!("its input {at} has {found} axes; expected {least} at least");
            }
        }
        let constants = inputs.iter().map(|input| input.value.concretize()).collect::<TVec<_>>();
        let empty = constants.iter().flatten().any(|constant| constant.len() == 0);
        if empty && !LISTS.contains(&&*name) {
            bail!("takes an empty constant; expected a value");
        }
        if let Some(rank) = inputs.first().and_then(|input| input.shape.rank().concretize()) {
            if let Some(axis) = self.axis.filter(|axis| !(-rank..=rank).contains(axis)) {
                bail!("its axis is {axis}, but its first input has {rank} axes");
            }
            for (attribute, found) in &self.window {
                // Beside batch and channels.
                let spatial = rank - 2;
                let expected = if *attribute == "pads" { 2 * spatial } else { spatial };
                if spatial < 1 || expected != *found as i64 {
                    bail!("has {found} {attribute}, but its first input has {rank} axes");
                }
            }
        }
        if let Some(constants) = constants.into_iter().collect::<Option<TVec<_>>>() {
            let (inputs, outputs, observed) = (inputs.clone(), outputs.clone(), observed.clone());
            let (_, made, _) = self.op.infer_facts(inputs, outputs, observed)?;
            let found = made.iter().map(bytes).fold(0, usize::saturating_add);
            // Its length is found out only when it is made.
            let found = if name == "Range" { range_bytes(&constants) } else { found };
            if found > LARGEST {
                let (found, limit) = (found >> 20, LARGEST >> 20);
                bail!("makes {found} MB of constants; at most {limit} are computed");
            }
        }
        self.op.infer(inputs, outputs, observed)
    }

    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        self.op.infer_facts(inputs, outputs, observed)
    }

    fn observe_outlets(
        &self,
        model: &InferenceModel,
        node: &InferenceNode,
    ) -> TractResult<Vec<OutletId>> {
        self.op.observe_outlets(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.op.nboutputs()
    }

    as_op!();
}

/// What is not known counts as one.
fn bytes(fact: &InferenceFact) -> usize {
    let size = fact.datum_type.concretize().map_or(1, |element| element.size_of());
    // They can be sums and quotients that nobody has worked out.
    let known = |dim: TDim| dim.eval(&SymbolValues::default()).to_usize().ok();
    let dims = fact.shape.dims().filter_map(|dim| dim.concretize().and_then(known));
    dims.fold(size, usize::saturating_mul)
}

/// Of the numbers from the first constant to the second by the third.
fn range_bytes(constants: &[Arc<Tensor>]) -> usize {
    let real = |tensor: &Arc<Tensor>| -> Option<f64> {
        let whole = tensor.datum_type().is_tdim().then(|| tensor.cast_to::<i64>().ok()).flatten();
        let tensor = whole.as_deref().unwrap_or(tensor).cast_to::<f64>().ok()?;
        tensor.try_as_plain_ram().ok()?.to_scalar::<f64>().ok().copied()
    };
    let [start, end, step] = constants else { return 0 };
    let (Some(start), Some(end), Some(step)) = (real(start), real(end), real(step)) else {
        return 0;
    };
    // Saturates, and NaN is 0.
    (((end - start) / step).abs() * size_of::<f64>() as f64) as usize
}
