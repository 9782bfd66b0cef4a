import numpy as np
import pytest

from ensemble.scoring.diversity import Addition, Diversity, additions_of, pairs_of
from ensemble.scoring.scores import score
from orchard.formats import Task


def _networks(task, count=3, rows=60, classes=3):
    generator = np.random.default_rng(0)
    p = generator.random((count, rows, classes))
    targets = np.eye(classes)[generator.integers(classes, size=rows)]
    if task == Task.MULTI_LABEL:
        return p, (generator.random((rows, classes)) < 0.5).astype(float)
    return p / p.sum(axis=2, keepdims=True), targets


@pytest.mark.parametrize("task", Task)
def test_pairs_of_networks_are_those_counted_one_by_one(task):
    p, targets = _networks(task)
    found = pairs_of(p, targets, task)
    if task == Task.SINGLE_LABEL:
        wrong = [
            [row.argmax() != true.argmax() for row, true in zip(one, targets, strict=True)]
            for one in p
        ]
    else:
        wrong = [
            [
                (value >= 0.5) != (true >= 0.5)
                for value, true in zip(one.ravel(), targets.ravel(), strict=True)
            ]
            for one in p
        ]
    for a in range(3):
        for b in range(3):
            pairs = list(zip(wrong[a], wrong[b], strict=True))
            assert found.disagreement[a, b] == pytest.approx(np.mean([x != y for x, y in pairs]))
            assert found.double_fault[a, b] == pytest.approx(np.mean([x and y for x, y in pairs]))
            expected = np.corrcoef(wrong[a], wrong[b])[0, 1]
            assert found.correlation[a, b] == pytest.approx(expected)


def test_pairs_of_a_network_without_errors_have_no_correlation():
    p, targets = _networks(Task.SINGLE_LABEL)
    found = pairs_of(np.stack([p[0], targets]), targets, Task.SINGLE_LABEL)
    assert np.isnan(found.correlation[0, 1]) and found.double_fault[0, 1] == 0


def test_additions_of_networks_compare_the_whole_with_the_rest():
    p, targets = _networks(Task.SINGLE_LABEL)
    p[0] = 0.3 * p[0] + 0.7 * targets
    shares = np.array([0.5, 0.3, 0.2])

    def reweighed(weights):
        return np.tensordot(weights, p, axes=1)

    found = additions_of(("a", "b", "c"), shares, reweighed, "log_loss", targets, Task.SINGLE_LABEL)
    whole = score("log_loss", reweighed(shares), targets, Task.SINGLE_LABEL)
    for at, one in enumerate(found):
        rest = [m for m in range(3) if m != at]
        mean = np.average(p[rest], axis=0, weights=shares[rest])
        assert one.without == pytest.approx(score("log_loss", mean, targets, Task.SINGLE_LABEL))
        assert one.gain == pytest.approx(one.without - whole)
        assert one.low <= one.gain <= one.high
    assert found[0].low > 0


def test_additions_of_one_network_with_all_the_weight_have_no_number():
    p, targets = _networks(Task.SINGLE_LABEL, count=2)
    found = additions_of(
        ("a", "b"), np.array([1.0, 0.0]), lambda w: p[0], "accuracy", targets, Task.SINGLE_LABEL
    )
    assert np.isnan(found[0].gain) and found[1].gain == 0


@pytest.mark.parametrize(
    ("gains", "advice"),
    [
        (((0.1, 0.05, 0.2), (0.02, 0.01, 0.03)), "Keep all networks: each adds to accuracy"),
        (((0.1, 0.05, 0.2), (-0.01, -0.02, 0.03)), "Drop b: nothing is lost (accuracy 0.9000 with"),
        (((0.01, -0.05, 0.2), (0.02, -0.02, 0.03)), "a adds the least, and what it adds may be"),
        (((0.0, -0.1, 0.1), (0.0, -0.1, 0.1)), "Drop b: nothing is lost"),
        (((float("nan"),) * 3, (float("nan"),) * 3), ""),
    ],
)
def test_advice_names_the_network_that_adds_least_where_that_may_be_chance(gains, advice):
    additions = tuple(
        Addition(name, 0.5, 0.8, *gain, flops)
        for name, gain, flops in zip("ab", gains, (0.3, 0.7), strict=True)
    )
    p, targets = _networks(Task.SINGLE_LABEL, count=2)
    pairs = pairs_of(p, targets, Task.SINGLE_LABEL)
    said = Diversity("here", "accuracy", 0.9, pairs, additions).advice
    assert said.startswith(advice) and (said or not advice)
    if said.startswith("Drop b"):
        assert said.endswith("and a prediction costs 70% less.")


def test_advice_about_a_network_without_weight_is_to_drop_it():
    additions = (Addition("a", 1.0, 0.8, 0.1, 0.05, 0.2), Addition("b", 0.0, 0.9, 0.0, 0.0, 0.0))
    p, targets = _networks(Task.SINGLE_LABEL, count=2)
    found = Diversity("", "accuracy", 0.9, pairs_of(p, targets, Task.SINGLE_LABEL), additions)
    assert found.advice == "Drop b: without weight, nothing is lost."
