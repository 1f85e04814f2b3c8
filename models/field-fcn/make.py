#!/usr/bin/env python3
"""Make field-fcn and field-fcn-small: draw scenes, train, export, quantize, measure.

    python make.py            train (unless WORK has the float network already), quantize;
                              write model.onnx and its sha256 into model.toml
    python make.py --small    the same for ../field-fcn-small
    python make.py --evaluate [--small]    measure what is there, make nothing

Drawing, quantizing and measuring are segcam's:
`cargo build --release --bin segcam --example scenes` first, or --built FOLDER.
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

HERE = Path(__file__).resolve().parent
CLASSES = 7
SEED = 20261123
# Of the input, and of the frames it learns from.
WIDTH, HEIGHT = 640, 480
BATCH, CROP = 8, 192
# In each cycle the rate falls to nothing; then it begins again. A cycle's steps; its largest rate;
# the power of their rarity by which classes weigh in the cross entropy; whether things are looked
# for class by class or pixel by pixel; how much of the loss is that of the scores at stride 8.
CYCLES = [
    (800, 4e-3, 0.25, False, 0.0),
    (1200, 4e-3, 0.5, True, 0.0),
    (1200, 4e-3, 0.0, True, 0.0),
    (1300, 4e-3, 0.0, True, 1.0),
]
# Folder: first seed, seeds, frames of each.
SCENES = {
    "training": (10_000, 2000, [0]),
    "validation": (1000, 20, [100]),
    "calibration": (2000, 24, [50]),
    "test": (0, 100, [0, 200]),
}


class Size:
    """What tells the two networks apart."""

    def __init__(self, small: bool):
        self.name = "field-fcn-small" if small else "field-fcn"
        # Channels at strides 2, 4, 8, 16 and 32, and of the sums at 8 and more.
        self.widths = (8, 16, 32, 48, 64) if small else (16, 24, 64, 96, 128)
        self.sums = 24 if small else 48
        self.cycles = [(900, 4e-3, 0.5, True, 0.0)] if small else CYCLES


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class FCN(nn.Module):
    """FCN-8s of Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic
    Segmentation", 2015 (arXiv:1411.4038): what strides 32, 16 and 8 say is brought to the same
    channels by 1x1 convolutions and summed, with learned upsampling between. Different from the
    paper: a small encoder of pairs of 3x3 convolutions; sums of more channels than classes; two
    further skips, at strides 4 and 2, with a 3x3 convolution behind each sum."""

    def __init__(self, widths: tuple[int, ...], sums: int):
        super().__init__()
        self.encoder = nn.ModuleList(
            nn.Sequential(convolution(a, b, 2), convolution(b, b)) for a, b in zip((3, *widths), widths)
        )
        outputs = (widths[0], widths[1], sums, sums, sums)
        self.lateral = nn.ModuleList(nn.Conv2d(w, o, 1) for w, o in zip(widths, outputs))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in zip(outputs, outputs[1:]))
        self.join = nn.ModuleList(convolution(o, o) for o in outputs[:3])
        self.head = nn.ConvTranspose2d(widths[0], CLASSES, 2, 2)
        # Scores at stride 8, while it learns.
        self.coarse = nn.Conv2d(sums, CLASSES, 1)

    def forward(self, x):
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = self.lateral[4](x)
        for level in (3, 2, 1, 0):
            x = self.up[level](x) + self.lateral[level](skips[level])
            if level < 3:
                x = self.join[level](x)
            if level == 2 and self.training:
                coarse = self.coarse(x)
        return (self.head(x), coarse) if self.training else self.head(x)


class Loss:
    """Cross entropy, weighted for rare classes, and soft Dice (Milletari et al., "V-Net", 2016)
    averaged over the classes."""

    def __init__(self, masks: np.ndarray, power: float):
        few = masks[::4, ::4, ::4]
        share = np.bincount(few.ravel(), minlength=CLASSES) / few.size
        weight = share**-power
        self.weight = torch.tensor(weight / (weight * share).sum()).float()

    def __call__(self, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        p = scores.softmax(1)
        hit = p.gather(1, mask[:, None])[:, 0]
        counts = torch.bincount(mask.flatten(), minlength=CLASSES).float()
        both = torch.zeros(CLASSES).index_add(0, mask.flatten(), hit.flatten())
        dice = 1 - (2 * both + 20) / (p.sum((0, 2, 3)) + counts + 20)
        return F.cross_entropy(scores, mask, self.weight) + dice.mean()


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and masks; the unpacked ones stay beside the folder."""
    arrays = []
    for kind, shape in ("images", (HEIGHT, WIDTH, 3)), ("masks", (HEIGHT, WIDTH)):
        stored = folder.with_name(f"{folder.name}-{kind}.npy")
        if not stored.exists():
            files = sorted((folder / kind).glob("*.png"))
            array = np.empty((len(files), *shape), np.uint8)
            for n, file in enumerate(files):
                array[n] = Image.open(file)
            np.save(stored, array)
        arrays.append(np.load(stored, mmap_mode="r"))
    return tuple(arrays)


