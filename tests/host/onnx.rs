//! Small networks made by the tests themselves.

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto::Dimension, tensor_shape_proto::dimension::Value,
    type_proto,
};

pub enum Attribute {
    Ints(&'static str, Vec<i64>),
    Int(&'static str, i64),
    Float(&'static str, f32),
    Text(&'static str, &'static str),
    Floats(&'static str, Vec<f32>),
}

/// A graph in the making.
pub struct Graph {
    graph: GraphProto,
    opset: i64,
}

impl Graph {
    pub fn new(opset: i64) -> Graph {
        Graph { graph: GraphProto { name: "test".into(), ..Default::default() }, opset }
    }

    /// A dimension of 0 is left open.
    pub fn input(mut self, name: &str, element: DataType, shape: &[i64]) -> Graph {
        self.graph.input.push(value(name, element, shape));
        self
    }

    pub fn output(mut self, name: &str, element: DataType) -> Graph {
        self.graph.output.push(value(name, element, &[]));
        self
    }

    pub fn floats(mut self, name: &str, shape: &[i64], values: &[f32]) -> Graph {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: shape.to_vec(),
            data_type: DataType::Float as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Default::default()
        });
        self
    }

    pub fn longs(mut self, name: &str, shape: &[i64], values: &[i64]) -> Graph {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: shape.to_vec(),
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    /// No dimensions for a single value.
    pub fn integers(
        mut self,
        name: &str,
        element: DataType,
        shape: &[i64],
        values: &[i32],
    ) -> Graph {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: shape.to_vec(),
            data_type: element as i32,
            int32_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    /// Puts the last node's operator into a domain.
    pub fn in_domain(mut self, domain: &str) -> Graph {
        self.graph.node.last_mut().unwrap().domain = domain.into();
        self
    }

    pub fn node(
        mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> Graph {
        self.graph.node.push(NodeProto {
            name: format!("{operator} {}", outputs[0]),
            op_type: operator.into(),
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: outputs.iter().map(|name| name.to_string()).collect(),
            attribute: attributes.into_iter().map(attribute).collect(),
            ..Default::default()
        });
        self
    }

    /// Gives all nodes the same name.
    pub fn named(mut self, name: &str) -> Graph {
        self.graph.node.iter_mut().for_each(|node| node.name = name.into());
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.opset }],
            graph: Some(self.graph),
            ..Default::default()
        }
        .encode_to_vec()
    }
}

fn attribute(attribute: Attribute) -> AttributeProto {
    let mut proto = AttributeProto::default();
    let (name, kind) = match attribute {
        Attribute::Ints(name, ints) => {
            proto.ints = ints;
            (name, AttributeType::Ints)
        }
        Attribute::Int(name, int) => {
            proto.i = int;
            (name, AttributeType::Int)
        }
        Attribute::Float(name, float) => {
            proto.f = float;
            (name, AttributeType::Float)
        }
        Attribute::Text(name, text) => {
            proto.s = text.into();
            (name, AttributeType::String)
        }
        Attribute::Floats(name, floats) => {
            proto.floats = floats;
            (name, AttributeType::Floats)
        }
    };
    proto.name = name.into();
    proto.r#type = kind as i32;
    proto
}

fn value(name: &str, element: DataType, shape: &[i64]) -> ValueInfoProto {
    let dim = |dim: &i64| {
        let value = match dim {
            0 => Value::DimParam(format!("{name}_open")),
            dim => Value::DimValue(*dim),
        };
        Dimension { value: Some(value), ..Default::default() }
    };
    let shape =
        (!shape.is_empty()).then(|| TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: element as i32, shape };
    let kind =
        TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

/// Scores are the colour channels themselves: class 0 where red is strongest, 1 green, 2 blue.
pub fn strongest_color(height: i64, width: i64) -> Vec<u8> {
    Graph::new(13)
        .input("picture", DataType::Float, &[1, 3, height, width])
        .output("scores", DataType::Float)
        .floats("one", &[1], &[1.0])
        .node("Mul", &["picture", "one"], &["scores"], vec![])
        .bytes()
}

/// Class 0 has the highest score everywhere.
pub fn always_first(classes: usize, height: i64, width: i64) -> Vec<u8> {
    always(0, classes, height, width)
}

/// One class has the highest score everywhere.
pub fn always(class: usize, classes: usize, height: i64, width: i64) -> Vec<u8> {
    let bias: Vec<f32> = (0..classes).map(|other| -(class.abs_diff(other) as f32)).collect();
    let weights = vec![0.0; classes * 3];
    Graph::new(13)
        .input("picture", DataType::Float, &[1, 3, height, width])
        .output("scores", DataType::Float)
        .floats("w", &[classes as i64, 3, 1, 1], &weights)
        .floats("b", &[classes as i64], &bias)
        .node("Conv", &["picture", "w", "b"], &["scores"], vec![])
        .bytes()
}

/// Scores that are no numbers.
pub fn not_numbers(height: i64, width: i64) -> Vec<u8> {
    Graph::new(13)
        .input("picture", DataType::Float, &[1, 3, height, width])
        .output("scores", DataType::Float)
        .floats("nan", &[1], &[f32::NAN])
        .node("Mul", &["picture", "nan"], &["scores"], vec![])
        .bytes()
}

/// Scores are the root of the picture's lightness above a quarter: no numbers where it is darker.
pub fn root(height: i64, width: i64) -> Vec<u8> {
    Graph::new(13)
        .input("picture", DataType::Float, &[1, 3, height, width])
        .output("scores", DataType::Float)
        .floats("w", &[2, 3, 1, 1], &[1.0 / 3.0; 6])
        .floats("b", &[2], &[-0.25; 2])
        .node("Conv", &["picture", "w", "b"], &["light"], vec![])
        .node("Sqrt", &["light"], &["scores"], vec![])
        .bytes()
}

/// Five thousand million products.
pub fn slow() -> Vec<u8> {
    const CHANNELS: i64 = 64;
    let wide = |from: i64| vec![0.01; (CHANNELS * from * 9) as usize];
    let pads = || vec![Attribute::Ints("pads", vec![1, 1, 1, 1])];
    let mut graph = Graph::new(13)
        .input("picture", DataType::Float, &[1, 3, 256, 256])
        .output("scores", DataType::Float)
        .floats("first", &[CHANNELS, 3, 3, 3], &wide(3))
        .floats("next", &[CHANNELS, CHANNELS, 3, 3], &wide(CHANNELS))
        .node("Conv", &["picture", "first"], &["c0"], pads());
    for layer in 1..3 {
        let (from, to) = (format!("c{}", layer - 1), format!("c{layer}"));
        let to = if layer == 2 { "scores" } else { &to };
        graph = graph.node("Conv", &[&from, "next"], &[to], pads());
    }
    graph.bytes()
}

/// A small U-Net-like network without padding effects but at the border: 3x3 convolution,
/// 2x2 max pooling, 3x3 convolution, nearest upsampling, beside the input; 2 classes; any size.
pub fn pooled() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut weights = |count: usize| -> Vec<f32> {
        (0..count).map(|_| (random.i32(-8..=8) as f32) / 8.0).collect()
    };
    let (first, second, last) = (weights(4 * 3 * 9), weights(4 * 4 * 9), weights(2 * 7));
    let conv = || {
        vec![Attribute::Ints("kernel_shape", vec![3, 3]), Attribute::Ints("pads", vec![1, 1, 1, 1])]
    };
    Graph::new(13)
        .input("picture", DataType::Float, &[1, 3, 0, 0])
        .output("scores", DataType::Float)
        .floats("w1", &[4, 3, 3, 3], &first)
        .floats("w2", &[4, 4, 3, 3], &second)
        .floats("w3", &[2, 7, 1, 1], &last)
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Conv", &["picture", "w1"], &["c1"], conv())
        .node("Relu", &["c1"], &["r1"], vec![])
        .node(
            "MaxPool",
            &["r1"],
            &["p1"],
            vec![
                Attribute::Ints("kernel_shape", vec![2, 2]),
                Attribute::Ints("strides", vec![2, 2]),
            ],
        )
        .node("Conv", &["p1", "w2"], &["c2"], conv())
        .node(
            "Resize",
            &["c2", "", "scales"],
            &["u1"],
            vec![
                Attribute::Text("mode", "nearest"),
                Attribute::Text("coordinate_transformation_mode", "asymmetric"),
                Attribute::Text("nearest_mode", "floor"),
            ],
        )
        .node("Concat", &["u1", "picture"], &["k1"], vec![Attribute::Int("axis", 1)])
        .node("Conv", &["k1", "w3"], &["scores"], vec![Attribute::Ints("kernel_shape", vec![1, 1])])
        .bytes()
}
