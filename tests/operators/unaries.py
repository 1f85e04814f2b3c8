"""Functions of one value, alone and in chains, with random attributes; see `kinds`."""

import numpy

from kinds import any_input, finish, picture


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
    x = any_input(net, shape, net.scale(-8, -2))
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
        x = any_input(net, picture(net), net.scale(-8, -2))
        finish(net, net.node(operator, net.dequantize(x), **UNARIES[operator](net)))

    return build


def clip(net):
    x = any_input(net, picture(net), net.scale(-8, -2))
    low, high = sorted(net.random.uniform(-128, 128, 2) * x.scale)
    bounds = net.pick([low, high], [low], ["", high], [0.0, 6.0])
    bounds = [bound if bound == "" else numpy.float32(bound) for bound in bounds]
    finish(net, net.node("Clip", net.dequantize(x), *bounds), like=x if net.chance(0.5) else None)


def softmax(net):
    x = any_input(net, picture(net, most=6), net.scale(-8, -2))
    finish(net, net.node("Softmax", net.dequantize(x), axis=net.pick(1, 1, -1, 2)))


def unary_chain(net):
    """Several unary functions, constants among them, one table."""
    net.opset = max(net.opset, 14)
    shape = picture(net)
    x = any_input(net, shape, net.scale(-8, -2))
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
    "Clip": clip,
    "PRelu": prelu,
    **{operator: unary(operator) for operator in ISSUE_UNARIES},
    "Softmax": softmax,
    "Unary chain": unary_chain,
}
