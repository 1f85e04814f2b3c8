//! Runs a loaded network, frame after frame.

use super::NetworkError;
use super::load::Network;
use super::ops::region::RegionState;
use crate::contain::contain;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_onnx::prelude::*;
use tract_onnx::tract_core;

/// A network ready to run, with its input tensors. Belongs to one thread.
pub struct Session {
    network: Network,
    state: TypedSimpleState,
    inputs: Vec<Arc<Tensor>>,
}

/// The time one operator of the plan took, or one step of an integer region.
#[derive(Clone, Copy, Debug)]
pub struct OperatorTime {
    /// The node in `Network::plan`.
    pub node: usize,
    /// The step of the region's program; None for the node beside its steps.
    pub step: Option<usize>,
    pub time: Duration,
}

impl Session {
    pub fn new(network: &Network) -> Result<Session, NetworkError> {
        let state = network.plan.spawn().map_err(run_error)?;
        let inputs = network
            .ports
            .inputs
            .iter()
            .map(|port| Ok(Arc::new(Tensor::zero_dt(port.element, &port.shape)?)))
            .collect::<TractResult<_>>()
            .map_err(run_error)?;
        Ok(Session { network: network.clone(), state, inputs })
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Input `index`, to be filled. Allocates only while an earlier run's value is still held.
    pub fn input(&mut self, index: usize) -> &mut Tensor {
        Arc::make_mut(&mut self.inputs[index])
    }

    /// Runs the network on its inputs; the values are its outputs.
    pub fn run(&mut self) -> Result<TVec<TValue>, NetworkError> {
        let inputs = self.values();
        let state = &mut self.state;
        contain(|| state.run(inputs)).map_err(NetworkError::Run)?.map_err(run_error)
    }

    /// Runs the network and appends each operator's time to `times`.
    pub fn run_timed(
        &mut self,
        times: &mut Vec<OperatorTime>,
    ) -> Result<TVec<TValue>, NetworkError> {
        let inputs = self.values();
        let state = &mut self.state;
        contain(|| {
            state.run_plan_with_eval(inputs, |context, mut op_state, node, inputs| {
                let start = Instant::now();
                let result = tract_core::plan::eval(context, op_state.as_deref_mut(), node, inputs);
                let mut rest = start.elapsed();
                let region = op_state.as_deref().and_then(|state| state.downcast_ref());
                let steps = region.iter().flat_map(|region: &&RegionState| &region.state.times);
                for (step, time) in steps.enumerate() {
                    rest = rest.saturating_sub(*time);
                    times.push(OperatorTime { node: node.id, step: Some(step), time: *time });
                }
                times.push(OperatorTime { node: node.id, step: None, time: rest });
                result
            })
        })
        .map_err(NetworkError::Run)?
        .map_err(run_error)
    }

    fn values(&self) -> TVec<TValue> {
        self.inputs.iter().map(|input| TValue::from_const(Arc::clone(input))).collect()
    }
}

fn run_error(error: TractError) -> NetworkError {
    let root = error.root_cause().to_string();
    NetworkError::Run(root.lines().next().unwrap_or_default().to_owned())
}
