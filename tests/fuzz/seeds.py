#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets into tests/fuzz/seeds.

    tests/fuzz/seeds.py SEGCAM

SEGCAM is the program: recordings and logs are what it writes itself. Networks are drawn by
tests/operators, so this needs its requirements.txt, and Pillow for the pictures of cameras.
"""

import io
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

HERE = pathlib.Path(__file__).parent
SEEDS = HERE / "seeds"
sys.path.insert(0, str(HERE.parent / "operators"))
import compare

# The largest network that is kept: mutations of a small one still parse.
LARGEST = 900
# What `recording`, `pipe` and their seeds are labelled with.
TINY = HERE / "tiny.onnx"


def write(target, name, data):
    (SEEDS / target / re.sub("[^a-z0-9]+", "-", name.lower())).write_bytes(data)


def constant(name, array):
    return numpy_helper.from_array(numpy.asarray(array), name)


def network(nodes, inputs, outputs, constants, opset=13):
    def value(name, shape, kind=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes, "g", [value(*i) for i in inputs], [value(*o) for o in outputs], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model.producer_name = ""
    return model.SerializeToString()


def tiny():
    """Three classes by a 3x3 convolution, quantized."""
    random = numpy.random.default_rng(1)
    weight = random.integers(-100, 100, (3, 3, 3, 3)).astype(numpy.int8)
    constants = [
        constant("xs", numpy.float32(1 / 255)), constant("xz", numpy.uint8(0)),
        constant("w", weight), constant("ws", numpy.float32(0.01)), constant("wz", numpy.int8(0)),
        constant("ys", numpy.float32(0.1)), constant("yz", numpy.uint8(128)),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"], pads=[1] * 4),
        helper.make_node("QuantizeLinear", ["c", "ys", "yz"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "ys", "yz"], ["y"]),
    ]
    shape = [1, 3, 16, 16]
    return network(nodes, [("x", shape)], [("y", shape)], constants)


def segmenters():
    """Networks that label pictures, in float: what cards and ports are checked with."""
    random = numpy.random.default_rng(2)
    weight = lambda *shape: random.normal(size=shape).astype(numpy.float32)
    node = helper.make_node
    yield "open", network(
        [node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[3, 3], pads=[1] * 4)],
        [("x", ["n", 3, "h", "w"])], [("y", None)],
        [constant("w", weight(2, 3, 3, 3)), constant("b", weight(2))],
    )
    yield "labels", network(
        [node("Conv", ["x", "w"], ["c"]), node("ArgMax", ["c"], ["y"], axis=1)],
        [("x", [1, 3, 8, 8])], [("y", None, TensorProto.INT64)], [constant("w", weight(3, 3, 1, 1))],
    )
    yield "unet", network(
        [
            node("Conv", ["x", "w"], ["a"], pads=[1] * 4), node("Relu", ["a"], ["r"]),
            node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
            node("ConvTranspose", ["m", "t"], ["u"], strides=[2, 2]),
            node("Concat", ["u", "r"], ["k"], axis=1), node("Conv", ["k", "o"], ["y"]),
        ],
        [("x", [1, 3, 8, 8])], [("y", None)],
        [constant("w", weight(2, 3, 3, 3)), constant("t", weight(2, 2, 2, 2)),
         constant("o", weight(2, 4, 1, 1))],
    )
    yield "last", network(
        [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), node("Conv", ["t", "w"], ["c"]),
         node("Sigmoid", ["c"], ["s"]), node("Transpose", ["s"], ["y"], perm=[0, 2, 3, 1])],
        [("x", [1, 8, 8, 3])], [("y", None)], [constant("w", weight(1, 3, 1, 1))],
    )
    yield "upsample", network(
        [node("AveragePool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
         node("Upsample", ["p"], ["y"], scales=[1.0, 1.0, 2.0, 2.0], mode="nearest")],
        [("x", [1, 3, 8, 8])], [("y", None)], [], opset=7,
    )
    yield "unpool", network(
        [node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2], strides=[2, 2]),
         node("MaxUnpool", ["p", "i"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
        [("x", [1, 3, 8, 8])], [("y", None)], [], opset=11,
    )
    yield "shapes", network(
        [node("Shape", ["x"], ["s"]), node("Slice", ["s", "from", "to"], ["hw"]),
         node("Concat", ["nc", "hw"], ["sizes"], axis=0),
         node("Conv", ["x", "w"], ["c"], strides=[2, 2]),
         node("Resize", ["c", "", "", "sizes"], ["y"], mode="linear")],
        [("x", [1, 3, 8, 8])], [("y", None)],
        [constant("from", [2]), constant("to", [4]), constant("nc", [1, 2]),
         constant("w", weight(2, 3, 1, 1))],
    )
    yield "normed", network(
        [node("Pad", ["x", "pads"], ["p"], mode="reflect"), node("Conv", ["p", "w"], ["c"]),
         node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
         node("InstanceNormalization", ["n", "s", "b"], ["i"]), node("Softmax", ["i"], ["y"], axis=1)],
        [("x", [1, 3, 6, 6])], [("y", None)],
        [constant("pads", [0, 0, 1, 1, 0, 0, 1, 1]), constant("w", weight(2, 3, 3, 3)),
         *(constant(name, weight(2)) for name in "sbm"), constant("v", abs(weight(2)))],
    )


def networks():
    for kind in compare.KINDS:
        drawn = (compare.draw(kind, 1, index) for index in range(6))
        found = [case.model for case in drawn if case]
        for model in found:
            model.ClearField("producer_name")
        small = sorted((model.SerializeToString() for model in found), key=len)
        for index, model in enumerate(small[:2]):
            if len(model) <= LARGEST:
                write("onnx", f"{kind}-{index}", model)
    for name, model in segmenters():
        write("onnx", name, model)
    write("onnx", "tiny", TINY.read_bytes())


def painted(width, height):
    y, x = numpy.mgrid[:height, :width]
    return numpy.stack([x * 7 % 256, y * 11 % 256, (x * y) % 256], -1).astype(numpy.uint8)


def without_tables(picture):
    """As cameras write it that leave their Huffman tables out."""
    out, at = picture[:2], 2
    while picture[at + 1] != 0xDA:
        length = 2 + int.from_bytes(picture[at + 2 : at + 4], "big")
        out += picture[at : at + length] if picture[at + 1] != 0xC4 else b""
        at += length
    return out + picture[at:]


def pictures():
    """A byte for the size agreed on (see the target), then a picture."""
    sizes = [(16, 16), (40, 24), (17, 9), (64, 48)]
    for index, size in enumerate(sizes):
        image = Image.fromarray(painted(*size))
        kinds = {
            "420": {"subsampling": 2}, "422": {"subsampling": 1}, "444": {"subsampling": 0},
            "restarts": {"restart_marker_blocks": 2}, "progressive": {"progressive": True},
        }
        for kind, options in kinds.items():
            out = io.BytesIO()
            image.save(out, "JPEG", quality=40, **options)
            write("mjpeg", f"{kind}-{index}", bytes([index]) + out.getvalue())
            if kind == "422":
                write("mjpeg", f"bare-{index}", bytes([index]) + without_tables(out.getvalue()))
        for mode in ("L", "CMYK"):
            out = io.BytesIO()
            image.convert(mode).save(out, "JPEG", quality=40)
            write("mjpeg", f"{mode}-{index}", bytes([index]) + out.getvalue())


def clips():
    planes = {"420jpeg": 18 * 10 + 2 * 9 * 5, "422": 2 * 18 * 10, "444": 3 * 18 * 10, "mono": 18 * 10}
    for kind, size in planes.items():
        clip = f"YUV4MPEG2 W18 H10 F25:1 Ip A1:1 C{kind}\n".encode()
        for frame in range(2):
            clip += b"FRAME\n" + bytes(range(frame, frame + 90)) * (size // 90)
        write("y4m", kind, b"\n" + clip)
    clip = b"YUV4MPEG2 W2 H2 F30000:1001 C420 XCOLORRANGE=FULL\n" + b"FRAME Ip\nabcdef" * 3
    write("y4m", "looped", b"loop&fps=1000\n" + clip)
    write("y4m", "given", b"fps&matrix=709&range=full\n" + clip)


def frames():
    """How the frame is fitted, the URI's parameters, then frames."""
    formats = {"yuyv": 2, "uyvy": 2, "nv12": 1.5, "yuv420": 1.5, "rgb24": 3, "bgr24": 3, "grey": 1}
    for index, (kind, bytes_a_pixel) in enumerate(formats.items()):
        frame = bytes(range(256))[: int(16 * 8 * bytes_a_pixel) % 256 or 256]
        frame = (frame * 4)[: int(16 * 8 * bytes_a_pixel)]
        head = f"{index % 4}format={kind}&width=16&height=8\n".encode()
        write("pipe", kind, head + frame * 2)
    head = b"3format=yuv420&width=21&height=19&stride=24&fps=30&matrix=709&range=full\n"
    write("pipe", "odd", head + bytes(range(230)) * 5)


