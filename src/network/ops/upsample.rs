//! Upsample (ONNX opset 7 and 9, deprecated by 10): Resize with asymmetric coordinates.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};
use tract_onnx::tract_hir::internal::*;

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("Upsample", upsample);
}

/// Opset 9 has the scales as second input, opset 7 as attribute ([`super::super::load`] has
/// made it an input by then).
fn upsample(
    ctx: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let resize = *ctx.framework.op_register.0.get("Resize").context("no Resize")?;
    let mut node = node.clone();
    ensure!(node.input.len() == 2, "Upsample takes a tensor and its scales");
    // As Resize 13 has it: X, roi (none), scales.
    node.input.insert(1, String::new());
    node.attribute.push(text("coordinate_transformation_mode", "asymmetric"));
    node.attribute.push(text("nearest_mode", "floor"));
    node.op_type = "Resize".to_owned();
    resize(&ParsingContext { onnx_operator_set_version: 13, ..ctx.clone() }, &node)
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        s: value.as_bytes().to_vec(),
        r#type: AttributeType::String as i32,
        ..Default::default()
    }
}
