"""Everything that a resumed training needs: network, optimizers, random state, scores so far."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchard.errors import OrchardError
from orchard.formats import TrainingCheckpoint, TrainingProgress, WeightsCheckpoint
from trainer.evaluation import is_better
from trainer.keras_module import keras


@dataclass
class Progress(TrainingProgress):
    """What is known of a training so far, and what follows from the next evaluation."""

    def note(self, metric: str, scores: dict[str, float]) -> bool:
        """Record an evaluation; returns whether it is the best so far (without scores: always)."""
        score = scores.get(metric)
        best = score is None or is_better(metric, score, self.best_score)
        # The first evaluation is the best one there is, whatever its score.
        best = best or self.best_step < 0
        if best:
            self.best_step, self.best_score, self.evals_since_best = self.step, score, 0
        else:
            self.evals_since_best += 1
        self.evaluations.append({"step": self.step, **scores})
        return best

    def copy(self) -> "Progress":
        """One that stays as it is while this one goes on."""
        return dataclasses.replace(self, evaluations=list(self.evaluations))

    def best_step_at(self, step: int, metric: str) -> int:
        """What `best_step` was when the training was at `step`."""
        replayed = Progress()
        for evaluation in self.evaluations:
            if evaluation["step"] <= step:
                replayed.step = evaluation["step"]
                replayed.note(metric, evaluation)
        return replayed.best_step

    def best_steps_at(self, step: int, metric: str, count: int) -> set[int]:
        """The steps of the `count` best evaluations when the training was at `step`.

        Without scores by `metric` the last ones are the best, as in `note`.
        """
        made = [one for one in self.evaluations if one["step"] <= step]
        kept: list[dict[str, Any]] = []
        for one in made:
            value = one.get(metric)
            # Before the first that it beats; of equal ones the earlier is the better.
            at = next(
                (
                    i
                    for i, k in enumerate(kept)
                    if value is None or is_better(metric, value, k[metric])
                ),
                len(kept),
            )
            kept.insert(at, one)
        best = {self.best_step_at(step, metric)} if made else set()
        return best | {one["step"] for one in kept[:count]}


class TrainState:
    """A network, its optimizers and the progress, to and from arrays.

    Variables are kept by position: Keras numbers their names by how many networks the process has
    built. `network.variables` includes the seed generators' state, which Keras' own weight files
    lack: without it dropout after a resume would differ.
    """

    def __init__(self, network: keras.Model, optimizers: list[keras.optimizers.Optimizer]):
        self.network = network
        self.optimizers = optimizers
        self.progress = Progress()

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state but for the progress, for a checkpoint."""
        return {name: _value(variable) for name, variable in self._variables().items()}

    def restore(self, checkpoint: TrainingCheckpoint) -> None:
        """Take over the state of a checkpoint; OrchardError if it is of another network."""
        variables = self._variables()
        _check_fits(variables, checkpoint.arrays, checkpoint.step)
        for name, variable in variables.items():
            variable.assign(checkpoint.arrays[name])
        self.progress = Progress(**vars(checkpoint.meta.progress))

    def _variables(self) -> dict[str, Any]:
        named = {f"network/{i:05d}": v for i, v in enumerate(self.network.variables)}
        for k, optimizer in enumerate(self.optimizers):
            named |= {f"optimizer{k}/{i:05d}": v for i, v in enumerate(optimizer.variables)}
        return named


@contextlib.contextmanager
def evaluation_weights(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    reestimate: Callable[[], None] | None = None,
) -> Iterator[None]:
    """In this context the network holds the weights to evaluate; afterward the ones to train.

    They are the moving average where the optimizer keeps one, with BatchNorm statistics
    re-estimated where `reestimate` is given. Training never notices: the dropout
    seeds that a re-estimation uses up are put back too.
    """
    # Keras' average is 0 before the first step.
    averages = optimizer.use_ema and bool(_value(optimizer.iterations))
    if not averages and reestimate is None:
        yield
        return
    kept = [_value(variable) for variable in network.variables]
    try:
        if averages:
            moving_averages = optimizer._model_variables_moving_average
            for variable, average in zip(
                optimizer._trainable_variables, moving_averages, strict=True
            ):
                variable.assign(average.value)
        if reestimate is not None:
            reestimate()
        yield
    finally:
        for variable, value in zip(network.variables, kept, strict=True):
            variable.assign(value)


def network_arrays(network: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a network by position, without its random state."""
    return {f"weight/{i:05d}": _value(v) for i, v in enumerate(network.weights)}


def set_network_arrays(network: keras.Model, checkpoint: WeightsCheckpoint) -> None:
    """Give a network the weights of a best checkpoint."""
    variables = {f"weight/{i:05d}": v for i, v in enumerate(network.weights)}
    arrays = {n: a for n, a in checkpoint.arrays.items() if n.startswith("weight/")}
    _check_fits(variables, arrays, checkpoint.step)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _value(variable: keras.Variable) -> np.ndarray:
    return np.asarray(variable.value.numpy())


def _check_fits(variables: dict[str, Any], arrays: dict[str, np.ndarray], step: int) -> None:
    if set(variables) != set(arrays):
        raise OrchardError(
            f"the checkpoint of step {step} holds {len(arrays)} variables, this network and "
            f"optimizer have {len(variables)}: it is of another run"
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise OrchardError(
                f"the checkpoint of step {step} holds {variable.path} with shape "
                f"{arrays[name].shape}, this network has {tuple(variable.shape)}"
            )
