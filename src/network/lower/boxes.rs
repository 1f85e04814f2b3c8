//! Slice, Split, Pad: boxes of a value without a copy where they have no gaps, else copies along
//! lists of indices.

use super::located::{self, Located};
use super::movement::Fill;
use super::{Lowering, Why};
use crate::int8::draft::Sketch;
use crate::int8::movement::Gather;
use tract_onnx::pb::NodeProto;

impl<'a> Lowering<'a> {
    fn cut(
        &mut self,
        input: &Located,
        axis_starts: &[(usize, usize)],
        shape: Vec<usize>,
    ) -> Result<Located, Why> {
        let fits = |axis: usize, first: usize| {
            shape.get(axis).is_some_and(|extent| first + extent <= input.shape[axis])
        };
        if shape.len() != input.shape.len()
            || axis_starts.iter().any(|(axis, first)| !fits(*axis, *first))
        {
            return Err("it reaches outside its input".into());
        }
        let mut start = [0; 4];
        for (axis, first) in axis_starts {
            start[Self::memory_axis(input, *axis)?] = *first;
        }
        let dims = located::dims(&shape, &input.order);
        let value = self.boxed(input.value, start, dims);
        Ok(Located { value, shape, order: input.order.clone() })
    }

    pub(super) fn split(&mut self, node: &NodeProto, input: &Located) -> Result<Vec<Located>, Why> {
        let axis = self.axis(self.integer(node, "axis", 0), input.shape.len())?;
        let mut start = 0;
        let mut outputs = Vec::new();
        for name in &node.output {
            let shape =
                self.facts.shape(name).ok_or("the shape of its output is not known")?.to_vec();
            let extent = *shape.get(axis).ok_or("its output has another rank")?;
            outputs.push(self.cut(input, &[(axis, start)], shape)?);
            start += extent;
        }
        match start == input.shape[axis] {
            true => Ok(outputs),
            false => Err("its parts do not make up its input".into()),
        }
    }

    pub(super) fn sliced(
        &mut self,
        node: &NodeProto,
        input: &Located,
        shape: Vec<usize>,
    ) -> Result<Located, Why> {
        let starts = self.parameter(node, 1, "starts")?.ok_or("it has no starts")?;
        let axes = self.parameter(node, 3, "axes")?;
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.parameter(node, 4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        if axes.len() != starts.len() || steps.len() != starts.len() {
            return Err("its starts, axes and steps differ in number".into());
        }
        let mut cuts = Vec::new();
        for ((axis, start), step) in axes.iter().zip(&starts).zip(&steps) {
            let axis = self.axis(*axis, input.shape.len())?;
            let extent = input.shape[axis] as i64;
            let start = if *start < 0 { start.saturating_add(extent) } else { *start };
            let start = start.clamp(0, if *step < 0 { extent - 1 } else { extent });
            cuts.push((axis, start, *step));
        }
        if cuts.iter().all(|(_, _, step)| *step == 1) {
            let starts: Vec<(usize, usize)> =
                cuts.iter().map(|(axis, start, _)| (*axis, *start as usize)).collect();
            return self.cut(input, &starts, shape);
        }
        let mut lists: Vec<Vec<u32>> =
            input.shape.iter().map(|extent| (0..*extent as u32).collect()).collect();
        for (axis, start, step) in cuts {
            let index = |i: usize| {
                let at = step.checked_mul(i as i64)?.checked_add(start)?;
                u32::try_from(at).ok()
            };
            let extent = *shape.get(axis).ok_or("its output has another rank")?;
            let list: Option<Vec<u32>> = (0..extent).map(index).collect();
            lists[axis] = list.ok_or("it reaches outside its input")?;
        }
        self.gathered(input, lists, shape, 0)
    }

    /// Copies by lists of indices, one for each axis; the batch must stay as it is.
    fn gathered(
        &mut self,
        input: &Located,
        lists: Vec<Vec<u32>>,
        shape: Vec<usize>,
        fill: i8,
    ) -> Result<Located, Why> {
        let extents = lists.iter().map(Vec::len);
        if !extents.eq(shape.iter().copied()) {
            return Err("its output has another size".into());
        }
        let mut memory = [vec![0], vec![0], vec![0], vec![0]];
        for (axis, list) in lists.into_iter().enumerate() {
            let extent = input.shape[axis];
            if list.iter().any(|index| *index != Gather::FILL && *index as usize >= extent) {
                return Err("it reaches outside its input".into());
            }
            memory[Self::memory_axis(input, axis)?] = list;
        }
        let [batch, rows, columns, channels] = memory;
        if batch.iter().enumerate().any(|(i, index)| *index as usize != i) {
            return Err("it changes the batch".into());
        }
        let gather = Sketch::Gather(Gather { rows, columns, channels, fill });
        Ok(self.emit_located(gather, vec![input.value], shape, input.order.clone()))
    }

    pub(super) fn pad_value(&self, node: &NodeProto) -> Result<f64, Why> {
        match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => {
                let value = self.facts.reals(name).ok_or("its value is not constant")?;
                Ok(value.first().map_or(0.0, |value| f64::from(*value)))
            }
            None => Ok(node.get_attr_opt::<f32>("value").ok().flatten().unwrap_or(0.0).into()),
        }
    }

    pub(super) fn padded(
        &mut self,
        node: &NodeProto,
        input: &Located,
        shape: Vec<usize>,
        fill: Fill,
    ) -> Result<Located, Why> {
        let rank = input.shape.len();
        let pads = self.parameter(node, 1, "pads")?.ok_or("it has no pads")?;
        let axes = self.parameter(node, 3, "axes")?.unwrap_or_else(|| (0..rank as i64).collect());
        if pads.len() != 2 * axes.len() {
            return Err("its pads are not two for each axis".into());
        }
        let mode =
            node.get_attr_opt::<String>("mode").ok().flatten().unwrap_or_else(|| "constant".into());
        let mut before = vec![0; rank];
        for (at, axis) in axes.iter().enumerate() {
            before[self.axis(*axis, rank)?] = pads[at];
        }
        let mut lists = Vec::new();
        for (axis, before) in before.into_iter().enumerate() {
            let extent = input.shape[axis] as i64;
            let index = |i: usize| -> Option<u32> {
                let at = (i as i64).saturating_sub(before);
                let inside = (0..extent).contains(&at);
                let at = match mode.as_str() {
                    _ if inside => at,
                    "edge" => at.clamp(0, extent - 1),
                    "wrap" => at.rem_euclid(extent),
                    "reflect" if extent > 1 => {
                        let period = 2 * (extent - 1);
                        let at = at.rem_euclid(period);
                        at.min(period - at)
                    }
                    "reflect" => 0,
                    _ => return None,
                };
                Some(at as u32)
            };
            let extent = *shape.get(axis).ok_or("its output has another rank")?;
            lists.push((0..extent).map(|i| index(i).unwrap_or(Gather::FILL)).collect());
        }
        let fill = fill(self.pad_value(node)?);
        self.gathered(input, lists, shape, fill)
    }
}
