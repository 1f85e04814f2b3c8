//! Cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721): a channel that uses little of
//! its tensor's range is scaled up by what makes it and down by what reads it. The function stays
//! the same.
//!
//! What must keep a common factor is found for each channel of each tensor: Relu, pools, Resize
//! and sums hand a positive factor on, a convolution takes it up on either side, a product hands
//! on that of the operand that is no gate, and what bends values in another way has none.

use super::linear::{self, is_linear};
use super::net::{Facts, Net, input, int, ints, text};
use super::rules::operand;
use super::statistics::{MOST_CHANNELS, Statistics};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::NodeProto;

/// The factor of each channel by tensor; absent: 1.
pub type Factors = HashMap<String, Vec<f64>>;

/// The largest factor.
const MOST: f64 = 64.0;

/// Scales channels of `net` by (largest / own reach) to the power of `strength` (0 to 1).
pub fn equalize(
    net: &mut Net,
    facts: &Facts,
    statistics: &HashMap<String, Statistics>,
    strength: f64,
) -> Factors {
    let mut classes = Classes::new(net, facts);
    let mut shuffling = HashSet::new();
    for index in 0..net.graph.node.len() {
        if let Some(shuffle) = shuffle(net, facts, index) {
            let [groups, each] = shuffle.channels;
            for channel in 0..groups * each {
                let to = channel % each * groups + channel / each;
                classes.tie((&shuffle.from, channel), (&shuffle.to, to), 1);
            }
            shuffling.extend(shuffle.nodes);
        }
    }
    for (index, node) in net.graph.node.iter().enumerate() {
        if !shuffling.contains(&index) {
            classes.visit(net, facts, node);
        }
    }
    for name in net.inner() {
        classes.fix(&name);
    }
    for info in net.graph.input.iter().chain(&net.graph.output) {
        classes.fix(&info.name);
    }
    let factors = classes.factors(statistics, strength);
    let channels = |name: &str| classes.of(name, &factors);
    let readers: Vec<NodeProto> = net.graph.node.clone();
    for (index, node) in readers.iter().enumerate() {
        let Some(output) = node.output.first() else { continue };
        if is_linear(node) {
            let Some(layout) = linear::layout(net, node) else { continue };
            let (before, after) = (channels(&node.input[0]), channels(output));
            if before.is_none() && after.is_none() {
                continue;
            }
            let of = |factors: &Option<Vec<f64>>, at: usize| match factors {
                Some(factors) if factors.len() > at => factors[at],
                _ => 1.0,
            };
            let bias = input(node, 2).and_then(|_| linear::bias(net, node, layout));
            let bias = bias.map(|mut bias| {
                for (channel, bias) in bias.iter_mut().enumerate() {
                    *bias = (f64::from(*bias) * of(&after, channel)) as f32;
                }
                bias
            });
            let factor = |input: usize, output: usize| of(&after, output) / of(&before, input);
            linear::rewrite(net, index, factor, bias.as_deref());
        } else if matches!(node.op_type.as_str(), "Add" | "Sub") {
            shift(net, index, node, facts, channels(output));
        }
    }
    let named = classes.first.keys().filter_map(|name| Some((name.clone(), channels(name)?)));
    named.collect()
}

/// Channels that change places: Reshape to groups, Transpose of groups and channels, Reshape back
/// (Zhang et al. 2018, arXiv:1707.01083).
struct Shuffle {
    from: String,
    to: String,
    channels: [usize; 2],
    nodes: [usize; 3],
}

fn shuffle(net: &Net, facts: &Facts, index: usize) -> Option<Shuffle> {
    let nodes = &net.graph.node;
    let shape = |name: &str| facts.get(name).map(|fact| &fact.shape[..]);
    let next = |at: usize, operator: &str| {
        let name = nodes[at].output.first()?;
        let mut readers = nodes.iter().enumerate().filter(|(_, node)| node.input.contains(name));
        let (next, node) = readers.next()?;
        let alone = readers.next().is_none() && !net.is_output(name);
        (alone && node.op_type == operator && node.input.first() == Some(name)).then_some(next)
    };
    if nodes[index].op_type != "Reshape" {
        return None;
    }
    let (from, split) = (input(&nodes[index], 0)?, nodes[index].output.first()?);
    let (&[1, count, height, width], &[1, groups, each, split_height, split_width]) =
        (shape(from)?, shape(split)?)
    else {
        return None;
    };
    let transpose = next(index, "Transpose")?;
    let back = next(transpose, "Reshape")?;
    let to = nodes[back].output.first()?;
    let fits = ints(&nodes[transpose], "perm") == [0, 2, 1, 3, 4]
        && groups * each == count
        && (split_height, split_width) == (height, width)
        && shape(to)? == shape(from)?;
    fits.then(|| Shuffle {
        from: from.to_owned(),
        to: to.clone(),
        channels: [groups, each],
        nodes: [index, transpose, back],
    })
}

