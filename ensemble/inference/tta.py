"""Test-time augmentation: the views of an image whose logits are averaged, made on the device.

    none    the image as it is                                           1 forward pass
    mirror  it, and mirrored left-right                                  2 forward passes
    turns   its four quarter turns                                       4 forward passes
    flips   it, mirrored left-right, upside down, and both               4 forward passes
    d4      the eight symmetries of the square (flips and quarter turns) 8 forward passes

The mean is over logits, so it is one set of logits a member, whatever happens to them afterward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ensemble.members import AS_IT_IS, Member, View
from orchard.errors import OrchardError
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

NO_VIEWS = "none"
AUTO_VIEWS = "auto"

# By name, in the order that they are averaged in; the later ones hold more.
_VIEWS = {
    NO_VIEWS: (AS_IT_IS,),
    "mirror": (AS_IT_IS, View(True, 0)),
    "turns": tuple(View(False, turns) for turns in range(4)),
    "flips": (AS_IT_IS, View(True, 0), View(True, 2), View(False, 2)),
    "d4": tuple(View(mirrored, turns) for mirrored in (False, True) for turns in range(4)),
}

# Forward passes an image and member.
NUM_VIEWS = {name: len(views) for name, views in _VIEWS.items()}


def check(members: Sequence[Member], tta: str) -> None:
    """Refuse quarter turns for members whose input is not square."""
    for member in members:
        size = member.input
        if not _fits(member, tta):
            raise OrchardError(
                f"--tta={tta} turns images by 90 degrees, but member {member.path} takes "
                f"{size.height_px}x{size.width_px} pixels; use --tta=flips"
            )


def never_drawn(members: Sequence[Member], tta: str) -> Member | None:
    """The first member whose training did not draw all of the views, if there is one."""
    return next((one for one in members if not one.views.issuperset(_VIEWS[tta])), None)


def refuse_never_drawn(members: Sequence[Member], tta: str) -> None:
    """Refuse views that a member's training never drew, since it gives noise for them."""
    member = never_drawn(members, tta)
    if member is not None:
        raise OrchardError(
            f"--tta={tta} has views that the training of member {member.path} never drew; pass "
            f"--tta={widest([member])}, or --tta=auto, or --tta_unseen_views to have them all the "
            "same"
        )


def widest(members: Sequence[Member], unseen: bool = False) -> str:
    """The most views that the training of all members drew and that fit their inputs.

    Args:
        members: of the ensemble.
        unseen: accept views that training never drew.
    """
    fitting = [
        name
        for name in _VIEWS
        if all(_fits(member, name) for member in members)
        and (unseen or never_drawn(members, name) is None)
    ]
    return fitting[-1]


def _fits(member: Member, tta: str) -> bool:
    square = member.input.height_px == member.input.width_px
    return square or all(view.quarter_turns % 2 == 0 for view in _VIEWS[tta])


def mean_logits(
    network: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor, tta: str
) -> tf.Tensor:
    """Mean over the views of `network(view)`.

    Args:
        network: images -> logits.
        images: uint8 [batch, height, width, 3] (square for d4).
        tta: a key of `NUM_VIEWS`.

    Returns:
        float32 [batch, classes].
    """
    logits = [network(view) for view in views(images, tta)]
    return sum(logits[1:], logits[0]) / len(logits)


def views(images: tf.Tensor, tta: str) -> list[tf.Tensor]:
    """The views of images [batch, height, width, 3], each of the images' shape and type."""
    return [_seen(images, view) for view in _VIEWS[tta]]


def _seen(images: tf.Tensor, view: View) -> tf.Tensor:
    if view.mirrored:
        images = tf.reverse(images, [2])
    if view.quarter_turns % 2:
        images = tf.reverse(tf.transpose(images, [0, 2, 1, 3]), [1])
    return tf.reverse(images, [1, 2]) if view.quarter_turns > 1 else images
