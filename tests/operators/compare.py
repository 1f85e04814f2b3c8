#!/usr/bin/env python3
"""segcam against ONNX Runtime (graph optimizations off) on small random quantized networks.

    tests/operators/compare.py [--count N] [--seed S] [--only TEXT] [--segcam PROGRAM]
                               [--require-integers KIND,... | all] [--keep DIR]

Each kind (see --list) gets N networks. Bytes may be 1 quantum apart, and that only where the
real number that was rounded lies within 1e-3 quanta of a rounding tie; ONNX Runtime tells that
number too, as a further output of the same network. In networks of several layers a value that
close to a tie within would decide about everything behind it: their inputs are drawn again until
there is none. Floats without a QuantizeLinear must agree within 1e-4 of the largest.

QOperator networks are judged by their QDQ form: so the design defines them.

The column "integers" counts the networks where `segcam inspect` shows no operator in float other
than those that turn floats at the network's border into bytes and back.
--require-integers makes the others failures. --keep saves what failed: model and tensors.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import pathlib
import sys
import time
import zlib

import numpy
import onnx

import graphs
import kinds
import moves
import qoperator
import unaries
from net import BOUNDS, Invalid, Net, evaluate
from program import Crashed, Refused, Segcam

TIE = 1e-3
FLOAT = 1e-4
REDRAWS = 60
KINDS = {}
for part in (kinds, moves, unaries, graphs, qoperator):
    KINDS.update(part.KINDS)


@dataclasses.dataclass
class Case:
    kind: str
    label: str
    # What segcam gets.
    model: onnx.ModelProto
    feeds: dict
    # Name -> Value or None, in the order of the model's outputs.
    outputs: dict
    expected: list
    # Distance of the real numbers behind each output to the nearest tie, in quanta, or None.
    ties: list


def tie_distance(real, value):
    """How far each real number is from where rounding changes its mind; infinite where the
    result saturates anyway."""
    low, high = BOUNDS[value.dtype]
    quanta = real.astype(numpy.float64) / numpy.float64(value.scale)
    distance = numpy.abs(quanta - numpy.floor(quanta) - 0.5)
    clear = (quanta + value.zero < low - 1) | (quanta + value.zero > high + 1)
    return numpy.where(clear, numpy.inf, distance)


def draw(kind, seed, index):
    """The network number `index` of a kind, and what is expected of it."""
    for again in range(REDRAWS):
        random = numpy.random.default_rng([seed, zlib.crc32(kind.encode()), index, again])
        net = Net(random)
        try:
            twin = KINDS[kind](net)
            names = list(net.outputs)
            extra = list(dict.fromkeys(value.real for value in net.quantized))
            found = evaluate(net.model(names + extra), net.feeds, names + extra)
        except Invalid:
            continue
        # Floats at the input are divided by their scale, no more: nothing to forgive there.
        last = [id(value) for value in net.outputs.values()]
        inner = [v for v in net.quantized if id(v) not in last and v.real not in net.feeds]
        values = dict(zip(names + extra, found))
        distance = {v.name: tie_distance(values[v.real], v) for v in net.quantized}
        if any((distance[v.name] < TIE).any() for v in inner):
            continue
        expected = [values[name] for name in names]
        ties = [distance.get(value.name) if value else None for value in net.outputs.values()]
        label = f"{kind} #{index} ({seed})"
        model = twin or net.model()
        return Case(kind, label, model, net.feeds, net.outputs, expected, ties)
    return None


def judge(case, found):
    """What is wrong, or None; the number of accepted differences and the largest difference."""
    accepted, worst = 0, 0
    if len(found) != len(case.expected):
        return f"{len(found)} outputs for {len(case.expected)}", 0, 0
    for (name, value), got, wanted, ties in zip(
        case.outputs.items(), found, case.expected, case.ties
    ):
        if got.dtype != wanted.dtype or got.shape != wanted.shape:
            kinds = f"{got.dtype} {got.shape} for {wanted.dtype} {wanted.shape}"
            return f"{name}: {kinds}", accepted, worst
        if value is None and got.dtype == numpy.float32:
            error = numpy.abs(got - wanted).max(initial=0)
            if not error <= FLOAT * max(1e-6, numpy.abs(wanted).max(initial=0)):
                return f"{name}: floats differ by {error}", accepted, worst
            continue
        if got.dtype == numpy.float32:
            # Dequantized at the end: back to bytes.
            got, wanted = (numpy.rint(a.astype(numpy.float64) / value.scale) for a in (got, wanted))
        apart = numpy.abs(got.astype(numpy.int64) - wanted.astype(numpy.int64))
        worst = max(worst, int(apart.max(initial=0)))
        forgiven = (apart == 1) & (ties < TIE) if ties is not None else numpy.zeros_like(apart, bool)
        accepted += int(forgiven.sum())
        wrong = numpy.argwhere((apart > 0) & ~forgiven)
        if len(wrong):
            at = tuple(wrong[0])
            near = "" if ties is None else f", {ties[at]:.2g} quanta from a tie"
            many = f"{len(wrong)} of {apart.size} differ"
            return f"{name}: {many}; {at}: {got[at]} for {wanted[at]}{near}", accepted, worst
    return None, accepted, worst


def floats_inside(report):
    """The operators that run in float although they stand between bytes."""
    border = ("QuantizeLinear", "DequantizeLinear")
    return [
        operator["operator"]
        for operator in report["operators"]
        if operator["operator"] not in border and operator["runs"].startswith("float")
    ]


@dataclasses.dataclass
class Result:
    kind: str
    error: str = None
    refused: bool = False
    dropped: bool = False
    integers: bool = False
    accepted: int = 0
    worst: int = 0


def run(segcam, kind, seed, index, required, keep):
    case = draw(kind, seed, index)
    if case is None:
        return Result(kind, dropped=True)
    try:
        found = segcam.infer(case.model, list(case.feeds.values()))
        inside = floats_inside(segcam.inspect(case.model))
    except Refused as refusal:
        result = Result(kind, f"{case.label}: refused: {refusal}", refused=True)
    except Crashed as crash:
        result = Result(kind, f"{case.label}: crashed: {crash}")
    else:
        wrong, accepted, worst = judge(case, found)
        if wrong is None and inside and required:
            wrong = f"runs in float: {', '.join(inside)}"
        error = f"{case.label}: {wrong}" if wrong else None
        result = Result(kind, error, False, False, not inside, accepted, worst)
    if result.error and keep:
        save(case, keep)
    return result


def save(case, keep):
    folder = pathlib.Path(keep) / "".join(c if c.isalnum() else "-" for c in case.label)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(case.model, folder / "model.onnx")
    for kind, arrays in (("in", case.feeds.values()), ("expected", case.expected)):
        for index, array in enumerate(arrays):
            numpy.save(folder / f"{kind}.{index}.npy", array)


def table(results):
    print(f"{'kind':22} cases integers refused dropped wrong accepted worst")
    by_kind = collections.defaultdict(list)
    for result in results:
        by_kind[result.kind].append(result)
    for kind, rows in [*by_kind.items(), ("all", results)]:
        print(
            f"{kind:22} {len(rows):5} {sum(r.integers for r in rows):8}"
            f" {sum(r.refused for r in rows):7} {sum(r.dropped for r in rows):7}"
            f" {sum(r.error is not None for r in rows):5} {sum(r.accepted for r in rows):8}"
            f" {max(r.worst for r in rows):5}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, metavar="N", help="networks of each kind")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds whose names hold this")
    parser.add_argument("--index", type=int, metavar="I", help="this one network of each kind")
    parser.add_argument("--segcam", metavar="PROGRAM", help="default: target/release/segcam")
    parser.add_argument("--require-integers", default="", metavar="KIND,...")
    parser.add_argument("--keep", metavar="DIR", help="save networks that fail here")
    parser.add_argument("--list", action="store_true", help="list the kinds")
    arguments = parser.parse_args()
    chosen = [kind for kind in KINDS if arguments.only.lower() in kind.lower()]
    if arguments.list:
        print("\n".join(chosen))
        return
    required = set(filter(None, arguments.require_integers.split(",")))
    required = set(KINDS) if required == {"all"} else required
    if required - set(KINDS) or not chosen:
        sys.exit(f"no such kind: {arguments.only or ', '.join(required - set(KINDS))}; see --list")
    segcam = Segcam(arguments.segcam)
    indices = range(arguments.count) if arguments.index is None else [arguments.index]
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(run, segcam, kind, arguments.seed, i, kind in required, arguments.keep)
            for kind in chosen
            for i in indices
        ]
        results = [job.result() for job in jobs]
    table(results)
    print(f"{time.monotonic() - start:.0f} s")
    errors = [result.error for result in results if result.error]
    dropped = collections.Counter(result.kind for result in results if result.dropped)
    for kind, count in dropped.items():
        if 4 * count > len(indices):
            errors.append(f"{kind}: {count} of {len(indices)} networks could not be drawn")
    for error in errors:
        print(error, file=sys.stderr)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
