"""A linear head: multinomial logistic regression, or one regression a class for many labels."""

import numpy as np
import numpy.typing as npt

from trainer.heads.head import HEADS, DenseLayer, Head, Parameters


@HEADS.register("linear")
class LinearHead(Head):
    """Convex: there is one solution, whatever the seed."""

    decays = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6)
    start_at = 0.3
    max_held_out = 5
    is_convex = True
    tolerance = 1e-8
    max_steps = 3000

    def initial(self) -> Parameters:
        """Zeros."""
        return np.zeros((self.num_features + 1) * self.num_classes)

    def penalty(self, parameters: Parameters) -> tuple[float, Parameters]:
        """Of the kernel."""
        gradient = parameters.copy()
        gradient[-self.num_classes :] = 0
        return 0.5 * float(gradient @ gradient), gradient

    def logits(self, parameters: Parameters, features: np.ndarray) -> np.ndarray:
        """An affine map."""
        kernel, bias = self._parts(parameters, features.dtype)
        return features @ kernel + bias

    def pull_back(
        self, parameters: Parameters, features: np.ndarray, slopes: np.ndarray
    ) -> Parameters:
        """Of the kernel, then of the bias."""
        slopes = slopes.astype(features.dtype, copy=False)
        # In this order the product reads the features as they lie, in half the time.
        kernel = (slopes.T @ features).T.astype(np.float64)
        return np.concatenate([kernel.ravel(), slopes.sum(axis=0, dtype=np.float64)])

    def layers(self, parameters: Parameters) -> list[DenseLayer]:
        """One."""
        kernel, bias = self._parts(parameters, np.float64)
        return [DenseLayer(kernel, bias, "linear")]

    def _parts(self, parameters: Parameters, dtype: npt.DTypeLike) -> list[np.ndarray]:
        values = parameters.astype(dtype, copy=False).reshape(-1, self.num_classes)
        return [values[:-1], values[-1]]
