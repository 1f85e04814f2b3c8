"""Runs segcam from outside, as a user would: ONNX file and .npy tensors in, .npy tensors out."""

import json
import os
import pathlib
import subprocess
import tempfile

import numpy
import onnx

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT = 60


class Refused(Exception):
    """segcam ended with an error; the text is what it said."""


class Crashed(Exception):
    """segcam panicked, died of a signal or never ended."""


class Segcam:
    def __init__(self, program=None):
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        self.program = program or str(target / "release" / "segcam")

    def _call(self, *arguments):
        command = [self.program, *map(str, arguments)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise Crashed(f"no end after {TIMEOUT} s") from error
        if ended.returncode < 0 or "panicked" in ended.stderr:
            said = " ".join(ended.stderr.split())
            raise Crashed(f"code {ended.returncode}: {said[:200]}")
        if ended.returncode != 0:
            raise Refused(ended.stderr.strip().splitlines()[-1] if ended.stderr else "no message")
        return ended.stdout

    def infer(self, model, inputs):
        """The network's outputs for its inputs, both lists of arrays in the graph's order."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            onnx.save(model, folder / "model.onnx")
            tensors = []
            for index, array in enumerate(inputs):
                # ascontiguousarray would give a scalar an axis.
                numpy.save(folder / f"in.{index}.npy", numpy.array(array, order="C"))
                tensors += ["--tensor", folder / f"in.{index}.npy"]
            lines = self._call("infer", folder / "model.onnx", *tensors, "-o", folder / "out.npy")
            return [numpy.load(json.loads(line)["file"]) for line in lines.splitlines()]

    def inspect(self, model, sets=()):
        """The JSON object of `segcam inspect`."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.onnx"
            onnx.save(model, path)
            return json.loads(self._call("inspect", path, "--json"))
