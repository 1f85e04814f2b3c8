"""The TFLite file of MediaPipe's selfie segmentation -> float ONNX, NCHW.

Every tensor of the network is 4-D, so NHWC -> NCHW needs no Transpose: only the
weights are laid anew. Half-precision weights become float32, and an average
pool or a mean over the whole plane becomes GlobalAveragePool.
"""

import struct

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

OPSET = 14  # the first with HardSwish
IR_VERSION = 8
BUILTIN = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
SIMPLE = {"RELU": "Relu", "HARD_SWISH": "HardSwish", "LOGISTIC": "Sigmoid", "ADD": "Add", "MUL": "Mul"}


def to_onnx(tflite_bytes: bytes) -> onnx.ModelProto:
    """Convert; raises ValueError on anything this network is not known to hold."""
    model = tflite.Model.GetRootAsModel(tflite_bytes, 0)
    graph = model.Subgraphs(0)
    nodes, initializers, constants = [], [], {}
    source, target = graph.Inputs(0), graph.Outputs(0)
    names = {source: "image", target: "person"}

    def name(index):
        return names.setdefault(index, f"t{index}")

    def shape(index):  # NHWC
        return [int(d) for d in graph.Tensors(index).ShapeAsNumpy()]

    def constant(index):
        if index in constants:  # a half-precision constant behind its DEQUANTIZE
            return constants[index]
        tensor = graph.Tensors(index)
        kinds = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.INT32: np.int32}
        raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
        return raw.view(kinds[tensor.Type()]).reshape(shape(index)).copy()

    def initializer(label, value):
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), label))
        return label

    def pads(index_in, index_out, kernel, stride, padding):
        """TensorFlow's SAME puts the odd pixel at the bottom and right."""
        if padding == tflite.Padding.VALID:
            return [0, 0, 0, 0]
        total = [
            max((o - 1) * s + k - i, 0)
            for i, o, k, s in zip(shape(index_in)[1:3], shape(index_out)[1:3], kernel, stride)
        ]
        begin = [t // 2 for t in total]
        return begin + [t - b for t, b in zip(total, begin)]

    for k in range(graph.OperatorsLength()):
        operator = graph.Operators(k)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = BUILTIN[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = [int(i) for i in operator.InputsAsNumpy()]
        output = int(operator.Outputs(0))
        table = operator.BuiltinOptions()

        def options(cls):
            parsed = cls()
            parsed.Init(table.Bytes, table.Pos)
            fused = getattr(parsed, "FusedActivationFunction", lambda: 0)()
            if fused != tflite.ActivationFunctionType.NONE:
                raise ValueError(f"operator {k} ({kind}): fused activation {fused}, expected none")
            return parsed

        def emit(op, operands, **attributes):
            label = f"{op}_{sum(n.op_type == op for n in nodes)}"
            operands = [o(label) if callable(o) else o for o in operands]
            nodes.append(helper.make_node(op, operands, [name(output)], label, **attributes))

        def weights(value, bias):
            return [
                lambda label: initializer(f"{label}.weight", value),
                lambda label: initializer(f"{label}.bias", constant(bias).astype(np.float32)),
            ]

        if kind == "DEQUANTIZE":
            constants[output] = constant(inputs[0]).astype(np.float32)
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            depthwise = kind == "DEPTHWISE_CONV_2D"
            o = options(tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
            # [out, kh, kw, in] or depthwise [1, kh, kw, channels] -> [out, in / group, kh, kw]
            w = constant(inputs[1]).transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
            kernel, stride = list(w.shape[2:]), [o.StrideH(), o.StrideW()]
            if (o.DilationHFactor(), o.DilationWFactor()) != (1, 1):
                raise ValueError(f"operator {k} ({kind}): dilated, expected dilation 1")
            emit(
                "Conv",
                [name(inputs[0])] + weights(w, inputs[2]),
                kernel_shape=kernel,
                strides=stride,
                pads=pads(inputs[0], output, kernel, stride, o.Padding()),
                group=w.shape[0] if depthwise else 1,
            )
        elif kind == "CUSTOM" and code.CustomCode() == b"Convolution2DTransposeBias":
            padding, stride_w, stride_h = struct.unpack("<3i", bytes(operator.CustomOptionsAsNumpy()))
            w = constant(inputs[1]).transpose(3, 0, 1, 2)  # [out, kh, kw, in] -> [in, out, kh, kw]
            if list(w.shape[2:]) != [stride_h, stride_w]:
                raise ValueError(f"operator {k}: kernel {w.shape[2:]}, expected that of the stride {stride_h, stride_w}")
            emit(
                "ConvTranspose",
                [name(inputs[0])] + weights(w, inputs[2]),
                kernel_shape=list(w.shape[2:]),
                strides=[stride_h, stride_w],
            )
        elif kind == "AVERAGE_POOL_2D":
            o = options(tflite.Pool2DOptions)
            if [o.FilterHeight(), o.FilterWidth()] != shape(inputs[0])[1:3]:
                raise ValueError(f"operator {k} ({kind}): window is not the whole plane")
            emit("GlobalAveragePool", [name(inputs[0])])
        elif kind == "MEAN":
            if sorted(constant(inputs[1]).tolist()) != [1, 2] or not options(tflite.ReducerOptions).KeepDims():
                raise ValueError(f"operator {k} ({kind}): expected the mean over the whole plane")
            emit("GlobalAveragePool", [name(inputs[0])])
        elif kind == "RESIZE_BILINEAR":
            o = options(tflite.ResizeBilinearOptions)
            if o.AlignCorners() or not o.HalfPixelCenters():
                raise ValueError(f"operator {k} ({kind}): expected half-pixel centres")
            scales = np.array(shape(output), np.float32)[[0, 3, 1, 2]] / np.array(shape(inputs[0]))[[0, 3, 1, 2]]
            emit(
                "Resize",
                [name(inputs[0]), "", lambda label: initializer(f"{label}.scales", scales.astype(np.float32))],
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            )
        elif kind in SIMPLE:
            if kind in ("ADD", "MUL"):
                options(getattr(tflite, f"{kind.title()}Options"))
            emit(SIMPLE[kind], [name(i) for i in inputs])
        else:
            raise ValueError(f"operator {k}: {kind} {code.CustomCode()} is not one this network is known to hold")

    def value_info(index):
        n, h, w, c = shape(index)
        return helper.make_tensor_value_info(name(index), TensorProto.FLOAT, [n, c, h, w])

    onnx_graph = helper.make_graph(nodes, "selfie", [value_info(source)], [value_info(target)], initializers)
    result = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="segcam")
    result.ir_version = IR_VERSION
    onnx.checker.check_model(result, full_check=True)
    return onnx.shape_inference.infer_shapes(result, strict_mode=True)
