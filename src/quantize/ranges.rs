//! A scale for each marked tensor: of its own values, or that of the tensors it holds.

use super::equalize::Factors;
use super::net::{Net, float};
use super::range::{Bytes, Method, Range, range};
use super::scheme::Scheme;
use super::statistics::Statistics;
use std::collections::HashMap;

/// A sigmoid moves by less than half a step of 8 bits beyond it.
const FLAT_SIGMOID: f64 = 6.3;
/// Tensors are joined at one scale where none loses more than a bit by it.
const LOSABLE: f64 = 2.0;

/// `given`: ranges that are known beforehand.
pub fn bytes(
    net: &Net,
    scheme: &Scheme,
    statistics: &HashMap<String, Statistics>,
    factors: &Factors,
    given: &HashMap<String, Range>,
    method: Method,
) -> HashMap<String, Bytes> {
    let limits = limits(net, scheme);
    let mut groups = Groups::default();
    for name in &scheme.marked {
        let moved = scheme.moved.get(name).map(Vec::as_slice).unwrap_or_default();
        match moved {
            [] => {
                let own = match (given.get(name), statistics.get(name)) {
                    (Some(range), _) => *range,
                    (None, Some(statistics)) => {
                        let factors = factors.get(name).map(Vec::as_slice);
                        let range = range(method, &statistics.histograms, factors);
                        let limit = limits.get(name).copied().unwrap_or(EVERYTHING);
                        range.within(limit.low, limit.high)
                    }
                    (None, None) => Range::NONE,
                };
                groups.add(name, own);
            }
            [one] => groups.join(name, one),
            several => {
                let ranges: Vec<Range> = several.iter().map(|name| groups.range(name)).collect();
                let whole = ranges.iter().copied().fold(Range::NONE, Range::union);
                let alike = ranges.iter().all(|range| range.span() * LOSABLE >= whole.span());
                groups.add(name, whole);
                if alike {
                    several.iter().for_each(|other| groups.join(other, name));
                }
            }
        }
    }
    scheme.marked.iter().map(|name| (name.clone(), groups.range(name).bytes())).collect()
}

const EVERYTHING: Range = Range { low: f64::NEG_INFINITY, high: f64::INFINITY };

/// Ranges beyond which all readers of a tensor are flat, by the tensor its values come from.
fn limits(net: &Net, scheme: &Scheme) -> HashMap<String, Range> {
    let mut root: HashMap<&str, &str> = HashMap::new();
    for name in &scheme.marked {
        let from = match scheme.moved.get(name).map(Vec::as_slice) {
            Some([one]) => root.get(one.as_str()).copied().unwrap_or(one),
            _ => name.as_str(),
        };
        root.insert(name, from);
    }
    let mut limits: HashMap<String, Range> = HashMap::new();
    let mut limit = |name: &str, range: Range| {
        let known = limits.entry(name.to_owned()).or_insert(Range::NONE);
        *known = known.union(range);
    };
    for node in &net.graph.node {
        let moves_on = node
            .output
            .first()
            .and_then(|output| scheme.moved.get(output))
            .is_some_and(|inputs| inputs.len() == 1);
        if moves_on {
            continue;
        }
        let range = match node.op_type.as_str() {
            "HardSwish" => Range { low: -3.0, high: f64::INFINITY },
            "Sigmoid" => Range { low: -FLAT_SIGMOID, high: FLAT_SIGMOID },
            "HardSigmoid" => {
                let alpha = f64::from(float(node, "alpha", 0.2));
                let beta = f64::from(float(node, "beta", 0.5));
                match alpha > 0.0 {
                    true => Range { low: -beta / alpha, high: (1.0 - beta) / alpha },
                    false => EVERYTHING,
                }
            }
            _ => EVERYTHING,
        };
        for name in &node.input {
            if let Some(root) = root.get(name.as_str()) {
                limit(root, range);
            }
        }
    }
    for output in &net.graph.output {
        if let Some(root) = root.get(output.name.as_str()) {
            limit(root, EVERYTHING);
        }
    }
    limits
}

/// Tensors that share a scale.
#[derive(Default)]
struct Groups {
    index: HashMap<String, usize>,
    parents: Vec<usize>,
    ranges: Vec<Range>,
}

impl Groups {
    fn add(&mut self, name: &str, range: Range) {
        self.index.insert(name.to_owned(), self.parents.len());
        self.parents.push(self.parents.len());
        self.ranges.push(range);
    }

    fn find(&self, name: &str) -> Option<usize> {
        let mut at = *self.index.get(name)?;
        while self.parents[at] != at {
            at = self.parents[at];
        }
        Some(at)
    }

    fn range(&self, name: &str) -> Range {
        self.find(name).map_or(Range::NONE, |at| self.ranges[at])
    }

    fn join(&mut self, name: &str, to: &str) {
        let Some(to) = self.find(to) else { return self.add(name, Range::NONE) };
        match self.find(name) {
            Some(from) if from != to => {
                self.parents[from] = to;
                self.ranges[to] = self.ranges[to].union(self.ranges[from]);
            }
            Some(_) => {}
            None => {
                self.index.insert(name.to_owned(), to);
            }
        }
    }
}
