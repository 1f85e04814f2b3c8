//! Where a tensor of the graph lies: a value of the program, and which of the tensor's axes each
//! axis of the memory is. A Transpose only changes that.

use super::Lowering;
use crate::int8::border::Strides;
use crate::int8::draft::{Part, Sketch, Value};
use crate::int8::movement::{Loop, Rearrange};

#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    pub value: Value,
    /// As the graph has it.
    pub shape: Vec<usize>,
    /// For each axis of the memory, outermost first, the axis of the shape.
    pub order: Vec<usize>,
}

/// Batch, rows, columns, channels of a tensor of four axes with its channels second.
pub const IMAGE: [usize; 4] = [0, 2, 3, 1];

/// A value's four dimensions: ones fill up in front, and what is too much multiplies up there.
pub fn dims(shape: &[usize], order: &[usize]) -> [usize; 4] {
    let mut dims = [1; 4];
    for (back, axis) in order.iter().rev().enumerate() {
        dims[3 - back.min(3)] *= shape[*axis];
    }
    dims
}

/// A tensor's batch stride and its strides along rows, columns and channels of the value that
/// lies in `order`. With more than four axes the order must be the tensor's own.
pub fn strides(shape: &[usize], order: &[usize]) -> (usize, Strides) {
    let mut own = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        own[axis - 1] = own[axis] * shape[axis];
    }
    let mut strides = [1; 4];
    for (back, axis) in order.iter().rev().enumerate().take(4) {
        strides[3 - back] = own[*axis];
    }
    (strides[0], [strides[1], strides[2], strides[3]])
}

impl Located {
    /// The shape as it lies in memory.
    pub fn memory(&self) -> Vec<usize> {
        self.order.iter().map(|axis| self.shape[*axis]).collect()
    }

    pub fn dims(&self) -> [usize; 4] {
        dims(&self.shape, &self.order)
    }
}

impl<'a> Lowering<'a> {
    /// The same tensor with its axes in another order of memory.
    pub fn ordered(&mut self, located: &Located, order: &[usize]) -> Located {
        if located.order == order {
            return located.clone();
        }
        let shape = &located.shape;
        let long = |order: &[usize]| -> Vec<usize> {
            order.iter().copied().filter(|axis| shape[*axis] != 1).collect()
        };
        if long(&located.order) == long(order) {
            return self.reshaped(located, shape.clone(), order.to_vec());
        }
        // What is loaded for this alone is loaded in that order.
        if let Some(step) = self.writers.get(&located.value) {
            let step = &self.draft.steps[*step];
            if let Sketch::Load { tensor, quantization, .. } = step.sketch
                && self.draft.values[located.value].dims == located.dims()
                && shape.len() <= 4
            {
                let name = self.loaded[tensor];
                let own = self.facts.shape(name).unwrap_or_default();
                if own == shape
                    && located.order.iter().enumerate().all(|(at, axis)| at == *axis)
                    && let Ok(loaded) = self.load_in_order(name, quantization, shape, order)
                {
                    return loaded;
                }
            }
        }
        let to = Located { value: 0, shape: shape.clone(), order: order.to_vec() };
        self.rearranged(located, to)
    }

    /// Copies a tensor into another order of memory.
    fn rearranged(&mut self, from: &Located, to: Located) -> Located {
        let rank = to.order.len();
        let axis_of = |order: &[usize], axis: usize| {
            order.iter().position(|other| *other == axis).unwrap_or_default()
        };
        let loops = if rank <= 4 {
            let fill = 4 - rank;
            let walked = to.order.iter().enumerate();
            walked
                .map(|(at, axis)| Loop {
                    extent: to.shape[*axis],
                    from: (fill + axis_of(&from.order, *axis), 1),
                    to: (fill + at, 1),
                })
                .collect()
        } else {
            let (memory, target) = (from.memory(), to.memory());
            let step = |memory: &[usize], at: usize| memory[at + 1..].iter().product::<usize>();
            let walked = to.order.iter().enumerate();
            walked
                .map(|(at, axis)| Loop {
                    extent: to.shape[*axis],
                    from: (3, step(&memory, axis_of(&from.order, *axis))),
                    to: (3, step(&target, at)),
                })
                .collect()
        };
        let source = if rank <= 4 { from.clone() } else { self.flat(from) };
        let input = source.value;
        let sketch = Sketch::Rearrange(Rearrange { loops });
        if rank <= 4 {
            return self.emit_located(sketch, vec![input], to.shape, to.order);
        }
        let elements = to.shape.iter().product();
        let value = self.emit(sketch, vec![input], [1, 1, 1, elements]);
        self.alias(value, to.shape, to.order)
    }

    /// The tensor as one row without gaps.
    fn flat(&mut self, located: &Located) -> Located {
        let elements = located.shape.iter().product();
        self.reshaped(located, vec![elements], vec![0])
    }

    /// The same memory read with another shape. What lies with gaps is copied first.
    pub fn reshaped(&mut self, located: &Located, shape: Vec<usize>, order: Vec<usize>) -> Located {
        let new = dims(&shape, &order);
        if self.draft.values[located.value].dims == new {
            return Located { value: located.value, shape, order };
        }
        let mut value = located.value;
        if self.draft.values[value].part.is_some() {
            let dims = self.draft.values[value].dims;
            let loops =
                (0..4).map(|axis| Loop { extent: dims[axis], from: (axis, 1), to: (axis, 1) });
            let copy = Sketch::Rearrange(Rearrange { loops: loops.collect() });
            value = self.emit(copy, vec![value], dims);
        }
        self.alias(value, shape, order)
    }

    fn alias(&mut self, value: Value, shape: Vec<usize>, order: Vec<usize>) -> Located {
        let whole = self.draft.values[value].reshaped.unwrap_or(value);
        self.draft.values[whole].contiguous = true;
        let alias = self.draft.add_value(dims(&shape, &order));
        self.draft.values[alias].reshaped = Some(whole);
        self.draft.values[alias].contiguous = true;
        if let Some(writer) = self.writers.get(&whole) {
            self.writers.insert(alias, *writer);
        }
        Located { value: alias, shape, order }
    }

    /// A box of a value, without a copy.
    pub fn boxed(&mut self, mut whole: Value, mut start: [usize; 4], dims: [usize; 4]) -> Value {
        if let Some(outer) = self.draft.values[whole].part.clone() {
            (0..4).for_each(|axis| start[axis] += outer.start[axis]);
            whole = outer.whole;
        }
        let value = self.draft.add_value(dims);
        self.draft.values[value].part = Some(Part { whole, start });
        value
    }
}
