"""The format `onnx`: model.onnx, for onnxruntime and whatever else reads ONNX."""

from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

from ensemble.formats.export_format import EXPORT_FORMATS, PixelFunction, Pixels, Written
from ensemble.formats.extras import need

_OPSET = 17


class _Onnx:
    """By tf2onnx."""

    files: tuple[str, ...] = ("model.onnx",)

    @staticmethod
    def check() -> None:
        need("tf2onnx", "onnxruntime", flag="onnx", extra="onnx")

    @staticmethod
    def write(
        pixels: PixelFunction, calibration: Callable[[], Iterator[Pixels]]
    ) -> Iterator[Written]:
        import onnxruntime
        import tensorflow as tf
        import tf2onnx

        del calibration
        names = list(pixels.inputs)

        def probabilities(*images: Any) -> Any:
            return {
                "probabilities": pixels.function(**dict(zip(names, images, strict=True)))[
                    "probabilities"
                ]
            }

        shapes = [
            tf.TensorSpec([None, spec.height_px, spec.width_px, 3], tf.uint8, name=name)
            for name, spec in pixels.inputs.items()
        ]
        model, _ = tf2onnx.convert.from_function(
            tf.function(probabilities), input_signature=shapes, opset=_OPSET
        )
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

        def predict(images: Pixels) -> np.ndarray:
            return session.run(["probabilities"], dict(images))[0]

        yield Written(
            "model.onnx", content, f"onnxruntime {metadata.version('onnxruntime')}", predict
        )


EXPORT_FORMATS.register("onnx")(_Onnx())
