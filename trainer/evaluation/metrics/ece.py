"""Expected calibration error."""

import numpy as np

from orchard.formats import Task
from trainer.evaluation.calibration import reliability
from trainer.evaluation.metric import METRICS, Metric
from trainer.evaluation.predictions import probabilities


@METRICS.register("ece")
class ExpectedCalibrationError(Metric):
    """How far confidence is from accuracy; see `trainer.evaluation.calibration`."""

    order = 70
    higher_is_better = False

    def score(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
        """In equal-width bins."""
        return reliability(probabilities(logits, task), targets, task).expected_error
