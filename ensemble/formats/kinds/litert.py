"""The format `litert`: model.tflite, and model_int8.tflite, which computes with bytes."""

from collections.abc import Callable, Iterator
from importlib import metadata

import numpy as np

from ensemble.formats.export_format import EXPORT_FORMATS, PixelFunction, Pixels, Written
from ensemble.formats.extras import need


class _LiteRT:
    """By TensorFlow's own converter; run by ai-edge-litert."""

    files: tuple[str, ...] = ("model.tflite", "model_int8.tflite")

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


EXPORT_FORMATS.register("litert")(_LiteRT())


def _predictor(content: bytes) -> Callable[[Pixels], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=content).get_signature_runner()

    def predict(images: Pixels) -> np.ndarray:
        # One at a time, as such models mostly run.
        count = len(next(iter(images.values())))
        rows = [
            run(**{name: one[at : at + 1] for name, one in images.items()}) for at in range(count)
        ]
        return np.concatenate([row["probabilities"] for row in rows])

    return predict
