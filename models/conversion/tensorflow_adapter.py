"""The only file that knows TensorFlow: run a graph in float, convert it to a TFLite file. Imported lazily.

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
    """The tensorflow module, silent, on the CPU. Raises BuildError where it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise BuildError("A build needs TensorFlow: pip install '.[models]' on Python 3.10 or 3.11.") from error
    tf.get_logger().setLevel("ERROR")
    logging.getLogger("absl").setLevel(logging.ERROR)  # its remarks are about interfaces of its own
    return tf


def graph_def(graph: Graph) -> Any:
    """A GraphDef protobuf of a graph whose strings are lists of byte values, as TensorFlow.js writes them."""
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
    """The graph as a concrete function from the named tensors to the named tensors."""
    tf = load()
    definition = graph_def(graph)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    find = wrapped.graph.as_graph_element
    return wrapped.prune([find(_tensor(n)) for n in inputs], [find(_tensor(n)) for n in outputs])


def runner(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Function:
    """The graph as a function of one float32 array, in float."""
    tf = load()
    function = concrete(graph, inputs, outputs)
    return lambda array: [np.asarray(tensor) for tensor in function(tf.constant(array))]


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _plain(node: Node) -> Node:
    """The same node in protobuf's own JSON mapping: byte strings as base64, Const without its (absent) value."""
    attributes = {k: _attribute(v) for k, v in node["attr"].items() if not (node["op"] == "Const" and k == "value")}
    return {"name": node["name"], "op": node["op"], "input": node["input"], "attr": attributes}


def _attribute(value: Node) -> Node:
    if isinstance(value.get("s"), list):
        return {"s": base64.b64encode(bytes(value["s"])).decode("ascii")}
    return value


def convert_float(graph: Graph, input_name: str, outputs: Sequence[str]) -> bytes:
    """A TFLite file that computes in float32 whatever the graph says."""
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
    """A TFLite file int8 inside, uint8 in, float32 out, apart from the nodes `keep_float`, which stay float32.

    samples: representative inputs, float32 (1, H, W, 3) in [-1, 1]. lowest: for nodes by name, where their int8 range
    begins at the least; what lies below comes out as that value, and what lies above is resolved the more finely.
    ranges: for nodes by name, the int8 range itself, instead of the one that the samples show.
    """
    tf = load()
    # The two steps that TFLiteConverter.convert takes by itself; apart, because only the second takes exceptions.
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
    """The calibrated file with the measured ranges of these tensors cut off below. Raises BuildError without them."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(calibrated))
    ranges = {tensor.name.decode(): tensor.quantization for tensor in model.subgraphs[0].tensors}
    for name, least in lowest.items():
        if name not in ranges or ranges[name].min is None:
            raise BuildError(f"TensorFlow's calibration knows no range of {name}; is it version 2.15.1?")
        ranges[name].min = np.maximum(ranges[name].min, np.float32(least))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _with_ranges(calibrated: bytes, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """The calibrated file with these ranges in the place of measured ones. Raises BuildError for an unknown node."""
    from tensorflow.lite.tools import flatbuffer_utils

    if not ranges:
        return calibrated
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(calibrated))
    missing = set(ranges)
    for tensor in model.subgraphs[0].tensors:
        # A fused operation carries the names of all it is made of, its last one among them.
        for name in set(tensor.name.decode().split(";")) & set(ranges):
            if tensor.quantization is not None and tensor.quantization.min is not None:
                tensor.quantization.min, tensor.quantization.max = (np.array([x], np.float32) for x in ranges[name])
                missing.discard(name)
    if missing:
        raise BuildError(f"The converted network has no {min(missing)} to give a range; is it version 2.15.1?")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _quietly(converter: Any) -> bytes:
    """Convert without the converter's remarks, which are about its own interface and the statistics of operations."""
    with warnings.catch_warnings(), _no_stderr():
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Silence file descriptor 2: what the converter prints comes from C++ and passes sys.stderr by."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
