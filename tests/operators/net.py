"""Builds small quantized networks, and evaluates them with ONNX Runtime as written."""

import dataclasses

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

BOUNDS = {numpy.dtype("uint8"): (0, 255), numpy.dtype("int8"): (-128, 127)}


class Invalid(Exception):
    """ONNX Runtime does not run the network."""


def evaluate(model, feeds, outputs):
    """The named values of a model, all graph optimizations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(outputs, feeds)
    except Exception as error:  # its exceptions have no base class of their own
        raise Invalid(error) from error


@dataclasses.dataclass
class Value:
    """A quantized tensor of the network: real = (stored - zero) * scale."""

    name: str
    shape: tuple
    dtype: numpy.dtype
    scale: numpy.float32
    zero: int
    # The real value that was quantized, None for inputs.
    real: str = None


class Net:
    """A network under construction, with data for its inputs."""

    def __init__(self, random, opset=None, dtype=None):
        self.random = random
        self.opset = opset or int(random.choice([13, 17, 19, 21]))
        self.dtype = numpy.dtype(dtype or random.choice(["uint8", "int8"]))
        self.nodes, self.initializers, self.inputs = [], [], []
        self.feeds = {}
        # Quantized values in the order they are made, the inputs left out.
        self.quantized = []
        # Name -> Value it is or was dequantized from (None: plain numbers).
        self.outputs = {}
        self.facts = {}
        self._count = 0

    # Chance.

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, *choices):
        return choices[self.random.integers(len(choices))]

    def number(self, low, high):
        """An integer, both ends included."""
        return int(self.random.integers(low, high + 1))

    # Graph.

    def _name(self, stem):
        self._count += 1
        return f"{stem}{self._count}"

    def constant(self, array, stem="c"):
        name = self._name(stem)
        self.initializers.append(numpy_helper.from_array(numpy.asarray(array), name))
        return name

    def node(self, operator, *inputs, outputs=1, domain="", **attributes):
        """Adds a node; the name of its output, or a list of them. Arrays become initializers."""
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        made = [self._name(operator.lower()) for _ in range(outputs)]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(
            helper.make_node(operator, names, made, name=made[0], domain=domain, **attributes)
        )
        return made[0] if outputs == 1 else made

    def _declare(self, shape, dtype, data):
        name = self._name("input")
        kind = helper.np_dtype_to_tensor_dtype(numpy.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        self.feeds[name] = data
        return name

    def scale(self, low=-9.0, high=-1.0):
        return numpy.float32(2.0 ** self.random.uniform(low, high))

    def zero(self):
        """A zero point: the middle, an end, or any."""
        low, high = BOUNDS[self.dtype]
        return int(self.pick(low, (low + high + 1) // 2, self.number(low, high), high))

    def data(self, shape):
        """Random bytes, now and then only extreme ones."""
        low, high = BOUNDS[self.dtype]
        if self.chance(0.1):
            return self.random.choice(numpy.array([low, high], self.dtype), shape)
        return self.random.integers(low, high, shape, self.dtype, endpoint=True)

    def input(self, shape, scale=None, zero=None):
        """A quantized input of the network."""
        zero = self.zero() if zero is None else zero
        scale = scale or self.scale()
        name = self._declare(shape, self.dtype, self.data(shape))
        return Value(name, tuple(shape), self.dtype, scale, zero)

    def float_input(self, shape):
        """A float input and the QuantizeLinear behind it."""
        data = self.random.normal(0.0, 1.0, shape).astype(numpy.float32)
        return self.quantize(self._declare(shape, numpy.float32, data))

    def dequantize(self, value):
        arguments = [value.name, value.scale]
        # The zero point may be left out when it is 0 of u8.
        if value.zero != 0 or value.dtype == numpy.int8 or self.chance(0.5):
            arguments.append(numpy.array(value.zero, value.dtype))
        return self.node("DequantizeLinear", *arguments)

    def quantize(self, real, like=None, room=None):
        """QuantizeLinear of a real value, with the parameters of `like` or with ones that fit
        its range (times `room`)."""
        values = self.measure(real)
        if like is None:
            low, high = min(values.min(initial=0), 0), max(values.max(initial=0), 0)
            room = room or self.pick(1.0, 1.0, self.random.uniform(0.3, 2.0))
            scale = numpy.float32(max((high - low) / 255, 1e-6) * room)
            bottom, top = BOUNDS[self.dtype]
            zero = int(numpy.clip(numpy.rint(bottom - low / scale), bottom, top))
            if self.chance(0.1):
                zero = self.zero()
        else:
            scale, zero = like.scale, like.zero
        arguments = [real, scale]
        if zero != 0 or self.dtype == numpy.int8 or self.chance(0.5):
            arguments.append(numpy.array(zero, self.dtype))
        name = self.node("QuantizeLinear", *arguments)
        value = Value(name, values.shape, self.dtype, scale, zero, real)
        self.quantized.append(value)
        return value

    def moved(self, name, like):
        """A quantized value that an operator made of quantized bytes by moving them."""
        return dataclasses.replace(like, name=name, shape=self.measure(name).shape, real=None)

    def measure(self, name):
        """What a value is, for the inputs at hand."""
        if name in self.feeds:
            return self.feeds[name]
        return evaluate(self.model([name]), self.feeds, [name])[0]

    # Parameters.

    def weight(self, shape, axis=0, unsigned=None):
        """Quantized weights and their DequantizeLinear, per tensor or per channel."""
        channels = shape[axis]
        per_channel = self.chance(0.6)
        unsigned = self.chance(0.2) if unsigned is None else unsigned
        dtype = numpy.uint8 if unsigned else numpy.int8
        low, high = BOUNDS[numpy.dtype(dtype)]
        stored = self.random.integers(low, high, shape, dtype, endpoint=True)
        if self.chance(0.1):
            stored = self.random.choice(numpy.array([low, high], dtype), shape)
        count = channels if per_channel else 1
        scale = (2.0 ** self.random.uniform(-9, -5, count)).astype(numpy.float32)
        middle = 128 if unsigned else 0
        zero = numpy.full(count, middle, dtype)
        if unsigned or self.chance(0.1):
            zero = self.random.integers(low, high, count, dtype, endpoint=True)
        if not per_channel:
            scale, zero = scale[0], zero[0]
        name = self.node(
            "DequantizeLinear", stored, scale, zero, axis=axis if per_channel else None
        )
        fact = {"stored": stored, "scale": scale, "zero": zero, "axis": axis}
        self.facts[name] = fact
        return name, fact

    def bias(self, channels, input_scale, weight_scale):
        """A bias as i32 with its DequantizeLinear, as float, or none: the node inputs for it."""
        kind = self.pick("i32", "i32", "float", "none")
        scale = numpy.float32(input_scale) * weight_scale
        if kind == "none":
            return []
        stored = self.random.integers(-20000, 20000, channels, numpy.int32)
        if kind == "float":
            return [self.constant((stored * scale * 1.0007).astype(numpy.float32))]
        zero = numpy.zeros(numpy.shape(scale), numpy.int32)
        name = self.node("DequantizeLinear", stored, scale, zero, axis=0)
        self.facts[name] = {"stored": stored}
        return [name]

    # The end.

    def output(self, value):
        """Makes a quantized value an output, as bytes or dequantized."""
        name = self.dequantize(value) if self.chance(0.25) else value.name
        self.outputs[name] = value

    def plain_output(self, name):
        """Makes a value an output that is no quantized one."""
        self.outputs[name] = None

    def model(self, outputs=None):
        """The network with its outputs, or with others."""
        names = list(self.outputs) if outputs is None else outputs
        graph = helper.make_graph(
            self.nodes,
            "net",
            self.inputs,
            [onnx.ValueInfoProto(name=name) for name in names],
            self.initializers,
        )
        domains = [helper.make_opsetid("", self.opset)]
        if any(node.domain for node in self.nodes):
            domains.append(helper.make_opsetid("com.microsoft", 1))
        return helper.make_model(graph, opset_imports=domains, ir_version=10)
