import re

import pandas as pd
import pytest

from ensemble import pipeline
from ensemble.config import EnsembleConfig
from orchard.formats import Price
from tests.ensemble.builders import CLASS_NAMES, make_dataset, make_member, make_world, world_config


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("report"))


def test_run_with_an_image_of_no_class_shows_it_as_such(tmp_path):
    dataset = tmp_path / "leaves" / "1.0.0"
    make_dataset(dataset, {"fold0": 12, "fold1": 8, "test": 2}, "multi_label")
    make_member(tmp_path / "m", dataset, task="multi_label")
    labels = tmp_path / "labels.csv"
    labels.write_text("image_id,rust,scab,healthy\ntest_0000,0,0,0\ntest_0001,0.1,0.2,0.9\n")
    config = EnsembleConfig(
        members=(str(tmp_path / "m"),),
        dataset=str(dataset),
        split="test",
        output_dir=str(tmp_path / "out"),
        labels_csv=str(labels),
        thresholds="0.99",
        export=False,
    )
    pipeline.run(config)
    page = (tmp_path / "out" / "report.html").read_text()
    shown = page.split("<strong>test_0000</strong>")[1].split("</figcaption>")[0]
    assert "true: none of the classes" in shown
    named = " ".join(pd.read_csv(tmp_path / "out" / "predictions.csv")["class"]).split()
    counted = page.split("Predicted classes")[1].split("</table>")[0]
    counts = [int(number) for number in re.findall(r'class="number">(\d+)<', counted)]
    assert counts == [named.count(name) for name in CLASS_NAMES]


def test_run_with_a_run_whose_cost_is_unknown_says_so(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, labels_csv=str(world[2])))
    assert result.prices.members[2] == result.prices.ensemble == Price()
    page = (tmp_path / "report.html").read_text()
    # Of c and the ensemble on two boards, and the share of each network.
    assert page.count("unknown</td>") == 2 * 2 * 2 + 3


def test_run_lists_the_most_doubtful_labels_and_the_command_for_all(world, tmp_path):
    config = world_config(world, tmp_path)
    pipeline.run(config)
    section = (tmp_path / "report.html").read_text().split("<h2>Doubtful labels</h2>")[1]
    shown = re.findall(r'<td class="name">(fold0_\d+)</td>', section.split("</table>")[0])
    assert 0 < len(shown) <= 10 and len(set(shown)) == len(shown)
    assert f"--dataset={world[1]}" in section and "ensemble.label_issues --members=" in section


def test_run_by_rank_doubts_no_label(world, tmp_path):
    pipeline.run(world_config(world, tmp_path, combine="rank"))
    assert "Doubtful labels" not in (tmp_path / "report.html").read_text()
