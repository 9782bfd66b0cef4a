"""Log loss."""

import numpy as np

from orchard.formats import Task
from trainer.evaluation.metric import METRICS, Metric
from trainer.evaluation.predictions import row_losses


@METRICS.register("log_loss")
class LogLoss(Metric):
    """Cross-entropy in nats: a row's mean for one label, a cell's mean for many labels."""

    order = 30
    higher_is_better = False
    main = True

    def per_row(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
        """The loss of each row."""
        return row_losses(logits, targets, task)

    def expected_per_row(self, logits: np.ndarray, beliefs: np.ndarray, task: Task) -> np.ndarray:
        """The same of soft targets: it is linear in them."""
        return row_losses(logits, beliefs, task)
