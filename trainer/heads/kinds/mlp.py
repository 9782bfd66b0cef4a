"""A head with one hidden layer: for features in which the classes are no half-spaces."""

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from orchard.lazy import lazy_import
from trainer.heads.head import HEADS, DenseLayer, Head, Parameters

if TYPE_CHECKING:
    from scipy import special
else:
    special = lazy_import("scipy.special")

_HIDDEN_UNITS = 128


@HEADS.register("mlp")
class MlpHead(Head):
    """128 units of SiLU (Elfwing et al. 2018, equation 2); another seed is another solution."""

    decays = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
    start_at = 0.03
    # Each costs ten times what it does for the linear head.
    max_held_out = 1
    is_convex = False
    tolerance = 1e-4
    max_steps = 100

    def initial(self) -> Parameters:
        """Normal numbers of the usual size, of the seed; no bias."""
        rng = np.random.Generator(np.random.Philox(self.seed))
        first, second = self.num_features * _HIDDEN_UNITS, _HIDDEN_UNITS * self.num_classes
        parts = [
            rng.standard_normal(first) / math.sqrt(self.num_features),
            np.zeros(_HIDDEN_UNITS),
            rng.standard_normal(second) / math.sqrt(_HIDDEN_UNITS),
            np.zeros(self.num_classes),
        ]
        return np.concatenate(parts)

    def penalty(self, parameters: Parameters) -> tuple[float, Parameters]:
        """Of both kernels."""
        gradient = parameters.copy()
        _, hidden_bias, _, bias = self._parts(gradient, np.float64)
        hidden_bias[:], bias[:] = 0, 0
        return 0.5 * float(gradient @ gradient), gradient

    def logits(self, parameters: Parameters, features: np.ndarray) -> np.ndarray:
        """Two affine maps, SiLU between them."""
        first, hidden_bias, second, bias = self._parts(parameters, features.dtype)
        before = features @ first + hidden_bias
        return before * special.expit(before) @ second + bias

    def pull_back(
        self, parameters: Parameters, features: np.ndarray, slopes: np.ndarray
    ) -> Parameters:
        """By the chain rule, in the order of the parameters."""
        first, hidden_bias, second, _ = self._parts(parameters, features.dtype)
        slopes = slopes.astype(features.dtype, copy=False)
        before = features @ first + hidden_bias
        gate = special.expit(before)
        hidden = before * gate
        hidden_slopes = (slopes @ second.T) * (gate + hidden * (1 - gate))
        parts = (
            (features.T @ hidden_slopes).ravel(),
            hidden_slopes.sum(axis=0, dtype=np.float64),
            (hidden.T @ slopes).ravel(),
            slopes.sum(axis=0, dtype=np.float64),
        )
        return np.concatenate([part.astype(np.float64, copy=False) for part in parts])

    def layers(self, parameters: Parameters) -> list[DenseLayer]:
        """Two."""
        first, hidden_bias, second, bias = self._parts(parameters, np.float64)
        return [DenseLayer(first, hidden_bias, "silu"), DenseLayer(second, bias, "linear")]

    def _parts(self, parameters: Parameters, dtype: npt.DTypeLike) -> list[np.ndarray]:
        values = parameters.astype(dtype, copy=False)
        first = self.num_features * _HIDDEN_UNITS
        second = first + _HIDDEN_UNITS
        third = second + _HIDDEN_UNITS * self.num_classes
        return [
            values[:first].reshape(self.num_features, _HIDDEN_UNITS),
            values[first:second],
            values[second:third].reshape(_HIDDEN_UNITS, self.num_classes),
            values[third:],
        ]
