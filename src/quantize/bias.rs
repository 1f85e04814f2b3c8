//! Bias correction (Nagel et al. 2019, arXiv:1906.04721, 4.2): rounded weights shift the mean of
//! what a linear operator makes by (rounded - exact) * mean input, and what is cut off its input
//! by exact * mean loss; the bias takes both back.

use super::equalize::Factors;
use super::linear;
use super::net::Net;
use super::range::Bytes;
use super::scheme::Scheme;
use super::statistics::Statistics;
use super::write;
use std::collections::HashMap;

/// Corrects the biases of the operators that run in integers. `statistics`: of the network before
/// its channels were scaled by `factors`.
pub fn correct(
    net: &mut Net,
    scheme: &Scheme,
    statistics: &HashMap<String, Statistics>,
    factors: &Factors,
    bytes: &HashMap<String, Bytes>,
) {
    let mut nodes: Vec<usize> = scheme.linear.iter().copied().collect();
    nodes.sort_unstable();
    for index in nodes {
        let node = net.graph.node[index].clone();
        let name = &node.input[0];
        let means = statistics.get(name).map(Statistics::means).unwrap_or_default();
        let layout = linear::layout(net, &node).filter(|layout| layout.inputs == means.len());
        let (Some(layout), Some(bytes)) = (layout, bytes.get(name)) else { continue };
        let Some(mut bias) = linear::bias(net, &node, layout) else { continue };
        let Some(weights) = net.reals(&node.input[1]) else { continue };
        if node.op_type == "MatMul" {
            continue;
        }
        let factor = |input: usize| factors.get(name).map_or(1.0, |all| all[input]);
        let clipped = statistics.get(name).map(|found| found.clipped(bytes.range(), factor));
        let clipped = clipped.unwrap_or_default();
        let quantized = write::weights(layout, &weights, &bias, bytes.scale);
        let mut shifts = vec![0.0; layout.outputs];
        let pairs = weights.iter().zip(&quantized.weights).zip(layout.channels());
        for ((weight, quanta), (input, output)) in pairs {
            let scale = f64::from(quantized.scales[layout.scale_of(output)]);
            let error = f64::from(*quanta) * scale - f64::from(*weight);
            shifts[output] += error * means[input] * factor(input);
            shifts[output] += f64::from(*weight) * clipped.get(input).copied().unwrap_or(0.0);
        }
        // A transposed convolution's output sees one tap in stride x stride.
        let share: f64 = match node.op_type.as_str() {
            "ConvTranspose" => {
                let strides = super::net::ints(&node, "strides");
                1.0 / strides.iter().product::<i64>().max(1) as f64
            }
            _ => 1.0,
        };
        for (bias, shift) in bias.iter_mut().zip(shifts) {
            *bias = (f64::from(*bias) - shift * share) as f32;
        }
        linear::rewrite(net, index, |_, _| 1.0, Some(&bias));
    }
}
