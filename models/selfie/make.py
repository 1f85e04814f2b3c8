#!/usr/bin/env python3
"""Make selfie and selfie-small: fetch MediaPipe's networks, convert, quantize, measure.

    python make.py            write model.onnx and its sha256 into model.toml
    python make.py --small    the same for ../selfie-small
    python make.py --evaluate [--small]    print the agreement of model.onnx with the float original

Quantizing is segcam's: `cargo build --release` first, or --segcam PATH.
"""

import argparse
import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from ai_edge_litert.interpreter import Interpreter

import convert
import pictures

HERE = Path(__file__).resolve().parent
# Folder: the file in the package, the input's width and height.
NETWORKS = {
    "selfie": ("package/selfie_segmentation.tflite", (256, 256)),
    "selfie-small": ("package/selfie_segmentation_landscape.tflite", (256, 144)),
}
TOLERANCE = 5e-3  # float ONNX against TFLite, probabilities; measured 2e-4, small 2e-3
THRESHOLD = 0.5


def session(model: onnx.ModelProto, optimized: bool = False) -> ort.InferenceSession:
    """One thread, so that sums have one order; unoptimized, the graph runs as written."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def check_conversion(model: onnx.ModelProto, tflite_bytes: bytes, size: tuple[int, int], cache: Path) -> None:
    """The float ONNX must answer as the TFLite file does on real pictures."""
    reference = Interpreter(model_content=tflite_bytes)
    reference.allocate_tensors()
    source, target = reference.get_input_details()[0]["index"], reference.get_output_details()[0]["index"]
    run = session(model)
    worst = 0.0
    for name in pictures.HELD_OUT_PEOPLE[:4]:
        x = pictures.tensor(pictures.letterbox(pictures.load(name, cache), size)[0])
        reference.set_tensor(source, x.transpose(0, 2, 3, 1))
        reference.invoke()
        expected = reference.get_tensor(target).transpose(0, 3, 1, 2)
        worst = max(worst, float(np.abs(run.run(None, {"image": x})[0] - expected).max()))
    print(f"float ONNX against TFLite: worst difference {worst:.1e}")
    if worst > TOLERANCE:
        raise SystemExit(f"expected at most {TOLERANCE:.0e}")


def evaluate(original: onnx.ModelProto, model: onnx.ModelProto, size: tuple[int, int], cache: Path) -> None:
    """Person masks at 0.5, inside the picture (not the letterbox bars): int8 against float."""
    runs = [session(original), session(model), session(model, optimized=True)]
    groups = {
        "held out, with people": pictures.HELD_OUT_PEOPLE,
        "held out, without": pictures.HELD_OUT_EMPTY,
        "calibration": pictures.CALIBRATION,
    }
    held_out = np.zeros((2, 2))
    for group, names in groups.items():
        print(f"\n| {group} | person share, float | IoU as written | IoU optimized | pixels that differ |")
        print("| --- | ---: | ---: | ---: | ---: |")
        sums, each = np.zeros((2, 2)), []
        differ = area = 0
        for name in names:
            image, (left, top, right, bottom) = pictures.letterbox(pictures.load(name, cache), size)
            x = pictures.tensor(image)
            scores = [run.run(None, {"image": x})[0][0, 0] for run in runs]
            masks = [s[top:bottom, left:right] > THRESHOLD for s in scores]
            both = [[(masks[0] & m).sum(), (masks[0] | m).sum()] for m in masks[1:]]
            sums += both
            iou = [f"{i / u:.3f}" if u else "-" for i, u in both]
            each += [i / u for i, u in both[:1] if u]
            wrong = (masks[0] != masks[1]).mean()
            differ, area = differ + (masks[0] != masks[1]).sum(), area + masks[0].size
            print(f"| {name} | {masks[0].mean():.1%} | {iou[0]} | {iou[1]} | {wrong:.2%} |")
        if group != "calibration":
            held_out += sums
        total = sums[:, 0] / sums[:, 1]
        print(f"| all pixels together | | {total[0]:.4f} | {total[1]:.4f} | {differ / area:.2%} |")
        print(f"| mean, least over pictures | | {np.mean(each):.4f}, {min(each):.3f} | | |")
    total = held_out[:, 0] / held_out[:, 1]
    print(f"\nall held-out pictures together: {total[0]:.4f} as written, {total[1]:.4f} optimized")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the landscape model")
    parser.add_argument("--evaluate", action="store_true", help="measure model.onnx, make nothing")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "segcam-selfie", help="downloads, the float network")
    parser.add_argument("--segcam", default=HERE / "../../target/release/segcam")
    args = parser.parse_args()

    name = "selfie-small" if args.small else "selfie"
    source, size = NETWORKS[name]
    tflite_bytes = pictures.member(pictures.fetch("selfie-segmentation", args.work), source)
    original = convert.to_onnx(tflite_bytes)
    check_conversion(original, tflite_bytes, size, args.work)

    file, card = (HERE.parent / name / f for f in ("model.onnx", "model.toml"))
    if not args.evaluate:
        onnx.save(original, args.work / f"{name}.onnx")
        calibration = pictures.calibration(args.work)
        # The card without the hash, which is not the float network's.
        bare = args.work / "card.toml"
        bare.write_text(re.sub(r"sha256.*\n", "", card.read_text()))
        options = ["--calibrate", calibration, "--card", bare, "-o", file]
        subprocess.run([args.segcam, "quantize", args.work / f"{name}.onnx", *options], check=True)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        card.write_text(re.sub(r'sha256 = "\w*"', f'sha256 = "{digest}"', card.read_text()))
    evaluate(original, onnx.load(file), size, args.work)


if __name__ == "__main__":
    main()
