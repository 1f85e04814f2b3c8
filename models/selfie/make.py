#!/usr/bin/env python3
"""Make models/selfie/model.onnx: fetch MediaPipe's network, convert it, quantize it, measure it.

    python make.py               write model.onnx and its sha256 into model.toml
    python make.py --evaluate    print the agreement of model.onnx with the float original
"""

import argparse
import hashlib
import re
import tempfile
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import convert
import pictures
import quantize

HERE = Path(__file__).resolve().parent
TFLITE = "package/selfie_segmentation.tflite"  # 256x256; the _landscape one is 144x256
TOLERANCE = 1e-3  # float ONNX against TFLite, probabilities; measured 2e-4
THRESHOLD = 0.5
TINT = np.array([47, 158, 68])


def check_conversion(model: onnx.ModelProto, tflite_bytes: bytes, cache: Path) -> None:
    """The float ONNX must answer as the TFLite file does on real pictures."""
    reference = Interpreter(model_content=tflite_bytes)
    reference.allocate_tensors()
    source, target = reference.get_input_details()[0]["index"], reference.get_output_details()[0]["index"]
    run = quantize.session(model)
    worst = 0.0
    for name in pictures.HELD_OUT_PEOPLE[:4]:
        x = pictures.tensor(pictures.letterbox(pictures.load(name, cache))[0])
        reference.set_tensor(source, x.transpose(0, 2, 3, 1))
        reference.invoke()
        expected = reference.get_tensor(target).transpose(0, 3, 1, 2)
        worst = max(worst, float(np.abs(run.run(None, {"image": x})[0] - expected).max()))
    report("float ONNX against TFLite", worst)


def check_against(model: onnx.ModelProto, folder: Path) -> None:
    """The float ONNX against a stored NHWC in.npy and out.npy."""
    x, expected = (np.load(folder / f).transpose(0, 3, 1, 2) for f in ("in.npy", "out.npy"))
    got = quantize.session(model).run(None, {"image": np.ascontiguousarray(x)})[0]
    report(f"float ONNX against {folder}", float(np.abs(got - expected).max()))


def report(what: str, difference: float) -> None:
    print(f"{what}: worst difference {difference:.1e}")
    if difference > TOLERANCE:
        raise SystemExit(f"{what}: worst difference {difference:.1e}, expected at most {TOLERANCE:.0e}")


def evaluate(original: onnx.ModelProto, model: onnx.ModelProto, cache: Path, overlays: Path | None) -> None:
    """Person masks at 0.5, inside the picture (not the letterbox bars): int8 against float."""
    runs = [quantize.session(original), quantize.session(model), quantize.session(model, optimized=True)]
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
            image, (left, top, right, bottom) = pictures.letterbox(pictures.load(name, cache))
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
            if overlays and group != "calibration":
                sheet = [overlay(image, s > THRESHOLD) for s in scores[:2]]
                overlays.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.hstack(sheet)).save(overlays / (re.sub(r"\W+", "_", name) + ".png"))
        if group != "calibration":
            held_out += sums
        total = sums[:, 0] / sums[:, 1]
        print(f"| all pixels together | | {total[0]:.4f} | {total[1]:.4f} | {differ / area:.2%} |")
        print(f"| mean, least over pictures | | {np.mean(each):.4f}, {min(each):.3f} | | |")
    total = held_out[:, 0] / held_out[:, 1]
    print(f"\nall held-out pictures together: {total[0]:.4f} as written, {total[1]:.4f} optimized")


def overlay(image: Image.Image, mask: np.ndarray) -> np.ndarray:
    pixels = np.asarray(image).astype(np.int32)
    pixels[mask] = (pixels[mask] + TINT) // 2
    return pixels.astype(np.uint8)


def write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_bytes(data)
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "segcam-selfie", help="downloads")
    parser.add_argument("--evaluate", action="store_true", help="measure model.onnx, make nothing")
    parser.add_argument("--overlays", type=Path, help="with --evaluate: folder for float | int8 overlays")
    parser.add_argument("--check", type=Path, help="also check the float ONNX against DIR/in.npy and DIR/out.npy")
    parser.add_argument("--float", type=Path, help="also write the float ONNX here")
    parser.add_argument("--reference", type=Path, help="also write the astronaut's in.npy and out.npy into this folder")
    args = parser.parse_args()

    tflite_bytes = pictures.member(pictures.fetch("selfie-segmentation", args.cache), TFLITE)
    original = convert.to_onnx(tflite_bytes)
    check_conversion(original, tflite_bytes, args.cache)
    if args.check:
        check_against(original, args.check)
    if args.float:
        onnx.save(original, args.float)

    file = HERE / "model.onnx"
    if not args.evaluate:
        data = quantize.quantize(original, pictures.calibration(args.cache)).SerializeToString(deterministic=True)
        digest = hashlib.sha256(data).hexdigest()
        write(file, data)
        card = HERE / "model.toml"
        write(card, re.sub(r'sha256 = "\w*"', f'sha256 = "{digest}"', card.read_text()).encode())
        print(f"{file}: {len(data)} bytes, sha256 {digest}")
    model = onnx.load(file)
    if args.evaluate:
        evaluate(original, model, args.cache, args.overlays)
    if args.reference:
        args.reference.mkdir(parents=True, exist_ok=True)
        x = pictures.tensor(pictures.letterbox(pictures.load("scikit-image/astronaut.png", args.cache))[0])
        np.save(args.reference / "in.npy", x)
        np.save(args.reference / "out.npy", quantize.session(model).run(None, {"image": x})[0])


if __name__ == "__main__":
    main()
