"""Folds and refits of a network: which of them predict, and which vouch for what they predict.

Refits have seen all rows and folds a part of them; but what a network is worth is known by images
that it has not seen, and those only folds have. So weights, temperatures and scores may come from
other runs than predictions do.
"""

from collections.abc import Callable

from ensemble.members.runs import Cast, FoldGroup, Member
from orchard.errors import OrchardError
from orchard.formats import TextEnum


class PredictWith(TextEnum):
    """Which runs of a network predict, where it has both folds and refits."""

    AUTO = "auto"  # By held-out images, where there are any that neither has seen.
    FOLDS = "folds"
    REFITS = "refits"
    BOTH = "both"


def predicting(everyone: Cast, which: PredictWith) -> Cast:
    """The runs that predict; a network that has none of the wanted ones gives those that it has.

    Args:
        everyone: all runs.
        which: folds, refits or both.

    Raises:
        OrchardError: refits are wanted, and no network has any.
    """
    if which == PredictWith.BOTH:
        chosen = everyone
    else:
        chosen = _pick(everyone, lambda run: run.is_refit == (which == PredictWith.REFITS))
    if which in (PredictWith.REFITS, PredictWith.BOTH) and not has_refits(everyone):
        raise OrchardError(
            f"--predict_with={which}: no network of --members has refits; train them with "
            "--fold=all --refit=N, or drop it"
        )
    return chosen


def vouching(everyone: Cast) -> Cast:
    """The runs whose own held-out images are fitted and scored on: all but refits beside folds."""
    return _pick(everyone, lambda run: not run.is_refit)


def has_refits(cast: Cast) -> bool:
    """Whether there is a run that trained on all folds."""
    return any(run.is_refit for run in cast.members)


def vouchers(cast: Cast, held_out: Cast) -> tuple[tuple[int, ...], ...]:
    """Who vouches for each run: itself, where it has held-out images, else all of its network.

    Args:
        cast: the runs that predict.
        held_out: those that have held-out images, of the same networks.

    Returns:
        Indices of `held_out.members`, for each of `cast.members`.
    """
    at = {run: index for index, run in enumerate(held_out.members)}
    network_of = {
        index: other.members
        for network, other in zip(cast.networks, held_out.networks, strict=True)
        for index in network.members
    }
    return tuple(
        (at[run],) if run in at else network_of[index] for index, run in enumerate(cast.members)
    )


def _pick(everyone: Cast, wanted: Callable[[Member], bool]) -> Cast:
    kept: set[int] = set()
    for network in everyone.networks:
        kept.update(
            [index for index in network.members if wanted(everyone.members[index])]
            or network.members
        )
    order = sorted(kept)
    return Cast(
        tuple(everyone.members[index] for index in order),
        tuple(
            FoldGroup(
                network.name,
                tuple(order.index(index) for index in network.members if index in kept),
            )
            for network in everyone.networks
        ),
    )
