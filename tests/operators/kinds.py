"""Single operators between DequantizeLinear and QuantizeLinear, with random attributes.

Each function builds one network into a `net.Net`; KINDS names them.
"""

import math

import numpy


def picture(net, channels=None, least=1, most=12):
    """The shape of an input: mostly one picture, channels first."""
    channels = channels or net.number(1, 12)
    batch = net.pick(1, 1, 1, 2)
    return (batch, channels, net.number(least, most), net.number(least, most))


def any_input(net, shape):
    """A quantized input: bytes, now and then floats behind a QuantizeLinear."""
    return net.float_input(shape) if net.chance(0.15) else net.input(shape)


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
    if net.chance(0.15) and all(d == 1 for d in dilations):
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


def concat(net):
    shape = picture(net, most=8)
    axis = net.pick(1, 1, 1, 2, 3, -1)
    count = net.number(2, 4)
    bare, one_scale = net.chance(0.1), net.chance(0.4)
    values = []
    for _ in range(count):
        part = list(shape)
        part[axis] = net.number(1, 9)
        first = values[0] if values and (one_scale or bare) else None
        parameters = (first.scale, first.zero) if first else (None, None)
        values.append(net.input(part, *parameters))
    if net.chance(0.1):
        values.append(values[0])
    if bare:
        made = net.node("Concat", *[value.name for value in values], axis=axis)
        return net.output(net.moved(made, values[0]))
    real = net.node("Concat", *[net.dequantize(value) for value in values], axis=axis)
    finish(net, real, like=values[0] if one_scale else None)


def resize(net, mode, **attributes):
    modes = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    if net.opset >= 19:
        modes.append("half_pixel_symmetric")
    if mode == "nearest" and net.chance(0.15):
        net.opset = 11
    if net.opset == 11:
        modes.append("tf_half_pixel_for_nn")
    coordinates = net.pick(*modes)
    # Left out, since ONNX Runtime differs from the standard there: align_corners with scales
    # whose lengths are no integers (ONNX's node tests interpolate to the fraction), and ties of
    # the coordinates with asymmetric round_prefer_ceil (it rounds 3.4999998 up).
    rounding = attributes.get("nearest_mode")
    whole = coordinates == "align_corners" or rounding == "round_prefer_ceil"
    last = net.chance(0.1)
    shape = picture(net, least=2, most=8)
    spatial = (1, 2) if last else (2, 3)
    factors = [2, 2, 4, 3] if whole else [2, 2, 4, 3, 0.5, net.random.uniform(0.4, 3.5)]
    factor = {axis: net.pick(*factors) for axis in spatial}
    if net.chance(0.5):
        factor[spatial[1]] = factor[spatial[0]]
    x = any_input(net, shape)
    if net.chance(0.5):
        sizes = list(shape)
        for axis in spatial:
            sizes[axis] = max(1, round(shape[axis] * factor[axis]))
        extra = ["", "", numpy.array(sizes, numpy.int64)]
    else:
        scales = [1.0] * 4
        for axis in spatial:
            scales[axis] = factor[axis] if math.floor(shape[axis] * factor[axis]) >= 1 else 1.0
        extra = ["", numpy.array(scales, numpy.float32)]
    if net.opset == 11:
        extra[0] = numpy.zeros(0, numpy.float32)
        if len(extra) == 3:
            extra[1] = numpy.zeros(0, numpy.float32)
    real = net.node("Resize", net.dequantize(x), *extra, mode=mode,
                    coordinate_transformation_mode=coordinates, **attributes)
    finish(net, real, like=x if net.chance(0.6) else None)


def resize_nearest(net):
    rounding = net.pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    resize(net, "nearest", nearest_mode=rounding)


def resize_linear(net):
    resize(net, "linear")


