"""The format `litert`: model.tflite, and model_int8.tflite, which computes with bytes."""

from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

from ensemble.formats.export_format import EXPORT_FORMATS, PixelFunction, Pixels, Written
from ensemble.formats.extras import need


@EXPORT_FORMATS.register("litert")
class _LiteRT:
    """By TensorFlow's own converter; run by ai-edge-litert."""

    files = ("model.tflite", "model_int8.tflite")

    @staticmethod
    def check() -> None:
        need("ai_edge_litert", flag="litert", extra="litert")

    @staticmethod
    def write(
        pixels: PixelFunction, calibration: Callable[[], Iterator[Pixels]]
    ) -> Iterator[Written]:
        import tensorflow as tf

        for name in _LiteRT.files:
            converter = tf.lite.TFLiteConverter.from_concrete_functions(
                [pixels.function], pixels.owner
            )
            quantized = name != "model.tflite"
            if quantized:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = calibration
                # What has no int8 kernel, such as the cast of the pixels, stays float.
                converter.target_spec.supported_ops = [
                    tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
                    tf.lite.OpsSet.TFLITE_BUILTINS,
                ]
            content = converter.convert()
            runtime = f"ai-edge-litert {metadata.version('ai-edge-litert')}"
            yield Written(name, content, runtime, _predictor(content), exact=not quantized)


def _input(detail: dict[str, Any], images: Pixels) -> str:
    """The input that a tensor is: the tensor's name has a prefix and a number of its own."""
    return max((name for name in images if name in detail["name"]), key=len)


def _predictor(content: bytes) -> Callable[[Pixels], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    inputs = interpreter.get_input_details()

    def predict(images: Pixels) -> np.ndarray:
        # One at a time: kernels chosen for one image need not fit a batch.
        rows = []
        for at in range(len(next(iter(images.values())))):
            for detail in inputs:
                interpreter.set_tensor(detail["index"], images[_input(detail, images)][at : at + 1])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
        return np.stack(rows)

    interpreter.allocate_tensors()
    return predict
