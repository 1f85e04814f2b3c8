//! What tract computes already while it works out shapes: nodes whose inputs are all constant.
//! It makes their values before it looks how large they are, and a Pad or Resize of one number
//! can be larger than any memory.

use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;

/// The most bytes that are computed from constants at once.
const LARGEST: usize = 256 << 20;

/// Finds out all types and shapes. Fails where a value made of constants is too large.
pub fn analyse(model: &mut InferenceModel) -> TractResult<()> {
    for node in model.nodes_mut().iter_mut().filter(|node| !node.inputs.is_empty()) {
        node.op = Box::new(Bounded(node.op.clone()));
    }
    let analysed = model.analyse(false);
    for node in model.nodes_mut() {
        if let Some(Bounded(op)) = node.op_as() {
            node.op = op.clone();
        }
    }
    analysed.map(|_| ())
}

/// An operator that is not evaluated where its outputs would be too large.
#[derive(Clone, Debug)]
struct Bounded(Box<dyn InferenceOp>);

// Only that an operator can be compared; this one is not.
impl PartialEq for Bounded {
    fn eq(&self, _: &Bounded) -> bool {
        false
    }
}

impl Eq for Bounded {}

impl Op for Bounded {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.0.info()
    }

    not_a_typed_op!();
}

impl EvalOp for Bounded {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.0.eval_out_of_plan(inputs)
    }
}

impl InferenceOp for Bounded {
    fn infer(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        if inputs.iter().all(|input| input.value.concretize().is_some()) {
            let (inputs, outputs, observed) = (inputs.clone(), outputs.clone(), observed.clone());
            let (_, made, _) = self.0.infer_facts(inputs, outputs, observed)?;
            let found = made.iter().map(bytes).fold(0, usize::saturating_add);
            if found > LARGEST {
                let (found, limit) = (found >> 20, LARGEST >> 20);
                bail!("makes {found} MB of constants; at most {limit} are computed");
            }
        }
        self.0.infer(inputs, outputs, observed)
    }

    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        self.0.infer_facts(inputs, outputs, observed)
    }

    fn observe_outlets(
        &self,
        model: &InferenceModel,
        node: &InferenceNode,
    ) -> TractResult<Vec<OutletId>> {
        self.0.observe_outlets(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.0.nboutputs()
    }

    as_op!();
}

/// 0 where the shape is not known.
fn bytes(fact: &InferenceFact) -> usize {
    let size = fact.datum_type.concretize().map_or(1, |element| element.size_of());
    let shape = fact.shape.as_concrete_finite().ok().flatten().unwrap_or_default();
    let elements = shape.iter().fold(1, |product: usize, dim| product.saturating_mul(*dim));
    if shape.is_empty() { 0 } else { elements.saturating_mul(size) }
}
