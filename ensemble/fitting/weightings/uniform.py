"""`--weights=uniform`: all networks count the same."""

from ensemble.fitting.weightings.weighting import (
    WEIGHTINGS,
    Sample,
    Weighting,
    Weights,
    uniform_weights,
)


@WEIGHTINGS.register("uniform")
class Uniform(Weighting):
    """Equal shares, whatever the rows say."""

    complexity = 0

    def find(self, sample: Sample) -> Weights:
        """1 / networks for each."""
        return Weights(uniform_weights(sample.num_networks))
