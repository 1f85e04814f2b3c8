//! What a network takes of a board's memory, known before anything of that size is made.

use super::NetworkError;
use super::ops::region::Region;
use std::collections::HashMap;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::DimLike;

/// The most that all values of one inference together may take, in bytes.
const MAX_VALUES: u64 = 4 << 30;

/// Refuses graphs whose values no board could hold.
pub fn check_values(path: &str, total: u64) -> Result<(), NetworkError> {
    if total > MAX_VALUES {
        let (found, limit) = (total >> 20, MAX_VALUES >> 20);
        return Err(NetworkError::Memory { path: path.to_owned(), found, limit });
    }
    Ok(())
}

/// Refuses a network that needs more than its board gives it.
pub fn check_budget(path: &str, plan: &TypedSimplePlan, limit: u64) -> Result<(), NetworkError> {
    let needed = needed(plan);
    if needed > limit {
        let (found, limit) = (needed.div_ceil(1 << 20), limit >> 20);
        return Err(NetworkError::Budget { path: path.to_owned(), found, limit });
    }
    Ok(())
}

/// What all values of a graph take together, as if none were ever given back.
pub fn values(model: &TypedModel) -> u64 {
    let outputs = model.nodes().iter().flat_map(|node| &node.outputs);
    outputs.map(|output| bytes(&output.fact)).fold(0, u64::saturating_add)
}

/// What one inference takes at most: weights, what integer operators work in, and the values that
/// tract holds at the same time. The space single float operators of tract work in is not in it.
pub fn needed(plan: &TypedSimplePlan) -> u64 {
    let model = plan.model();
    let regions = model.nodes().iter().filter_map(|node| node.op_as::<Region>());
    let regions = regions.map(|region| {
        let program = &region.program;
        (program.weight_bytes() + program.arena_bytes + program.scratch_bytes) as u64
    });
    let constants = model
        .nodes()
        .iter()
        .filter(|node| node.op_is::<tract_onnx::tract_core::ops::konst::Const>());
    let constants = constants.flat_map(|node| &node.outputs).map(|output| bytes(&output.fact));
    let kept = regions.chain(constants).fold(0, u64::saturating_add);
    kept.saturating_add(most_alive(plan))
}

/// The most bytes of values alive at once: each from its node to the last that reads it.
fn most_alive(plan: &TypedSimplePlan) -> u64 {
    let model = plan.model();
    let order = plan.order_without_consts();
    let mut last_use = HashMap::new();
    for (step, id) in order.iter().enumerate() {
        for input in &model.node(*id).inputs {
            last_use.insert(*input, step);
        }
    }
    for output in model.output_outlets().unwrap_or_default() {
        last_use.insert(*output, order.len());
    }
    let mut dies: Vec<u64> = vec![0; order.len() + 1];
    let (mut alive, mut most) = (0_u64, 0);
    for (step, id) in order.iter().enumerate() {
        for (slot, output) in model.node(*id).outputs.iter().enumerate() {
            let size = bytes(&output.fact);
            let end = last_use.get(&OutletId::new(*id, slot)).copied().unwrap_or(step);
            alive = alive.saturating_add(size);
            dies[end] = dies[end].saturating_add(size);
        }
        most = most.max(alive);
        alive = alive.saturating_sub(dies[step]);
    }
    most
}

fn bytes(fact: &TypedFact) -> u64 {
    let each = fact.datum_type.size_of() as u64;
    let dims = fact.shape.iter().map(|dim| dim.to_usize().unwrap_or(0) as u64);
    dims.fold(each, u64::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::model::{BUILT_IN, ModelArguments, open};

    fn with_memory(memory: Option<u64>) -> Result<crate::network::model::Model, NetworkError> {
        let model = BUILT_IN.to_owned();
        open(&ModelArguments { model, threads: 1, memory, ..ModelArguments::default() })
    }

    #[test]
    fn values_are_alive_from_their_node_to_the_last_that_reads_them() {
        let mut model = TypedModel::default();
        let fact = f32::fact([1000]);
        let mut wire = model.add_source("x", fact).unwrap();
        // A chain of three: two of them are alive at once.
        for name in ["a", "b", "c"] {
            let next = tract_onnx::tract_core::ops::math::tanh();
            wire = model.wire_node(name, next, &[wire]).unwrap()[0];
        }
        model.select_output_outlets(&[wire]).unwrap();
        let plan = TypedSimplePlan::new(model).unwrap();
        assert_eq!(needed(&plan), 8000);
    }

    #[test]
    fn a_network_beyond_the_budget_is_refused_with_both_figures() {
        let network = with_memory(None).unwrap().network;
        let needed = needed(&network.plan);
        assert!((1 << 20..16 << 20).contains(&needed), "{needed}");
        assert!(with_memory(Some(needed)).is_ok());
        let error = with_memory(Some(needed - 1)).unwrap_err().to_string();
        assert!(error.contains("memory_mb"), "{error}");
    }
}
