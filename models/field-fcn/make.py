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
BATCH = 8
# Steps after which the state is written.
EVERY = 1000
# Folder: first seed, seeds, frames of each.
SCENES = {
    "training": (10_000, 10_000, [0]),
    "validation": (1000, 20, [100]),
    "calibration": (2000, 24, [50]),
    "test": (0, 100, [0, 200]),
    # Drawn when the last cycle had begun: nobody decided anything by them.
    "unseen": (6000, 100, [0, 200]),
}


class Size:
    """What tells the two networks apart."""

    def __init__(self, small: bool):
        self.name = "field-fcn-small" if small else "field-fcn"
        # Channels at strides 2, 4, 8, 16 and 32; residual blocks there; channels of the sums at
        # 2 to 16.
        self.widths = (8, 16, 32, 64, 80) if small else (16, 24, 48, 96, 112)
        self.blocks = (0, 0, 1, 1, 1) if small else (0, 0, 1, 2, 2)
        self.sums = (8, 16, 24, 40) if small else (16, 24, 48, 64)
        # In each cycle the rate falls to nothing: its steps, its largest rate, its parts' number,
        # height and width, the power of their rarity by which classes weigh in the cross entropy,
        # the power of the pixels that things cover by which pictures are drawn.
        self.cycles = [
            (2000, 2e-3, 8, (128, 128), 0.25, 0.5),
            (10_000 if small else 13_000, 2e-3, 6, (224, 224), 0.0, 0.5),
        ]
        if not small:
            whole = HEIGHT, WIDTH
            self.cycles += [
                (18_000, 1e-3, 1, whole, 0.0, 0.5),
                (6000, 5e-4, 1, whole, 0.0, 1.0),
                (24_000, 6e-4, 1, whole, 0.0, 1.0),
            ]


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Block(nn.Module):
    """Residual block of He et al., "Deep Residual Learning for Image Recognition", 2015."""

    def __init__(self, width: int):
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        return F.relu(x + self.second(self.first(x)))


