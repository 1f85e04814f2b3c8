#!/usr/bin/env python3
"""The node tests that ship inside the PyPI wheel onnx, for the operators segcam promises.

    tests/operators/node_tests.py [--segcam PROGRAM] [--only PART_OF_NAME] [-v]

A folder counts if its graph is a single listed operator, or the `_expanded` form of one. Floats
must agree as ONNX's own runner has it (relative 1e-3, absolute 1e-7), integers exactly, types
and shapes always.

segcam fixes all shapes when it loads a network, and wants weights and quantization there too.
Some node tests feed such parameters at run time (Reshape's shape, Resize's scales, Pad's pads, a
convolution's weights ...). Those inputs become initializers with the test's values before
segcam sees the network: PARAMETERS has the list. Everything else stays as it is.

EXCEPTIONS names the tests that do not pass, each with its reason. A test that fails and is not
among them is an error, and so is one among them that passes.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import pathlib
import sys

import numpy
import onnx
import onnx.backend.test
from onnx import numpy_helper

from program import Refused, Segcam

OPERATORS = set(
    """QuantizeLinear DequantizeLinear QLinearConv QLinearMatMul ConvInteger MatMulInteger
    DynamicQuantizeLinear Conv ConvTranspose Gemm MatMul MaxPool AveragePool GlobalAveragePool
    GlobalMaxPool Add Mul Concat Resize Upsample MaxUnpool Pad Slice Split Transpose Reshape
    SpaceToDepth DepthToSpace ArgMax Relu Clip LeakyRelu PRelu HardSwish HardSigmoid Sigmoid Tanh
    Softmax""".split()
)

# Operator -> the inputs that are parameters.
PARAMETERS = {
    "Clip": (1, 2),
    "Conv": (1, 2),
    "ConvInteger": (1, 2, 3),
    "ConvTranspose": (1, 2),
    "DequantizeLinear": (1, 2),
    "MaxUnpool": (2,),
    "Pad": (1, 2, 3),
    "PRelu": (1,),
    "QLinearConv": (1, 2, 3, 4, 5, 6, 7, 8),
    "QLinearMatMul": (1, 2, 3, 4, 5, 6, 7),
    "QuantizeLinear": (1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Upsample": (1,),
}

# Pattern of names -> reason.
FLOAT8 = "float8 is no type of the networks segcam runs: refused by name"
FOUR_BITS = "4-bit integers are no type of the networks segcam runs: refused by name"
BLOCKED = "blocked quantization, made for language models: refused by name"
WRAPS = "the expected values wrap where QuantizeLinear saturates; ONNX Runtime saturates too"
EXCEPTIONS = {
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True":
        "the expected values count cells beyond the padding; ONNX Runtime and PyTorch do not",
    "test_dequantizelinear_blocked": BLOCKED,
    "test_quantizelinear_blocked_*": BLOCKED,
    "test_dequantizelinear_e?m?*": FLOAT8,
    "test_quantizelinear_e?m?*": FLOAT8,
    "test_dequantizelinear_*int4": FOUR_BITS,
    "test_quantizelinear_*int4": FOUR_BITS,
    "test_qlinearmatmul_?D_int8_float16": WRAPS,
    "test_qlinearmatmul_?D_int8_float32": WRAPS,
}


def load(folder):
    """The model, its inputs and the outputs it must give."""
    model = onnx.load(folder / "model.onnx")
    data = folder / "test_data_set_0"

    def tensors(values, kind):
        for index, value in enumerate(values):
            tensor = onnx.TensorProto()
            tensor.ParseFromString((data / f"{kind}_{index}.pb").read_bytes())
            tensor.name = value.name
            yield tensor

    graph = model.graph
    fixed = {
        node.input[position]
        for node in graph.node
        for position in PARAMETERS.get(node.op_type, ())
        if position < len(node.input)
    }
    real = []
    for value, tensor in zip(list(graph.input), list(tensors(graph.input, "input"))):
        if value.name in fixed:
            graph.initializer.append(tensor)
            graph.input.remove(value)
        else:
            real.append(numpy_helper.to_array(tensor))
    return model, real, [numpy_helper.to_array(t) for t in tensors(graph.output, "output")]


def difference(found, expected):
    """What is wrong with an output, or None."""
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return f"{found.dtype} {found.shape} for {expected.dtype} {expected.shape}"
    if numpy.issubdtype(expected.dtype, numpy.floating):
        right = numpy.isclose(found, expected, rtol=1e-3, atol=1e-7, equal_nan=True)
    else:
        right = found == expected
    wrong = numpy.argwhere(~right)
    if len(wrong) == 0:
        return None
    at = tuple(wrong[0])
    return f"{len(wrong)} of {expected.size} differ, {at}: {found[at]} for {expected[at]}"


def check(segcam, folder):
    """What went wrong with one test, or None."""
    try:
        model, inputs, expected = load(folder)
        found = segcam.infer(model, inputs)
    except Refused as refusal:
        return f"refused: {refusal}"
    except Exception as error:  # an element type NumPy cannot hold, or a crash: shown in full
        return f"{type(error).__name__}: {error}"
    if len(found) != len(expected):
        return f"{len(found)} outputs for {len(expected)}"
    for index, pair in enumerate(zip(found, expected)):
        wrong = difference(*pair)
        if wrong:
            return f"output {index}: {wrong}"
    return None


def selected(only):
    """Folder name -> operator."""
    nodes = pathlib.Path(onnx.backend.test.__file__).parent / "data" / "node"
    singles, expanded = {}, []
    for folder in sorted(nodes.iterdir()):
        kinds = {node.op_type for node in onnx.load(folder / "model.onnx").graph.node}
        if "_expanded" in folder.name:
            expanded.append(folder)
        elif len(kinds) == 1 and kinds <= OPERATORS:
            singles[folder] = kinds.pop()
    by_name = {folder.name: operator for folder, operator in singles.items()}
    for folder in expanded:
        operator = by_name.get(folder.name.split("_expanded")[0])
        if operator:
            singles[folder] = operator
    return {folder: operator for folder, operator in singles.items() if only in folder.name}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segcam", metavar="PROGRAM", help="default: target/release/segcam")
    parser.add_argument("--only", default="", metavar="TEXT", help="tests whose names hold this")
    parser.add_argument("-v", "--verbose", action="store_true", help="also print the exceptions")
    arguments = parser.parse_args()
    segcam = Segcam(arguments.segcam)
    tests = selected(arguments.only)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda folder: check(segcam, folder), tests))
    counts = collections.defaultdict(collections.Counter)
    errors = []
    for (folder, operator), wrong in zip(tests.items(), results):
        name = folder.name
        reason = next((why for key, why in EXCEPTIONS.items() if fnmatch.fnmatch(name, key)), None)
        if wrong and reason:
            counts[operator]["exceptions"] += 1
            if arguments.verbose:
                print(f"exception {name} ({reason}): {wrong}")
        elif wrong:
            counts[operator]["failed"] += 1
            errors.append(f"{name}: {wrong}")
        elif reason:
            errors.append(f"{name}: passes, but stands among the exceptions ({reason})")
        counts[operator]["passed"] += not wrong
    print(f"{'operator':24} passed exceptions failed")
    total = collections.Counter()
    for operator, row in sorted(counts.items()):
        print(f"{operator:24} {row['passed']:6} {row['exceptions']:10} {row['failed']:6}")
        total += row
    print(f"{'all':24} {total['passed']:6} {total['exceptions']:10} {total['failed']:6}")
    for error in errors:
        print(error, file=sys.stderr)
    if not tests:
        sys.exit("no test has such a name")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
