import pytest

from benchmarks import __main__ as page
from benchmarks.ratios import REPORT_TO, Better, Ratio, parse, report


def test_report_writes_ratios_of_neighbors(tmp_path, monkeypatch):
    monkeypatch.setenv(REPORT_TO, str(tmp_path / "ratios"))
    report("a thing, seconds", "tar", ("pillow",), Better.LESS, ours=[1, 2, 9], theirs=[2, 2, 3])
    report("another, images/s", "grain", (), Better.MORE, ours=[4.0], theirs=[2.0])

    first, second = map(parse, (tmp_path / "ratios").read_text().splitlines())
    assert first == Ratio("a thing, seconds", "tar", ("pillow",), Better.LESS, (0.5, 1.0, 3.0))
    assert first.median == 1.0
    assert second.rounds == (2.0,) and second.better is Better.MORE


def test_report_without_a_file_to_write_to_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv(REPORT_TO, raising=False)
    monkeypatch.chdir(tmp_path)
    report("a thing", "tar", (), Better.LESS, ours=[1], theirs=[2])
    assert not list(tmp_path.iterdir())


def test_ratio_without_rounds_is_refused():
    with pytest.raises(ValueError, match="needs a round"):
        Ratio("a thing", "tar", (), Better.LESS, ())


def test_figure_costs_and_rates_point_the_same_way():
    ratios = (
        Ratio("cost", "a", (), Better.LESS, (0.5, 0.25)),
        Ratio("rate", "b", (), Better.MORE, (2.0, 4.0)),
    )
    measured = page.Measured("prep", "command", "2000-01-01", "2 cores", (0.0, 1.0), {}, ratios)
    (axes,) = page.figure([measured]).axes
    spans = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2][:2]
    assert [sorted(span) for span in spans] == [[2, 4], [2, 4]]


def test_results_are_what_the_documentation_says():
    known = list(page.load().values())
    with open("docs/benchmarks.md", encoding="utf-8") as file:
        assert page.markdown(known).strip() in file.read()
