//! Which tensors become bytes.
//!
//! Linear operators, sums, products and means read bytes, and their result waits for the scale
//! of what follows: a Relu or Clip joins them. Functions of one number read bytes too and are
//! tables, also several in a row. What only moves values keeps their scale. All else stays in
//! float, as do the sums of a last convolution: as bytes, close scores would tie.
//!
//! Marking one tensor changes what its readers see, so the walk is repeated until nothing more
//! is marked.

use super::net::{Facts, Net};
use super::rules::{Rule, clamps, operand, rule, two};
use crate::network::lower::moved_inputs;
use crate::network::proto::node_name;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a tensor is, given what is marked so far.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Float,
    Input,
    /// Waits for a scale; made by the node.
    Waiting(usize),
    /// A function of a marked tensor.
    Of(String),
    Moved(Vec<String>),
}

/// The tensors that become bytes, and how nodes run then.
#[derive(Clone, Debug, Default)]
pub struct Scheme {
    /// In the order they are made.
    pub marked: Vec<String>,
    /// Marked tensors that hold the values of others, and those.
    pub moved: HashMap<String, Vec<String>>,
    /// The linear nodes that run in integers.
    pub linear: HashSet<usize>,
    /// Nodes that compute, by index: None in integers, or why not.
    pub layers: BTreeMap<usize, Option<String>>,
}

pub fn scheme(net: &Net, facts: &Facts, kept: &HashSet<String>) -> Scheme {
    let rules: Vec<Rule> = net.graph.node.iter().map(|node| rule(net, facts, node)).collect();
    let mut walk = Walk {
        net,
        facts,
        rules,
        readers: net.readers(),
        kinds: HashMap::new(),
        marked: HashSet::new(),
        kept,
    };
    loop {
        let before = walk.marked.len();
        walk.kinds.clear();
        for name in net.graph.input.iter().map(|input| &input.name) {
            walk.kinds.insert(name.clone(), Kind::Input);
        }
        for index in 0..net.graph.node.len() {
            walk.visit(index);
        }
        if walk.marked.len() == before {
            walk.finish();
        }
        if walk.marked.len() == before {
            return walk.scheme();
        }
    }
}

struct Walk<'a> {
    net: &'a Net,
    facts: &'a Facts,
    rules: Vec<Rule>,
    readers: HashMap<String, usize>,
    kinds: HashMap<String, Kind>,
    marked: HashSet<String>,
    /// Names of nodes that shall stay in float.
    kept: &'a HashSet<String>,
}

