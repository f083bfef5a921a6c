"""Run a graph in float and convert it to a TFLite file. The only file that knows TensorFlow, which it imports late.

Source of the quantisation scheme: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (2018), as TensorFlow's converter implements it (weights per output channel).
"""

from __future__ import annotations

import base64
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.common.errors import BuildError
from models.conversion.published_weights import Graph, Node

Function: TypeAlias = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


def load() -> Any:
    """Return the tensorflow module, silent and on the CPU. Raises BuildError: when it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    # TensorFlow turns oneDNN on by itself only on newer processors; without, a training step takes 1.3 times as long.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise BuildError("A build needs TensorFlow: pip install '.[models]' on Python 3.10 or 3.11.") from error
    tf.get_logger().setLevel("ERROR")
    logging.getLogger("absl").setLevel(logging.ERROR)  # its remarks are about its own interfaces
    return tf


def graph_def(graph: Graph) -> Any:
    """Return a graph as a GraphDef protobuf. Its strings are lists of byte values, as TensorFlow.js writes them."""
    tf = load()
    from google.protobuf import json_format

    result = tf.compat.v1.GraphDef()
    for node in graph.nodes:
        message = result.node.add()
        json_format.ParseDict(_plain(node), message)
        if node["op"] == "Const":
            message.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(graph.weights[node["name"]]))
    return result


def concrete(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """Return the graph as a concrete function from the named inputs to the named outputs."""
    tf = load()
    definition = graph_def(graph)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    find = wrapped.graph.as_graph_element
    return wrapped.prune([find(_tensor(n)) for n in inputs], [find(_tensor(n)) for n in outputs])


def runner(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Function:
    """Return the graph as a function of one float32 array, computed in float."""
    tf = load()
    function = concrete(graph, inputs, outputs)
    return lambda array: [np.asarray(tensor) for tensor in function(tf.constant(array))]


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _plain(node: Node) -> Node:
    """Return a node in protobuf's own JSON mapping: byte strings as base64, Const without its (absent) value."""
    attributes = {k: _attribute(v) for k, v in node["attr"].items() if not (node["op"] == "Const" and k == "value")}
    return {"name": node["name"], "op": node["op"], "input": node["input"], "attr": attributes}


def _attribute(value: Node) -> Node:
    if isinstance(value.get("s"), list):
        return {"s": base64.b64encode(bytes(value["s"])).decode("ascii")}
    return value


def convert_float(graph: Graph, input_name: str, outputs: Sequence[str]) -> bytes:
    """Return a TFLite file that computes everything in float32."""
    tf = load()
    return _quietly(tf.lite.TFLiteConverter.from_concrete_functions([concrete(graph, [input_name], outputs)]))


def convert_int8(
    graph: Graph,
    input_name: str,
    outputs: Sequence[str],
    samples: Iterable[NDArray[np.float32]],
    keep_float: Sequence[str] = (),
    lowest: Mapping[str, float] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> bytes:
    """Return a TFLite file that is int8 inside, takes uint8 and gives float32.

    samples: representative inputs, float32 (1, H, W, 3) in [-1, 1].
    keep_float: names of nodes that stay float32.
    lowest: node name -> lowest value of its int8 range; lower values come out as this one, higher ones in finer steps.
    ranges: node name -> its int8 range, instead of the one that the samples show.
    Raises BuildError: when TensorFlow's calibration does not know a node of `lowest` or `ranges`.
    """
    tf = load()
    # TFLiteConverter.convert does both steps by itself; they are apart here because only the second takes exceptions.
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.util import modify_model_io_type

    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete(graph, [input_name], outputs)])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_calibrate_only = True
    calibrated = _with_lowest(_with_ranges(_quietly(converter), ranges or {}), lowest or {})
    with _no_stderr():
        quantised = mlir_quantize(calibrated, denylisted_nodes=list(keep_float) or None)
    return bytes(modify_model_io_type(quantised, tf.uint8, tf.float32))


def _with_lowest(calibrated: bytes, lowest: Mapping[str, float]) -> bytes:
    """Return the calibrated file with the measured ranges of these tensors cut off below.

    Raises BuildError: when one has no range.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(calibrated))
    ranges = {tensor.name.decode(): tensor.quantization for tensor in model.subgraphs[0].tensors}
    for name, least in lowest.items():
        if name not in ranges or ranges[name].min is None:
            raise BuildError(f"TensorFlow's calibration knows no range of {name}; is it version 2.15.1?")
        ranges[name].min = np.maximum(ranges[name].min, np.float32(least))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _with_ranges(calibrated: bytes, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Return the calibrated file with these ranges instead of the measured ones.

    Raises BuildError: for an unknown node.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    if not ranges:
        return calibrated
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(calibrated))
    missing = set(ranges)
    for tensor in model.subgraphs[0].tensors:
        # A fused operation carries the names of all operations that it is made of, joined by semicolons.
        for name in set(tensor.name.decode().split(";")) & set(ranges):
            if tensor.quantization is not None and tensor.quantization.min is not None:
                tensor.quantization.min, tensor.quantization.max = (np.array([x], np.float32) for x in ranges[name])
                missing.discard(name)
    if missing:
        raise BuildError(f"The converted network has no {min(missing)} to give a range; is it version 2.15.1?")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _quietly(converter: Any) -> bytes:
    """Convert without the converter's remarks about its own interface and the statistics of operations."""
    with warnings.catch_warnings(), _no_stderr():
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Silence file descriptor 2 inside the block: the converter prints from C++, which does not use sys.stderr."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