/// A constant that is added to scaled channels is scaled as they are.
fn shift(net: &mut Net, index: usize, node: &NodeProto, facts: &Facts, factors: Option<Vec<f64>>) {
    let (Some(factors), [a, b]) = (factors, &node.input[..]) else { return };
    let at = match (net.is_constant(a), net.is_constant(b)) {
        (true, false) => 0,
        (false, true) => 1,
        _ => return,
    };
    let Some(values) = net.reals(&node.input[at]) else { return };
    let rank = facts.get(&node.output[0]).map_or(4, |fact| fact.shape.len());
    let value = |channel: usize| values[if values.len() == 1 { 0 } else { channel }];
    let scaled: Vec<f32> =
        (0..factors.len()).map(|at| (f64::from(value(at)) * factors[at]) as f32).collect();
    let mut dims = vec![1; rank - 1];
    dims[0] = factors.len() as i64;
    let name = net.add_reals(&node.input[at], dims, &scaled);
    net.graph.node[index].input[at] = name;
}

/// Channels (axis 1) of tensors, in classes of a common factor.
struct Classes {
    /// The first channel of each tensor, and how many it has.
    first: HashMap<String, (usize, usize)>,
    parents: Vec<usize>,
    fixed: Vec<bool>,
}

impl Classes {
    fn new(net: &Net, facts: &Facts) -> Classes {
        let mut first = HashMap::new();
        let mut count = 0;
        let inputs = net.graph.input.iter().map(|input| &input.name);
        for name in inputs.chain(net.graph.node.iter().flat_map(|node| &node.output)) {
            let Some(fact) = facts.get(name) else { continue };
            let single = fact.shape.first() == Some(&1);
            let channels = fact.shape.get(1).filter(|count| single && **count <= MOST_CHANNELS);
            if let Some(channels) = channels {
                first.insert(name.clone(), (count, *channels));
                count += channels;
            }
        }
        Classes { first, parents: (0..count).collect(), fixed: vec![false; count] }
    }

