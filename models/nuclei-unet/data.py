"""Pictures of nuclei with their masks: one labelled micrograph, and generated ones.

The micrograph is the one inside the package stardist (512x512, from the 2018 Data Science Bowl).
Columns up to TRAINING are learned from, columns from HELD_OUT on are only measured on; no nucleus
lies on both sides.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import ndimage
from tifffile import imread

TRAINING, HELD_OUT = 256, 288


def micrograph() -> tuple[np.ndarray, np.ndarray]:
    """The picture as bytes (its levels reach 235), and the number of the nucleus at each pixel."""
    folder = Path(find_spec("stardist").origin).parent / "data" / "images"
    picture, nuclei = imread(folder / "img2d.tif"), imread(folder / "mask2d.tif")
    shared = set(np.unique(nuclei[:, :TRAINING])) & set(np.unique(nuclei[:, HELD_OUT:])) - {0}
    if picture.max() > 255 or shared:
        raise SystemExit(f"{folder}: not the expected micrograph (nuclei on both sides: {shared})")
    return picture.astype(np.uint8), nuclei


def training() -> tuple[np.ndarray, np.ndarray]:
    picture, nuclei = micrograph()
    return picture[:, :TRAINING], (nuclei[:, :TRAINING] > 0).astype(np.uint8)


def held_out() -> tuple[np.ndarray, np.ndarray]:
    picture, nuclei = micrograph()
    return picture[:, HELD_OUT:], (nuclei[:, HELD_OUT:] > 0).astype(np.uint8)


def smooth(random: np.random.Generator, size: int, sigma: float) -> np.ndarray:
    """Noise with structures of about `sigma` pixels, mean 0, deviation 1."""
    noise = ndimage.gaussian_filter(random.standard_normal((size, size)), sigma, mode="wrap")
    return noise / noise.std()


def generated(random: np.random.Generator, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """A fluorescence picture as bytes and its mask: nuclei of one size and kind, some touching,
    some bright, on an uneven ground, seen through a lens and a sensor."""
    radius = random.uniform(5, 20)
    count = int(random.uniform(0.05, 0.45) * size * size / (np.pi * radius**2))
    brightness, spread = random.uniform(15, 130), random.uniform(0.1, 0.6)
    roughness, texture = random.uniform(0, 0.14), random.uniform(0, 0.3)
    grain = smooth(random, size, random.uniform(1, 4))
    light = np.zeros((size, size))
    mask = np.zeros((size, size), bool)
    y, x = np.mgrid[:size, :size]
    place = random.uniform(0, size, 2)
    for _ in range(count):
        # One in three stands beside the one before.
        beside = random.random() < 0.33
        step = random.uniform(1.4, 2.2) * radius
        turn = random.uniform(0, 2 * np.pi)
        place = place + step * np.array([np.sin(turn), np.cos(turn)]) if beside else random.uniform(0, size, 2)
        long = radius * random.uniform(0.75, 1.35)
        short = long * random.uniform(0.5, 1.0)
        angle = random.uniform(0, np.pi)
        reach = int(long * 1.6) + 2
        top, left = (max(0, int(p) - reach) for p in place)
        box = np.s_[top : max(0, int(place[0]) + reach), left : max(0, int(place[1]) + reach)]
        dy, dx = y[box] - place[0], x[box] - place[1]
        if dy.size == 0:
            continue
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / long
        v = (dy * np.cos(angle) - dx * np.sin(angle)) / short
        around, phase = np.arctan2(v, u), random.uniform(0, 2 * np.pi, 3)
        edge = 1 + roughness * sum(np.cos((k + 2) * around + phase[k]) / (k + 1) for k in range(3))
        distance = np.hypot(u, v)
        inside = distance < edge
        level = brightness * np.exp(spread * random.standard_normal())
        if random.random() < 0.05:
            level *= random.uniform(2, 5)
        dome = 1 - random.uniform(0, 0.4) * distance**2
        shade = level * dome * np.clip(1 + texture * grain[box], 0.3, None)
        light[box] = np.where(inside, np.maximum(light[box], shade), light[box])
        mask[box] |= inside
    light = ndimage.gaussian_filter(light, random.uniform(0.5, 2.2))
    slope = random.uniform(-1, 1, 2) * random.uniform(0, 20)
    ground = random.uniform(2, 50) + (slope[0] * y + slope[1] * x) / size
    # Light from above and below the plane of focus.
    haze = ndimage.gaussian_filter(light, 12) * random.uniform(0, 0.5)
    photons = np.clip(light + ground + haze + random.uniform(0, 4) * smooth(random, size, 24), 0, None)
    noise = np.sqrt(photons * random.uniform(0, 0.8) + random.uniform(0.3, 4) ** 2)
    picture = photons + noise * random.standard_normal((size, size))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask.astype(np.uint8)


def crop(random: np.random.Generator, picture: np.ndarray, mask: np.ndarray, size: int, scales: float):
    """A random part of it, turned, mirrored, enlarged by up to `scales` either way."""
    scale = np.exp(random.uniform(-np.log(scales), np.log(scales)))
    source = min(int(round(size / scale)), *picture.shape)
    top, left = (random.integers(0, side - source + 1) for side in picture.shape)
    part = np.s_[top : top + source, left : left + source]
    zoom = size / source
    picture = ndimage.zoom(picture[part].astype(np.float32), zoom, order=1, grid_mode=True, mode="nearest")
    mask = ndimage.zoom(mask[part], zoom, order=0, grid_mode=True, mode="nearest")
    turns, mirrored = random.integers(4), random.integers(2)
    picture, mask = (np.rot90(a[:, ::-1] if mirrored else a, turns) for a in (picture, mask))
    # Other exposures, other lenses, more noise.
    picture = picture * random.uniform(0.6, 2.2) + random.uniform(-8, 25)
    if random.random() < 0.3:
        picture = ndimage.gaussian_filter(picture, random.uniform(0.3, 1.2))
    picture = picture + random.uniform(0, 4) * random.standard_normal(picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask
