//! What a network's ports say, made exact by the card: shapes, layouts, classes.

use super::NetworkError;
use super::load::{OpenInput, Port, Ports};
use super::model::OutputSpec;
use crate::compose::palette;
use crate::config::card::{Axes, Card, Class, Color, Kind, MAX_CLASSES};
use crate::prepare::{Element, InputSpec};
use tract_onnx::prelude::DatumType;

/// Fills in what a picture network leaves open: one picture at a time, of the card's size.
pub fn open_shape(path: &str, input: &OpenInput, card: &Card) -> Result<Vec<usize>, NetworkError> {
    let error = |found: String, expected: &str| NetworkError::Card {
        path: path.to_owned(),
        field: format!("input \"{}\"", input.name),
        found,
        expected: expected.to_owned(),
    };
    let written: Vec<String> =
        input.shape.iter().map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string())).collect();
    let written = format!("shape {}", written.join("x"));
    let &[batch, second, third, fourth] = &input.shape[..] else {
        return Err(error(written, "a picture: 4 axes, batch, channels, height and width"));
    };
    let color = card.input.color.map(Color::channels);
    let axes = card.input.layout.unwrap_or(match (second, fourth) {
        (Some(1 | 3), _) => Axes::Nchw,
        (_, Some(1 | 3)) => Axes::Nhwc,
        _ => Axes::Nchw,
    });
    let (channels, height, width) = match axes {
        Axes::Nchw => (second, third, fourth),
        Axes::Nhwc => (fourth, second, third),
    };
    let (height, width) = match (height, width, card.input.size) {
        (Some(height), Some(width), _) => (height, width),
        (height, width, Some([card_height, card_width])) => {
            (height.unwrap_or(card_height as usize), width.unwrap_or(card_width as usize))
        }
        (_, _, None) => {
            let hint = "a fixed height and width; set input.size = [height, width] in the card, or --set input.size=[256,256]";
            return Err(error(written, hint));
        }
    };
    let Some(channels) = channels.or(color) else {
        return Err(error(written, "a number of channels; set input.color in the card"));
    };
    let batch = batch.unwrap_or(1);
    Ok(match axes {
        Axes::Nchw => vec![batch, channels, height, width],
        Axes::Nhwc => vec![batch, height, width, channels],
    })
}

pub fn input_spec(network: &Ports, card: &Card) -> Result<InputSpec, NetworkError> {
    let error = |port: &Port, expected: &str| NetworkError::Card {
        path: network.path.clone(),
        field: format!("input \"{}\"", port.name),
        found: port.describe(),
        expected: expected.to_owned(),
    };
    let [port] = &network.inputs[..] else {
        return Err(NetworkError::Card {
            path: network.path.clone(),
            field: "inputs".to_owned(),
            found: format!("{} of them", network.inputs.len()),
            expected: "one, the picture (use `infer --tensor` for others)".to_owned(),
        });
    };
    let element = match port.element {
        DatumType::U8 => Element::U8,
        DatumType::I8 => Element::I8,
        DatumType::F32 => Element::F32,
        _ => return Err(error(port, "elements of type f32, u8 or i8")),
    };
    let &[batch, second, third, fourth] = &port.shape[..] else {
        return Err(error(port, "a picture: 4 axes, batch, channels, height and width"));
    };
    if batch != 1 {
        return Err(error(port, "a batch of 1"));
    }
    let axes = match card.input.layout {
        Some(axes) => axes,
        None if matches!(second, 1 | 3) => Axes::Nchw,
        None if matches!(fourth, 1 | 3) => Axes::Nhwc,
        None => return Err(error(port, "1 channel (gray) or 3 (rgb, bgr)")),
    };
    let (channels, height, width) = match axes {
        Axes::Nchw => (second, third, fourth),
        Axes::Nhwc => (fourth, second, third),
    };
    let color = card.input.color.unwrap_or(match channels {
        1 => Color::Gray,
        _ => Color::Rgb,
    });
    if channels != color.channels() {
        let expected = match card.input.color {
            Some(Color::Gray) => "1 channel, since the card says color = \"gray\"",
            Some(_) => "3 channels, since the card says color = \"rgb\" or \"bgr\"",
            None => "1 channel (gray) or 3 (rgb, bgr)",
        };
        return Err(error(port, &format!("{expected}, with layout {axes:?}").to_lowercase()));
    }
    let side = |side: usize| u32::try_from(side).ok().filter(|side| (1..=8192).contains(side));
    let (Some(height), Some(width)) = (side(height), side(width)) else {
        return Err(error(port, "height and width from 1 to 8192"));
    };
    if card.input.size.is_some_and(|size| size != [height, width]) {
        let size = card.input.size.unwrap_or_default();
        let expected = format!(
            "{}x{}, since the card says input.size = {size:?}; only open dimensions can be chosen",
            size[0], size[1]
        );
        return Err(error(port, &expected));
    }
    let (mean, std) = (card.input.mean, card.input.std);
    Ok(InputSpec { element, axes, color, mean, std, height, width })
}

