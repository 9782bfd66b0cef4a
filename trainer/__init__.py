"""Train one image classifier at a time from TFRecord shards, on TPUs, GPUs or CPUs.

    from trainer import AugmentOptions, TrainConfig, train_and_evaluate

    train_and_evaluate(
        TrainConfig(
            dataset="tfds/plants/1.0.0", run_dir="runs/b0", fold="0",
            architecture="efficientnet_b0", batch_size=32, epochs=5,
            augment=AugmentOptions(flips="both"),
        )
    )

As a command it is `python -m trainer.main`. Start reading in `loop.py`.
"""

import os
from typing import TYPE_CHECKING

from orchard.lazy import attach

# TensorFlow imports Keras, and that takes its backend from here or from ~/.keras/keras.json: it
# must be said before either is imported. See `trainer.keras_module`.
os.environ["KERAS_BACKEND"] = "tensorflow"

if TYPE_CHECKING:
    from trainer.augment import AugmentOptions
    from trainer.config import TrainConfig
    from trainer.loggers import Logger
    from trainer.loop import train_and_evaluate

__all__ = ["AugmentOptions", "Logger", "TrainConfig", "train_and_evaluate"]

__getattr__, __dir__ = attach(__name__)
