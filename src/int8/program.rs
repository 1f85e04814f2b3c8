//! An integer network, ready to run: memory planned, weights packed, threads chosen.

use super::arena;
use super::border::{TensorMut, TensorRef};
use super::draft::{Draft, Sketch};
use super::kernels::Kernels;
use super::movement::{Loop, Rearrange};
use super::step::Step;
use std::time::{Duration, Instant};

/// Steps in their order, and the memory they need.
#[derive(Clone, Debug)]
pub struct Program {
    pub kernels: Kernels,
    pub steps: Vec<Step>,
    /// Constants and where they lie.
    constants: Vec<(usize, Vec<i8>)>,
    pub arena_bytes: usize,
    /// Of one thread.
    pub scratch_bytes: usize,
    sums: usize,
}

/// The memory of one running program.
#[derive(Clone, Debug)]
pub struct State {
    arena: Vec<i8>,
    /// One a thread.
    scratch: Vec<Vec<u8>>,
    sums: Vec<i32>,
    /// What each step took in the last run, if it was timed.
    pub times: Vec<Duration>,
}

impl Program {
    pub fn new(kernels: Kernels, mut draft: Draft) -> Program {
        let (places, arena_bytes) = arena::plan(&mut draft);
        let constants = draft.values.iter_mut().zip(&places);
        let constants = constants
            .filter_map(|(value, place)| Some((place.offset, value.constant.take()?)))
            .collect();
        let mut steps = Vec::new();
        for step in std::mem::take(&mut draft.steps) {
            let inputs: Vec<_> = step.inputs.iter().map(|value| places[*value].clone()).collect();
            let output = step.output.map(|value| places[value].clone());
            let Sketch::Concat { axis } = step.sketch else {
                steps.push(Step::new(kernels, step, inputs, output));
                continue;
            };
            let Some(whole) = output else { continue };
            let mut start = 0;
            for (value, input) in step.inputs.iter().zip(inputs) {
                let mut target = whole.clone();
                target.dims = input.dims;
                target.offset += start * target.pitches[axis];
                start += input.dims[axis];
                if input.slot == target.slot && input.offset == target.offset {
                    continue;
                }
                let loops = (0..4).map(|axis| Loop {
                    extent: input.dims[axis],
                    from: (axis, 1),
                    to: (axis, 1),
                });
                let sketch = Sketch::Rearrange(Rearrange { loops: loops.collect() });
                let step = super::draft::Step {
                    name: step.name.clone(),
                    node: step.node,
                    sketch,
                    inputs: vec![*value],
                    output: None,
                };
                steps.push(Step::new(kernels, step, vec![input], Some(target)));
            }
        }
        let scratch_bytes = steps.iter().map(Step::scratch_bytes).max().unwrap_or(0);
        let sums = steps.iter().map(Step::sums).max().unwrap_or(0);
        Program { kernels, steps, constants, arena_bytes, scratch_bytes, sums }
    }

    pub fn weight_bytes(&self) -> usize {
        self.steps.iter().map(Step::weight_bytes).sum()
    }

    /// Memory for runs on so many threads.
    pub fn state(&self, threads: usize) -> State {
        let mut arena = vec![0; self.arena_bytes];
        for (start, bytes) in &self.constants {
            arena[*start..][..bytes.len()].copy_from_slice(bytes);
        }
        State {
            arena,
            scratch: vec![vec![0; self.scratch_bytes]; threads.max(1)],
            sums: vec![0; self.sums],
            times: vec![Duration::ZERO; self.steps.len()],
        }
    }

    /// Runs all steps, in the current thread pool if there is more than one thread.
    pub fn run(&self, state: &mut State, tensors: &[TensorRef], results: &mut [TensorMut]) {
        for (step, time) in self.steps.iter().zip(&mut state.times) {
            let start = Instant::now();
            step.run(&mut state.arena, &mut state.scratch, &mut state.sums, tensors, results);
            *time = start.elapsed();
        }
    }
}
