//! Graph passes: from the ONNX graph to integer programs and what is left for tract.
//!
//! Everything arrives as QDQ (see [`super::qdq`]). One walk over the nodes, in the file's order,
//! says of each tensor what it is ([`real::Real`]): bytes with a scale, a table of them, sums
//! that wait for their output's scale, or something only tract can make. A QuantizeLinear turns
//! what waits into steps of the integer program:
//!
//! * [`linear`], [`columns`]: convolutions and matrix products,
//! * [`arithmetic`]: Add, Mul, average pools, linear Resize,
//! * [`pointwise`]: functions of one byte, and chains of them, as tables,
//! * [`movement`], [`boxes`]: operators that only move bytes, and the largest of them.
//!
//! [`demand`] then asks, from the graph's outputs back, which tensors the steps can supply and
//! which nodes stay in tract, and [`regions`] cuts the graph there.
//!
//! Graphs come from outside: what tract took for sound may still be strange here. A node that
//! asks for too much stays in tract, as does a network with more steps than can be planned soon.

mod arithmetic;
mod boxes;
mod columns;
mod demand;
mod facts;
mod labels;
mod linear;
mod located;
mod movement;
mod pointwise;
mod real;
mod regions;
mod weights;
mod window;
pub mod wire;

pub use facts::{Fact, Facts};
pub(crate) use movement::{moved_inputs, moves};
pub(crate) use pointwise::unary;
pub use regions::{Lowered, Region, Tensor};
pub use weights::set_weights_aside;
pub(crate) use window::mode;

use crate::int8::Quantization;
use crate::int8::draft::{Draft, Sketch, Step, Value};
use located::Located;
use real::Real;
use std::collections::HashMap;
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::prelude::Datum;

/// Lowers a graph whose tensors are known by `facts`. Of output `compared.0` only the largest
/// along axis `compared.1` is asked for: it may come as i8.
pub fn lower(
    graph: &GraphProto,
    opset: i64,
    facts: &Facts,
    compared: Option<(usize, usize)>,
) -> Lowered {
    let mut lowering = Lowering::new(graph, opset, facts);
    for index in 0..graph.node.len() {
        lowering.now = index;
        lowering.visit(&graph.node[index]);
        if lowering.exhausted() {
            break;
        }
    }
    regions::cut(lowering, compared)
}

/// Steps that are planned at most: their memory takes the square of their number in time.
const MOST_STEPS: usize = 20_000;
/// Tables of reals (1 KB each) that are made of functions at most.
const MOST_TABLES: usize = 1 << 17;
/// Weights that are read at most, also when operators share them.
const MOST_WEIGHTS: usize = 1 << 28;
/// Numbers in a list of axes, pads, starts or steps.
const MOST_PARAMETERS: usize = 64;

/// An integer tensor of the graph. `unsigned`: the graph has it as u8.
#[derive(Clone, Debug)]
struct Bytes {
    located: Located,
    unsigned: bool,
}

/// Why a node does not run in integers, in few words.
type Why = String;

