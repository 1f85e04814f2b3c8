//! Mutations of ONNX graphs that leave them graphs: of random bytes hardly any still parse.

use fastrand::Rng;
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, TensorProto, type_proto};

/// Operators and attributes are named there.
const WORDS: &str = include_str!("../words/onnx");
const TEXTS: [&str; 12] = [
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "NOTSET",
    "nearest",
    "linear",
    "cubic",
    "floor",
    "align_corners",
    "asymmetric",
    "reflect",
    "DCR",
];
/// FLOAT, UINT8, INT8, INT32, INT64, BOOL, FLOAT16, DOUBLE, and their bytes.
const ELEMENTS: [(i32, usize); 8] =
    [(1, 4), (2, 1), (3, 1), (6, 4), (7, 8), (9, 1), (10, 2), (11, 8)];

/// Changes one to four places of a model; None: it is none.
pub fn mutate(bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(bytes).ok()?;
    let mut random = Rng::with_seed(seed.into());
    for _ in 0..random.usize(1..=4) {
        if random.u8(..) < 8 {
            let version = random.i64(1..=21);
            model.opset_import.iter_mut().for_each(|set| set.version = version);
        }
        // What does not apply to this graph is left out.
        let _ = change(model.graph.as_mut()?, &mut random);
    }
    Some(model.encode_to_vec())
}

fn change(graph: &mut GraphProto, random: &mut Rng) -> Option<()> {
    let names = names(graph);
    let name = |random: &mut Rng| random.choice(&names).cloned();
    let at = random.usize(0..graph.node.len().max(1));
    match random.u8(0..20) {
        0 => graph.node.get_mut(at)?.op_type = word("\"\\x22\\x", random)?,
        1..=3 => number_attribute(pick(&mut graph.node.get_mut(at)?.attribute, random)?, random),
        4 => {
            let mut attribute = pick(&mut graph.node, random)?.attribute.first()?.clone();
            attribute.name = word("\"\\x0a\\x", random)?;
            graph.node.get_mut(at)?.attribute.push(attribute);
        }
        5 => {
            let attributes = &mut graph.node.get_mut(at)?.attribute;
            attributes.swap_remove(
                random.usize(0..attributes.len().max(2)).min(attributes.len().checked_sub(1)?),
            );
        }
        6 => {
            pick(&mut graph.node.get_mut(at)?.attribute, random)?.s =
                random.choice(TEXTS)?.as_bytes().to_vec().into()
        }
        7 | 8 => *pick(&mut graph.node.get_mut(at)?.input, random)? = name(random)?,
        9 => graph.node.get_mut(at)?.input.push(name(random)?),
        10 => drop(graph.node.get_mut(at)?.input.pop()?),
        11 | 12 => reshape(pick(&mut graph.initializer, random)?, random),
        13 | 14 => value(pick(&mut graph.initializer, random)?, random)?,
        15 => {
            let kind = pick(&mut graph.input, random)?.r#type.as_mut()?;
            let Some(type_proto::Value::TensorType(tensor)) = &mut kind.value else { return None };
            if random.u8(..) < 64 {
                tensor.elem_type = random.choice(ELEMENTS)?.0;
            }
            let dims = &mut tensor.shape.as_mut()?.dim;
            let dim =
                Dimension { value: Some(Value::DimValue(number(random))), ..Default::default() };
            match random.u8(0..8) {
                0 => dims.push(dim),
                1 => drop(dims.pop()),
                _ => *pick(dims, random)? = dim,
            }
        }
        16 => {
            // The same once more, behind some value.
            let mut node = graph.node.get(at)?.clone();
            for output in &mut node.output {
                *output += "'";
            }
            *node.input.first_mut()? = name(random)?;
            let made = node.output.first()?.clone();
            let to = random.usize(at + 1..=graph.node.len());
            graph.node.insert(to, node);
            if let Some(next) = graph.node.get_mut(to + 1) {
                *pick(&mut next.input, random)? = made;
            }
        }
        17 => {
            if graph.node.is_empty() {
                return None;
            }
            let node = graph.node.remove(at);
            let (from, to) = (node.output.first()?, node.input.first()?);
            let inputs = graph.node.iter_mut().flat_map(|node| &mut node.input);
            inputs.filter(|input| *input == from).for_each(|input| input.clone_from(to));
        }
        18 => {
            let to = random.usize(0..graph.node.len().max(1));
            (at < graph.node.len()).then(|| graph.node.swap(at, to))?;
        }
        _ => pick(&mut graph.output, random)?.name = name(random)?,
    }
    Some(())
}

