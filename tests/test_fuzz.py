"""A short form of the campaign that `make fuzz` runs."""

import pytest

from tests import fuzz


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return fuzz.targets(str(tmp_path_factory.mktemp("cases")))


@pytest.mark.parametrize(
    "name",
    (
        *("jpeg", "csv", "labels", "json_lines", "parquet", "index", "label_fixes", "shard"),
        *("example", "manifest", "run", "folds", "weights", "logits", "checkpoint", "rest"),
    ),
)
def test_parsing_of_damaged_bytes_gives_a_value_or_one_line(name, targets):
    assert fuzz.run(name, targets[name], seed=1, first=0, cases=300) == []


def test_every_target_of_the_campaign_is_tested_here(targets):
    assert len(targets) == 16


def test_case_is_a_function_of_seed_target_and_number(targets):
    target = targets["jpeg"]
    assert target.case(0, "jpeg", 5) == target.case(0, "jpeg", 5) != target.case(1, "jpeg", 5)
