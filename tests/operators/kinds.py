"""Single operators between DequantizeLinear and QuantizeLinear, with random attributes: those
that compute with neighbours or with one another. Each function builds one network into a
`net.Net`; KINDS names them.
"""

import numpy


def picture(net, channels=None, least=1, most=12):
    """The shape of an input: mostly one picture, channels first."""
    channels = channels or net.number(1, 12)
    batch = net.pick(1, 1, 1, 2)
    return (batch, channels, net.number(least, most), net.number(least, most))


def any_input(net, shape, scale=None):
    """A quantized input: bytes, now and then floats behind a QuantizeLinear."""
    return net.float_input(shape) if net.chance(0.15) else net.input(shape, scale)


def finish(net, real, like=None, **parameters):
    net.output(net.quantize(real, like=like, **parameters))


def window(net, rank, largest=5, dilated=True):
    """Random kernel, strides, dilations and pads of a convolution or pool."""
    kernel = [net.number(1, largest) for _ in range(rank)]
    strides = [net.pick(1, 1, 2, 3) for _ in range(rank)]
    dilations = [net.pick(1, 1, 1, 2, 3) if dilated else 1 for _ in range(rank)]
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    pads = [net.number(0, k // 2 + 1) if net.chance(0.7) else 0 for k in extent * 2]
    if net.chance(0.3):
        same = [k // 2 for k in extent]
        pads = same + same
    sizes = [max(1, e - pads[i] - pads[i + rank]) + net.number(0, 9) for i, e in enumerate(extent)]
    return kernel, strides, dilations, pads, sizes


def grouped(net):
    """Channels in, channels out, groups."""
    style = net.pick("dense", "dense", "groups", "depthwise", "multiplier")
    if style == "dense":
        return net.number(1, 20), net.number(1, 20), 1
    if style == "groups":
        groups = net.number(2, 4)
        return groups * net.number(1, 6), groups * net.number(1, 6), groups
    channels = net.number(2, 20)
    return channels, channels * (2 if style == "multiplier" else 1), channels


def convolution(net):
    """Real output of a random convolution of an input."""
    rank = net.pick(2, 2, 2, 2, 2, 1)
    channels, count, groups = grouped(net)
    kernel, strides, dilations, pads, sizes = window(net, rank)
    x = any_input(net, (net.pick(1, 1, 1, 2), channels, *sizes))
    weight, fact = net.weight((count, channels // groups, *kernel))
    attributes = {"pads": pads}
    if net.chance(0.15) and all(d == 1 for d in dilations):
        attributes = {"auto_pad": net.pick("SAME_UPPER", "SAME_LOWER")}
    elif net.chance(0.05) and not any(pads):
        attributes = {"auto_pad": "VALID"}
    return net.node(
        "Conv", net.dequantize(x), weight, *net.bias(count, x.scale, fact["scale"]),
        kernel_shape=kernel if net.chance(0.8) else None, strides=strides,
        dilations=dilations, group=groups, **attributes,
    )


def conv(net):
    finish(net, convolution(net))


def wide(kernel, depthwise=False):
    """What segmentation networks are made of, with as many channels as vector units like."""

    def build(net):
        channels = net.pick(net.number(1, 70), 16, 32, 64)
        count = channels if depthwise else net.pick(net.number(1, 40), 8, 16, 32)
        pads = [kernel // 2] * 4 if net.chance(0.8) else [0] * 4
        x = net.input((1, channels, net.number(kernel, 14), net.number(kernel, 20)))
        weight, fact = net.weight((count, 1 if depthwise else channels, kernel, kernel))
        real = net.node(
            "Conv", net.dequantize(x), weight, *net.bias(count, x.scale, fact["scale"]),
            pads=pads, strides=net.pick([1, 1], [1, 1], [2, 2]) if depthwise else None,
            group=channels if depthwise else 1,
        )
        finish(net, activation(net, real) if net.chance(0.3) else real)

    return build


def conv_activation(net):
    real = convolution(net)
    finish(net, activation(net, real))


def activation(net, real):
    kind = net.pick("Relu", "Relu6", "Clip", "LeakyRelu", "Bounds")
    if kind == "Relu":
        return net.node("Relu", real)
    if kind == "Relu6":
        return net.node("Clip", real, numpy.float32(0), numpy.float32(6))
    if kind == "LeakyRelu":
        return net.node("LeakyRelu", real, alpha=net.random.uniform(0, 1))
    values = net.measure(real)
    low, high = sorted(net.random.uniform(values.min() - 0.1, values.max() + 0.1, 2))
    if kind == "Bounds" and net.chance(0.5):
        return net.node("Clip", real, numpy.float32(low))
    return net.node("Clip", real, numpy.float32(low), numpy.float32(high))


def conv_float(net):
    """No QuantizeLinear behind it: the scores of many networks."""
    net.plain_output(convolution(net))


def conv_transpose(net):
    rank = net.pick(2, 2, 2, 2, 1)
    channels, count, groups = grouped(net)
    kernel = [net.number(1, 5) for _ in range(rank)]
    strides = [net.number(1, 3) for _ in range(rank)]
    dilations = [net.pick(1, 1, 1, 2) for _ in range(rank)]
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    if net.chance(0.4):
        kernel, dilations, extent = list(strides), [1] * rank, list(strides)
    sizes = [net.number(1, 7) for _ in range(rank)]
    extra = [net.number(0, s - 1) if net.chance(0.5) else 0 for s in strides]
    pads = [net.number(0, max(0, e // 2)) for e in extent * 2]
    for axis in range(rank):
        length = strides[axis] * (sizes[axis] - 1) + extra[axis] + extent[axis]
        if length - pads[axis] - pads[axis + rank] < 1:
            pads[axis] = pads[axis + rank] = 0
    x = any_input(net, (net.pick(1, 1, 1, 2), channels, *sizes))
    weight, fact = net.weight((channels, count // groups, *kernel), axis=1 if groups == 1 else 0)
    if groups == 1 or fact["scale"].ndim == 0:
        bias = net.bias(count, x.scale, fact["scale"])
    else:
        bias = []
    attributes = {"pads": pads, "output_padding": extra}
    if net.chance(0.1):
        attributes = {"auto_pad": net.pick("SAME_UPPER", "SAME_LOWER")}
    elif net.chance(0.1):
        attributes = {"output_shape": [s * n for s, n in zip(strides, sizes)]}
        for axis in range(rank):
            # The padding that follows must not be negative.
            if strides[axis] * (sizes[axis] - 1) + extent[axis] < strides[axis] * sizes[axis]:
                attributes = {"pads": [0] * 2 * rank}
    finish(net, net.node(
        "ConvTranspose", net.dequantize(x), weight, *bias,
        kernel_shape=kernel if net.chance(0.8) else None, strides=strides,
        dilations=dilations, group=groups, **attributes,
    ))


def gemm(net):
    rows, depth, columns = net.pick(1, net.number(1, 6)), net.number(1, 64), net.number(1, 24)
    turned, straight = net.chance(0.6), net.chance(0.9)
    x = any_input(net, (rows, depth) if straight else (depth, rows))
    shape = (columns, depth) if turned else (depth, columns)
    weight, fact = net.weight(shape, axis=0 if turned else 1)
    plain = net.chance(0.8)
    finish(net, net.node(
        "Gemm", net.dequantize(x), weight, *net.bias(columns, x.scale, fact["scale"]),
        transB=int(turned) or None, transA=None if straight else 1,
        alpha=None if plain else net.random.uniform(0.2, 2.0),
        beta=None if plain else net.random.uniform(0.2, 2.0),
    ))


def matmul(net):
    depth, columns = net.number(1, 64), net.number(1, 24)
    shape = net.pick((net.number(1, 6),), (2, net.number(1, 6)), (1, 2, net.number(1, 6)))
    x = any_input(net, (*shape, depth))
    if net.chance(0.2):
        other = net.dequantize(net.input((*shape[:-1], depth, columns)))
    else:
        other, _ = net.weight((depth, columns), axis=1)
    real = net.node("MatMul", net.dequantize(x), other)
    if net.chance(0.4):
        real = net.node("Add", real, net.random.normal(0, 1, columns).astype(numpy.float32))
    finish(net, real)


def pool(net, operator, **attributes):
    rank = net.pick(2, 2, 2, 2, 1)
    kernel, strides, dilations, pads, sizes = window(net, rank, 4, operator == "MaxPool")
    # A window must touch the picture: pads smaller than the kernel.
    pads = [min(p, k - 1) for p, k in zip(pads, kernel * 2)]
    sizes = [max(size, (k - 1) * d + 1) for size, k, d in zip(sizes, kernel, dilations)]
    x = any_input(net, (1, net.number(1, 20), *sizes))
    # Strides beyond the kernel make the pads of SAME negative: ONNX Runtime refuses or cuts.
    covered = all(k >= s and d == 1 for k, s, d in zip(kernel, strides, dilations))
    if covered and net.chance(0.3):
        attributes["auto_pad"] = net.pick("SAME_UPPER", "SAME_LOWER", "VALID")
    else:
        attributes["pads"] = pads
    if operator == "MaxPool":
        attributes["dilations"] = dilations
    bare = operator == "MaxPool" and net.chance(0.2)
    made = net.node(
        operator, x.name if bare else net.dequantize(x), kernel_shape=kernel, strides=strides,
        ceil_mode=int(net.chance(0.3)) if "pads" in attributes else None, **attributes,
    )
    if bare:
        return net.output(net.moved(made, x))
    finish(net, made, like=x if net.chance(0.6) else None)


def max_pool(net):
    pool(net, "MaxPool")


def average_pool(net):
    pool(net, "AveragePool", count_include_pad=net.pick(0, 1))


def global_average_pool(net):
    x = any_input(net, picture(net, most=16))
    finish(net, net.node("GlobalAveragePool", net.dequantize(x)))


def global_max_pool(net):
    x = any_input(net, picture(net))
    finish(net, net.node("GlobalMaxPool", net.dequantize(x)), like=net.pick(x, None))


def binary(net, operator):
    shape = picture(net, most=9)
    style = net.pick("same", "same", "channels", "scalar", "row", "constant", "float", "itself")
    x = any_input(net, shape)
    left = net.dequantize(x)
    partial = net.pick((1, shape[1], 1, 1), (shape[1], 1, 1), (1,), (), shape[2:], shape)
    if style == "itself":
        right = net.dequantize(x)
    elif style == "same":
        right = net.dequantize(net.input(shape, scale=net.pick(None, x.scale)))
    elif style == "channels":
        right = net.dequantize(net.input((shape[0], shape[1], 1, 1)))
    elif style == "scalar":
        right = net.dequantize(net.input((1,)))
    elif style == "row":
        right = net.dequantize(net.input((shape[3],)))
    elif style == "constant":
        stored = net.data(partial)
        right = net.node("DequantizeLinear", numpy.asarray(stored, net.dtype), net.scale(),
                         numpy.array(net.zero(), net.dtype))
    else:
        right = net.constant(net.random.normal(0, 1, partial).astype(numpy.float32))
    if net.chance(0.3):
        left, right = right, left
    real = net.node(operator, left, right)
    if net.chance(0.2):
        real = net.node("Relu", real)
    finish(net, real)


def add(net):
    binary(net, "Add")


def sub(net):
    binary(net, "Sub")


def mul(net):
    binary(net, "Mul")


KINDS = {
    "Conv": conv,
    "Conv + activation": conv_activation,
    "Conv to float": conv_float,
    "Conv 3x3": wide(3),
    "Conv 1x1": wide(1),
    "Conv depthwise": wide(3, depthwise=True),
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "Add": add,
    "Sub": sub,
    "Mul": mul,
}
