#!/usr/bin/env python3
"""Times segcam against ONNX Runtime and OpenVINO on given networks.

    python3 -m pip install numpy onnxruntime openvino
    tests/bench/peers.py MODEL.onnx[=IN.npy] ... [--rounds N] [--segcam PROGRAM]

All engines run one thread on one pinned core, in turns, round after round, so that a machine
whose clock wanders treats them alike. Printed are each engine's fastest inference in
milliseconds and its ratio to segcam's (above 1: segcam is faster), and the peak memory of
`segcam bench`. An engine that is not installed, or does not take a network, is left out and
named. Without IN.npy the input is random.
"""

import argparse
import json
import os
import subprocess
import sys
import time

try:
    import numpy
except ImportError:
    sys.exit("numpy is missing; run: python3 -m pip install numpy onnxruntime openvino")


def inputs_of(path, given):
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    if given:
        return spec.name, numpy.load(given)
    shape = [dim if isinstance(dim, int) and dim > 0 else 1 for dim in spec.shape]
    if "uint8" in spec.type:
        return spec.name, numpy.random.default_rng(1).integers(0, 256, shape).astype(numpy.uint8)
    return spec.name, numpy.random.default_rng(1).random(shape, dtype=numpy.float32)


def onnxruntime_runner(path, name, value):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {name: value})


def openvino_runner(path, name, value):
    import openvino

    core = openvino.Core()
    config = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    model = core.read_model(path)
    model.reshape(dict([(name, list(value.shape))]))
    request = core.compile_model(model, "CPU", config).create_infer_request()
    return lambda: request.infer({name: value})


def fastest(run, seconds):
    """The fastest of as many runs as fit into the time, at least one, after a warm-up."""
    run()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return 1e3 * best


def segcam_bench(program, path, shape, iterations):
    # A small frame: the peers have no pictures beside the network either.
    command = [program, "bench", path, "--json", "--iterations", str(iterations)]
    command += ["--frame", "64x64"]
    if len(shape) == 4:
        spatial = shape[2:4] if shape[1] in (1, 3) else shape[1:3]
        command += ["--set", "input.size=[%d,%d]" % tuple(spatial)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def measure(path, given, arguments):
    name, value = inputs_of(path, given)
    runners, best, notes, peak = {}, {}, [], 0
    for engine, make in (("onnxruntime", onnxruntime_runner), ("openvino", openvino_runner)):
        try:
            runners[engine] = make(path, name, value)
        except Exception as error:  # any failure of a peer is only a gap in the table
            notes.append("%s: %s" % (engine, str(error).strip().splitlines()[-1][:100]))
    for _ in range(arguments.rounds):
        try:
            report = segcam_bench(arguments.segcam, path, value.shape, arguments.iterations)
            best["segcam"] = min(best.get("segcam", float("inf")), report["min_ms"])
            peak = max(peak, report["peak_rss_bytes"])
        except RuntimeError as error:
            notes.append("segcam: %s" % error)
            break
        for engine, run in runners.items():
            best[engine] = min(best.get(engine, float("inf")), fastest(run, arguments.seconds))
    return best, peak, notes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx[=IN.npy]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=5, help="of segcam in a round")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a peer in a round")
    parser.add_argument("--segcam", default="target/release/segcam")
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    print("%-28s %-12s %9s %8s" % ("network", "engine", "ms", "ratio"))
    for model in arguments.models:
        path, _, given = model.partition("=")
        label = os.path.basename(os.path.dirname(os.path.abspath(path)))
        best, peak, notes = measure(path, given, arguments)
        own = best.get("segcam")
        for engine, time_ms in best.items():
            ratio = "%8.2f" % (time_ms / own) if own else ""
            print("%-28s %-12s %9.2f %s" % (label, engine, time_ms, ratio))
        if peak:
            print("%-28s peak memory of segcam bench: %.1f MB" % (label, peak / 1e6))
        for note in notes:
            print("%-28s %s" % (label, note))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