    fn find(&mut self, mut at: usize) -> usize {
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn fix(&mut self, name: &str) {
        if let Some(&(first, count)) = self.first.get(name) {
            for channel in first..first + count {
                let class = self.find(channel);
                self.fixed[class] = true;
            }
        }
    }

    /// `count` channels of `a` from `from_a` on have the factors of those of `b`.
    fn tie(&mut self, (a, from_a): (&str, usize), (b, from_b): (&str, usize), count: usize) {
        match (self.first.get(a).copied(), self.first.get(b).copied()) {
            (Some((first_a, count_a)), Some((first_b, count_b)))
                if from_a + count <= count_a && from_b + count <= count_b =>
            {
                for channel in 0..count {
                    let a = self.find(first_a + from_a + channel);
                    let b = self.find(first_b + from_b + channel);
                    self.parents[a] = b;
                    self.fixed[b] |= self.fixed[a];
                }
            }
            _ => {
                self.fix(a);
                self.fix(b);
            }
        }
    }

    fn same(&mut self, a: &str, b: &str) {
        let count = |name: &str| self.first.get(name).map(|(_, count)| *count);
        match (count(a), count(b)) {
            (Some(x), Some(y)) if x == y => self.tie((a, 0), (b, 0), x),
            _ => {
                self.fix(a);
                self.fix(b);
            }
        }
    }

    fn visit(&mut self, net: &Net, facts: &Facts, node: &NodeProto) {
        let Some(output) = node.output.first() else { return };
        let shape = |name: &str| facts.get(name).map(|fact| fact.shape.clone());
        let rank = shape(output).map_or(0, |shape| shape.len());
        match node.op_type.as_str() {
            _ if is_linear(node) => {
                let takes = linear::layout(net, node).is_some_and(|layout| {
                    let count = |name: &str| self.first.get(name).map(|(_, count)| *count);
                    let real = input(node, 1).is_some_and(|name| net.reals(name).is_some());
                    real && (rank == 4 || rank == 2)
                        && linear::bias(net, node, layout).is_some()
                        && count(&node.input[0]) == Some(layout.inputs)
                        && count(output) == Some(layout.outputs)
                });
                if takes {
                    return;
                }
            }
            "Relu" | "LeakyRelu" | "PRelu" | "Identity" | "MaxPool" | "GlobalMaxPool"
            | "AveragePool" | "GlobalAveragePool"
                if node.output.iter().skip(1).all(String::is_empty) =>
            {
                return self.same(&node.input[0], output);
            }
            "Resize" | "Upsample"
                if matches!(text(node, "mode").as_str(), "" | "linear" | "nearest") =>
            {
                return self.same(&node.input[0], output);
            }
            "Pad" => {
                let zero = input(node, 2).is_none_or(|name| net.reals(name) == Some(vec![0.0]));
                if zero {
                    return self.same(&node.input[0], output);
                }
            }
            "Add" | "Sub" if node.input.len() == 2 => {
                let (a, b) = (&node.input[0], &node.input[1]);
                let count = self.first.get(output).map_or(0, |(_, count)| *count);
                match (net.is_constant(a), net.is_constant(b)) {
                    (false, false) => {
                        self.same(a, output);
                        return self.same(b, output);
                    }
                    _ => {
                        let x = operand(net, node).to_owned();
                        let constant = if net.is_constant(a) { a } else { b };
                        let dims = net.dims(constant).unwrap_or_default();
                        // One number, or one a channel.
                        let at = (dims.len() + 1).checked_sub(rank);
                        let fits = dims.iter().all(|dim| *dim == 1)
                            || at.is_some_and(|at| {
                                dims.iter().product::<i64>() == count as i64
                                    && dims.get(at) == Some(&(count as i64))
                            });
                        if fits && net.reals(constant).is_some() {
                            return self.same(&x, output);
                        }
                    }
                }
            }
            "Mul" | "Div" if node.input.len() == 2 => {
                let (a, b) = (&node.input[0], &node.input[1]);
                match (net.is_constant(a), net.is_constant(b)) {
                    (true, false) if node.op_type == "Mul" => return self.same(b, output),
                    (false, true) => return self.same(a, output),
                    (false, false) if node.op_type == "Mul" => {
                        // The gate is the operand that is broadcast, or comes last.
                        let whole = |name: &str| shape(name) == shape(output);
                        let (x, gate) = if whole(a) { (a, b) } else { (b, a) };
                        self.fix(gate);
                        return self.same(x, output);
                    }
                    _ => {}
                }
            }
            "Concat" if int(node, "axis", 1).rem_euclid(rank.max(1) as i64) == 1 => {
                let mut from = 0;
                for name in &node.input {
                    let Some((_, count)) = self.first.get(name).copied() else {
                        node.input.iter().chain([output]).for_each(|name| self.fix(name));
                        return;
                    };
                    self.tie((name, 0), (output, from), count);
                    from += count;
                }
                return;
            }
            "Transpose" if ints(node, "perm").get(1) == Some(&1) => {
                return self.same(&node.input[0], output);
            }
            "Flatten" | "Reshape" | "Squeeze" => {
                // Only ones come or go behind the channels.
                let alike = |a: Vec<usize>, b: Vec<usize>| {
                    let count = |shape: &[usize]| shape.iter().product::<usize>();
                    a.len() >= 2
                        && b.len() >= 2
                        && a[..2] == b[..2]
                        && count(&a) == a[0] * a[1]
                        && count(&b) == count(&a)
                };
                if let (Some(a), Some(b)) = (shape(&node.input[0]), shape(output))
                    && alike(a, b)
                {
                    return self.same(&node.input[0], output);
                }
            }
            _ => {}
        }
        for name in node.input.iter().chain(&node.output) {
            self.fix(name);
        }
    }

    /// The factor of each class.
    fn factors(&mut self, statistics: &HashMap<String, Statistics>, strength: f64) -> Vec<f64> {
        let mut relative = vec![0.0f64; self.parents.len()];
        let tensors: Vec<_> = self.first.iter().map(|(name, at)| (name.clone(), *at)).collect();
        let reaches = |name: &str, count: usize| {
            statistics.get(name).map(|found| &found.reaches).filter(|all| all.len() == count)
        };
        for (name, (first, count)) in &tensors {
            let Some(reaches) = reaches(name, *count) else { continue };
            let most = reaches.iter().copied().fold(1e-12, f64::max);
            for (channel, reach) in reaches.iter().enumerate() {
                let class = self.find(first + channel);
                relative[class] = relative[class].max(reach / most);
            }
        }
        let factor = |(relative, fixed): (&f64, &bool)| match *fixed || *relative <= 0.0 {
            true => 1.0,
            false => (1.0 / relative).powf(strength).clamp(1.0, MOST),
        };
        relative.iter().zip(&self.fixed).map(factor).collect()
    }

    /// The factors of a tensor's channels; None if all are 1.
    fn of(&self, name: &str, factors: &[f64]) -> Option<Vec<f64>> {
        let &(first, count) = self.first.get(name)?;
        let root = |mut at: usize| {
            while self.parents[at] != at {
                at = self.parents[at];
            }
            at
        };
        let own: Vec<f64> = (first..first + count).map(|at| factors[root(at)]).collect();
        own.iter().any(|factor| *factor != 1.0).then_some(own)
    }
}
