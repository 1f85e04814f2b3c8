//! Convolutions and matrix products over bytes with constant, quantized weights.

use super::columns::finish;
use super::located::{IMAGE, Located};
use super::real::Target;
use super::window;
use super::{Lowering, Why};
use crate::int8::Quantization;
use crate::int8::convolution::Geometry;
use crate::int8::draft::{Convolution, Sketch, TransposedConvolution};
use tract_onnx::pb::NodeProto;

/// Each pixel of a transposed convolution's stride has weights of its own order.
const MOST_PHASES: usize = 1024;

impl<'a> Lowering<'a> {
    /// The step of a linear operator, requantized to `target`.
    pub(super) fn linear(&mut self, node: &'a NodeProto, target: Target) -> Result<Located, Why> {
        let shape = self.facts.shape(&node.output[0]).ok_or("its shape is not known")?.to_vec();
        match node.op_type.as_str() {
            "Conv" => {
                let (input, convolution) = self.convolution(node, Some(target))?;
                let sketch = Sketch::Convolution(Box::new(convolution));
                Ok(self.image_step(sketch, &input, shape))
            }
            "ConvTranspose" => {
                let (input, transposed) = self.transposed_convolution(node, target)?;
                let sketch = Sketch::Transposed(Box::new(transposed));
                Ok(self.image_step(sketch, &input, shape))
            }
            _ => {
                let (input, convolution) = self.product(node, Some(target))?;
                let sketch = Sketch::Convolution(Box::new(convolution));
                let order = (0..shape.len()).collect();
                Ok(self.emit_located(sketch, vec![input.value], shape, order))
            }
        }
    }

    /// The step of a linear operator whose sums become reals outside.
    pub(super) fn real_linear(
        &mut self,
        node: &'a NodeProto,
        tensor: usize,
        (low, high): (f64, f64),
    ) -> Result<(), Why> {
        let shape = self.facts.shape(&node.output[0]).ok_or("its shape is not known")?.to_vec();
        let (input, convolution, order) = match node.op_type.as_str() {
            "Conv" => {
                let (input, convolution) = self.convolution(node, None)?;
                (input, convolution, IMAGE.to_vec())
            }
            "Gemm" | "MatMul" => {
                let (input, convolution) = self.product(node, None)?;
                (input, convolution, (0..shape.len()).collect())
            }
            _ => return Err("its output is not quantized".into()),
        };
        let (batch, strides) = super::located::strides(&shape, &order);
        let convolution = Box::new(convolution);
        let (low, high) = (low as f32, high as f32);
        let sketch = Sketch::RealConvolution { convolution, tensor, strides, batch, low, high };
        self.push(sketch, vec![input.value], None);
        Ok(())
    }

    fn convolution(
        &mut self,
        node: &'a NodeProto,
        target: Option<Target>,
    ) -> Result<(Located, Convolution), Why> {
        let (located, quantization, pads) = self.padded_view(&node.input[0])?;
        let output = self.facts.shape(&node.output[0]).ok_or("its shape is not known")?;
        let (&[_, in_channels, in_height, in_width], &[_, columns, out_height, out_width]) =
            (&located.shape[..], output)
        else {
            return Err("it does not work on pictures".into());
        };
        let mut window = window::window(self, node, &located.shape, output)?;
        for (before, pad) in window.before.iter_mut().zip(pads) {
            *before += pad;
        }
        let groups = self.integer(node, "group", 1).max(1) as usize;
        let weights = self.weights(&node.input[1], 0)?;
        let per_group = in_channels / groups;
        let [kernel_height, kernel_width] = window.kernel;
        if weights.shape != [columns, per_group, kernel_height, kernel_width]
            || !in_channels.is_multiple_of(groups)
            || !columns.is_multiple_of(groups)
        {
            return Err(format!(
                "its weights {:?} do not fit {in_channels} channels in {groups} groups",
                weights.shape
            ));
        }
        let taps = kernel_height * kernel_width;
        let mut values = vec![0; weights.values.len()];
        for (column, filter) in weights.values.chunks(per_group * taps).enumerate() {
            let target = &mut values[column * per_group * taps..][..per_group * taps];
            for (channel, plane) in filter.chunks(taps).enumerate() {
                for (tap, weight) in plane.iter().enumerate() {
                    target[tap * per_group + channel] = *weight;
                }
            }
        }
        let bias = node.input.get(2);
        let scales =
            |column: usize| weights.scales[if weights.scales.len() == 1 { 0 } else { column }];
        let linear = self.columns(bias, columns, quantization, &scales, 1.0, 1.0)?;
        let (bias, requantize) = finish(&linear, &values, taps * per_group, target)?;
        let geometry = Geometry {
            in_height,
            in_width,
            in_channels: per_group,
            kernel: window.kernel,
            stride: window.stride,
            dilation: window.dilation,
            pad_top: window.before[0] as isize,
            pad_left: window.before[1] as isize,
            out_height,
            out_width,
        };
        let input_zero_point = quantization.zero_point;
        let input = self.image(&located)?;
        let weights = values;
        Ok((
            input,
            Convolution { geometry, groups, columns, weights, bias, input_zero_point, requantize },
        ))
    }

