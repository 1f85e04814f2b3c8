"""Single operators that move values, and ArgMax, with random attributes; see `kinds`."""

import math

import numpy

from kinds import any_input, finish, picture


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


KINDS = {
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
}
