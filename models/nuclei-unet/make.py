#!/usr/bin/env python3
"""Make nuclei-unet and nuclei-unet-small: train, export, quantize, measure.

    python make.py            train (unless WORK has the float network already), quantize;
                              write model.onnx and its sha256 into model.toml
    python make.py --small    the same for ../nuclei-unet-small
    python make.py --evaluate [--small]    measure what is there, make nothing

Quantizing and measuring are segcam's: `cargo build --release` first, or --segcam PATH.
"""

import argparse
import hashlib
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import data

HERE = Path(__file__).resolve().parent
SIDE = 256  # of the network's input
CROP = 128  # of the pictures it is trained on
BATCH = 8
SEED = 20261123


def level(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions."""
    layers = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", 2015 (arXiv:1505.04597), with three poolings, padding and batch normalization."""

    def __init__(self, base: int, depth: int = 3, classes: int = 2):
        super().__init__()
        widths = [base << n for n in range(depth + 1)]
        self.down = nn.ModuleList(level(a, b) for a, b in zip([1] + widths, widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.join = nn.ModuleList(level(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(base, classes, 1)

    def forward(self, x):
        skips = []
        for number, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if number else x)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1]):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x)


def loss(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross entropy and soft Dice (Milletari et al., "V-Net", 2016)."""
    p = scores.softmax(1)[:, 1]
    dice = 1 - 2 * (p * mask).sum() / ((p * p).sum() + mask.sum() + 1)
    return F.cross_entropy(scores, mask) + dice


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).float()[..., None, :, :] / 255


def train(network: nn.Module, steps: int) -> None:
    random = np.random.default_rng(SEED)
    real = data.training()
    made = [data.generated(random) for _ in range(200)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.1)
    network.train()
    began, recent = time.monotonic(), []
    for step in range(steps):
        # Half of the micrograph, half generated.
        parts = [
            data.crop(random, *(real if n % 2 else made[random.integers(len(made))]), CROP, 1.5 if n % 2 else 1.2)
            for n in range(BATCH)
        ]
        pictures, masks = (np.stack(side) for side in zip(*parts))
        x = tensor(pictures).contiguous(memory_format=torch.channels_last)
        error = loss(network(x), torch.from_numpy(masks).long())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
        recent.append(error.item())
        if step % 100 == 99:
            print(f"step {step + 1}: loss {np.mean(recent):.4f}, {time.monotonic() - began:.0f} s", flush=True)
            recent = []
    network.eval()


def export(network: nn.Module, file: Path) -> None:
    torch.onnx.export(
        network.to(memory_format=torch.contiguous_format),
        (torch.zeros(1, 1, SIDE, SIDE),),
        file,
        input_names=["image"],
        output_names=["scores"],
        opset_version=18,
        external_data=False,
        verbose=False,
    )


def pictures(work: Path) -> dict[str, Path]:
    """Writes the pictures that calibrate, and two test sets: the held-out part of the
    micrograph, and generated nuclei that were not trained on."""
    random = np.random.default_rng(SEED + 1)
    real = data.training()
    parts = {
        "calibration": [data.crop(random, *real, SIDE, 1.2) for _ in range(8)] + [data.generated(random) for _ in range(8)],
        "held-out": [data.held_out()],
        "generated": [data.generated(random) for _ in range(24)],
    }
    for name, pairs in parts.items():
        for number, pair in enumerate(pairs):
            for folder, picture in zip(("images", "masks"), pair):
                target = work / name / folder
                target.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.ascontiguousarray(picture)).save(target / f"{number:02}.png")
    return {name: work / name for name in parts}


def segcam(program: str, *arguments: str) -> str:
    command = [program, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def sign(folder: Path) -> None:
    """The file's hash into its card."""
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    card = folder / "model.toml"
    card.write_text(re.sub(r'sha256 = "\w*"', f'sha256 = "{digest}"', card.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a quarter of the multiplications")
    parser.add_argument("--evaluate", action="store_true", help="measure, make nothing")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "segcam-nuclei")
    parser.add_argument("--segcam", default=HERE / "../../target/release/segcam")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    name = "nuclei-unet-small" if args.small else "nuclei-unet"
    folder, original = HERE.parent / name, args.work / f"{name}.onnx"
    args.work.mkdir(parents=True, exist_ok=True)
    sets = pictures(args.work)
    # The card without the hash, which is not the float network's.
    card = args.work / "card.toml"
    card.write_text(re.sub(r"sha256.*\n", "", (folder / "model.toml").read_text()))
    if not args.evaluate:
        if not original.exists():
            network = UNet(4 if args.small else 8).to(memory_format=torch.channels_last)
            train(network, 1400)
            export(network, original)
        calibration = sets["calibration"] / "images"
        print(segcam(args.segcam, "quantize", original, "--calibrate", calibration, "--card", card, "-o", folder / "model.onnx"))
        sign(folder)
    for test in (sets["held-out"], sets["generated"]):
        for model in (original, folder / "model.onnx"):
            print(f"\n{test.name}, {model}")
            print(segcam(args.segcam, "eval", model, test, "--card", card))


if __name__ == "__main__":
    main()
