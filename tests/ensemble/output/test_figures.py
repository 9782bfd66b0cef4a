import numpy as np

from ensemble.output.figures import price_figure
from ensemble.scoring import Candidate, CandidateKind, Entry
from orchard.formats import Price

_P = np.ones((2, 2)) / 2


def _entry(name, kind, score, price):
    candidate = Candidate(name, CandidateKind(kind), None, _P, price)
    return Entry(candidate, {"log_loss": score}, {"log_loss": (score - 0.1, score + 0.1)})


def _panels(*entries):
    figure = price_figure(entries, "log_loss")
    return figure and [axes.get_xlabel() for axes in figure.axes]


def test_price_figure_has_a_panel_for_each_cost_that_two_points_have():
    first = _entry("a", "member", 0.5, Price(10.0, "CPU-s", 200))
    both = _entry("ab", "ensemble", 0.4, Price(30.0, "CPU-s", 600))
    other_unit = _entry("b", "member", 0.6, Price(5.0, "GPU-s", 400))
    unknown = _entry("c", "network", 0.6, Price())
    no_score = _entry("d", "network", float("nan"), Price(1.0, "CPU-s", 1))
    assert _panels(first, both, unknown) == ["GFLOPs an image", "training, CPU-s"]
    assert _panels(first, other_unit, both) == ["GFLOPs an image"]
    assert _panels(first, unknown) is None and _panels(first, no_score) is None


def test_price_figure_names_every_point_where_they_are_few_and_draws_each_kind():
    entries = [
        _entry(f"m{at}", "member", 0.5, Price(1.0 + at, "CPU-s", 1 + at)) for at in range(20)
    ]
    entries.append(_entry("all", "ensemble", 0.4, Price(30.0, "CPU-s", 600)))
    few, many = price_figure(entries[-3:], "log_loss"), price_figure(entries, "log_loss")
    assert [text.get_text() for text in few.axes[0].texts] == ["m18", "m19", "all"]
    assert [text.get_text() for text in many.axes[0].texts] == ["all"]
    (legend,) = many.legends
    assert [text.get_text() for text in legend.get_texts()] == ["member", "ensemble"]
    assert few.axes[0].get_xscale() == "log" and "lower is better" in few.axes[0].get_ylabel()
