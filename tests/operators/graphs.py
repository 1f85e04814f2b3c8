"""Small networks of several quantized operators. Tensors stay small: see `compare.draw`."""

import numpy

import kinds
import unaries


def start(net, channels=None, size=None):
    channels, size = channels or net.number(2, 6), size or net.number(3, 6)
    return kinds.any_input(net, (1, channels, size, size))


def conv(net, x, count=None, kernel=3, stride=1, groups=1, activated=None):
    """A convolution that keeps the size (at stride 1), with or without Relu or the like."""
    channels = x.shape[1]
    count = count or net.number(2, 6)
    weight, fact = net.weight((count, channels // groups, kernel, kernel))
    real = net.node("Conv", net.dequantize(x), weight, *net.bias(count, x.scale, fact["scale"]),
                    pads=[kernel // 2] * 4, strides=[stride] * 2, group=groups,
                    kernel_shape=[kernel] * 2)
    if net.chance(0.5) if activated is None else activated:
        real = kinds.activation(net, real)
    return net.quantize(real)


def depthwise(net, x):
    channels = x.shape[1]
    return conv(net, x, count=channels, groups=channels)


def up(net, x, count=None):
    """Twice the size by a transposed convolution."""
    count = count or net.number(2, 5)
    weight, fact = net.weight((x.shape[1], count, 2, 2), axis=1)
    bias = net.bias(count, x.scale, fact["scale"])
    return net.quantize(net.node("ConvTranspose", net.dequantize(x), weight, *bias,
                                 strides=[2, 2], kernel_shape=[2, 2]))


def resized(net, x, factor=2.0):
    scales = numpy.array([1, 1, factor, factor], numpy.float32)
    mode = net.pick("nearest", "linear")
    extra = {"nearest_mode": "floor"} if mode == "nearest" else {}
    real = net.node("Resize", net.dequantize(x), "", scales, mode=mode,
                    coordinate_transformation_mode=net.pick("half_pixel", "asymmetric"), **extra)
    # With the input's own scale a linear Resize by two makes ties everywhere.
    return net.quantize(real, like=x if mode == "nearest" else None)


def max_pool(net, x):
    real = net.node("MaxPool", net.dequantize(x), kernel_shape=[2, 2], strides=[2, 2])
    return net.quantize(real, like=x)


def average_pool(net, x):
    real = net.node("AveragePool", net.dequantize(x), kernel_shape=[2, 2], strides=[1, 1])
    return net.quantize(real)


def plus_constant(net, x):
    constant = net.random.normal(0, 1, (x.shape[1], 1, 1)).astype(numpy.float32)
    return net.quantize(net.node(net.pick("Add", "Mul"), net.dequantize(x), constant))


def plus(net, x, y):
    real = net.node("Add", net.dequantize(x), net.dequantize(y))
    if net.chance(0.5):
        real = net.node("Relu", real)
    return net.quantize(real)


def gated(net, x):
    """Squeeze and excitation: a number a channel, multiplied in."""
    gate = net.quantize(net.node("GlobalAveragePool", net.dequantize(x)))
    gate = conv(net, gate, count=x.shape[1], kernel=1, activated=False)
    gate = net.quantize(net.node("HardSigmoid", net.dequantize(gate), alpha=1 / 6))
    return net.quantize(net.node("Mul", net.dequantize(x), net.dequantize(gate)))


def joined(net, *values):
    real = net.node("Concat", *[net.dequantize(value) for value in values], axis=1)
    same = net.chance(0.5)
    return net.quantize(real, like=values[0] if same else None)


def unary(net, x):
    net.opset = max(net.opset, 14)
    kind = net.pick(*unaries.ISSUE_UNARIES)
    return net.quantize(net.node(kind, net.dequantize(x), **unaries.UNARIES[kind](net)))


def padded(net, x):
    pads = numpy.array([0, 0, 1, net.number(0, 1), 0, 0, 0, 1], numpy.int64)
    mode = net.pick("constant", "edge")
    return net.quantize(net.node("Pad", net.dequantize(x), pads, mode=mode), like=x)


def cut(net, x):
    """The picture without its border, or half of the channels."""
    axis = net.pick(1, 2, 3)
    ends = numpy.array([max(1, x.shape[axis] - 1)], numpy.int64)
    real = net.node("Slice", net.dequantize(x), numpy.array([0], numpy.int64), ends,
                    numpy.array([axis], numpy.int64))
    return net.quantize(real, like=x)


def pointwise(net, x):
    return conv(net, x, kernel=1)


def strided(net, x):
    return conv(net, x, stride=2)


LAYERS = [conv, conv, pointwise, depthwise, strided, up, resized, max_pool, average_pool,
          plus_constant, unary, padded, cut, gated]


def chain(length):
    def build(net):
        x = start(net)
        for _ in range(length):
            layer = net.pick(*LAYERS)
            if layer is up or layer is resized:
                x = x if x.shape[2] > 6 else layer(net, x)
            elif layer in (max_pool, average_pool, cut) and min(x.shape[2:]) < 2:
                x = conv(net, x)
            else:
                x = layer(net, x)
        net.output(x)

    return build


def residual(net):
    x = start(net, size=4)
    y = conv(net, x, activated=True)
    y = conv(net, y, count=x.shape[1], activated=False)
    net.output(plus(net, x, y))


def u_net(net):
    x = start(net, channels=3, size=4)
    wide = conv(net, x, count=4)
    deep = conv(net, max_pool(net, wide), count=4)
    lifted = up(net, deep, count=3) if net.chance(0.5) else resized(net, deep)
    values = (wide, lifted) if net.chance(0.5) else (lifted, wide)
    y = conv(net, joined(net, *values), count=3, kernel=net.pick(1, 3), activated=False)
    if net.chance(0.3):
        return net.plain_output(net.node("ArgMax", net.dequantize(y), axis=1))
    net.output(y)


def pyramid(net):
    """Branches of several sizes, joined: all write into one concatenation."""
    x = start(net, channels=4, size=4)
    branches = [conv(net, x, kernel=1, count=2), conv(net, x, count=3), x]
    pooled = net.quantize(net.node("GlobalAveragePool", net.dequantize(x)))
    pooled = conv(net, pooled, kernel=1, count=2)
    branches.append(resized(net, pooled, 4.0))
    net.output(conv(net, joined(net, *branches), kernel=1, count=3))


def dense(net):
    """Each layer sees all before it; the first value stands in several concatenations."""
    x = start(net, size=4)
    y = conv(net, x)
    y = joined(net, *net.pick([x, y], [y, x]))
    parts = net.pick([y, x], [x, y], [y, y], [x, y, x])
    y = joined(net, *parts)
    net.output(conv(net, y) if net.chance(0.5) else y)


def shared(net):
    """One value with several readers, among them the network's output."""
    x = start(net, size=4)
    y = conv(net, x, count=4)
    net.output(y)
    net.output(plus(net, y, conv(net, y, count=4)))


def float_borders(net):
    """Floats in, floats out."""
    y = conv(net, net.float_input((1, 3, net.number(4, 12), net.number(4, 12))))
    net.outputs[net.dequantize(y)] = y


def float_island(net):
    """An operator nobody has in integers, amid."""
    y = conv(net, start(net, size=4))
    real = net.node("Erf", net.dequantize(y))
    net.output(conv(net, net.quantize(real)))


def no_quantize(net):
    """Convolution, activation and convolution without a QuantizeLinear between."""
    x = start(net)
    weight, _ = net.weight((4, x.shape[1], 3, 3))
    real = net.node("Relu", net.node("Conv", net.dequantize(x), weight, pads=[1] * 4))
    weight, _ = net.weight((3, 4, 1, 1))
    net.plain_output(net.node("Conv", real, weight))


TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def channels_last(net):
    """As converted TFLite files are: pictures channels last, Transposes around each operator."""
    size = net.number(3, 6)
    x = kinds.any_input(net, (1, size, size, net.number(2, 5)))
    for _ in range(net.number(1, 2)):
        bare = net.chance(0.3)
        real = net.node("Transpose", x.name if bare else net.dequantize(x), perm=TO_NCHW)
        if bare:
            real = net.dequantize(net.moved(real, x))
        channels, count = x.shape[3], net.number(2, 5)
        weight, fact = net.weight((count, channels, 3, 3))
        real = net.node("Conv", real, weight, *net.bias(count, x.scale, fact["scale"]),
                        pads=[1, 1, 1, 1])
        if net.chance(0.5):
            real = net.node("Relu", real)
        if net.chance(0.5):
            x = net.quantize(net.node("Transpose", real, perm=TO_NHWC))
        else:
            y = net.quantize(real)
            x = net.moved(net.node("Transpose", y.name, perm=TO_NHWC), y)
    if net.chance(0.3):
        constant = net.random.normal(0, 1, x.shape[3]).astype(numpy.float32)
        x = net.quantize(net.node("Add", net.dequantize(x), constant))
    if net.chance(0.3):
        return net.plain_output(net.node("ArgMax", net.dequantize(x), axis=3, keepdims=0))
    net.output(x)


def classifier(net):
    """Convolution, pooling, Flatten, Gemm, Softmax."""
    y = conv(net, start(net))
    y = net.quantize(net.node("GlobalAveragePool", net.dequantize(y)))
    flat = net.node("Flatten", net.dequantize(y), axis=1)
    if net.chance(0.5):
        flat = net.dequantize(net.quantize(flat, like=y))
    weight, fact = net.weight((5, y.shape[1]))
    bias = net.bias(5, y.scale, fact["scale"])
    scores = net.quantize(net.node("Gemm", flat, weight, *bias, transB=1))
    if net.chance(0.5):
        return net.output(scores)
    net.output(net.quantize(net.node("Softmax", net.dequantize(scores), axis=1)))


KINDS = {
    "Float borders": float_borders,
    "Chain of 2": chain(2),
    "Chain of 3": chain(3),
    "Residual": residual,
    "U-Net": u_net,
    "Pyramid": pyramid,
    "Dense block": dense,
    "Shared value": shared,
    "Channels last": channels_last,
    "Classifier": classifier,
    "Float island": float_island,
    "No QuantizeLinear": no_quantize,
}