def batch(random: np.random.Generator, pictures: np.ndarray, masks: np.ndarray, by_class: bool):
    """Parts of pictures, mirrored or not, in slightly other light; half of them around a pixel
    of an animal, a vehicle or a person."""
    x, y = np.empty((BATCH, CROP, CROP, 3), np.float32), np.empty((BATCH, CROP, CROP), np.int64)
    for n in range(BATCH):
        at = random.integers(len(masks))
        top, left = random.integers(HEIGHT - CROP + 1), random.integers(WIDTH - CROP + 1)
        few = masks[at, ::4, ::4]
        things = np.flatnonzero(few > 3) if n % 2 else np.empty(0)
        if things.size:
            if by_class:
                things = np.flatnonzero(few == random.choice(np.unique(few[few > 3])))
            row, column = (4 * place for place in divmod(random.choice(things), WIDTH // 4))
            top = np.clip(row - random.integers(CROP), 0, HEIGHT - CROP)
            left = np.clip(column - random.integers(CROP), 0, WIDTH - CROP)
        step = -1 if random.integers(2) else 1
        part = np.s_[at, top : top + CROP, left : left + CROP]
        light = np.float32(random.uniform(0.85, 1.15) * random.uniform(0.95, 1.05, 3))
        x[n] = np.clip(pictures[part][:, ::step] * light, 0, 255)
        y[n] = masks[part][:, ::step]
    x = torch.from_numpy(x).permute(0, 3, 1, 2) / 255
    return x.contiguous(memory_format=torch.channels_last), torch.from_numpy(y)


def iou(network: nn.Module, pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    counts = np.zeros((CLASSES, CLASSES))
    with torch.no_grad():
        for picture, mask in zip(pictures, masks):
            x = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
            found = network(x.contiguous(memory_format=torch.channels_last)).argmax(1)[0].numpy()
            counts += np.bincount(CLASSES * mask.ravel().astype(int) + found.ravel(), minlength=49).reshape(7, 7)
    return np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))


def train(network: nn.Module, cycles: list[tuple], work: Path, state: Path) -> None:
    """Goes on from `state` where it was interrupted, at the end of a cycle."""
    random = np.random.default_rng(SEED)
    pictures, masks = load(work / "training")
    unseen = load(work / "validation")
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
    done = 0
    if state.exists():
        done, weights, moments, random.bit_generator.state = torch.load(state, weights_only=False)
        network.load_state_dict(weights)
        optimizer.load_state_dict(moments)
    for cycle, (steps, rate, power, by_class, share) in list(enumerate(cycles))[done:]:
        loss = Loss(masks, power)
        began, recent = time.monotonic(), []
        network.train()
        for step in range(steps):
            now = rate * min(1, step / 100) * (1 + np.cos(np.pi * step / steps)) / 2
            optimizer.param_groups[0]["lr"] = float(now)
            x, y = batch(random, pictures, masks, by_class)
            fine, coarse = network(x)
            error = loss(fine, y)
            if share:
                # Things before the ground they stand on: they have the higher numbers.
                cells = F.max_pool2d(y[:, None].float(), 8)[:, 0].long()
                error = error + share * loss(coarse, cells)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            recent.append(error.item())
            if step % 50 == 49:
                print(f"{cycle}, {step + 1}: loss {np.mean(recent):.4f}, {time.monotonic() - began:.0f} s", flush=True)
                recent = []
        torch.save((cycle + 1, network.state_dict(), optimizer.state_dict(), random.bit_generator.state), state)
        network.eval()
        found = iou(network, *unseen)
        print(f"validation: IoU {found.round(3)}, mean {found.mean():.4f}", flush=True)
    network.eval()


def export(network: nn.Module, file: Path) -> None:
    torch.onnx.export(
        network.to(memory_format=torch.contiguous_format),
        (torch.zeros(1, 3, HEIGHT, WIDTH),),
        file,
        input_names=["image"],
        output_names=["scores"],
        opset_version=18,
        external_data=False,
        verbose=False,
    )


def run(program: Path, *arguments) -> str:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def scenes(built: Path, work: Path) -> None:
    """Draws the frames that are not there yet."""
    for name, (first, seeds, frames) in SCENES.items():
        if not (work / name).exists():
            run(built / "examples" / "scenes", work / name, WIDTH, HEIGHT, first, seeds, *frames)


def sign(folder: Path) -> None:
    """The file's hash into its card."""
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    card = folder / "model.toml"
    card.write_text(re.sub(r'sha256 = "\w*"', f'sha256 = "{digest}"', card.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the one for small boards")
    parser.add_argument("--evaluate", action="store_true", help="measure, make nothing")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "segcam-field-fcn")
    parser.add_argument("--built", type=Path, default=HERE / "../../target/release", help="with segcam and examples/scenes")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    size = Size(args.small)
    work = args.work
    folder, original = HERE.parent / size.name, work / f"{size.name}.onnx"
    work.mkdir(parents=True, exist_ok=True)
    scenes(args.built, work)
    # The card without the hash, which is not the float network's.
    card = work / "card.toml"
    card.write_text(re.sub(r"sha256.*\n", "", (folder / "model.toml").read_text()))
    if not args.evaluate:
        if not original.exists():
            network = FCN(size.widths, size.sums).to(memory_format=torch.channels_last)
            train(network, size.cycles, work, original.with_suffix(".state"))
            export(network, original)
        pictures = work / "calibration" / "images"
        print(run(args.built / "segcam", "quantize", original, "--calibrate", pictures, "--card", card, "-o", folder / "model.onnx"))
        sign(folder)
    for model in (original, folder / "model.onnx"):
        print(f"\n{model}")
        print(run(args.built / "segcam", "eval", model, work / "test", "--card", card))


if __name__ == "__main__":
    main()
