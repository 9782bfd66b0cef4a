"""Combine trained networks: one pass over the data, weighted logits, one model to ship.

    from ensemble import EnsembleConfig, SavedPredictor, run

    result = run(
        EnsembleConfig(
            members=("runs/b7", "runs/b6"), dataset="tfds/plants/1.0.0", output_dir="out"
        )
    )
    SavedPredictor("out/saved_model").predict(["leaf.jpg"])

As commands they are `python -m ensemble.main` and `python -m ensemble.predict`; `ensemble.soup`
averages weights instead of predictions.

Start with `pipeline.py`: it is the whole way from trained runs to predictions, report and model.
`ensemble.fitting` picks the weights, `ensemble.combine` holds the ways to average, and
`SavedPredictor` runs what was exported.
"""

from typing import TYPE_CHECKING

import trainer  # noqa: F401  It chooses Keras's backend, before TensorFlow is imported.
from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.config import EnsembleConfig
    from ensemble.inference import SavedPredictor
    from ensemble.pipeline import run

__all__ = ["EnsembleConfig", "SavedPredictor", "run"]

__getattr__, __dir__ = attach(__name__)