def pad(net):
    mode = net.pick("constant", "constant", "reflect", "edge")
    shape = picture(net, least=4, most=9)
    x = any_input(net, shape)
    most = 3
    pads = [0, 0, 0, 0, 0, 0, 0, 0]
    for axis in (2, 3):
        pads[axis], pads[axis + 4] = net.number(0, most), net.number(0, most)
    if mode == "constant" and net.chance(0.3):
        pads[1], pads[5] = net.number(0, 5), net.number(0, 5)
    if mode == "constant" and net.chance(0.1):
        pads[2] = -1
    bare = net.chance(0.1)
    arguments = [numpy.array(pads, numpy.int64)]
    if mode == "constant" and net.chance(0.7):
        if bare:
            arguments.append(numpy.array(x.zero, net.dtype))
        else:
            arguments.append(numpy.float32(net.pick(0.0, net.random.normal(0, 50 * x.scale))))
    made = net.node("Pad", x.name if bare else net.dequantize(x), *arguments, mode=mode)
    if bare:
        return net.output(net.moved(made, x))
    finish(net, made, like=x if net.chance(0.6) else None)


def movement(net, shape, build, bare=0.2):
    """An operator that only moves values: `build` makes it of a name."""
    x = any_input(net, shape)
    if net.chance(bare):
        return net.output(net.moved(build(x.name), x))
    finish(net, build(net.dequantize(x)), like=x if net.chance(0.7) else None)


def slice_(net):
    shape = picture(net, least=3, most=10)
    axes = sorted(net.random.permutation([1, 2, 3])[: net.number(1, 3)].tolist())
    starts, ends, steps = [], [], []
    for axis in axes:
        start = net.number(0, shape[axis] - 1)
        end = net.number(start + 1, shape[axis])
        step = net.pick(1, 1, 1, 2)
        if net.chance(0.2):
            start, end = start - shape[axis], net.pick(end, 1 << 40)
        if net.chance(0.1):
            start, end, step = shape[axis] - 1, -(1 << 40), -1
        starts, ends, steps = starts + [start], ends + [end], steps + [step]
    parameters = [numpy.array(a, numpy.int64) for a in (starts, ends, axes, steps)]
    movement(net, shape, lambda x: net.node("Slice", x, *parameters))


def split(net):
    parts = [net.number(1, 6) for _ in range(net.number(2, 3))]
    axis = net.pick(1, 1, 2, 3)
    shape = list(picture(net, most=8))
    shape[axis] = sum(parts)
    x = any_input(net, tuple(shape))
    bare = net.chance(0.2)
    made = net.node("Split", x.name if bare else net.dequantize(x), numpy.array(parts, numpy.int64),
                    outputs=len(parts), axis=axis)
    like = x if net.chance(0.7) else None
    for name in made:
        net.output(net.moved(name, x) if bare else net.quantize(name, like=like))


def transpose(net):
    order = net.pick((0, 2, 3, 1), (0, 3, 1, 2), net.random.permutation(4).tolist())
    movement(net, picture(net), lambda x: net.node("Transpose", x, perm=list(order)))