fn pick<'a, T>(of: &'a mut [T], random: &mut Rng) -> Option<&'a mut T> {
    random.choice(of)
}

/// All values that there are.
fn names(graph: &GraphProto) -> Vec<String> {
    let inputs = graph.input.iter().map(|input| &input.name);
    let weights = graph.initializer.iter().map(|tensor| &tensor.name);
    let made = graph.node.iter().flat_map(|node| &node.output);
    inputs.chain(weights).chain(made).cloned().collect()
}

/// A word of the list that stands behind `mark` and a length.
fn word(mark: &str, random: &mut Rng) -> Option<String> {
    let words: Vec<&str> = WORDS.lines().filter_map(|line| line.strip_prefix(mark)).collect();
    random.choice(words).map(|word| word[2..word.len() - 1].to_owned())
}

/// Mostly a small one.
fn number(random: &mut Rng) -> i64 {
    match random.u8(0..12) {
        0 => random.i64(..) >> random.u8(0..64),
        1 => (1 << random.u8(0..63)) - random.i64(0..=1),
        2 => -(1 << random.u8(0..63)),
        3 => random.i64(-300..300),
        _ => random.i64(-2..=9),
    }
}

fn real(random: &mut Rng) -> f32 {
    match random.u8(0..3) {
        0 => f32::from_bits(random.u32(..)),
        1 => number(random) as f32,
        _ => random.f32(),
    }
}

fn number_attribute(attribute: &mut AttributeProto, random: &mut Rng) {
    match random.u8(0..8) {
        0 => attribute.ints.push(number(random)),
        1 => drop(attribute.ints.pop()),
        2 => attribute.r#type = random.i32(0..10),
        _ => {}
    }
    attribute.i = number(random);
    attribute.f = real(random);
    if let Some(value) = random.choice(&mut attribute.ints) {
        *value = number(random);
    }
    if let Some(value) = random.choice(&mut attribute.floats) {
        *value = real(random);
    }
}

/// Another shape or type, with as many bytes as it takes.
fn reshape(tensor: &mut TensorProto, random: &mut Rng) {
    match random.u8(0..4) {
        0 => tensor.dims.push(random.i64(0..5)),
        1 => drop(tensor.dims.pop()),
        2 if !tensor.dims.is_empty() => random.shuffle(&mut tensor.dims),
        _ => {
            if let Some(dim) = random.choice(&mut tensor.dims) {
                *dim = random.i64(0..9);
            }
        }
    }
    if random.u8(..) < 32 {
        tensor.data_type = ELEMENTS[random.usize(0..ELEMENTS.len())].0;
    }
    let element = ELEMENTS.iter().find(|(element, _)| *element == tensor.data_type);
    let size = element.map_or(4, |(_, size)| *size);
    let length = tensor.dims.iter().fold(size, |length, dim| length.saturating_mul(*dim as usize));
    // Elsewhere they were given one by one.
    (tensor.float_data, tensor.int32_data, tensor.int64_data) = Default::default();
    let mut bytes = tensor.raw_data.to_vec();
    bytes.resize(length.min(4096), random.u8(..));
    tensor.raw_data = bytes.into();
}

fn value(tensor: &mut TensorProto, random: &mut Rng) -> Option<()> {
    if let Some(value) = random.choice(&mut tensor.int64_data) {
        *value = number(random);
    }
    if let Some(value) = random.choice(&mut tensor.float_data) {
        *value = real(random);
    }
    let mut bytes = tensor.raw_data.to_vec();
    let new = match tensor.data_type {
        1 => real(random).to_le_bytes().to_vec(),
        7 => number(random).to_le_bytes().to_vec(),
        6 => (number(random) as i32).to_le_bytes().to_vec(),
        _ => vec![random.u8(..)],
    };
    let at = random.usize(0..(bytes.len() / new.len()).max(1)) * new.len();
    bytes.get_mut(at..at + new.len())?.copy_from_slice(&new);
    tensor.raw_data = bytes.into();
    Some(())
}