class Up(nn.Sequential):
    """Twice the size, learned."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class FCN(nn.Module):
    """FCN-8s of Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic
    Segmentation", 2015 (arXiv:1411.4038): what strides 32, 16 and 8 say is brought to the same
    channels by 1x1 convolutions and summed, with learned upsampling between. Different from the
    paper: a small residual encoder; sums of more channels than classes; two further skips, at
    strides 4 and 2; a 3x3 convolution behind each sum. Every part of a sum is normalised, so that
    none drowns the others."""

    def __init__(self, size: Size):
        super().__init__()
        widths, sums = size.widths, size.sums
        self.encoder = nn.ModuleList()
        for level, (before, width) in enumerate(zip((3, *widths), widths)):
            stage = [convolution(before, width, stride=2)]
            stage += [convolution(width, width)] if level == 1 else []
            stage += [Block(width) for _ in range(size.blocks[level])]
            self.encoder.append(nn.Sequential(*stage))
        self.lateral = nn.ModuleList(convolution(w, s, 1) for w, s in zip(widths, sums))
        self.up = nn.ModuleList(Up(b, a) for a, b in zip(sums, (*sums[1:], widths[4])))
        self.join = nn.ModuleList(convolution(s, s) for s in sums)
        self.head = nn.ConvTranspose2d(sums[0], CLASSES, 2, 2)
        # Scores of the sums at strides 8 and 16, while it learns.
        self.coarse = nn.ModuleDict({str(level): nn.Conv2d(sums[level], CLASSES, 1) for level in (2, 3)})

    def forward(self, x):
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        coarse = []
        for level in (3, 2, 1, 0):
            x = self.join[level](self.up[level](x) + self.lateral[level](skips[level]))
            if self.training and level > 1:
                coarse.append(self.coarse[str(level)](x))
        return (self.head(x), *coarse) if self.training else self.head(x)


class Loss:
    """Cross entropy, weighted for rare classes, and soft Dice (Milletari et al., "V-Net", 2016)
    averaged over the classes."""

    def __init__(self, masks: np.ndarray, power: float):
        few = masks[::4, ::4, ::4]
        share = np.bincount(few.ravel(), minlength=CLASSES) / few.size
        weight = share**-power
        self.weight = torch.tensor(weight / (weight * share).sum()).float()

    def __call__(self, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        logs = scores.float().log_softmax(1)
        p = logs.exp()
        hit = p.gather(1, mask[:, None])[:, 0]
        counts = torch.bincount(mask.flatten(), minlength=CLASSES).float()
        both = torch.zeros(CLASSES).index_add(0, mask.flatten(), hit.flatten())
        dice = 1 - (2 * both + 20) / (p.sum((0, 2, 3)) + counts + 20)
        return F.nll_loss(logs, mask, self.weight) + dice.mean()


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


class Parts:
    """Parts of pictures, mirrored or not, in slightly other light. One of four comes from anywhere,
    the others from around a pixel of a tree, an animal, a vehicle or a person. Large things are
    few, and most pixels: pictures and classes are drawn by a power of the pixels that their things
    cover."""

    def __init__(self, pictures: np.ndarray, masks: np.ndarray):
        self.pictures, self.masks = pictures, masks
        self.pixels = np.array([np.bincount(mask[::4, ::4].ravel(), minlength=CLASSES)[3:] for mask in masks])

    def draw(
        self, random: np.random.Generator, number: int, size: tuple, power: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        covered = self.pixels**power
        covered = covered / covered.mean(0) * (1, 2, 2, 2)
        ends = covered.sum(1).cumsum()
        height, width = size
        x, y = np.empty((number, *size, 3), np.float32), np.empty((number, *size), np.int64)
        for n in range(number):
            if random.integers(4):
                at = np.searchsorted(ends, random.uniform(0, ends[-1]))
                thing = 3 + random.choice(4, p=covered[at] / covered[at].sum())
                place = random.choice(np.flatnonzero(self.masks[at, ::4, ::4] == thing))
                row, column = (4 * place for place in divmod(place, WIDTH // 4))
                top = np.clip(row - random.integers(height), 0, HEIGHT - height)
                left = np.clip(column - random.integers(width), 0, WIDTH - width)
            else:
                at = random.integers(len(self.masks))
                top, left = random.integers(HEIGHT - height + 1), random.integers(WIDTH - width + 1)
            step = -1 if random.integers(2) else 1
            part = np.s_[at, top : top + height, left : left + width]
            light = np.float32(random.uniform(0.9, 1.1))
            x[n] = np.clip(self.pictures[part][:, ::step] * light, 0, 255)
            y[n] = self.masks[part][:, ::step]
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


def cells(mask: torch.Tensor, stride: int) -> torch.Tensor:
    """Things before the ground they stand on: they have the higher numbers."""
    return F.max_pool2d(mask[:, None].float(), stride)[:, 0].long()


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def settle(network: nn.Module, parts: Parts, *part) -> None:
    """Means and deviations under the weights as they are; those gathered on the way lag behind."""
    for norm in norms(network):
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all
    network.train()
    random = np.random.default_rng(SEED)
    with torch.no_grad():
        for _ in range(30):
            network(parts.draw(random, *part)[0])
    for norm in norms(network):
        norm.momentum = 0.1
    network.eval()


def train(network: nn.Module, cycles: list[tuple], work: Path, state: Path) -> None:
    """Goes on from `state` where it was interrupted."""
    random = np.random.default_rng(SEED)
    pictures, masks = load(work / "training")
    parts = Parts(pictures, masks)
    unseen = load(work / "validation")
    losses = [Loss(masks[:2000], power) for *_, power, _ in cycles]
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=1e-4)
    done = 0
    if state.exists():
        done, weights, moments, random.bit_generator.state = torch.load(state, weights_only=False)
        network.load_state_dict(weights)
        optimizer.load_state_dict(moments)
    began, recent = time.monotonic(), []
    ends = np.cumsum([cycle[0] for cycle in cycles])
    for step in range(done, ends[-1]):
        cycle = np.searchsorted(ends, step, side="right")
        steps, largest, number, size, _, drawing = cycles[cycle]
        into = step - (ends[cycle] - steps)
        rate = largest * min(1, into / 100) * (1 + np.cos(np.pi * into / steps)) / 2
        optimizer.param_groups[0]["lr"] = float(rate)
        network.train()
        # A single frame has no means to go by: those of the cycle before stay.
        whole = number == 1
        if whole:
            for norm in norms(network):
                norm.eval()
        x, y = parts.draw(random, number, size, drawing)
        with torch.autocast("cpu", torch.bfloat16):
            fine, sixteenth, eighth = network(x)
        loss = losses[cycle]
        error = loss(fine, y) + 0.3 * loss(eighth, cells(y, 8)) + 0.2 * loss(sixteenth, cells(y, 16))
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        recent.append(error.item())
        if step % 50 == 49:
            print(f"{step + 1}: loss {np.mean(recent):.4f}, {time.monotonic() - began:.0f} s", flush=True)
            recent = []
        if (step + 1) % EVERY == 0 or step + 1 in ends:
            if not whole:
                settle(network, parts, number, size, drawing)
            kept = (step + 1, network.state_dict(), optimizer.state_dict(), random.bit_generator.state)
            torch.save(kept, state.with_suffix(".part"))
            state.with_suffix(".part").replace(state)
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
            network = FCN(size).to(memory_format=torch.channels_last)
            train(network, size.cycles, work, original.with_suffix(".state"))
            export(network, original)
        pictures = work / "calibration" / "images"
        print(run(args.built / "segcam", "quantize", original, "--calibrate", pictures, "--card", card, "-o", folder / "model.onnx"))
        sign(folder)
    for model in (original, folder / "model.onnx"):
        for pictures in ("test", "unseen"):
            print(f"\n{model}: {pictures}")
            print(run(args.built / "segcam", "eval", model, work / pictures, "--card", card))


if __name__ == "__main__":
    main()
