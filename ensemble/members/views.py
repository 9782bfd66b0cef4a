"""Views of an image: its mirrored and turned copies, and those that a run's training drew."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class View(NamedTuple):
    """A symmetry of the square.

    Attributes:
        mirrored: left and right change places, before any turn.
        quarter_turns: counter-clockwise, 0..3.
    """

    mirrored: bool
    quarter_turns: int


AS_IT_IS = View(False, 0)
_MIRRORED = View(True, 0)
_UPSIDE_DOWN = (View(True, 2), View(False, 2))  # Alone, and of the mirrored image.


def drawn_views(augment: Mapping[str, Any]) -> frozenset[View]:
    """The views that training drew, of a run's augmentation flags; only the image, if unknown."""
    drawn = {AS_IT_IS}
    flips = augment.get("flips")
    if flips in ("horizontal", "both"):
        drawn.add(_MIRRORED)
    if flips == "both":
        drawn.update(_UPSIDE_DOWN)
    if augment.get("quarter_turns"):
        drawn = {View(one.mirrored, turns) for one in drawn for turns in range(4)}
    return frozenset(drawn)
