use super::*;
use crate::int8::movement::Rearrange;

/// What every element of memory holds, or should.
type Token = u64;

fn step(draft: &mut Draft, sketch: Sketch, inputs: Vec<Value>, output: Option<Value>) {
    let name = String::new();
    draft.steps.push(crate::int8::draft::Step { name, node: 0, sketch, inputs, output });
}

/// An operator that reads all of its inputs and writes all of its output.
fn work() -> Sketch {
    Sketch::Rearrange(Rearrange { loops: Vec::new() })
}

fn addresses(place: &Place) -> Vec<usize> {
    let Place { offset, dims, pitches, .. } = place;
    let mut all = vec![*offset];
    for (extent, pitch) in dims.iter().zip(pitches) {
        all = all.iter().flat_map(|at| (0..*extent).map(move |i| at + i * pitch)).collect();
    }
    all
}

/// The elements of a box, in the order of a value that is its own whole.
fn boxed(dims: [usize; 4], start: [usize; 4], part: [usize; 4]) -> Vec<usize> {
    let pitches = pitches(dims);
    let offset = start.iter().zip(pitches).map(|(start, pitch)| start * pitch).sum();
    addresses(&Place { slot: 0..0, offset, dims: part, pitches })
}

/// Runs a planned draft on tokens: every step must find what the steps before it wrote.
fn check(draft: &mut Draft) -> Vec<Place> {
    // What a Slice is of, before the plan adds what a Concat takes in.
    let slices: Vec<Option<Part>> = draft.values.iter().map(|spec| spec.part.clone()).collect();
    let (places, length) = plan(draft);
    let mut memory: Vec<Token> = vec![0; length];
    let mut right: Vec<Vec<Token>> = vec![Vec::new(); places.len()];
    let mut fresh = 1;
    let mut made = |right: &mut Vec<Token>, count: usize| {
        *right = (fresh..).take(count).collect();
        fresh += count as Token;
    };
    for (value, place) in places.iter().enumerate() {
        assert!(addresses(place).iter().all(|at| place.slot.contains(at)), "value {value}");
        if draft.values[value].constant.is_some() {
            let all = addresses(place);
            made(&mut right[value], all.len());
            all.iter().zip(&right[value]).for_each(|(at, token)| memory[*at] = *token);
        }
    }
    for (index, step) in draft.steps.iter().enumerate() {
        for value in &step.inputs {
            if let Some(Part { whole, start }) = &slices[*value] {
                let part = boxed(places[*whole].dims, *start, places[*value].dims);
                right[*value] = part.iter().map(|at| right[*whole][*at]).collect();
            } else if let Some(whole) = draft.values[*value].reshaped {
                right[*value] = right[whole].clone();
            }
        }
        let intact = |memory: &[Token], right: &[Vec<Token>], value: Value| {
            let found = addresses(&places[value]).into_iter().map(|at| memory[at]);
            assert!(found.eq(right[value].iter().copied()), "step {index} reads {value}");
        };
        step.inputs.iter().for_each(|value| intact(&memory, &right, *value));
        let Some(output) = step.output else { continue };
        if let Sketch::Concat { axis } = step.sketch {
            let mut whole = vec![0; places[output].dims.iter().product()];
            let mut start = [0; 4];
            for value in &step.inputs {
                let part = boxed(places[output].dims, start, places[*value].dims);
                part.iter().zip(&right[*value]).for_each(|(at, token)| whole[*at] = *token);
                start[axis] += places[*value].dims[axis];
                // One after the other, as the program copies them.
                let targets = addresses(&places[output]);
                for (at, source) in part.iter().zip(addresses(&places[*value])) {
                    memory[targets[*at]] = memory[source];
                }
            }
            right[output] = whole;
        } else {
            let all = addresses(&places[output]);
            made(&mut right[output], all.len());
            all.iter().zip(&right[output]).for_each(|(at, token)| memory[*at] = *token);
            // It may write before it has read all.
            step.inputs.iter().for_each(|value| intact(&memory, &right, *value));
        }
        intact(&memory, &right, output);
    }
    places
}