pub fn output_error(network: &Ports, index: usize, found: &str, expected: &str) -> NetworkError {
    let port = network.outputs.get(index);
    let port = port.map(|port| format!(" \"{}\" ({})", port.name, port.describe()));
    NetworkError::Card {
        path: network.path.clone(),
        field: format!("output {index}{}", port.unwrap_or_default()),
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}

pub fn output_spec(
    network: &Ports,
    card: &Card,
    input: &InputSpec,
) -> Result<OutputSpec, NetworkError> {
    let index = card.output.index;
    let error = |found: &str, expected: &str| output_error(network, index, found, expected);
    let Some(port) = network.outputs.get(index) else {
        let expected = format!("an index below {} (the outputs there are)", network.outputs.len());
        return Err(error(&format!("output.index = {index}"), &expected));
    };
    let whole = matches!(port.element, DatumType::I32 | DatumType::I64);
    let (axes, channels, height, width) = match port.shape[..] {
        [1, second, third, fourth] => match output_axes(&port.shape, card, input) {
            Axes::Nchw => (Axes::Nchw, second, third, fourth),
            Axes::Nhwc => (Axes::Nhwc, fourth, second, third),
        },
        [1, height, width] | [height, width] => (Axes::Nchw, 1, height, width),
        _ => {
            return Err(error(
                &port.describe(),
                "1 x classes x height x width, 1 x height x width x classes, or 1 x height x width",
            ));
        }
    };
    let kind = card.output.kind.unwrap_or(match channels {
        _ if whole => Kind::Labels,
        1 => Kind::Probability,
        _ => Kind::Scores,
    });
    match kind {
        Kind::Scores if !(2..=MAX_CLASSES).contains(&channels) => {
            return Err(error(
                &format!("{channels} channels"),
                "2 to 255 for output.kind \"scores\" (one channel: \"probability\" or \"labels\")",
            ));
        }
        Kind::Probability if channels != 1 => {
            return Err(error(
                &format!("{channels} channels"),
                "1 for output.kind \"probability\"",
            ));
        }
        Kind::Scores | Kind::Probability
            if !matches!(port.element, DatumType::F32 | DatumType::U8 | DatumType::I8) =>
        {
            return Err(error(&format!("{:?} elements", port.element), "f32, u8 or i8"));
        }
        Kind::Labels
            if !matches!(
                port.element,
                DatumType::U8 | DatumType::I8 | DatumType::I32 | DatumType::I64 | DatumType::F32
            ) =>
        {
            return Err(error(&format!("{:?} elements", port.element), "integer class ids"));
        }
        _ => {}
    }
    if height == 0 || width == 0 {
        return Err(error(&port.describe(), "at least one pixel"));
    }
    // Bytes stand for 0 to 1.
    let threshold = match port.element {
        DatumType::U8 => 255.0 * card.output.threshold,
        DatumType::I8 => 255.0 * card.output.threshold - 128.0,
        _ => card.output.threshold,
    };
    Ok(OutputSpec { index, kind, axes, channels, height, width, threshold })
}

/// Which axis of a 4-axis output holds the classes: the one the card's classes fit, else the
/// one of the input, else the smaller.
fn output_axes(shape: &[usize], card: &Card, input: &InputSpec) -> Axes {
    let (first, last) = (shape[1], shape[3]);
    let named = card.classes.len();
    match (first == named, last == named) {
        (true, false) if named > 0 => return Axes::Nchw,
        (false, true) if named > 0 => return Axes::Nhwc,
        _ => {}
    }
    let small = |channels: usize| channels <= MAX_CLASSES && channels < shape[2];
    match input.axes {
        Axes::Nchw if small(first) => Axes::Nchw,
        Axes::Nhwc if small(last) => Axes::Nhwc,
        _ if last < first => Axes::Nhwc,
        _ => Axes::Nchw,
    }
}

/// The card's classes, or numbered ones.
pub fn classes(path: &str, card: &Card, output: &OutputSpec) -> Result<Vec<Class>, NetworkError> {
    let expected = match output.kind {
        Kind::Scores => Some(output.channels),
        Kind::Probability => Some(2),
        Kind::Labels => None,
    };
    if card.classes.is_empty() {
        let numbered = |index: usize| Class {
            name: format!("class {index}"),
            // The first is the background more often than not.
            color: (index > 0).then(|| palette::color(index - 1)),
        };
        return Ok((0..expected.unwrap_or(MAX_CLASSES)).map(numbered).collect());
    }
    match expected {
        Some(expected) if expected != card.classes.len() => Err(NetworkError::Card {
            path: path.to_owned(),
            field: "[[class]]".to_owned(),
            found: format!("{} classes", card.classes.len()),
            expected: format!("{expected}, as the network's output {} has", output.index),
        }),
        _ => Ok(card.classes.clone()),
    }
}
