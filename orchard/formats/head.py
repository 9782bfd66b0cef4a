"""A head that was solved on frozen features, and how its weight decay was chosen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DecayTried:
    """A weight decay, and how good its heads are on records that they have not seen.

    Attributes:
        weight_decay: what multiplies half the squared norm of the kernels.
        log_loss: mean cross-entropy over the inner folds, in nats; None: not a number.
    """

    weight_decay: float
    log_loss: float | None


@dataclass(frozen=True)
class SolvedHead:
    """What stands on a frozen backbone.

    Attributes:
        kind: as --head names it.
        num_features: of each image.
        feature_views: of each training image, the one as it is among them.
        weight_decay: the one that was chosen, on training rows alone.
        inner_folds: parts of the training rows that were held out in turn, to choose it.
        tried: what it was chosen from, by weight decay.
        backbone: fingerprint of what gave the features.
    """

    kind: str
    num_features: int
    feature_views: int
    weight_decay: float
    inner_folds: int
    tried: tuple[DecayTried, ...]
    backbone: str
