import numpy as np

from ensemble.combine import COMBINERS
from ensemble.fitting import HeldOut, judge_change
from ensemble.members import FoldGroup

_TARGETS = np.eye(2, dtype=np.float32)[np.arange(60) % 2]


def _held_out(strength, rows=60):
    noise = np.random.default_rng(0).normal(scale=2.0, size=(rows, 2))
    logits = (strength * (_TARGETS[:rows] - 0.5) + noise).astype(np.float32)
    ids = np.array([f"{at:03d}" for at in range(rows)])
    return HeldOut(ids, _TARGETS[:rows], (np.arange(rows),), (logits,), (FoldGroup("a", (0,)),))


def _judge(before, after):
    return judge_change(
        before,
        after,
        combiner=COMBINERS["logits"]("single_label"),
        weights=np.ones(1),
        metric="log_loss",
        seed=0,
    )


def test_judge_change_that_help_are_trusted():
    verdict = _judge(_held_out(1.0), _held_out(4.0))
    assert verdict.trusted and 0 < verdict.low < verdict.gain < verdict.high
    assert "gain in log_loss +" in str(verdict) and "60 held-out images" in str(verdict)


def test_judge_change_that_harm_or_change_nothing_are_not_trusted():
    assert not _judge(_held_out(4.0), _held_out(1.0)).trusted
    assert not _judge(_held_out(1.0), _held_out(1.0)).trusted


def test_judge_change_on_few_images_are_not_trusted():
    assert not _judge(_held_out(1.0, rows=12), _held_out(8.0, rows=12)).trusted


def test_judge_change_of_other_rows_compares_those_in_common():
    assert _judge(_held_out(1.0), _held_out(1.0, rows=40)).num_images == 40
