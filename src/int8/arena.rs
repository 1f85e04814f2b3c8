//! Where every activation lies in the one arena.
//!
//! Each value gets its place for the time from its first write to its last read; values whose
//! times do not meet share memory. What a Concat joins is written straight into its slice of the
//! result, so that nothing is copied, unless a step would then read and write the same memory.

use super::draft::{Draft, Part, Sketch, Value};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Where a value lies: `arena[offset + n * pitches[0] + y * pitches[1] + x * pitches[2] + c]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The memory of the whole it is a part of; two values with the same slot lie together.
    pub slot: Range<usize>,
    pub offset: usize,
    /// Batch, rows, columns, channels.
    pub dims: [usize; 4],
    pub pitches: [usize; 4],
}

/// Slots begin at cache lines.
const ALIGN: usize = 64;

/// Joins what can be joined in place and says where each value lies, and how long the arena is.
pub fn plan(draft: &mut Draft) -> (Vec<Place>, usize) {
    join_in_place(draft);
    let roots: Vec<Value> = (0..draft.values.len()).map(|value| root(draft, value)).collect();
    let lives = lives(draft, &roots);
    let starts = allocate(draft, &roots, &lives);
    let size = |value: Value| draft.values[value].dims.iter().product::<usize>();
    let total = (0..roots.len()).map(|value| starts[roots[value]] + size(roots[value])).max();
    let places = (0..draft.values.len())
        .map(|value| {
            let start = starts[roots[value]];
            let (offset, pitches) = lie(draft, value);
            let slot = start..start + size(roots[value]);
            Place { slot, offset: start + offset, dims: draft.values[value].dims, pitches }
        })
        .collect();
    (places, total.unwrap_or(0))
}

/// Where a value begins in its root, and its pitches: those of the outermost box around it.
fn lie(draft: &Draft, value: Value) -> (usize, [usize; 4]) {
    let mut start = [0; 4];
    let mut whole = value;
    while let Some(part) = &draft.values[whole].part {
        (0..4).for_each(|axis| start[axis] += part.start[axis]);
        whole = part.whole;
    }
    let pitches = pitches(draft.values[whole].dims);
    (start.iter().zip(pitches).map(|(start, pitch)| start * pitch).sum(), pitches)
}

/// Of a value that is its own whole.
pub fn pitches(dims: [usize; 4]) -> [usize; 4] {
    [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1]
}

fn root(draft: &Draft, mut value: Value) -> Value {
    loop {
        let spec = &draft.values[value];
        match spec.part.as_ref().map(|part| part.whole).or(spec.reshaped) {
            Some(whole) => value = whole,
            None => return value,
        }
    }
}

/// Concats that may lie in one another: each is a step on the way to where a value lies.
const DEEPEST: usize = 64;

fn join_in_place(draft: &mut Draft) {
    let written: HashSet<Value> = draft.steps.iter().filter_map(|step| step.output).collect();
    let mut joined = HashSet::new();
    let mut depths: HashMap<Value, usize> = HashMap::new();
    for step in &draft.steps {
        let (Sketch::Concat { axis }, Some(whole)) = (&step.sketch, step.output) else { continue };
        let mut start = [0; 4];
        for &value in &step.inputs {
            let spec = &mut draft.values[value];
            let extent = spec.dims[*axis];
            let depth = depths.get(&value).map_or(1, |depth| depth + 1);
            if spec.part.is_none()
                && spec.constant.is_none()
                && !spec.contiguous
                && written.contains(&value)
                && depth <= DEEPEST
            {
                spec.part = Some(Part { whole, start });
                joined.insert(value);
                let whole = depths.entry(whole).or_default();
                *whole = depth.max(*whole);
            }
            start[*axis] += extent;
        }
    }
    // A step must not read the memory it writes; a Concat only does for what is not in its place.
    // Taking a value apart never makes such a clash elsewhere.
    for index in 0..draft.steps.len() {
        let Some(output) = draft.steps[index].output else { continue };
        let mut start = [0; 4];
        for at in 0..draft.steps[index].inputs.len() {
            let input = draft.steps[index].inputs[at];
            let place = start;
            if let Sketch::Concat { axis } = draft.steps[index].sketch {
                start[axis] += draft.values[input].dims[axis];
                let part = draft.values[input].part.as_ref();
                if part.is_some_and(|part| part.whole == output && part.start == place) {
                    continue;
                }
            }
            while root(draft, input) == root(draft, output) {
                let apart = [output, input]
                    .into_iter()
                    .flat_map(|value| chain(draft, value))
                    .find(|value| joined.remove(value));
                let Some(apart) = apart else { break };
                draft.values[apart].part = None;
            }
        }
    }
}

/// A value, the whole it is a part of, and so on.
fn chain(draft: &Draft, value: Value) -> impl Iterator<Item = Value> + '_ {
    std::iter::successors(Some(value), |value| {
        draft.values[*value].part.as_ref().map(|part| part.whole)
    })
}

/// First and last step of each root; constants live for ever.
fn lives(draft: &Draft, roots: &[Value]) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; draft.values.len()];
    for (index, step) in draft.steps.iter().enumerate() {
        for value in step.inputs.iter().chain(&step.output) {
            let life = &mut lives[roots[*value]];
            *life = Some(life.map_or((index, index), |(first, _)| (first, index)));
        }
    }
    for (value, spec) in draft.values.iter().enumerate() {
        if spec.constant.is_some() {
            lives[value] = Some((0, usize::MAX));
        }
    }
    lives
}

/// The largest first, each at the lowest start where nothing that lives at the same time lies.
fn allocate(draft: &Draft, roots: &[Value], lives: &[Option<(usize, usize)>]) -> Vec<usize> {
    let size = |value: Value| draft.values[value].dims.iter().product::<usize>();
    let mut order: Vec<Value> = (0..roots.len())
        .filter(|value| roots[*value] == *value && lives[*value].is_some())
        .collect();
    order.sort_by_key(|value| std::cmp::Reverse(size(*value)));
    let mut starts = vec![0; roots.len()];
    // In the order of their starts.
    let mut placed: Vec<Value> = Vec::new();
    for value in order {
        let Some((first, last)) = lives[value] else { continue };
        let mut start = 0;
        for other in &placed {
            if !lives[*other].is_some_and(|(from, to)| from <= last && first <= to) {
                continue;
            }
            if start + size(value) <= starts[*other] {
                break;
            }
            let end = starts[*other] + size(*other);
            start = start.max(end.next_multiple_of(ALIGN));
        }
        starts[value] = start;
        let at = placed.partition_point(|other| starts[*other] <= start);
        placed.insert(at, value);
    }
    starts
}

#[cfg(test)]
mod tests;
