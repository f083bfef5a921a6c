"""Int8 as a device will compute it, simulated in float while the weights still learn (quantisation-aware training).

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018):
values are rounded on the way forward, gradients pass as if they were not (straight through). Kernels: symmetric, 127
steps of the widest weight per output channel, as TFLite has them. What units give: 256 steps over a range per tensor.

Own layers rather than tensorflow-model-optimization: that toolkit knows how to wrap batch norm and stock layers, of
which there are none to wrap here, and it cannot hand its ranges to the two-step conversion of tensorflow_room.
"""

from __future__ import annotations

from typing import Any, Final

from models.conversion import tensorflow_adapter
from models.conversion.gptq import STEPS
from models.training.architecture import Unit

_HIGHEST: Final = 6.0
"""Of ReLU6."""


def convolution(keras: Any, unit: Unit, *, trainable: bool, name: str) -> Any:
    """A Keras layer that convolves with its kernel rounded to int8; its weights are (kernel, bias) as elsewhere."""
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
    """The kernel on its int8 grid, with the gradient of the kernel itself. axes: those within one output channel."""
    step = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=axes, keepdims=True), 1e-9) / STEPS
    return kernel + tf.stop_gradient(tf.round(kernel / step) * step - kernel)


def stepped(keras: Any, tensor: Any, pair: tuple[float, float], *, relu: bool, name: str) -> Any:
    """The tensor in 256 steps over its range; outside of it values are clipped and have no gradient."""
    tf = tensorflow_adapter.load()
    high = min(pair[1], _HIGHEST) if relu else pair[1]
    fake = tf.quantization.fake_quant_with_min_max_args
    return keras.layers.Lambda(lambda x: fake(x, pair[0], high), name=name)(tensor)
