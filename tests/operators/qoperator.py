"""QOperator networks. Each is built twice: as QDQ into the `net.Net`, whose answer counts, and
in its QOperator form, which segcam gets. What has no QDQ form (ConvInteger ...) is built once."""

import numpy

import kinds
import unaries
from net import Net, evaluate

MICROSOFT = "com.microsoft"


def scale_and_zero(value):
    return value.scale, numpy.array(value.zero, value.dtype)


def parameters(value):
    """A value as the inputs of a QOperator node have it."""
    return (value.name, *scale_and_zero(value))


def form(net, operator, *inputs, domain=MICROSOFT, **attributes):
    """The network of this one node in place of the QDQ form in `net`, with the same inputs."""
    twin = Net(net.random, net.opset, net.dtype)
    twin.inputs, twin.feeds = net.inputs, net.feeds
    twin._count = 1000
    name = twin.node(operator, *inputs, domain=domain, **attributes)
    model = twin.model([name])
    # ONNX Runtime's own answer shows that this is the same operator: its QLinear operators round
    # in their own ways, but not by more than a quantum or two.
    own = evaluate(model, net.feeds, None)[0]
    (value,) = net.outputs.values()
    wanted = evaluate(net.model([value.name]), net.feeds, None)[0]
    apart = numpy.abs(own.astype(int) - wanted.astype(int)).max(initial=0)
    assert own.shape == wanted.shape and apart <= 2, f"{operator} is not its QDQ form: {apart}"
    return model


def plain(net, real, like=None):
    """The output as bytes, the way a QOperator network ends."""
    value = net.quantize(real, like=like)
    net.outputs[value.name] = value
    return value


