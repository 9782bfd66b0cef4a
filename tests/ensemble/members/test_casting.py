import dataclasses

import pytest

from ensemble.members import Cast, FoldGroup, Member, PredictWith, predicting, vouchers, vouching
from orchard.errors import OrchardError
from orchard.formats import InputSpec, Task

_MEMBER = Member(
    "", "", ("a", "b"), Task.SINGLE_LABEL, "b0", InputSpec(8, 8, "squash", False), "", None, "", ""
)


def _cast(*networks):
    """Networks by the names of their runs."""
    paths = [f"{at}/{name}" for at, names in enumerate(networks) for name in names]
    members = tuple(dataclasses.replace(_MEMBER, path=path, name=path) for path in paths)
    groups, first = [], 0
    for at, names in enumerate(networks):
        groups.append(FoldGroup(str(at), tuple(range(first, first + len(names)))))
        first += len(names)
    return Cast(members, tuple(groups))


_EVERYONE = _cast(("fold0", "fold1", "refit0"), ("b7",), ("fold0", "refit0", "refit1"))


@pytest.mark.parametrize(
    ("which", "names", "networks"),
    [
        ("folds", ["0/fold0", "0/fold1", "1/b7", "2/fold0"], [(0, 1), (2,), (3,)]),
        ("refits", ["0/refit0", "1/b7", "2/refit0", "2/refit1"], [(0,), (1,), (2, 3)]),
        ("both", [run.name for run in _EVERYONE.members], [(0, 1, 2), (3,), (4, 5, 6)]),
    ],
)
def test_predicting_takes_of_each_network_what_is_wanted_or_what_it_has(which, names, networks):
    cast = predicting(_EVERYONE, PredictWith(which))
    assert [run.name for run in cast.members] == names
    assert [network.members for network in cast.networks] == networks
    assert [network.name for network in cast.networks] == ["0", "1", "2"]


@pytest.mark.parametrize("which", ["refits", "both"])
def test_predicting_with_refits_that_nobody_has_is_refused(which):
    folds = _cast(("fold0", "fold1"), ("b7",))
    with pytest.raises(OrchardError, match=f"--predict_with={which}: no network of --members has"):
        predicting(folds, PredictWith(which))
    assert predicting(folds, PredictWith.FOLDS) == folds


def test_vouchers_of_refits_are_their_folds_and_of_others_they_themselves():
    held_out = vouching(_EVERYONE)
    cast = predicting(_EVERYONE, PredictWith.REFITS)
    assert vouchers(cast, held_out) == ((0, 1), (2,), (3,), (3,))
    both = predicting(_EVERYONE, PredictWith.BOTH)
    assert vouchers(both, held_out) == ((0,), (1,), (0, 1), (2,), (3,), (3,), (3,))
    assert vouchers(cast, cast) == ((0,), (1,), (2,), (3,))


def test_vouching_of_refits_without_folds_are_they_themselves():
    assert [run.name for run in vouching(_cast(("refit0", "refit1"))).members] == [
        "0/refit0",
        "0/refit1",
    ]
