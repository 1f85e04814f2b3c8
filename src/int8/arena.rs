//! Where every activation lies in the one arena.
//!
//! Each value gets its place for the time from its first write to its last read; values whose
//! times do not meet share memory. What a Concat joins is written straight into its slice of the
//! result, so that nothing is copied, unless a step would then read and write the same memory.

use super::draft::{Draft, Part, Sketch, Value};
use std::collections::HashSet;
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

fn join_in_place(draft: &mut Draft) {
    let written: HashSet<Value> = draft.steps.iter().filter_map(|step| step.output).collect();
    let mut joined = Vec::new();
    for step in &draft.steps {
        let (Sketch::Concat { axis }, Some(whole)) = (&step.sketch, step.output) else { continue };
        let mut start = [0; 4];
        for &value in &step.inputs {
            let spec = &mut draft.values[value];
            let extent = spec.dims[*axis];
            if spec.part.is_none()
                && spec.constant.is_none()
                && !spec.contiguous
                && written.contains(&value)
            {
                spec.part = Some(Part { whole, start });
                joined.push(value);
            }
            start[*axis] += extent;
        }
    }
    // A step must not read the memory it writes; a Concat only does for what is not in its place.
    loop {
        let clash = draft.steps.iter().find_map(|step| {
            let output = step.output?;
            let mut start = [0; 4];
            let input = step.inputs.iter().find(|input| {
                let spec = &draft.values[**input];
                let place = start;
                let mut in_place = false;
                if let Sketch::Concat { axis } = step.sketch {
                    start[axis] += spec.dims[axis];
                    let part = spec.part.as_ref();
                    in_place = part.is_some_and(|part| part.whole == output && part.start == place);
                }
                !in_place && root(draft, **input) == root(draft, output)
            })?;
            Some((*input, output))
        });
        let Some((input, output)) = clash else { return };
        let apart =
            chain(draft, output).chain(chain(draft, input)).find(|value| joined.contains(value));
        let Some(apart) = apart else { return };
        draft.values[apart].part = None;
        joined.retain(|value| *value != apart);
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
    let mut placed: Vec<Value> = Vec::new();
    for value in order {
        let Some((first, last)) = lives[value] else { continue };
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|other| lives[**other].is_some_and(|(from, to)| from <= last && first <= to))
            .map(|other| starts[*other]..starts[*other] + size(*other))
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in taken {
            if start + size(value) <= range.start {
                break;
            }
            start = start.max(range.end.next_multiple_of(ALIGN));
        }
        starts[value] = start;
        placed.push(value);
    }
    starts
}
