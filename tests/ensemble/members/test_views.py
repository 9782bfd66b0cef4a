import pytest

from ensemble.members.views import View, drawn_views

_MIRROR = {View(False, 0), View(True, 0)}


@pytest.mark.parametrize(
    ("augment", "views"),
    [
        ({}, {View(False, 0)}),
        ({"flips": "none", "quarter_turns": False}, {View(False, 0)}),
        ({"flips": "horizontal", "quarter_turns": False}, _MIRROR),
        ({"flips": "both"}, _MIRROR | {View(True, 2), View(False, 2)}),
        ({"flips": "none", "quarter_turns": True}, {View(False, k) for k in range(4)}),
        (
            {"flips": "horizontal", "quarter_turns": True},
            {View(m, k) for m in (False, True) for k in range(4)},
        ),
    ],
)
def test_drawn_views_are_those_of_the_flips_and_turns(augment, views):
    assert drawn_views(augment) == views
