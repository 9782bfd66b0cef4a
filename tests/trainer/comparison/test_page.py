import re

import pytest

from tests.trainer.comparison.made_up import write_folds, write_run
from trainer.comparison import read_entries, write_page


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for number in range(12):
        name, noise = f"run{number} & co", 0.5 + number / 3
        write_run(folder / name, noise=noise, seed=number, cpu_seconds=50.0 * (number + 1))
    write_folds(folder / "all", seed=99)
    write_run(folder / "refit", "none")
    path = folder / "compare.html"
    write_page(str(path), str(folder), read_entries(str(folder)), "log_loss")
    return path.read_text()


def test_page_is_self_contained_and_links_to_the_reports(page):
    assert 'src="http' not in page and "<script" not in page
    assert '<a href="run0%20%26%20co/report.html">run0 &amp; co</a>' in page
    assert '<a href="all/fold0/report.html">all/fold0</a>' in page


def test_page_has_a_section_for_each_set_of_images(page):
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert titles == [
        "fold0 of leaves, 90 images",
        "all folds of leaves, 180 images",
        "fold1 of leaves, 90 images",
        "Without held-out scores",
    ]
    assert page.count("There is nothing to compare it with.") == 2
    assert "<td>nothing was held out</td>" in page


def test_page_has_every_pair_curves_costs_and_the_flags_that_differ(page):
    first = page[: page.index("all folds of leaves, 180 images</h2>")]
    tables = re.findall(r'<table class="pairs">.*?</table>', first, re.S)
    assert len(tables) == 3 and tables[0].count("<small>") == 13 * 12
    assert 'class="number better"' in tables[0] and 'class="number worse"' in tables[0]
    assert 'alt="Learning curves"' in first and 'alt="Score and cost"' in first
    assert "Gray: the 3 that are not among the best." in first
    assert "<th>--seed</th>" in first and "--run_dir" not in first
    assert "50 CPU-s" in first and "0.772" in first


def test_page_of_runs_without_any_scores_lists_them(tmp_path):
    write_run(tmp_path / "refit", "none")
    write_page(str(tmp_path / "page.html"), str(tmp_path), read_entries(str(tmp_path)))
    assert "nothing was held out" in (tmp_path / "page.html").read_text()