fn random_draft(random: &mut fastrand::Rng) -> Draft {
    let mut draft = Draft::default();
    let mut known: Vec<Value> = Vec::new();
    let some = |random: &mut fastrand::Rng| [1, 2, 2, random.usize(1..4)];
    for _ in 0..random.usize(1..16) {
        let pick = |random: &mut fastrand::Rng, known: &[Value]| known[random.usize(..known.len())];
        let output = match random.u8(..8) {
            0 => {
                let dims = some(random);
                let value = draft.add_value(dims);
                draft.values[value].constant = Some(vec![0; dims.iter().product()]);
                value
            }
            1..=3 if !known.is_empty() => {
                let inputs: Vec<Value> = (0..random.usize(1..4))
                    .map(|_| pick(random, &known))
                    .filter(|value| draft.values[*value].dims[..3] == [1, 2, 2])
                    .collect();
                if inputs.is_empty() {
                    continue;
                }
                let channels = inputs.iter().map(|value| draft.values[*value].dims[3]).sum();
                let output = draft.add_value([1, 2, 2, channels]);
                step(&mut draft, Sketch::Concat { axis: 3 }, inputs, Some(output));
                output
            }
            4 if !known.is_empty() => {
                // A Slice of one channel.
                let whole = pick(random, &known);
                let spec = &draft.values[whole];
                let [batch, rows, columns, channels] = spec.dims;
                if spec.part.is_some() || spec.reshaped.is_some() {
                    continue;
                }
                let start = [0, 0, 0, random.usize(..channels)];
                let value = draft.add_value([batch, rows, columns, 1]);
                draft.values[value].part = Some(Part { whole, start });
                value
            }
            5 if !known.is_empty() => {
                let whole = pick(random, &known);
                let spec = &mut draft.values[whole];
                if spec.part.is_some() || spec.reshaped.is_some() {
                    continue;
                }
                spec.contiguous = true;
                let elements = spec.dims.iter().product();
                let value = draft.add_value([1, 1, 1, elements]);
                draft.values[value].reshaped = Some(whole);
                draft.values[value].contiguous = true;
                value
            }
            _ => {
                let count = random.usize(..3).min(known.len());
                let inputs = (0..count).map(|_| pick(random, &known)).collect();
                let output = draft.add_value(some(random));
                step(&mut draft, work(), inputs, Some(output));
                output
            }
        };
        known.push(output);
    }
    // Somebody reads the last ones.
    for value in known.iter().rev().take(3) {
        step(&mut draft, work(), vec![*value], None);
    }
    draft
}

#[test]
fn every_step_finds_what_was_written_for_it() {
    let random = &mut fastrand::Rng::with_seed(1);
    for _ in 0..5000 {
        check(&mut random_draft(random));
    }
}

/// Two values and their Concat, read at the end.
fn joined(clash: bool) -> (Draft, [Value; 3]) {
    let mut draft = Draft::default();
    let [x, y, whole] =
        [[1, 4, 4, 8], [1, 4, 4, 8], [1, 4, 4, 16]].map(|dims| draft.add_value(dims));
    step(&mut draft, work(), vec![], Some(x));
    step(&mut draft, work(), if clash { vec![x] } else { vec![] }, Some(y));
    step(&mut draft, Sketch::Concat { axis: 3 }, vec![x, y], Some(whole));
    step(&mut draft, work(), vec![whole], None);
    (draft, [x, y, whole])
}

#[test]
fn a_concat_is_written_in_place() {
    let (mut draft, [x, y, whole]) = joined(false);
    let places = check(&mut draft);
    assert_eq!(
        (places[x].offset, places[y].offset),
        (places[whole].offset, places[whole].offset + 8)
    );
    assert_eq!(places[x].pitches, places[whole].pitches);
}

#[test]
fn a_step_never_reads_the_memory_it_writes() {
    let (mut draft, [x, y, whole]) = joined(true);
    let places = check(&mut draft);
    assert_ne!(places[x].slot, places[y].slot);
    let in_place = [x, y].into_iter().filter(|value| places[*value].slot == places[whole].slot);
    assert_eq!(in_place.count(), 1, "only one of them has to be copied");
}

#[test]
fn values_share_memory_unless_they_live_at_the_same_time() {
    let mut draft = Draft::default();
    let values: Vec<Value> = (0..10).map(|_| draft.add_value([1, 8, 8, 4])).collect();
    let constant = draft.add_value([1, 1, 1, 64]);
    draft.values[constant].constant = Some(vec![0; 64]);
    step(&mut draft, work(), vec![], Some(values[0]));
    for pair in values.windows(2) {
        step(&mut draft, work(), vec![pair[0], constant], Some(pair[1]));
    }
    check(&mut draft);
    assert_eq!(plan(&mut draft).1, 2 * 256 + 64);
}

#[test]
fn long_chains_of_concats_are_planned_soon() {
    let mut draft = Draft::default();
    let mut last = draft.add_value([1, 1, 1, 1]);
    step(&mut draft, work(), vec![], Some(last));
    for channels in 2..3000 {
        let one = draft.add_value([1, 1, 1, 1]);
        step(&mut draft, work(), vec![last], Some(one));
        let whole = draft.add_value([1, 1, 1, channels]);
        step(&mut draft, Sketch::Concat { axis: 3 }, vec![last, one], Some(whole));
        last = whole;
    }
    let start = std::time::Instant::now();
    plan(&mut draft);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
