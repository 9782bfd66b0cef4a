import dataclasses
import re

import numpy as np
import pytest

from ensemble import pipeline
from ensemble.output.card import (
    MARK,
    Card,
    Part,
    Table,
    command_line,
    escaped,
    make_card,
    markdown,
    write_card,
)
from orchard.formats import RunRecord
from tests.ensemble.builders import make_world, world_config

yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    config = world_config(world, folder, members="ab", labels_csv=str(world[2]), calibrate=True)
    return folder, config, pipeline.run(config)


def _head(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_card_says_what_config_and_result_say(finished):
    folder, config, result = finished
    text = (folder / "README.md").read_text()
    headings = re.findall(r"^## (.*)", text, re.M)
    boards = [f"Scores on {one.where}" for one in (result.split_board, result.held_out_board)]
    wanted = ["Data", "Splits", "Networks", *boards, "Calibration", "Limits", "Command", "Versions"]
    assert headings == [escaped(one) for one in wanted]
    for metric, value in result.split_board.ensemble.scores.items():
        if np.isfinite(value):
            assert f"| {escaped(metric)} | {value:.4f} |" in text
    for caveat in result.caveats:
        assert escaped(caveat) in text
    assert command_line(config) in text and "--calibrate" in text


@pytest.mark.parametrize("metric, is_said", [("accuracy", True), ("last", False), ("", False)])
def test_card_says_that_weights_were_chosen_where_scores_chose_them(
    finished, monkeypatch, metric, is_said
):
    load = RunRecord.load
    changed = classmethod(lambda _, path: dataclasses.replace(load(path), best_metric=metric))
    monkeypatch.setattr(RunRecord, "load", changed)
    splits = next(part for part in make_card(*finished[1:]).parts if part.title == "Splits")
    assert "Held out from trainings: fold0." in splits.items
    assert ("Weights were chosen by scores on: fold0." in splits.items) == is_said


def test_card_has_no_empty_heading(finished):
    card = make_card(*finished[1:])
    parts = markdown(card).split("\n## ")[1:]
    assert len(parts) == len(card.parts)
    assert all(part.split("\n", 1)[1].strip() for part in parts)
    assert "Licenses" not in [part.title for part in card.parts]  # Nothing is pretrained.
    assert "Use" not in [part.title for part in card.parts]  # Nothing is exported.


def test_head_is_yaml_that_names_scores(finished):
    folder, _, result = finished
    head = _head((folder / "README.md").read_text())
    assert head["pipeline_tag"] == "image-classification" and "license" not in head
    assert "color_16" in head["tags"]
    (evaluated,) = head["model-index"][0]["results"]
    found = {one["type"]: one["value"] for one in evaluated["metrics"]}
    assert found["accuracy"] == pytest.approx(result.split_board.ensemble.scores["accuracy"])


def test_report_begins_with_the_card(finished):
    page = (finished[0] / "report.html").read_text()
    assert page.index("<h2>Model card</h2>") < page.index("<h2>Scores on")
    assert "Where the networks look" not in page and "Other formats" not in page  # Not asked for.


def test_card_of_unlabeled_images_has_scores_of_held_out_ones_alone(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, members="a"))
    text = (tmp_path / "README.md").read_text()
    assert text.count("## Scores on") == 1
    assert escaped(result.held_out_board.where) in text


def test_licenses_of_presets_are_in_card_and_head(world, tmp_path):
    root, dataset, _ = world
    from tests.ensemble.builders import make_member

    make_member(root / "licensed", dataset, seed=5, license="CC-BY-4.0")
    pipeline.run(world_config(world, tmp_path, members=["licensed"]))
    text = (tmp_path / "README.md").read_text()
    assert "license CC-BY-4.0." in text and _head(text)["license"] == "CC-BY-4.0"


def test_readme_of_somebody_else_stays(finished, tmp_path):
    path, card = tmp_path / "README.md", make_card(*finished[1:])
    path.write_text("mine")
    assert not write_card(str(path), card) and path.read_text() == "mine"
    path.unlink()
    assert write_card(str(path), card) and write_card(str(path), card)
    assert MARK in path.read_text()


def test_text_of_users_is_no_markup():
    part = Part("a|b", ("<script> *x* [y](z)\n# heading",), Table(("h",), (("1|2",),)), "a ``` b")
    text = markdown(Card("_t_ ---", {"tags": ["x: y", 'q"\n']}, (part,)))
    assert _head(text)["tags"] == ["x: y", 'q"\n']
    assert "\\<script\\>" in text and "1\\|2" in text and "\n# heading" not in text
    assert "````\na ``` b\n````" in text


def test_command_line_names_what_is_not_the_default(finished):
    config = dataclasses.replace(finished[1], members=("a b", "c"), export=True, weights="2,1")
    text = command_line(config)
    assert "--members='a b,c'" in text and "--weights=2,1" in text
    assert "--noexport" not in text and "--tta" not in text
    assert "--noexport" in command_line(finished[1])