def conv(net):
    channels, count, groups = kinds.grouped(net)
    kernel, strides, dilations, pads, sizes = kinds.window(net, 2)
    x = net.input((1, channels, *sizes))
    # ONNX Runtime takes no zero points other than 0 for weights per channel.
    weight, fact = net.weight((count, channels // groups, *kernel), unsigned=False)
    attributes = dict(pads=pads, strides=strides, dilations=dilations, group=groups)
    bias = net.bias(count, x.scale, fact["scale"])
    stored = [net.facts[name]["stored"] for name in bias if name in net.facts]
    real = net.node("Conv", net.dequantize(x), weight, *bias[: len(stored)], **attributes)
    y = plain(net, real)
    return form(net, "QLinearConv", *parameters(x), fact["stored"], fact["scale"], fact["zero"],
                *scale_and_zero(y), *stored, domain="", **attributes)


def matmul(net):
    depth, columns = net.number(1, 48), net.number(1, 24)
    x = net.input((net.number(1, 6), depth))
    weight, fact = net.weight((depth, columns), axis=1, unsigned=False)
    y = plain(net, net.node("MatMul", net.dequantize(x), weight))
    return form(net, "QLinearMatMul", *parameters(x), fact["stored"], fact["scale"], fact["zero"],
                *scale_and_zero(y), domain="")


def gemm(net):
    depth, columns, turned = net.number(1, 48), net.number(1, 24), net.chance(0.6)
    x = net.input((net.number(1, 4), depth))
    shape, axis = ((columns, depth), 0) if turned else ((depth, columns), 1)
    weight, fact = net.weight(shape, axis=axis, unsigned=False)
    bias = net.random.integers(-20000, 20000, columns, numpy.int32)
    scale = numpy.float32(x.scale) * fact["scale"]
    zero = numpy.zeros(numpy.shape(scale), numpy.int32)
    real = net.node("Gemm", net.dequantize(x), weight,
                    net.node("DequantizeLinear", bias, scale, zero, axis=0), transB=int(turned))
    y = plain(net, real)
    return form(net, "QGemm", *parameters(x), fact["stored"], fact["scale"], fact["zero"], bias,
                *scale_and_zero(y), transB=int(turned), transA=0, alpha=1.0)


def binary(operator):
    def build(net):
        shape = kinds.picture(net, most=8)
        other = net.pick(shape, (1, shape[1], 1, 1), (1,))
        a, b = net.input(shape), net.input(other)
        if net.chance(0.3):
            a, b = b, a
        y = plain(net, net.node(operator, net.dequantize(a), net.dequantize(b)))
        return form(net, f"QLinear{operator}", *parameters(a), *parameters(b), *scale_and_zero(y))

    return build


def concat(net):
    shape, axis = list(kinds.picture(net, most=6)), net.pick(1, 2, 3)
    values = []
    for _ in range(net.number(2, 4)):
        shape[axis] = net.number(1, 6)
        values.append(net.input(tuple(shape)))
    y = plain(net, net.node("Concat", *[net.dequantize(v) for v in values], axis=axis))
    inputs = [part for value in values for part in parameters(value)]
    return form(net, "QLinearConcat", *scale_and_zero(y), *inputs, axis=axis)


def unary(operator, **fixed):
    def build(net):
        x = net.input(kinds.picture(net))
        attributes = unaries.UNARIES[operator](net)
        y = plain(net, net.node(operator, net.dequantize(x), **attributes))
        return form(net, f"QLinear{operator}", *parameters(x), *scale_and_zero(y), **attributes)

    return build


def average_pool(net):
    kernel, strides, _, pads, sizes = kinds.window(net, 2, 4, False)
    pads = [min(p, k - 1) for p, k in zip(pads, kernel * 2)]
    sizes = [max(size, k) for size, k in zip(sizes, kernel)]
    last = net.chance(0.3)
    x = net.input((1, *sizes, 5) if last else (1, 5, *sizes))
    attributes = dict(kernel_shape=kernel, strides=strides, pads=pads,
                      count_include_pad=net.pick(0, 1))
    return pooled(net, x, last, "AveragePool", **attributes)


def global_average_pool(net):
    last = net.chance(0.3)
    x = net.input(kinds.picture(net))
    return pooled(net, x, last, "GlobalAveragePool")


def pooled(net, x, last, operator, **attributes):
    """A pool, channels first or last."""
    real = net.dequantize(x)
    if last:
        real = net.node("Transpose", real, perm=(0, 3, 1, 2))
    real = net.node(operator, real, **attributes)
    if last:
        real = net.node("Transpose", real, perm=(0, 2, 3, 1))
    y = plain(net, real)
    return form(net, f"QLinear{operator}", *parameters(x), *scale_and_zero(y),
                channels_last=int(last), **attributes)


def softmax(net):
    x = net.input((1, net.number(2, 12), 3, 3), scale=net.scale(-7, -3))
    axis = net.pick(1, -1)
    y = plain(net, net.node("Softmax", net.dequantize(x), axis=axis))
    return form(net, "QLinearSoftmax", *parameters(x), *scale_and_zero(y), axis=axis,
                opset=net.opset)


def conv_integer(net):
    channels, count, groups = kinds.grouped(net)
    kernel, strides, dilations, pads, sizes = kinds.window(net, 2)
    x = net.input((1, channels, *sizes))
    _, fact = net.weight((count, channels // groups, *kernel), unsigned=net.chance(0.5))
    net.nodes.clear()
    zero = fact["zero"] if fact["zero"].ndim == 0 else fact["zero"][0]
    sums = net.node("ConvInteger", x.name, fact["stored"], numpy.array(x.zero, net.dtype), zero,
                    pads=pads, strides=strides, dilations=dilations, group=groups)
    net.plain_output(sums)


def matmul_integer(net):
    depth = net.number(1, 48)
    x = net.input((net.number(1, 6), depth))
    _, fact = net.weight((depth, net.number(1, 24)), axis=1)
    net.nodes.clear()
    zero = fact["zero"] if fact["zero"].ndim == 0 else fact["zero"][0]
    zero_point = numpy.array(x.zero, net.dtype)
    net.plain_output(net.node("MatMulInteger", x.name, fact["stored"], zero_point, zero))


def dynamic(net):
    """What dynamic quantization makes of a fully connected layer."""
    depth = net.number(1, 48)
    data = net.random.normal(0, 1, (net.number(1, 4), depth)).astype(numpy.float32)
    x = net._declare(data.shape, numpy.float32, data)
    stored, scale, zero = net.node("DynamicQuantizeLinear", x, outputs=3)
    if net.chance(0.3):
        net.plain_output(stored)
        net.plain_output(zero)
    weight = net.random.integers(-128, 127, (depth, 7), numpy.int8)
    sums = net.node("MatMulInteger", stored, weight, zero, numpy.int8(0))
    real = net.node("Mul", net.node("Cast", sums, to=1), net.node("Mul", scale, numpy.float32(0.1)))
    net.plain_output(real)


KINDS = {
    "QLinearConv": conv,
    "QLinearMatMul": matmul,
    "QGemm": gemm,
    "QLinearAdd": binary("Add"),
    "QLinearMul": binary("Mul"),
    "QLinearConcat": concat,
    "QLinearSigmoid": unary("Sigmoid"),
    "QLinearLeakyRelu": unary("LeakyRelu"),
    "QLinearAveragePool": average_pool,
    "QLinearGlobalAverage": global_average_pool,
    "QLinearSoftmax": softmax,
    "ConvInteger": conv_integer,
    "MatMulInteger": matmul_integer,
    "DynamicQuantizeLinear": dynamic,
}