    /// The bytes of a convolution's input; a Pad with zeroes before it joins its own padding
    /// (returned: what is above and to the left).
    fn padded_view(&mut self, name: &'a str) -> Result<(Located, Quantization, [usize; 2]), Why> {
        let plain = |(located, quantization)| (located, quantization, [0, 0]);
        let view = self.view(name).map(plain);
        let Some(node) = self.producers.get(name).map(|index| self.node(*index)) else {
            return view;
        };
        if node.op_type != "Pad" {
            return view;
        }
        let input = node.input.first().map(|input| self.view(input));
        let Some(Ok((located, quantization))) = input else { return view };
        let constant = node.get_attr_opt::<String>("mode").ok().flatten();
        let constant = constant.is_none_or(|mode| mode == "constant");
        let pads = self.parameter(node, 1, "pads").ok().flatten();
        match pads.as_deref() {
            Some(&[0, 0, top, left, 0, 0, bottom, right])
                if constant
                    && node.input.get(3).is_none_or(String::is_empty)
                    && top.min(left).min(bottom).min(right) >= 0
                    && self.pad_value(node) == Ok(0.0) =>
            {
                Ok((located, quantization, [top as usize, left as usize]))
            }
            _ => view,
        }
    }

    fn transposed_convolution(
        &mut self,
        node: &'a NodeProto,
        target: Target,
    ) -> Result<(Located, TransposedConvolution), Why> {
        let (located, quantization) = self.view(&node.input[0])?;
        let output = self.facts.shape(&node.output[0]).ok_or("its shape is not known")?;
        let (&[_, in_channels, in_height, in_width], &[_, columns, out_height, out_width]) =
            (&located.shape[..], output)
        else {
            return Err("it does not work on pictures".into());
        };
        let groups = self.integer(node, "group", 1).max(1) as usize;
        let weights = self.weights(&node.input[1], 1)?;
        let &[first, columns_per_group, kernel_height, kernel_width] = &weights.shape[..] else {
            return Err("its weights do not have four axes".into());
        };
        if first != in_channels
            || columns_per_group.checked_mul(groups) != Some(columns)
            || !in_channels.is_multiple_of(groups)
        {
            return Err(format!(
                "its weights {:?} do not fit {in_channels} channels",
                weights.shape
            ));
        }
        let pair = |name: &str| match self.list(node, name).as_deref() {
            None | Some([]) => Ok([1, 1]),
            Some(&[a, b]) if a > 0 && b > 0 => Ok([a as usize, b as usize]),
            Some(_) => Err(format!("its {name} are not two positive numbers")),
        };
        let (stride, dilation) = (pair("strides")?, pair("dilations")?);
        if stride[0].saturating_mul(stride[1]) > MOST_PHASES {
            return Err(format!("its strides {stride:?} are too long"));
        }
        let kernel = [kernel_height, kernel_width];
        let pad = self.transposed_padding(
            node,
            [in_height, in_width],
            [out_height, out_width],
            kernel,
            stride,
            dilation,
        )?;
        // To [column][ky][kx][channel of the group].
        let (taps, per_group) = (kernel_height * kernel_width, in_channels / groups);
        let mut values = vec![0; weights.values.len()];
        for (channel, filters) in weights.values.chunks(columns_per_group * taps).enumerate() {
            let (group, channel) = (channel / per_group, channel % per_group);
            for (column, plane) in filters.chunks(taps).enumerate() {
                let column = group * columns_per_group + column;
                for (tap, weight) in plane.iter().enumerate() {
                    values[(column * taps + tap) * per_group + channel] = *weight;
                }
            }
        }
        let scales = |column: usize| match weights.scales.len() {
            1 => weights.scales[0],
            _ => weights.scales[column % columns_per_group],
        };
        let linear = self.columns(node.input.get(2), columns, quantization, &scales, 1.0, 1.0)?;
        let (bias, requantize) = finish(&linear, &values, taps * per_group, Some(target))?;
        let geometry = Geometry {
            in_height,
            in_width,
            in_channels: per_group,
            kernel,
            stride: [1, 1],
            dilation: [1, 1],
            pad_top: 0,
            pad_left: 0,
            out_height,
            out_width,
        };
        let input_zero_point = quantization.zero_point;
        let input = self.image(&located)?;
        let weights = values;
        let convolution =
            Convolution { geometry, groups, columns, weights, bias, input_zero_point, requantize };
        Ok((input, TransposedConvolution { convolution, stride, dilation, pad }))
    }