struct Lowering<'a> {
    graph: &'a GraphProto,
    facts: &'a Facts<'a>,
    opset: i64,
    /// The node that is being visited.
    now: usize,
    draft: Draft,
    /// The step that writes each value.
    writers: HashMap<Value, usize>,
    /// What the steps load.
    loaded: Vec<&'a str>,
    bytes: HashMap<&'a str, Bytes>,
    reals: HashMap<&'a str, Real<'a>>,
    producers: HashMap<&'a str, usize>,
    /// What was made of a tensor already, by its name and bits of the target.
    made: HashMap<(&'a str, [i64; 4]), Located>,
    why: HashMap<usize, Why>,
    /// What is left of [`MOST_TABLES`] and [`MOST_WEIGHTS`].
    tables: usize,
    weights: usize,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a GraphProto, opset: i64, facts: &'a Facts) -> Lowering<'a> {
        let mut producers = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                producers.insert(output.as_str(), index);
            }
        }
        Lowering {
            graph,
            facts,
            opset,
            now: 0,
            draft: Draft::default(),
            writers: HashMap::new(),
            loaded: Vec::new(),
            bytes: HashMap::new(),
            reals: HashMap::new(),
            producers,
            made: HashMap::new(),
            why: HashMap::new(),
            tables: MOST_TABLES,
            weights: MOST_WEIGHTS,
        }
    }

    fn node(&self, index: usize) -> &'a NodeProto {
        &self.graph.node[index]
    }

    /// Whether there are more steps or values than can be planned.
    fn exhausted(&self) -> bool {
        self.draft.steps.len() > MOST_STEPS || self.draft.values.len() > 4 * MOST_STEPS
    }

    /// Takes tables of those that may be made.
    fn spend_tables(&mut self, count: usize) -> Result<(), Why> {
        let left = self.tables.checked_sub(count);
        self.tables = left.unwrap_or(0);
        left.map(|_| ()).ok_or_else(|| "the network has too many functions per channel".into())
    }

    /// What every operator here takes for granted.
    fn check(&self, node: &NodeProto) -> Result<(), Why> {
        let named = |names: &[String]| names.first().is_some_and(|name| !name.is_empty());
        if !named(&node.input) || !named(&node.output) {
            return Err("its first input or output is missing".into());
        }
        let values = node.input.iter().filter(|name| !self.facts.is_constant(name));
        let empty = |name: &String| self.facts.shape(name).is_some_and(|shape| shape.contains(&0));
        match values.chain(&node.output).any(empty) {
            true => Err("it works on an empty tensor".into()),
            false => Ok(()),
        }
    }

    fn visit(&mut self, node: &'a NodeProto) {
        let checked = self.check(node);
        let outcome = match node.op_type.as_str() {
            _ if checked.is_err() => checked,
            "QuantizeLinear" => self.quantize(node),
            "DequantizeLinear" => self.dequantize(node),
            _ if movement::moves(node) => self.movement(node),
            _ if pointwise::applies(self, node) => self.pointwise(node),
            _ => self.wait(node),
        };
        if let Err(why) = outcome {
            self.why.insert(self.now, why);
        }
    }

    /// The scale and zero point (of the i8 domain) that inputs 1 and 2 of `node` give, and
    /// whether they are of u8.
    fn quantization(&self, node: &NodeProto) -> Result<(Quantization, bool), Why> {
        let zero_point = node.input.get(2).filter(|name| !name.is_empty());
        if node.input[1..].iter().take(2).any(|name| self.facts.elements(name) > 1) {
            return Err("its scale or zero point is one per channel".into());
        }
        let scale = node.input.get(1).and_then(|name| self.facts.reals(name));
        let &[scale] = &scale.ok_or("its scale is not constant")?[..] else {
            return Err("its scale is empty".into());
        };
        let zero_point = match zero_point {
            Some(name) => self.facts.integers(name).ok_or("its zero point is not constant")?,
            None => vec![0],
        };
        let &[zero_point] = &zero_point[..] else { return Err("its zero point is empty".into()) };
        let (quantized, quantizes) = match node.op_type.as_str() {
            "QuantizeLinear" => (node.output.first(), true),
            _ => (node.input.first(), false),
        };
        let element = quantized.and_then(|name| self.facts.get(name)).map(|fact| fact.element);
        let unsigned = match element {
            Some(element) if element == u8::datum_type() => true,
            Some(element) if element == i8::datum_type() => false,
            _ if quantizes => return Err("it does not quantize to u8 or i8".into()),
            _ => return Err("it does not dequantize u8 or i8".into()),
        };
        if !(scale.is_finite() && scale > 0.0) {
            return Err(format!("its scale {scale} is not a positive number"));
        }
        let zero_point = zero_point as i32 - if unsigned { 128 } else { 0 };
        Ok((Quantization { scale, zero_point }, unsigned))
    }

    fn quantize(&mut self, node: &'a NodeProto) -> Result<(), Why> {
        let (quantization, unsigned) = self.quantization(node)?;
        let target = real::Target { quantization, low: i8::MIN, high: i8::MAX };
        let located = self.bytes_of(&node.input[0], target, 0)?;
        self.bytes.insert(&node.output[0], Bytes { located, unsigned });
        Ok(())
    }

    fn dequantize(&mut self, node: &'a NodeProto) -> Result<(), Why> {
        let (quantization, unsigned) = self.quantization(node)?;
        let name = node.input[0].as_str();
        if self.facts.is_constant(name) {
            // Weights and other constants are read by who uses them.
            return Err("it dequantizes a constant".into());
        }
        let located = self.integers(name, unsigned)?;
        self.reals.insert(&node.output[0], Real::View { located, quantization });
        Ok(())
    }

    /// An integer tensor's bytes: what steps made, or loaded from outside.
    fn integers(&mut self, name: &'a str, unsigned: bool) -> Result<Located, Why> {
        if let Some(bytes) = self.bytes.get(name) {
            return match bytes.unsigned == unsigned {
                true => Ok(bytes.located.clone()),
                false => Err("its types contradict each other".into()),
            };
        }
        let located = self.load(name, None)?;
        self.bytes.insert(name, Bytes { located: located.clone(), unsigned });
        Ok(located)
    }

    /// A step that reads a tensor from outside, in the tensor's own order.
    fn load(&mut self, name: &'a str, quantization: Option<Quantization>) -> Result<Located, Why> {
        let shape = self.facts.shape(name).ok_or("its input's shape is not known")?.to_vec();
        if shape.contains(&0) {
            return Err("its input is empty".into());
        }
        let order: Vec<usize> = (0..shape.len()).collect();
        self.load_in_order(name, quantization, &shape, &order)
    }

    fn load_in_order(
        &mut self,
        name: &'a str,
        quantization: Option<Quantization>,
        shape: &[usize],
        order: &[usize],
    ) -> Result<Located, Why> {
        let (batch, strides) = located::strides(shape, order);
        let tensor = self.loaded.len();
        self.loaded.push(name);
        let sketch = Sketch::Load { tensor, batch, strides, quantization };
        Ok(self.emit_located(sketch, vec![], shape.to_vec(), order.to_vec()))
    }

    /// Adds a step whose output is a new value.
    fn emit(&mut self, sketch: Sketch, inputs: Vec<Value>, dims: [usize; 4]) -> Value {
        let output = self.draft.add_value(dims);
        self.push(sketch, inputs, Some(output));
        output
    }

    fn emit_located(
        &mut self,
        sketch: Sketch,
        inputs: Vec<Value>,
        shape: Vec<usize>,
        order: Vec<usize>,
    ) -> Located {
        let dims = located::dims(&shape, &order);
        let value = self.emit(sketch, inputs, dims);
        Located { value, shape, order }
    }

    fn push(&mut self, sketch: Sketch, inputs: Vec<Value>, output: Option<Value>) {
        if let Some(output) = output {
            self.writers.insert(output, self.draft.steps.len());
        }
        let name = super::proto::node_name(self.node(self.now)).to_owned();
        self.draft.steps.push(Step { name, node: self.now, sketch, inputs, output });
    }

    /// The exact bytes that a real tensor stands for.
    fn view(&self, name: &str) -> Result<(Located, Quantization), Why> {
        match self.reals.get(name) {
            Some(Real::View { located, quantization }) => Ok((located.clone(), *quantization)),
            _ => Err(format!("its input \"{name}\" is not quantized")),
        }
    }

    /// The DequantizeLinear of a constant that makes a tensor, and that constant's name.
    fn dequantized(&self, name: &str) -> Option<(&'a NodeProto, &'a str)> {
        let node = self.node(*self.producers.get(name)?);
        let constant = node.input.first().filter(|_| node.op_type == "DequantizeLinear")?;
        self.facts.is_constant(constant).then_some((node, constant.as_str()))
    }

    /// An attribute of a node, with a default for its absence.
    fn integer(&self, node: &NodeProto, name: &str, default: i64) -> i64 {
        node.get_attr_opt::<i64>(name).ok().flatten().unwrap_or(default)
    }

    /// A list attribute of a node.
    fn list(&self, node: &NodeProto, name: &str) -> Option<Vec<i64>> {
        node.get_attr_opt_vec::<i64>(name).ok().flatten()
    }

    /// An integer list that is an input in newer operator sets and was an attribute.
    pub(super) fn parameter(
        &self,
        node: &NodeProto,
        input: usize,
        attribute: &str,
    ) -> Result<Option<Vec<i64>>, Why> {
        match node.input.get(input).filter(|name| !name.is_empty()) {
            Some(name) if self.facts.elements(name) > MOST_PARAMETERS => {
                Err(format!("its {attribute} are more than {MOST_PARAMETERS}"))
            }
            Some(name) => match self.facts.integers(name) {
                Some(values) => Ok(Some(values)),
                None => Err(format!("its {attribute} are not constant")),
            },
            None => Ok(self.list(node, attribute)),
        }
    }
}
