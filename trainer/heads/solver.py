"""The full-batch solvers: on all rows at once, so that nothing is drawn.

`descend` is L-BFGS (Liu and Nocedal 1989; SciPy's L-BFGS-B) in float32, for any head. `refine`
takes a convex one from there to its solution: Newton's method, whose gradients are float64 and
whose steps come from conjugate gradients in float32 (Nocedal and Wright 2006, section 7.1).
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchard.lazy import lazy_import
from orchard.parallel import DaemonExecutor
from trainer.heads.head import Head, HeadLoss, Parameters

if TYPE_CHECKING:
    from scipy import optimize
    from scipy.sparse import linalg
else:
    optimize = lazy_import("scipy.optimize")
    linalg = lazy_import("scipy.sparse.linalg")

# What threads share. The sum over them is taken in their order, so that a solution does not depend
# on how many threads there are.
_CHUNK_ROWS = 8192
_NEWTON_STEPS = 20
_STEP_TOLERANCE = 1e-3
_MAX_PRODUCTS = 1000  # Of a Newton step.


@dataclass(frozen=True)
class HeadProblem:
    """Minimize the mean loss of a head's logits + decay * penalty.

    Attributes:
        head: what is solved.
        loss: of the logits.
        features: float32 [n, num_features], standardized.
        targets: float32 [n, num_classes].
        decay: what multiplies half the squared norm of the kernels.
    """

    head: Head
    loss: HeadLoss
    features: np.ndarray
    targets: np.ndarray
    decay: float

    def descend(self, start: Parameters, tolerance: float, max_steps: int) -> Parameters:
        """From `start` to where no part of the gradient is above `tolerance`, in float32.

        Args:
            start: as `Head.initial` gives it.
            tolerance: at the end.
            max_steps: ends earlier after so many.
        """
        found = optimize.minimize(
            self.value_and_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"gtol": tolerance, "ftol": 0.0, "maxiter": max_steps, "maxfun": 2 * max_steps},
        )
        return found.x

    def refine(self, start: Parameters, tolerance: float) -> Parameters:
        """From near the solution of a convex head to it; arguments as `descend` has them."""
        exact = self._in_float64
        parameters, best = start, np.inf
        for _ in range(_NEWTON_STEPS):
            _, gradient = exact.value_and_gradient(parameters)
            largest = np.abs(gradient).max()
            if largest <= tolerance:
                return parameters
            if largest >= best:  # It was not near, or this is as near as it gets.
                break
            best = largest
            step = self._newton_step(parameters, gradient)
            # Nothing is curved where all rows are fitted perfectly.
            if not np.isfinite(step).all():
                break
            parameters = parameters + step
        return exact.descend(parameters, tolerance, self.head.max_steps)

    def value_and_gradient(self, parameters: Parameters) -> tuple[float, Parameters]:
        """What is minimized, and its gradient: float64 sums of what has the features' dtype."""
        head, loss = self.head, self.loss

        def of_chunk(rows: slice) -> tuple[float, Parameters]:
            features = self.features[rows]
            logits = head.logits(parameters, features)
            value, slopes = loss.sum_and_slopes(logits, self._smoothed[rows], self._weights[rows])
            return value, head.pull_back(parameters, features, slopes / len(self.features))

        penalty, gradient = head.penalty(parameters)
        value, gradient = self.decay * penalty, self.decay * gradient
        for part, of_part in self._over_chunks(of_chunk):
            value += part / len(self.features)
            gradient += of_part
        return value, gradient

    def _newton_step(self, parameters: Parameters, gradient: Parameters) -> Parameters:
        head, loss = self.head, self.loss
        logits = head.logits(parameters, self.features)

        def times_hessian(direction: np.ndarray) -> np.ndarray:
            def of_chunk(rows: slice) -> Parameters:
                features, targets = self.features[rows], self._smoothed[rows]
                # The logits of a convex head are linear in its parameters.
                moved = head.logits(direction, features)
                curved = loss.curvature(logits[rows], moved, targets, self._weights[rows])
                return head.pull_back(parameters, features, curved / len(self.features))

            total = self.decay * head.penalty(direction)[1]
            for part in self._over_chunks(of_chunk):
                total += part
            return total

        size = len(parameters)
        hessian = linalg.LinearOperator((size, size), matvec=times_hessian, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return linalg.cg(hessian, -gradient, rtol=_STEP_TOLERANCE, maxiter=_MAX_PRODUCTS)[0]

    def _over_chunks(self, function: Callable) -> list:
        starts = range(0, len(self.features), _CHUNK_ROWS)
        chunks = [slice(first, first + _CHUNK_ROWS) for first in starts]
        if len(chunks) == 1:
            return [function(chunks[0])]
        with DaemonExecutor(min(len(chunks), len(os.sched_getaffinity(0)))) as pool:
            return list(pool.map(function, chunks))

    @functools.cached_property
    def _weights(self) -> np.ndarray:
        return self.loss.cell_weights(self.targets).astype(self.features.dtype)

    @functools.cached_property
    def _smoothed(self) -> np.ndarray:
        return self.loss.smoothed(self.targets).astype(self.features.dtype)

    @functools.cached_property
    def _in_float64(self) -> "HeadProblem":
        features = self.features.astype(np.float64)
        return HeadProblem(self.head, self.loss, features, self.targets, self.decay)
