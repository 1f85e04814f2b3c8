#!/usr/bin/env python3
"""`segcam quantize` against ONNX Runtime's static quantization, both against float.

    python quantize.py --zoo DIR --pictures DIR [--segcam FILE] [--out DIR] [--only NAME,NAME]

PICTURES holds KIND/cal and KIND/held (people, retina, street): PNG or JPEG, calibration and
held-out ones. Both quantizers see the same calibration pictures; masks are compared on the
held-out ones, all by ONNX Runtime without graph optimizations, ours by segcam too.
Needs onnx, onnxruntime, numpy and pillow.
"""

import argparse
import json
import logging
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

# SINet takes (p - mean) / std / 255 of BGR; other pixels make its activations reach 1e9.
SINET = [0.4035, 0.4363, 0.4977], [62.933, 62.821, 66.356]

# name: (pictures, height, width, layout, mean and std (each channel's), colour, further keys)
NETWORKS = {
    "portrait-mnv3-float": ("people", 256, 256, "nhwc", [0.5] * 3, [0.5] * 3, "RGB", []),
    "retina-unet": ("retina", 128, 128, "nchw", [0.0] * 3, [1.0] * 3, "L", ["input.size=[128,128]"]),
    "sinet": ("people", 320, 320, "nchw", *SINET, "BGR", []),
    "twinlitenet": ("street", 360, 640, "nchw", [0.0] * 3, [1.0] * 3, "RGB", []),
    "selfie": ("people", 256, 256, "nhwc", [0.0] * 3, [1.0] * 3, "RGB", ["output.kind=probability"]),
}


def inputs(folder, height, width, layout, mean, std, color):
    for file in sorted(folder.iterdir()):
        image = Image.open(file).convert("L" if color == "L" else "RGB")
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        x = np.asarray(image, np.float32).reshape(height, width, -1)
        x = x[:, :, ::-1] if color == "BGR" else x
        channels = x.shape[2]
        x = (x / 255 - np.float32(mean[:channels])) / np.float32(std[:channels])
        yield (x if layout == "nhwc" else x.transpose(2, 0, 1))[None].astype(np.float32)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def masks(outputs, layout):
    axis = 3 if layout == "nhwc" else 1
    return [o.argmax(axis) if o.shape[axis] > 1 else (o > 0.5).squeeze(axis) for o in outputs]


class Reader(CalibrationDataReader):
    def __init__(self, name, xs):
        self.left = iter([{name: x} for x in xs])

    def get_next(self):
        return next(self.left, None)


def by_onnx_runtime(model, name, xs, method, out, folder):
    prepared = folder / "prepared.onnx"
    if model.opset_import[0].version < 13:
        model = onnx.version_converter.convert_version(model, 13)
    onnx.save(model, folder / "given.onnx")
    quant_pre_process(folder / "given.onnx", prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        out,
        Reader(name, xs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=method,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--segcam", default="target/release/segcam")
    parser.add_argument("--out", type=Path, default=Path(tempfile.mkdtemp()))
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--peer", action="store_true", help="ONNX Runtime's quantization, too")
    arguments, more = parser.parse_known_args()
    logging.disable(logging.WARNING)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for network in arguments.only.split(","):
        kind, height, width, layout, mean, std, color, keys = NETWORKS[network]
        shape = (height, width, layout, mean, std, color)
        pictures = arguments.pictures / kind
        file = arguments.zoo / network / "model.onnx"
        keys = keys + ["input.fit=stretch", f"input.mean={mean}", f"input.std={std}", f"input.layout={layout}"]
        keys += [f"input.color={'gray' if color == 'L' else color.lower()}"]
        ours = arguments.out / f"{network}.onnx"
        command = [arguments.segcam, "quantize", file, "--calibrate", pictures / "cal", "-o", ours, "--json"]
        command += [part for key in keys for part in ("--set", key)] + more
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            print(network, done.stderr)
            continue
        report = json.loads(done.stdout)
        (arguments.out / f"{network}.json").write_text(json.dumps(report, indent=1))
        model = onnx.load(file)
        constants = {tensor.name for tensor in model.graph.initializer}
        name = next(i.name for i in model.graph.input if i.name not in constants)
        made = {"segcam": ours}
        if arguments.peer:
            methods = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
            for label, method in methods.items():
                made[f"onnxruntime {label}"] = arguments.out / f"{network}.{label}.onnx"
                if made[f"onnxruntime {label}"].exists():
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        by_onnx_runtime(model, name, inputs(pictures / "cal", *shape), method, made[f"onnxruntime {label}"], Path(folder))
                    except Exception as error:
                        print(network, label, error)
                        del made[f"onnxruntime {label}"]
        float_run = session(file)
        runs = {label: session(path) for label, path in made.items()}
        count = len(float_run.get_outputs())
        same = {label: np.zeros(count) for label in [*runs, "by segcam"]}
        pixels, differing, values, worst, between = 0, 0, 0, 0.0, 0
        held = list(inputs(pictures / "held", *shape))
        for x in held:
            right = masks(float_run.run(None, {name: x}), layout)
            pixels += right[0].size
            for label, run in runs.items():
                answer = run.run(None, {name: x})
                found = masks(answer, layout)
                same[label] += [(a == b).sum() for a, b in zip(right, found)]
                if label == "segcam":
                    theirs, their_masks = answer, found
            with tempfile.TemporaryDirectory() as folder:
                np.save(f"{folder}/in.npy", x)
                command = [arguments.segcam, "infer", str(ours), "--tensor", f"{folder}/in.npy", "-o", f"{folder}/out.npy"]
                subprocess.run(command, check=True, capture_output=True)
                own = [np.load(f"{folder}/out{'' if k == 0 else f'.{k}'}.npy") for k in range(count)]
            same["by segcam"] += [(a == b).sum() for a, b in zip(right, masks(own, layout))]
            for a, b, c, d in zip(own, theirs, masks(own, layout), their_masks):
                differing += (np.abs(a - b) > 1e-4 * np.abs(b).max()).sum()
                worst = max(worst, float(np.abs(a - b).max() / np.abs(b).max()))
                between += (c != d).sum()
                values += a.size
        print(f"{network}: calibrated {report['ranges']}, equalized {report['equalization']}, corrected {report['biases_corrected']}, "
              f"on calibration pictures {[round(100 * m['agreement'], 2) for m in report['masks']]}, "
              f"integers {100 * report['integer_macs']:.1f} %, x{report['speedup']:.1f}, extra {report['extra_inferences']:.0f}")
        print(f"  float: {[layer['name'] for layer in report['layers'] if layer['float']]}")
        for label, count_same in same.items():
            print(f"  {label}: {[round(float(s), 3) for s in 100 * count_same / pixels]} % of the held-out pixels as in float")
        print(f"  segcam and onnxruntime on the same file: {differing} of {values} values differ by more than 1e-4 of the largest, "
              f"at most by {worst:.1e}; {between} mask pixels differ", flush=True)


if __name__ == "__main__":
    main()
