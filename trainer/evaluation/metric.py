"""What a metric is: a class whose `score` rates logits against targets, exactly, on the host.

A new one is one file in `trainer.evaluation.metrics`, or in a module that --plugins names;
--best_metric, --metric, run.json, folds.json, reports and scoreboards follow from the class.
`balanced_accuracy` is a short example.
"""

from typing import ClassVar

import numpy as np

from orchard.errors import OrchardError
from orchard.formats import Task
from orchard.registry import Registry


class Metric:
    """A score of all rows at once, in NumPy.

    Where it needs hard classes, a soft target counts as its likeliest class (one label) or as
    present from 0.5 on (many labels): see `hard_targets`. It is NaN where the targets cannot tell,
    such as where a class is never seen.

    Attributes:
        order: metrics are listed from the smallest to the largest.
        higher_is_better: whether greater scores are better.
        tasks: those that it is for.
        ranks: whether it depends only on the order within each class's column. Then it can judge
            mean ranks too, which are not probabilities: their rows do not sum to 1.
        main: whether it is among the few in progress lines and terminal tables, and has an interval
            in scoreboards; it then has `per_row` or `resampled`, since rows are drawn hundreds of
            times.
    """

    order: ClassVar[int] = 100
    higher_is_better: ClassVar[bool] = True
    tasks: ClassVar[tuple[Task, ...]] = tuple(Task)
    ranks: ClassVar[bool] = False
    main: ClassVar[bool] = False

    def score(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
        """The score; by default the mean of `per_row`.

        Args:
            logits: float [n, num_classes].
            targets: float [n, num_classes], one-hot, multi-hot or soft (0..1), all labeled.
            task: what the labels mean.
        """
        rows = self.per_row(logits, targets, task)
        if rows is None:
            raise NotImplementedError
        return float(np.mean(rows))

    def per_row(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray | None:
        """Values float64 [n] whose mean is the score; None where it is no such mean."""
        return None

    def expected_per_row(
        self, logits: np.ndarray, beliefs: np.ndarray, task: Task
    ) -> np.ndarray | None:
        """What `per_row` is on average over targets drawn from beliefs; None where not known.

        Args:
            logits: as in `score`.
            beliefs: probabilities float [n, num_classes]; classes count as independent where an
                image has many.
            task: what the labels mean.
        """
        return None

    def resampled(
        self, logits: np.ndarray, targets: np.ndarray, task: Task, counts: np.ndarray
    ) -> np.ndarray:
        """The score of rows drawn with replacement, float64 [draws], for bootstrap intervals.

        Args:
            logits: as in `score`.
            targets: likewise.
            task: likewise.
            counts: float64 [draws, n]: how often each row was drawn.
        """
        values = self.per_row(logits, targets, task)
        if values is not None:
            return counts @ values / counts.sum(axis=1)
        rows = [np.repeat(np.arange(len(targets)), count.astype(int)) for count in counts]
        return np.array([self.score(logits[r], targets[r], task) for r in rows])


METRICS: Registry[type[Metric]] = Registry("metric", "trainer.evaluation.metrics")


def metric_names(
    task: Task | None = None, *, ranks: bool = False, main: bool = False
) -> tuple[str, ...]:
    """Names of metrics, in their order.

    Args:
        task: those for this task; None: for any.
        ranks: only those that hold for mean ranks.
        main: only the main ones.
    """
    return tuple(
        name
        for name, kind in sorted(METRICS.items(), key=lambda item: item[1].order)
        if (task is None or task in kind.tasks)
        and (kind.ranks or not ranks)
        and (kind.main or not main)
    )


def default_metric(task: Task, *, ranks: bool = False) -> str:
    """The metric that decides unless the user names one: accuracy or roc_auc.

    Args:
        task: what the labels mean.
        ranks: whether only mean ranks are to be judged.
    """
    return "accuracy" if task == Task.SINGLE_LABEL and not ranks else "roc_auc"


def check_metric(name: str, task: Task) -> None:
    """Raises OrchardError for a metric that is not for the task."""
    if task not in METRICS[name].tasks:
        names = ", ".join(metric_names(task))
        raise OrchardError(f"{name} is no metric of {task} datasets; choose one of {names}")


def evaluate(logits: np.ndarray, targets: np.ndarray, task: Task) -> dict[str, float]:
    """Every metric for the task by name; NaN where the targets cannot tell."""
    return {
        name: float(METRICS[name]().score(logits, targets, task)) for name in metric_names(task)
    }


def is_better(metric: str, a: float, b: float | None) -> bool:
    """Whether score `a` beats score `b`; anything but NaN beats None and NaN."""
    if np.isnan(a):
        return False
    if b is None or np.isnan(b):
        return True
    return a > b if METRICS[metric].higher_is_better else a < b