impl Walk<'_> {
    fn kind(&self, name: &str) -> Kind {
        self.kinds.get(name).cloned().unwrap_or(Kind::Float)
    }

    /// The marked tensor that this is a function of.
    fn origin(&self, name: &str) -> Option<String> {
        match self.kind(name) {
            _ if self.marked.contains(name) => Some(name.to_owned()),
            Kind::Of(origin) => Some(origin),
            _ => None,
        }
    }

    /// Whether nothing here can be had as bytes but by quantizing floats.
    fn only_float(&self, name: &str) -> bool {
        !self.marked.contains(name) && self.kind(name) == Kind::Float
    }

    /// Whether a Relu or Clip may join what makes the tensor.
    fn waits(&self, name: &str) -> bool {
        if self.marked.contains(name) || self.readers.get(name) != Some(&1) {
            return false;
        }
        match self.kind(name) {
            Kind::Waiting(_) => true,
            Kind::Moved(inputs) => inputs.iter().all(|name| self.waits(name)),
            _ => false,
        }
    }

    fn mark(&mut self, name: &str) {
        if self.net.is_constant(name) || !self.marked.insert(name.to_owned()) {
            return;
        }
        if let Kind::Moved(inputs) = self.kind(name) {
            inputs.iter().for_each(|name| self.mark(name));
        }
    }

    fn visit(&mut self, index: usize) {
        let node = &self.net.graph.node[index];
        let kept = self.kept.contains(node_name(node));
        let first = || node.input.first().map(String::as_str).unwrap_or_default();
        let kind = match self.rules[index].clone() {
            _ if kept => Kind::Float,
            Rule::Linear => {
                self.mark(first());
                Kind::Waiting(index)
            }
            Rule::Arithmetic => {
                let operands = if two(node) { &node.input[..2] } else { &node.input[..1] };
                let origins: Vec<_> = operands.iter().map(|name| self.origin(name)).collect();
                if let [Some(a), Some(b)] = &origins[..]
                    && a == b
                    && self.same_shape(&operands[0], &operands[1])
                {
                    Kind::Of(a.clone())
                } else if operands.iter().all(|name| self.only_float(name)) {
                    Kind::Float
                } else {
                    operands.iter().for_each(|name| self.mark(name));
                    Kind::Waiting(index)
                }
            }
            Rule::Function => {
                let x = operand(self.net, node).to_owned();
                match self.origin(&x) {
                    Some(origin) => Kind::Of(origin),
                    None if self.only_float(&x) => Kind::Float,
                    None if clamps(node) && self.waits(&x) => Kind::Waiting(self.maker(&x)),
                    None => {
                        self.mark(&x);
                        Kind::Of(x)
                    }
                }
            }
            Rule::Movement if moved_inputs(node).all(|name| self.only_float(name)) => Kind::Float,
            Rule::Movement => Kind::Moved(moved_inputs(node).cloned().collect()),
            Rule::Largest => {
                if !self.only_float(first()) {
                    self.mark(first());
                }
                Kind::Float
            }
            Rule::Float(_) => Kind::Float,
        };
        for output in &node.output {
            self.kinds.insert(output.clone(), kind.clone());
        }
    }

    fn same_shape(&self, a: &str, b: &str) -> bool {
        let shape = |name| self.facts.get(name).map(|fact| &fact.shape);
        shape(a).is_some() && shape(a) == shape(b)
    }

    /// The node whose result a waiting tensor is.
    fn maker(&self, name: &str) -> usize {
        match self.kind(name) {
            Kind::Waiting(node) => node,
            Kind::Moved(inputs) => inputs.first().map_or(0, |name| self.maker(name)),
            _ => 0,
        }
    }

    /// Only sums of a Conv, Gemm or MatMul may leave the integers without a scale.
    fn finish(&mut self) {
        let ends: Vec<String> = self
            .net
            .graph
            .node
            .iter()
            .flat_map(|node| &node.output)
            .filter(|name| match self.kind(name) {
                Kind::Waiting(maker) => {
                    let maker = &self.net.graph.node[maker];
                    let sums = matches!(maker.op_type.as_str(), "Conv" | "Gemm" | "MatMul");
                    !sums && !self.marked.contains(*name) && !self.joined(name)
                }
                _ => false,
            })
            .cloned()
            .collect();
        ends.iter().for_each(|name| self.mark(name));
    }

    /// Whether a waiting tensor goes on waiting in what reads it.
    fn joined(&self, name: &str) -> bool {
        self.readers.get(name) == Some(&1)
            && self.net.graph.node.iter().any(|node| {
                node.input.first().is_some_and(|input| input == name)
                    && node.output.first().is_some_and(|output| match self.kind(output) {
                        Kind::Waiting(_) => true,
                        Kind::Moved(_) => self.joined(output) && !self.marked.contains(output),
                        _ => false,
                    })
            })
    }

    fn scheme(self) -> Scheme {
        let mut scheme = Scheme::default();
        let mut add = |name: &String| {
            if self.marked.contains(name) {
                scheme.marked.push(name.clone());
                if let Kind::Moved(inputs) = self.kind(name) {
                    scheme.moved.insert(name.clone(), inputs);
                }
            }
        };
        self.net.graph.input.iter().for_each(|input| add(&input.name));
        self.net.graph.node.iter().flat_map(|node| &node.output).for_each(&mut add);
        for (index, node) in self.net.graph.node.iter().enumerate() {
            let float = node.output.first().is_none_or(|name| self.kind(name) == Kind::Float);
            let why = match &self.rules[index] {
                _ if self.kept.contains(node_name(node)) => {
                    Some("it loses too much as bytes".to_owned())
                }
                Rule::Movement => continue,
                Rule::Float(why) if why.is_empty() => continue,
                Rule::Float(why) => Some(why.clone()),
                Rule::Arithmetic | Rule::Function if float => {
                    Some("between operators that stay in float".to_owned())
                }
                Rule::Linear => {
                    scheme.linear.insert(index);
                    None
                }
                _ => None,
            };
            scheme.layers.insert(index, why);
        }
        scheme
    }
}
