//! Operators that only move bytes, and the largest of them, which keeps their order too: what is
//! quantized behind such an operator can be quantized before it.

use super::located::{IMAGE, Located};
use super::real::Real;
use super::window;
use super::{Bytes, Lowering, Why};
use crate::int8::draft::Sketch;
use crate::int8::movement::{Gather, Loop, Rearrange};
use crate::int8::pool::{MaxPool, Window};
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;

/// Whether this is an operator that moves its inputs.
pub(crate) fn moves(node: &NodeProto) -> bool {
    match node.op_type.as_str() {
        "Transpose" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" | "Concat"
        | "Slice" | "Split" | "Pad" | "GlobalMaxPool" | "SpaceToDepth" | "DepthToSpace" => true,
        "MaxPool" | "Dropout" => node.output.iter().skip(1).all(String::is_empty),
        "Resize" | "Upsample" => window::mode(node) == "nearest",
        _ => false,
    }
}

/// The inputs that are moved; others are parameters.
pub(crate) fn moved_inputs(node: &NodeProto) -> impl Iterator<Item = &String> {
    let count = if node.op_type == "Concat" { node.input.len() } else { 1 };
    node.input.iter().take(count)
}

/// From a number of the graph (a Pad's value) to the byte that stands for it.
pub(super) type Fill<'f> = &'f dyn Fn(f64) -> i8;

impl<'a> Lowering<'a> {
    pub(super) fn movement(&mut self, node: &'a NodeProto) -> Result<(), Why> {
        let output = node.output.first().and_then(|name| self.facts.get(name));
        let element = output.ok_or("the shape of its output is not known")?.element;
        if element == u8::datum_type() || element == i8::datum_type() {
            let unsigned = element == u8::datum_type();
            let offset = if unsigned { 128.0 } else { 0.0 };
            let mut inputs = Vec::new();
            if moved_inputs(node).any(|name| self.facts.is_constant(name)) {
                return Err("it moves a constant".into());
            }
            for name in moved_inputs(node) {
                inputs.push(self.integers(name, unsigned)?);
            }
            let outputs = self.moved(node, &inputs, &|value| (value - offset) as i8)?;
            for (name, located) in node.output.iter().zip(outputs) {
                self.bytes.insert(name, Bytes { located, unsigned });
            }
            return Ok(());
        }
        if element != f32::datum_type() {
            return Err(format!("it moves {element:?}"));
        }
        if self.moved_exactly(node)? {
            return Ok(());
        }
        if !moved_inputs(node).any(|name| self.reals.contains_key(name.as_str())) {
            return Err("its input is not quantized".into());
        }
        for (slot, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            self.reals.insert(name, Real::Moved { node: self.now, slot });
        }
        Ok(())
    }

    /// Moves what are bytes of one scale already; false if they are not.
    fn moved_exactly(&mut self, node: &'a NodeProto) -> Result<bool, Why> {
        let mut inputs = Vec::new();
        let mut common = None;
        for name in moved_inputs(node) {
            let Ok((located, quantization)) = self.view(name) else { return Ok(false) };
            if *common.get_or_insert(quantization) != quantization {
                return Ok(false);
            }
            inputs.push(located);
        }
        let Some(quantization) = common else { return Ok(false) };
        if node.op_type == "Pad" {
            let value = self.pad_value(node)?;
            let byte = i32::from(quantization.quantize(value));
            let exact = (byte - quantization.zero_point) as f32 * quantization.scale;
            if f64::from(exact) != value {
                return Ok(false);
            }
        }
        let outputs = self.moved(node, &inputs, &|real| quantization.quantize(real))?;
        for (name, located) in node.output.iter().zip(outputs) {
            self.reals.insert(name, Real::View { located, quantization });
        }
        Ok(true)
    }

