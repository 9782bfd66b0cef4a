"""The full-batch solver: L-BFGS on all rows at once (Liu and Nocedal 1989; SciPy's L-BFGS-B).

Many rows are cut into chunks that threads share; the sum over these is taken in their order, so
that a solution does not depend on how many threads there are.
"""

import os

import numpy as np
from scipy.optimize import minimize

from orchard.parallel import DaemonExecutor
from trainer.heads.head import Head, HeadLoss, Parameters

_CHUNK_ROWS = 8192


def solve(
    head: Head,
    loss: HeadLoss,
    features: np.ndarray,
    targets: np.ndarray,
    decay: float,
    *,
    start: Parameters,
    tolerance: float,
    max_steps: int,
    exact: bool = False,
) -> Parameters:
    """The weights that minimize mean loss + decay * penalty.

    Args:
        head: what is solved.
        loss: of the logits.
        features: float32 [n, num_features], standardized.
        targets: float32 [n, num_classes].
        decay: what multiplies half the squared norm of the kernels.
        start: where to begin.
        tolerance: the largest part of the gradient at the end.
        max_steps: ends earlier after so many.
        exact: compute in float64.

    Returns:
        float64, as `Head.initial` has them.
    """
    dtype = np.float64 if exact else np.float32
    num_rows = len(features)
    weights = loss.cell_weights(targets).astype(dtype)
    smoothed = loss.smoothed(targets).astype(dtype)

    def of_chunk(first: int, parameters: Parameters) -> tuple[float, Parameters]:
        rows = slice(first, first + _CHUNK_ROWS)
        part = features[rows].astype(dtype, copy=False)
        logits = head.logits(parameters, part)
        value, slopes = loss.sum_and_slopes(logits, smoothed[rows], weights[rows])
        return value / num_rows, head.pull_back(parameters, part, slopes / num_rows)

    chunks = range(0, num_rows, _CHUNK_ROWS)
    with DaemonExecutor(min(len(chunks), len(os.sched_getaffinity(0)))) as pool:
        run = map if len(chunks) == 1 else pool.map

        def value_and_gradient(parameters: Parameters) -> tuple[float, Parameters]:
            penalty, gradient = head.penalty(parameters)
            value, gradient = decay * penalty, decay * gradient
            for part, slopes in run(lambda first: of_chunk(first, parameters), chunks):
                value += part
                gradient += slopes
            return value, gradient

        found = minimize(
            value_and_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"gtol": tolerance, "ftol": 0.0, "maxiter": max_steps, "maxfun": 2 * max_steps},
        )
    return found.x
