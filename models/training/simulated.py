"""Simulate int8, as a device computes it, in float while the weights still train (quantisation-aware training).

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018):
values are rounded on the way forward, gradients pass as if they were not (straight through). Kernels: symmetric, 127
steps of the largest weight per output channel, as TFLite has them. Outputs of units: 256 steps over a range per tensor.

These are our own layers rather than tensorflow-model-optimization: that toolkit wraps batch norm and stock layers, of
which there are none here, and it cannot pass its ranges to the two-step conversion of tensorflow_adapter.
"""

from __future__ import annotations

from typing import Any, Final

from models.conversion import tensorflow_adapter
from models.conversion.gptq import STEPS
from models.training.architecture import Unit

_HIGHEST: Final = 6.0
"""Highest value of ReLU6."""


def convolution(keras: Any, unit: Unit, *, trainable: bool, name: str) -> Any:
    """Return a Keras layer that convolves with its kernel rounded to int8.

    Its weights are (kernel, bias), as those of a stock layer.
    """
    tf = tensorflow_adapter.load()
    depthwise = unit.op == "depthwise"

    class Rounded(keras.layers.Layer):  # type: ignore[misc]  # TensorFlow comes late and without types
        def build(self, shape: Any) -> None:
            columns = 1 if depthwise else unit.channels
            self.kernel = self.add_weight("kernel", (unit.kernel, unit.kernel, shape[-1], columns))
            self.bias = self.add_weight("bias", (unit.channels,))

        def call(self, image: Any) -> Any:
            kernel = rounded(tf, self.kernel, [0, 1, 3] if depthwise else [0, 1, 2])
            strides = [1, unit.stride, unit.stride, 1]
            run = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
            return run(image, kernel, strides, "SAME") + self.bias

    return Rounded(trainable=trainable, name=name)


def rounded(tf: Any, kernel: Any, axes: list[int]) -> Any:
    """Return the kernel on its int8 grid, with the gradient of the kernel itself.

    axes: those within one output channel.
    """
    step = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=axes, keepdims=True), 1e-9) / STEPS
    return kernel + tf.stop_gradient(tf.round(kernel / step) * step - kernel)


def quantised(keras: Any, tensor: Any, pair: tuple[float, float], *, relu: bool, name: str) -> Any:
    """Return the tensor in 256 steps over its range; values outside are clipped and have no gradient."""
    tf = tensorflow_adapter.load()
    high = min(pair[1], _HIGHEST) if relu else pair[1]
    fake = tf.quantization.fake_quant_with_min_max_args
    return keras.layers.Lambda(lambda x: fake(x, pair[0], high), name=name)(tensor)