    /// The outputs of a node for its inputs as bytes.
    pub(super) fn moved(
        &mut self,
        node: &'a NodeProto,
        inputs: &[Located],
        fill: Fill,
    ) -> Result<Vec<Located>, Why> {
        let input = inputs.first().ok_or("it has no input")?;
        let shape = self.facts.shape(&node.output[0]);
        let shape = shape.ok_or("the shape of its output is not known")?.to_vec();
        if shape.contains(&0) {
            return Err("its output is empty".into());
        }
        match node.op_type.as_str() {
            "Identity" | "Dropout" => Ok(vec![input.clone()]),
            "Transpose" => Ok(vec![self.transposed(node, input)?]),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
                Ok(vec![self.regarded(input, shape)])
            }
            "Concat" => Ok(vec![self.concatenated(node, inputs, shape)?]),
            "Split" => self.split(node, input),
            "Slice" => Ok(vec![self.sliced(node, input, shape)?]),
            "Pad" => Ok(vec![self.padded(node, input, shape, fill)?]),
            "MaxPool" | "GlobalMaxPool" => {
                let image = self.image(input)?;
                let window = match node.op_type.as_str() {
                    "MaxPool" => window::window(self, node, &image.shape, &shape)?,
                    _ => Window::global(image.shape[2], image.shape[3]),
                };
                Ok(vec![self.image_step(Sketch::MaxPool(MaxPool::new(window)), &image, shape)])
            }
            "Resize" | "Upsample" => {
                let image = self.image(input)?;
                let resize = window::resize(self, node, &image.shape, &shape)?;
                let rows = resize.nearest(0);
                let gather = Gather {
                    rows,
                    columns: resize.nearest(1),
                    channels: (0..shape[1] as u32).collect(),
                    fill: 0,
                };
                Ok(vec![self.image_step(Sketch::Gather(gather), &image, shape)])
            }
            "SpaceToDepth" | "DepthToSpace" => {
                self.blocks(node, input, shape).map(|located| vec![located])
            }
            _ => Err("it does not move bytes".into()),
        }
    }

    /// A tensor of four axes, channels last in memory.
    pub(super) fn image(&mut self, located: &Located) -> Result<Located, Why> {
        match located.shape.len() {
            4 => Ok(self.ordered(located, &IMAGE)),
            rank => Err(format!("it works on {rank} axes, not on pictures (4)")),
        }
    }

    /// A step whose output lies channels last.
    pub(super) fn image_step(
        &mut self,
        sketch: Sketch,
        input: &Located,
        shape: Vec<usize>,
    ) -> Located {
        self.emit_located(sketch, vec![input.value], shape, IMAGE.to_vec())
    }

    fn transposed(&self, node: &NodeProto, input: &Located) -> Result<Located, Why> {
        let rank = input.shape.len();
        let reversed = || (0..rank as i64).rev().collect();
        let permutation: Vec<usize> = self
            .list(node, "perm")
            .unwrap_or_else(reversed)
            .iter()
            .map(|axis| *axis as usize)
            .collect();
        let position = |axis: usize| permutation.iter().position(|other| *other == axis);
        let order: Option<Vec<usize>> = input.order.iter().map(|axis| position(*axis)).collect();
        let order =
            order.filter(|_| permutation.len() == rank).ok_or("its perm is no permutation")?;
        let shape = permutation.iter().map(|axis| input.shape[*axis]).collect();
        Ok(Located { value: input.value, shape, order })
    }

    /// The same elements in their order, under another shape.
    fn regarded(&mut self, input: &Located, shape: Vec<usize>) -> Located {
        let long = |shape: &[usize]| -> Vec<usize> {
            (0..shape.len()).filter(|axis| shape[*axis] != 1).collect()
        };
        let (from, to) = (long(&input.shape), long(&shape));
        let same = from.len() == to.len()
            && from.iter().zip(&to).all(|(a, b)| input.shape[*a] == shape[*b]);
        if same {
            // Only ones come or go: the axes keep their order of memory.
            let mut order: Vec<usize> = (0..shape.len()).filter(|axis| shape[*axis] == 1).collect();
            let moved = input.order.iter().filter_map(|axis| from.iter().position(|a| a == axis));
            order.extend(moved.map(|at| to[at]));
            return self.reshaped(input, shape, order);
        }
        let own: Vec<usize> = (0..input.shape.len()).collect();
        let input = self.ordered(input, &own);
        let order = (0..shape.len()).collect();
        self.reshaped(&input, shape, order)
    }

    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Why> {
        let wanted = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(wanted)
            .ok()
            .filter(|axis| *axis < rank)
            .ok_or_else(|| format!("it has no axis {axis}"))
    }

    /// Where an axis lies among a value's four.
    pub(super) fn memory_axis(located: &Located, axis: usize) -> Result<usize, Why> {
        let rank = located.order.len();
        if rank > 4 {
            return Err(format!("it works on {rank} axes"));
        }
        let at = located.order.iter().position(|other| *other == axis);
        Ok(4 - rank + at.ok_or("it has no such axis")?)
    }

    fn concatenated(
        &mut self,
        node: &NodeProto,
        inputs: &[Located],
        shape: Vec<usize>,
    ) -> Result<Located, Why> {
        let rank = shape.len();
        let axis = self.axis(self.integer(node, "axis", 1), rank)?;
        let order = match inputs.iter().find(|input| rank == 4 && input.order == IMAGE) {
            Some(image) => image.order.clone(),
            None => inputs[0].order.clone(),
        };
        let mut values = Vec::new();
        for input in inputs {
            if input.shape.len() != rank {
                return Err("its inputs differ in rank".into());
            }
            let ordered = self.ordered(input, &order);
            // A view with other dimensions would have to be copied anyway.
            values.push(ordered.value);
        }
        let whole = Located { value: 0, shape: shape.clone(), order: order.clone() };
        let axis = Self::memory_axis(&whole, axis)?;
        Ok(self.emit_located(Sketch::Concat { axis }, values, shape, order))
    }

    fn blocks(
        &mut self,
        node: &NodeProto,
        input: &Located,
        shape: Vec<usize>,
    ) -> Result<Located, Why> {
        let image = self.image(input)?;
        let block = self.integer(node, "blocksize", 1).max(1) as usize;
        let [batch, channels, height, width] = shape[..] else {
            return Err("it is no picture".into());
        };
        let to_space = node.op_type == "DepthToSpace";
        let [deep, wide] = if to_space { [&image.shape, &shape] } else { [&shape, &image.shape] };
        let times = |a: usize| a.checked_mul(block);
        if times(wide[1]).and_then(times) != Some(deep[1])
            || (times(deep[2]), times(deep[3])) != (Some(wide[2]), Some(wide[3]))
        {
            return Err(format!("its blocks of {block} do not divide its input"));
        }
        let rows_first =
            node.get_attr_opt::<String>("mode").ok().flatten().as_deref() == Some("CRD");
        // In terms of the picture with few, large planes: `small` rows of `block` rows each.
        let (small, planes) = match to_space {
            true => ([height / block, width / block], channels),
            false => ([height, width], channels / (block * block)),
        };
        // The step of block row, block column and plane among the many channels.
        let steps = match to_space && rows_first {
            true => [block, 1, block * block],
            false => [block * planes, planes, 1],
        };
        let pair = |deep: (usize, usize), wide: (usize, usize)| match to_space {
            true => (deep, wide),
            false => (wide, deep),
        };
        let step = |extent: usize, deep: (usize, usize), wide: (usize, usize)| {
            let (from, to) = pair(deep, wide);
            Loop { extent, from, to }
        };
        let loops = vec![
            step(batch, (0, 1), (0, 1)),
            step(small[0], (1, 1), (1, block)),
            step(block, (3, steps[0]), (1, 1)),
            step(small[1], (2, 1), (2, block)),
            step(block, (3, steps[1]), (2, 1)),
            step(planes, (3, steps[2]), (3, 1)),
        ];
        Ok(self.image_step(Sketch::Rearrange(Rearrange { loops }), &image, shape))
    }
}