def reshape(net):
    shape = picture(net)
    size = math.prod(shape)
    wanted = net.pick([shape[0], -1], [0, 0, -1], [shape[0], shape[1], 1, -1], [-1],
                      [1, shape[0], -1, shape[3]], [size // shape[3], shape[3]])
    movement(net, shape, lambda x: net.node("Reshape", x, numpy.array(wanted, numpy.int64)))


def squeeze(net):
    shape = list(picture(net))
    axis = net.pick(2, 3)
    shape[axis] = 1
    axes = numpy.array([axis], numpy.int64)
    operator = net.pick("Squeeze", "Unsqueeze")
    movement(net, tuple(shape), lambda x: net.node(operator, x, axes))


def flatten(net):
    axis = net.pick(1, 1, 0, 2, -1)
    movement(net, picture(net), lambda x: net.node("Flatten", x, axis=axis))


def space_to_depth(net):
    block = net.number(2, 3)
    shape = (1, net.number(1, 9), block * net.number(1, 5), block * net.number(1, 5))
    movement(net, shape, lambda x: net.node("SpaceToDepth", x, blocksize=block), bare=0)


def depth_to_space(net):
    block = net.number(2, 3)
    shape = (1, block * block * net.number(1, 5), net.number(1, 7), net.number(1, 7))
    mode = net.pick("DCR", "CRD")
    movement(net, shape, lambda x: net.node("DepthToSpace", x, blocksize=block, mode=mode), bare=0)


def arg_max(net):
    x = any_input(net, picture(net))
    source = x.name if net.chance(0.2) else net.dequantize(x)
    net.plain_output(net.node("ArgMax", source, axis=net.pick(1, 1, 1, -1, 2),
                              keepdims=net.pick(0, 1)))


def _alpha(net):
    return {"alpha": net.random.uniform(0.01, 0.5)}


def slopes(net, rank, channels):
    shape = net.pick((channels,) + (1,) * (rank - 2), (1,) * (rank - 1))
    if net.chance(0.5):
        return net.random.uniform(-0.2, 0.6, shape).astype(numpy.float32)
    return net.node("DequantizeLinear", net.random.integers(-128, 127, shape, numpy.int8),
                    numpy.float32(0.004), numpy.int8(0))


def prelu(net):
    shape = picture(net)
    x = any_input(net, shape)
    finish(net, net.node("PRelu", net.dequantize(x), slopes(net, 4, shape[1])))


# Operator -> what makes its attributes.
UNARIES = {
    "Relu": lambda net: {},
    "LeakyRelu": _alpha,
    "HardSwish": lambda net: {},
    "HardSigmoid": lambda net: {**_alpha(net), "beta": net.random.uniform(0.2, 0.8)},
    "Sigmoid": lambda net: {},
    "Tanh": lambda net: {},
    "Elu": _alpha,
    "Softplus": lambda net: {},
    "Abs": lambda net: {},
    "Neg": lambda net: {},
    "Exp": lambda net: {},
}
ISSUE_UNARIES = ["Relu", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh"]


def unary(operator):
    def build(net):
        net.opset = max(net.opset, 14)
        x = any_input(net, picture(net))
        finish(net, net.node(operator, net.dequantize(x), **UNARIES[operator](net)))

    return build


def clip(net):
    x = any_input(net, picture(net))
    low, high = sorted(net.random.uniform(-128, 128, 2) * x.scale)
    bounds = net.pick([low, high], [low], ["", high], [0.0, 6.0])
    bounds = [bound if bound == "" else numpy.float32(bound) for bound in bounds]
    finish(net, net.node("Clip", net.dequantize(x), *bounds), like=x if net.chance(0.5) else None)


def softmax(net):
    x = any_input(net, picture(net, most=6))
    finish(net, net.node("Softmax", net.dequantize(x), axis=net.pick(1, 1, -1, 2)))


def unary_chain(net):
    """Several unary functions, constants among them, one table."""
    net.opset = max(net.opset, 14)
    shape = picture(net)
    x = any_input(net, shape)
    real = net.dequantize(x)
    for _ in range(net.number(2, 4)):
        kind = net.pick(*ISSUE_UNARIES, "Abs", "Neg", "Clip", "Scale", "Shift", "PRelu", "Gate")
        if kind in UNARIES:
            real = net.node(kind, real, **UNARIES[kind](net))
        elif kind == "Clip":
            real = net.node("Clip", real, numpy.float32(-1), numpy.float32(net.number(1, 6)))
        elif kind == "Scale":
            real = net.node("Mul", real, numpy.float32(net.random.uniform(-2, 2)))
        elif kind == "Shift":
            real = net.node("Add", real, numpy.float32(net.random.uniform(-2, 2)))
        elif kind == "PRelu":
            real = net.node("PRelu", real, slopes(net, 4, shape[1]))
        else:
            real = net.node("Mul", real, net.node(net.pick("Sigmoid", "HardSigmoid"), real))
    finish(net, real)


KINDS = {
    "Conv": conv,
    "Conv + activation": conv_activation,
    "Conv to float": conv_float,
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
    "Concat": concat,
    "Resize nearest": resize_nearest,
    "Resize linear": resize_linear,
    "Pad": pad,
    "Slice": slice_,
    "Split": split,
    "Transpose": transpose,
    "Reshape": reshape,
    "Squeeze, Unsqueeze": squeeze,
    "Flatten": flatten,
    "SpaceToDepth": space_to_depth,
    "DepthToSpace": depth_to_space,
    "ArgMax": arg_max,
    "Clip": clip,
    "PRelu": prelu,
    **{operator: unary(operator) for operator in ISSUE_UNARIES},
    "Softmax": softmax,
    "Unary chain": unary_chain,
}
