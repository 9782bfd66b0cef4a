"""What `ensemble.pipeline` makes and `record` and `report` describe."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.fitting import Fit, held_out_split_names
from ensemble.inputs import Inputs
from ensemble.members import Member
from ensemble.scoring import Scoreboard
from trainer.data import RecordTable


@dataclass(frozen=True)
class Result:
    """A finished ensemble.

    logits: float32 [members, rows, classes]. probabilities: float64 [rows, classes].
    thresholds: float64 [classes]. boards: scores on the split and on the held-out rows, each where
    there are labels. fitted_on: how many images of the predicted split weights or temperatures were
    fitted on.
    """

    inputs: Inputs
    logits: np.ndarray
    fit: Fit
    probabilities: np.ndarray
    thresholds: np.ndarray
    split_board: Scoreboard | None
    held_out_board: Scoreboard | None
    fitted_on: int

    @property
    def caveats(self) -> list[str]:
        """What a reader would take for more than it is, or miss: one sentence each."""
        caveats = []
        seen = seen_in_training(self.inputs.members, self.inputs.records)
        if self.split_board is not None and seen:
            caveats.append(
                f"Members trained on {', '.join(seen)}: the scores on the predicted split show "
                "memory, not skill."
            )
        if self.split_board is not None and self.fitted_on:
            caveats.append(
                f"Weights or temperatures were fitted on {self.fitted_on} images of the predicted "
                "split: the ensemble's scores there flatter it."
            )
        if self.inputs.held_out is None:
            caveats.append(f"No scores on held-out images: {self.inputs.no_held_out}.")
        if self.fit.combination.method == "rank":
            caveats.append(
                "Mean ranks order the images of a class, not the classes of an image: the classes "
                "that they name say little."
            )
        return caveats

    @property
    def left_out(self) -> int:
        """How many predictions the sample submission does not ask for."""
        submission = self.inputs.submission
        return 0 if submission is None else len(self.inputs.records) - len(submission.ids)


def seen_in_training(members: Sequence[Member], records: RecordTable) -> list[str]:
    """Splits of a table that some member trained on."""
    # Another dataset's split of the same name holds other images.
    same = [m for m in members if m.dataset_fingerprint == records.fingerprint]
    trained = set().union(*(held_out_split_names(m.train_split) for m in same))
    return [split for split in records.splits if split in trained]
