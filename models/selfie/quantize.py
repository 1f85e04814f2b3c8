"""Float ONNX -> QDQ int8, after training: u8 activations per tensor, i8 weights per channel."""

import logging
import math
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorData, TensorsData, save_tensors_data

COVERAGE = 0.9995  # share of a tensor's values that its range keeps; the rest saturates
BINS = 4096
LOGIT = 6.0  # sigmoid(6) is within one step of 1 in 8 bits
HARD_SWISH_ZERO = -3.0  # hardswish(x) = 0 for x <= -3
QUANTIZED = ["Conv", "ConvTranspose", "Add", "Mul", "HardSwish", "Sigmoid", "GlobalAveragePool", "Relu", "Resize"]


def session(model: onnx.ModelProto, optimized: bool = False) -> ort.InferenceSession:
    """One thread, so that sums have one order; unoptimized, the graph runs as written."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def activations(model: onnx.ModelProto, inputs: list[np.ndarray]):
    """Yield, for each input, tensor name -> value of every activation."""
    names = [node.output[0] for node in model.graph.node]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    run = session(watched)
    for x in inputs:
        yield dict(zip(names, run.run(names, {"image": x})))


def channel_reach(model: onnx.ModelProto, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Tensor -> per channel, the mean over inputs of its 99.9th percentile of |x|."""
    total = {}
    for values in activations(model, inputs):
        for name, value in values.items():
            flat = np.abs(value[0]).reshape(value.shape[1], -1)
            k = max(1, int(flat.shape[1] * 0.999)) - 1
            total[name] = total.get(name, 0.0) + np.partition(flat, k, axis=1)[:, k]
    return {name: t / len(inputs) for name, t in total.items()}


def equalize(model: onnx.ModelProto, reach: dict[str, np.ndarray], limit: float = 16.0) -> onnx.ModelProto:
    """Scale channels so that all of a tensor's channels use its one 8-bit range.

    Cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721), for groups of
    tensors that must keep a common scale: Relu, Resize, pooling, Add and the gated
    operand of Mul pass a positive factor through, a convolution absorbs it on either
    side, HardSwish and Sigmoid stop it. The float function stays the same.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    parent = {}

    def find(t):
        while parent.setdefault(t, t) != t:
            t = parent[t]
        return t

    fixed = {"image", "person"}
    for node in result.graph.node:
        output = node.output[0]
        if node.op_type in ("Relu", "Resize", "GlobalAveragePool", "Add", "Mul"):
            passing = list(node.input) if node.op_type == "Add" else [node.input[0]]
            for t in passing:
                parent[find(t)] = find(output)
        if node.op_type == "Mul":
            fixed.add(node.input[1])  # the gate, a sigmoid
        if node.op_type in ("HardSwish", "Sigmoid"):
            fixed |= {node.input[0], output}

    groups = {}
    for t in reach:
        groups.setdefault(find(t), []).append(t)
    held = {find(t) for t in fixed}
    factor = {}
    for root, tensors in groups.items():
        if root not in held:
            relative = np.max([reach[t] / max(reach[t].max(), 1e-9) for t in tensors], axis=0)
            factor[root] = np.clip(relative.max() / np.maximum(relative, 1e-9), 1.0, limit)

    weights = {i.name: i for i in result.graph.initializer}

    def scale(name, by, axis):
        value = numpy_helper.to_array(weights[name]).astype(np.float64)
        value *= by.reshape([-1 if k == axis else 1 for k in range(value.ndim)])
        weights[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))

    for node in result.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        group = next((a.i for a in node.attribute if a.name == "group"), 1)
        before, after = factor.get(find(node.input[0])), factor.get(find(node.output[0]))
        if before is not None:
            scale(node.input[1], 1.0 / before, 0 if group > 1 or node.op_type == "ConvTranspose" else 1)
        if after is not None:
            scale(node.input[1], after, 0)
            scale(node.input[2], after, 0)
    return result


def ranges(model: onnx.ModelProto, inputs: list[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Tensor -> (low, high) to represent."""
    low, high = {}, {}
    for values in activations(model, inputs):
        for name, value in values.items():
            low[name] = min(low.get(name, math.inf), float(value.min()))
            high[name] = max(high.get(name, -math.inf), float(value.max()))
    counts = {name: np.zeros(BINS) for name in low}
    for values in activations(model, inputs):
        for name, value in values.items():
            counts[name] += np.histogram(value, BINS, (low[name], high[name] + 1e-9))[0]

    result = {}
    for name, count in counts.items():
        edges = np.linspace(low[name], high[name], BINS + 1)
        share = np.cumsum(count) / count.sum()
        tail = (1 - COVERAGE) / 2
        top = edges[min(np.searchsorted(share, 1 - tail) + 1, BINS)]
        bottom = min(edges[np.searchsorted(share, tail)], 0.0) if low[name] < 0 else 0.0
        result[name] = (bottom, top)

    result["image"] = (0.0, 1.0)  # a step is 1/255: pixels pass unchanged
    for node in model.graph.node:
        source, target = node.input[0], node.output[0]
        if node.op_type == "HardSwish":
            result[source] = (max(result[source][0], HARD_SWISH_ZERO), result[source][1])
        elif node.op_type == "Sigmoid":
            result[target] = (0.0, 1.0)
            if target == "person":
                result[source] = (-LOGIT, LOGIT)
    # Three digits: a last bit that differs between CPUs does not reach the file.
    return {name: (float(f"{a:.3g}"), float(f"{b:.3g}")) for name, (a, b) in result.items()}


def quantize(model: onnx.ModelProto, inputs: list[np.ndarray]) -> onnx.ModelProto:
    """Equalize, find ranges, insert Q/DQ around every operator."""
    logging.disable(logging.WARNING)
    equal = equalize(model, channel_reach(model, inputs))
    found = {
        name: TensorData(lowest=np.float32(a), highest=np.float32(b)) for name, (a, b) in ranges(equal, inputs).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        given, table, made = (Path(folder) / name for name in ("float.onnx", "ranges.json", "int8.onnx"))
        onnx.save(equal, given)
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, found), table)
        quantize_static(
            given,
            made,
            None,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibration_cache_path=table,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
        result = onnx.load(made)
    for node in result.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ValueError(f"node {node.name}: domain {node.domain}, expected the default one")
    del result.graph.value_info[:]
    del result.metadata_props[:]
    result.producer_name, result.producer_version, result.doc_string = "segcam", "", ""
    onnx.checker.check_model(result, full_check=True)
    return result
