//! Weights of linear operators by their channels: which of a weight tensor's values belong to an
//! input or output channel.

use super::net::{Facts, Net, input, int};
use tract_onnx::pb::NodeProto;

/// How a linear operator's weight tensor lies: `outer` x `rows` x `inner` x `rest` values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    /// Input and output channels, of the whole operator.
    pub inputs: usize,
    pub outputs: usize,
    groups: usize,
    /// Values that one input and one output channel share.
    taps: usize,
    /// The output channels come first (Conv, Gemm with transB).
    outputs_first: bool,
    /// The axis of the weight tensor that per-channel scales run along.
    pub axis: i64,
}

pub fn is_linear(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Conv" | "ConvTranspose" | "Gemm" | "MatMul")
}

/// The layout of a linear operator with constant weights; None for others.
pub fn layout(net: &Net, node: &NodeProto) -> Option<Layout> {
    let dims = net.dims(input(node, 1)?)?;
    let dims: Vec<usize> = dims.iter().map(|dim| *dim as usize).collect();
    let groups = usize::try_from(int(node, "group", 1)).ok().filter(|groups| *groups > 0)?;
    if dims.contains(&0) {
        return None;
    }
    match (node.op_type.as_str(), &dims[..]) {
        ("Conv", &[outputs, per_group, height, width]) if outputs.is_multiple_of(groups) => {
            let (inputs, taps) = (per_group.checked_mul(groups)?, height * width);
            Some(Layout { inputs, outputs, groups, taps, outputs_first: true, axis: 0 })
        }
        ("ConvTranspose", &[inputs, per_group, height, width]) if inputs.is_multiple_of(groups) => {
            let (outputs, taps) = (per_group.checked_mul(groups)?, height * width);
            Some(Layout { inputs, outputs, groups, taps, outputs_first: false, axis: 1 })
        }
        ("Gemm", &[a, b]) if int(node, "transA", 0) == 0 => {
            let transposed = int(node, "transB", 0) != 0;
            let (inputs, outputs) = if transposed { (b, a) } else { (a, b) };
            let axis = if transposed { 0 } else { 1 };
            Some(Layout { inputs, outputs, groups: 1, taps: 1, outputs_first: transposed, axis })
        }
        ("MatMul", &[inputs, outputs]) => {
            Some(Layout { inputs, outputs, groups: 1, taps: 1, outputs_first: false, axis: 1 })
        }
        _ => None,
    }
}

/// Multiply-accumulates of a linear operator with constant weights; 0 for others.
pub fn products(net: &Net, node: &NodeProto, facts: &Facts) -> f64 {
    let Some(layout) = layout(net, node).filter(|_| is_linear(node)) else { return 0.0 };
    // Each weight is used once for each place of the output, or of a transposed one's input.
    let end =
        if node.op_type == "ConvTranspose" { node.input.first() } else { node.output.first() };
    let shape = end.and_then(|name| facts.get(name)).map(|fact| &fact.shape[..]);
    let places = match shape {
        Some([batch, _, height, width]) => batch * height * width,
        Some([rows @ .., _]) => rows.iter().product(),
        _ => 1,
    };
    layout.channels().count() as f64 * places as f64
}

impl Layout {
    /// The input and output channel of each value, in the tensor's order.
    pub fn channels(self) -> impl Iterator<Item = (usize, usize)> {
        let Layout { inputs, outputs, groups, taps, outputs_first, .. } = self;
        let (inputs_each, outputs_each) = (inputs / groups, outputs / groups);
        let (first, second) =
            if outputs_first { (outputs, inputs_each) } else { (inputs, outputs_each) };
        (0..first * second * taps).map(move |index| {
            let (a, b) = (index / taps / second, index / taps % second);
            match outputs_first {
                true => (a / outputs_each * inputs_each + b, a),
                false => (a, a / inputs_each * outputs_each + b),
            }
        })
    }

    /// Scales along the weight tensor's axis: a transposed convolution's groups share theirs.
    pub fn scales(self) -> usize {
        if self.outputs_first { self.outputs } else { self.outputs / self.groups }
    }

    /// The scale of an output channel among them.
    pub fn scale_of(self, output: usize) -> usize {
        output % self.scales()
    }
}

/// A linear operator's bias, one number an output channel; zeroes where it has none. None if it
/// is not constant.
pub fn bias(net: &Net, node: &NodeProto, layout: Layout) -> Option<Vec<f32>> {
    let Some(name) = input(node, 2) else { return Some(vec![0.0; layout.outputs]) };
    let bias = net.reals(name)?;
    match bias.len() {
        1 => Some(vec![bias[0]; layout.outputs]),
        count if count == layout.outputs => Some(bias),
        _ => None,
    }
}

/// Multiplies weights by a number for each (input, output) channel, and replaces the bias. The
/// constants are this node's own afterwards.
pub fn rewrite(
    net: &mut Net,
    index: usize,
    factor: impl Fn(usize, usize) -> f64,
    bias: Option<&[f32]>,
) -> Option<()> {
    let node = net.graph.node[index].clone();
    let layout = layout(net, &node)?;
    let mut weights = net.reals(&node.input[1])?;
    for (weight, (input, output)) in weights.iter_mut().zip(layout.channels()) {
        *weight = (f64::from(*weight) * factor(input, output)) as f32;
    }
    let dims = net.dims(&node.input[1])?.to_vec();
    let weights = net.add_reals(&node.input[1], dims, &weights);
    net.graph.node[index].input[1] = weights;
    if let Some(bias) = bias {
        let wanted = match input(&node, 2) {
            Some(name) => name.to_owned(),
            None => format!("{}_bias", node.output[0]),
        };
        let name = net.add_reals(&wanted, vec![bias.len() as i64], bias);
        let inputs = &mut net.graph.node[index].input;
        inputs.truncate(2);
        inputs.push(name);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_of_grouped_weights() {
        let conv =
            Layout { inputs: 4, outputs: 2, groups: 2, taps: 1, outputs_first: true, axis: 0 };
        let pairs: Vec<_> = conv.channels().collect();
        assert_eq!(pairs, [(0, 0), (1, 0), (2, 1), (3, 1)]);
        let transposed = Layout { inputs: 2, outputs: 4, outputs_first: false, axis: 1, ..conv };
        let pairs: Vec<_> = transposed.channels().collect();
        assert_eq!(pairs, [(0, 0), (0, 1), (1, 2), (1, 3)]);
        assert_eq!((transposed.scales(), transposed.scale_of(3)), (2, 1));
    }
}
