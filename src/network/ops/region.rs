//! A part of the network that runs in integers, as one operator of tract's graph.

use crate::int8::border::{TensorMut, TensorRef};
use crate::int8::program::{Program, State};
use crate::network::lower::Fact;
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

/// The threads that integer operators split their rows over.
#[derive(Clone, Debug, Default)]
pub struct Threads(Option<Arc<rayon::ThreadPool>>);

impl Threads {
    /// So many, the caller's own among them. Fails if the system gives none.
    pub fn new(count: usize) -> Result<Threads, rayon::ThreadPoolBuildError> {
        if count < 2 {
            return Ok(Threads(None));
        }
        let name = |index| format!("segcam {index}");
        // Each on a core of its own: woken together, they would else begin on one.
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let pin = move |index: usize| {
            if let Some(core) = cores.get(index).filter(|_| cores.len() >= count) {
                core_affinity::set_for_current(*core);
            }
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count);
        let pool = pool.thread_name(name).start_handler(pin).build()?;
        Ok(Threads(Some(Arc::new(pool))))
    }

    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |pool| pool.current_num_threads())
    }

    fn run(&self, work: impl FnOnce() + Send) {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Region {
    pub program: Arc<Program>,
    pub outputs: Vec<Fact>,
    pub threads: Threads,
}

impl PartialEq for Region {
    fn eq(&self, other: &Region) -> bool {
        Arc::ptr_eq(&self.program, &other.program)
    }
}

impl Eq for Region {}

impl Op for Region {
    fn name(&self) -> StaticName {
        "Int8".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Region {
    not_out_of_plan!();

    fn state(&self, _ctx: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        let state = self.program.state(self.threads.count());
        let outputs = self.outputs.iter().map(tensor).collect::<TractResult<_>>()?;
        Ok(Some(Box::new(RegionState { state, outputs })))
    }
}

impl TypedOp for Region {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.outputs.iter().map(|fact| fact.element.fact(&fact.shape)).collect())
    }

    as_op!();
}

fn tensor(fact: &Fact) -> TractResult<Arc<Tensor>> {
    Ok(Arc::new(Tensor::zero_dt(fact.element, &fact.shape)?))
}

/// The memory of a region: its activations, and its outputs as long as nobody holds the last.
#[derive(Clone, Debug)]
pub struct RegionState {
    pub state: State,
    outputs: Vec<Arc<Tensor>>,
}

impl OpState for RegionState {
    fn eval(
        &mut self,
        _ctx: &EvalContext,
        op: &dyn Op,
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let region = op.downcast_ref::<Region>().context("the state of another operator")?;
        let tensors =
            inputs.iter().map(|input| reference(input)).collect::<TractResult<TVec<_>>>()?;
        for (output, fact) in self.outputs.iter_mut().zip(&region.outputs) {
            if Arc::get_mut(output).is_none() {
                *output = tensor(fact)?;
            }
        }
        let outputs = self.outputs.iter_mut().filter_map(Arc::get_mut);
        let plain = outputs.map(Tensor::try_as_plain_ram_mut);
        let mut plain = plain.collect::<TractResult<TVec<_>>>()?;
        let results = plain.iter_mut().zip(&region.outputs);
        let results = results.map(|(plain, fact)| mutable(fact.element, plain));
        let mut results = results.collect::<TractResult<TVec<_>>>()?;
        let state = &mut self.state;
        region.threads.run(|| region.program.run(state, &tensors, &mut results));
        drop(results);
        drop(plain);
        Ok(self.outputs.iter().map(|output| TValue::from_const(Arc::clone(output))).collect())
    }

    fn reset_lanes(&mut self, _lanes: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}

fn reference(tensor: &Tensor) -> TractResult<TensorRef<'_>> {
    let plain = tensor.try_as_plain_ram()?;
    Ok(match tensor.datum_type() {
        DatumType::F32 => TensorRef::F32(plain.as_slice()?),
        DatumType::U8 => TensorRef::U8(plain.as_slice()?),
        DatumType::I8 => TensorRef::I8(plain.as_slice()?),
        other => bail!("an integer region takes no {other:?}"),
    })
}

fn mutable<'a>(element: DatumType, plain: &'a mut PlainViewMut) -> TractResult<TensorMut<'a>> {
    Ok(match element {
        DatumType::F32 => TensorMut::F32(plain.as_slice_mut()?),
        DatumType::U8 => TensorMut::U8(plain.as_slice_mut()?),
        DatumType::I8 => TensorMut::I8(plain.as_slice_mut()?),
        DatumType::I64 => TensorMut::I64(plain.as_slice_mut()?),
        other => bail!("an integer region makes no {other:?}"),
    })
}