def cards():
    root = HERE.parent.parent
    for path in [*root.glob("models/*/model.toml"), *root.glob("boards/*.toml")]:
        write("card", f"{path.parent.name}-{path.stem}", path.read_bytes())
    full = """name='n'
file='m.onnx'
license='MIT'
sha256='0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'
[input]
layout='nhwc'
color='bgr'
mean=[0.5,0.5,0.5]
std=[0.25,0.25,0.25]
fit='tile'
size=[16,16]
overlap=4
[output]
kind='probability'
index=1
threshold=0.25
[[class]]
name='ground'
color='none'
[[class]]
name='person'
color='#e6194b'
"""
    write("card", "full", full.encode() + b"\0input.fit=crop\0output.threshold=0.5\0a.b.c=[1]")
    board = "threads=2\nmemory_mb=64\nrotate=90\nstale_after_ms=400\ncamera='v4l2:?width=640'\n" \
        "display=['drm:','fbdev:?rotate=180']\n[controls]\ngain=3\nauto=true\nmenu='Off'\n"
    write("card", "segcam", board.encode())


def program_writes(program):
    def run(*arguments):
        command = [program, "-q", "run", "--display", "null:", *arguments]
        subprocess.run(command, check=True, cwd=HERE, stdout=subprocess.DEVNULL)

    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        for fit in ("crop", "tile"):
            folder = place / fit
            camera = "synthetic:portrait?width=24&height=18&seed=1&fps=0&format=" + (
                "yuyv" if fit == "crop" else "yuv420"
            )
            run("--model", TINY.name, "--set", f"input.fit={fit}", "--camera", camera,
                "--frames", "2", "--record", str(folder), "--log", str(place / "log"))
            for segment in folder.iterdir():
                write("recording", fit, segment.read_bytes())
        whole = (place / "log" / "journal.jsonl").read_bytes()
        lines = whole.splitlines(keepends=True)
        write("log", "whole", b"\0" + whole)
        write("log", "two", b"".join(lines[:2]) + b"\0" + b"".join(lines[2:]))
        write("log", "torn", b"\0" + b"".join(lines[:3]) + lines[3][:50])
        write("log", "unended", b"\0" + whole[:-1])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    shutil.rmtree(SEEDS, ignore_errors=True)
    for target in ("onnx", "card", "mjpeg", "y4m", "pipe", "recording", "log"):
        (SEEDS / target).mkdir(parents=True)
    TINY.write_bytes(tiny())
    networks()
    pictures()
    clips()
    frames()
    cards()
    program_writes(pathlib.Path(sys.argv[1]).resolve())


main()