    /// Above and to the left: ONNX ConvTranspose (opset 11) works it out of the output's size
    /// where the file does not give it.
    fn transposed_padding(
        &self,
        node: &NodeProto,
        input: [usize; 2],
        output: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
    ) -> Result<[usize; 2], Why> {
        let auto = node.get_attr_opt::<String>("auto_pad").ok().flatten().unwrap_or_default();
        let shaped = self.list(node, "output_shape").is_some_and(|shape| !shape.is_empty());
        let pads = match self.list(node, "pads").as_deref() {
            None | Some([]) => [0, 0],
            Some(&[top, left, bottom, right]) if top.min(left).min(bottom).min(right) >= 0 => {
                [top as usize, left as usize]
            }
            Some(_) => return Err("its pads are not four numbers from 0 on".into()),
        };
        if !shaped && !auto.starts_with("SAME") {
            return Ok(if auto == "VALID" { [0, 0] } else { pads });
        }
        let extra = self.list(node, "output_padding").unwrap_or_default();
        let mut start = [0; 2];
        for axis in 0..2 {
            let extra = extra.get(axis).copied().unwrap_or(0);
            let reach = stride[axis] * (input[axis] - 1) + (kernel[axis] - 1) * dilation[axis] + 1;
            let total = (reach as i64 + extra - output[axis] as i64).max(0);
            let half = total / 2;
            start[axis] = if auto == "SAME_UPPER" { half } else { total - half } as usize;
        }
        Ok(start)
    }

    /// Gemm and MatMul: a convolution of 1x1 over the rows.
    fn product(
        &mut self,
        node: &'a NodeProto,
        target: Option<Target>,
    ) -> Result<(Located, Convolution), Why> {
        let (mut located, quantization) = self.view(&node.input[0])?;
        let flag = |name: &str| self.integer(node, name, 0) != 0;
        let gemm = node.op_type == "Gemm";
        if gemm && flag("transA") && !located.shape.is_empty() {
            located.shape.reverse();
            let last = located.shape.len() - 1;
            located.order.iter_mut().for_each(|axis| *axis = last - *axis);
        }
        let rank = located.shape.len();
        if !(1..=4).contains(&rank) {
            return Err(format!("it works on {rank} axes"));
        }
        let depth = located.shape[rank - 1];
        let transposed = gemm && flag("transB");
        let weights = self.weights(&node.input[1], if transposed { 0 } else { 1 })?;
        let &[a, b] = &weights.shape[..] else {
            return Err("its weights do not have two axes".into());
        };
        let (rows, columns) = if transposed { (b, a) } else { (a, b) };
        if rows != depth {
            return Err(format!("its weights {:?} do not fit {depth} columns", weights.shape));
        }
        let values = match transposed {
            true => weights.values,
            false => {
                let at = |i: usize| weights.values[i % depth * columns + i / depth];
                (0..weights.values.len()).map(at).collect()
            }
        };
        let factor = |name: &str| node.get_attr_opt::<f32>(name).ok().flatten().unwrap_or(1.0);
        let (alpha, beta) = (factor("alpha"), factor("beta"));
        let scales =
            |column: usize| weights.scales[if weights.scales.len() == 1 { 0 } else { column }];
        let bias = node.input.get(2).filter(|_| gemm);
        let linear =
            self.columns(bias, columns, quantization, &scales, alpha.into(), beta.into())?;
        let (bias, requantize) = finish(&linear, &values, depth, target)?;
        let own: Vec<usize> = (0..rank).collect();
        let input = self.ordered(&located, &own);
        let [_, height, width, _] = input.dims();
        let geometry = Geometry {
            in_height: height,
            in_width: width,
            in_channels: depth,
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad_top: 0,
            pad_left: 0,
            out_height: height,
            out_width: width,
        };
        let input_zero_point = quantization.zero_point;
        let weights = values;
        Ok((
            input,
            Convolution {
                geometry,
                groups: 1,
                columns,
                weights,
                bias,
                input_zero_point,
                requantize,
            },
        ))
    }
}
