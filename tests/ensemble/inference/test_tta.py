import dataclasses

import pytest

from ensemble.inference.tta import NUM_VIEWS, refuse_never_drawn, widest
from ensemble.members import Member, drawn_views
from orchard.errors import OrchardError
from orchard.formats import InputSpec


def _member(width_px=8, **augment):
    member = Member(
        "runs/a", "a", ("x", "y"), "single_label", "net",
        InputSpec(8, width_px, "squash", False), "fold1", "fold0", "f", "d",
    )  # fmt: skip
    return dataclasses.replace(member, views=drawn_views(augment))


_PLAIN = _member(flips="horizontal")
_BOTH = _member(flips="both")
_ALL = _member(flips="both", quarter_turns=True)
_WIDE = _member(16, flips="both")


def test_num_views_are_the_forward_passes():
    assert NUM_VIEWS == {"none": 1, "mirror": 2, "turns": 4, "flips": 4, "d4": 8}


@pytest.mark.parametrize(
    ("members", "unseen", "expected"),
    [
        ([_PLAIN], False, "mirror"),
        ([_ALL], False, "d4"),
        ([_ALL, _BOTH], False, "flips"),
        ([_ALL, _PLAIN], False, "mirror"),
        ([_member(quarter_turns=True)], False, "turns"),
        ([_PLAIN, _member()], False, "none"),
        ([_PLAIN], True, "d4"),
        ([_PLAIN, _WIDE], True, "flips"),
    ],
)
def test_widest_views_are_those_of_all_members(members, unseen, expected):
    assert widest(members, unseen) == expected


def test_refuse_never_drawn_names_the_member_and_the_flags_that_answer():
    refuse_never_drawn([_ALL, _PLAIN], "mirror")
    with pytest.raises(OrchardError) as caught:
        refuse_never_drawn([_ALL, _PLAIN], "d4")
    for words in ("runs/a never drew", "--tta=mirror", "--tta=auto", "--tta_unseen_views"):
        assert words in str(caught.value)
