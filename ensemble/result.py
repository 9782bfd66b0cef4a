"""What `ensemble.pipeline` makes and `record` and `report` describe."""

from dataclasses import dataclass

import numpy as np

from ensemble.fit import Fit
from ensemble.held_out import split_names
from ensemble.inputs import Inputs
from ensemble.scoreboard import Scoreboard


@dataclass(frozen=True)
class Result:
    """A finished ensemble.

    logits: float32 [members, rows, classes]. probabilities: float64 [rows, classes].
    thresholds: float64 [classes]. boards: scores on the split and on the held-out rows, each where
    there are labels.
    """

    inputs: Inputs
    logits: np.ndarray
    fit: Fit
    probabilities: np.ndarray
    thresholds: np.ndarray
    split_board: Scoreboard | None
    held_out_board: Scoreboard | None

    @property
    def seen_in_training(self) -> list[str]:
        """Predicted splits that some member trained on: scores there show memory, not skill."""
        trained = set().union(*(split_names(m.train_split) for m in self.inputs.members))
        return [split for split in self.inputs.records.splits if split in trained]

    @property
    def left_out(self) -> int:
        """How many predictions the sample submission does not ask for."""
        submission = self.inputs.submission
        return 0 if submission is None else len(self.inputs.records) - len(submission.ids)
