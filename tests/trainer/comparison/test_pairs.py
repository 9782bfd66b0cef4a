import numpy as np
import pytest

from orchard.formats import Task
from tests.trainer.comparison.made_up import made_up_logits, write_folds, write_run
from trainer.comparison import compare, differing_flags, find_runs, read_entries
from trainer.evaluation import gain_interval


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs on fold 0, one of them twice as `--fold=all`, and one on everything."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "good", noise=0.5, learning_rate=0.1)
    write_run(folder / "deep" / "bad", noise=4.0, seed=1, learning_rate=0.2)
    write_folds(folder / "all", noise=0.5, seed=2)
    write_run(folder / "refit", "none")
    return folder


def test_find_runs_are_those_with_a_record_at_any_depth(folder):
    names = [name for name, _ in find_runs(str(folder))]
    assert names == ["all/fold0", "all/fold1", "deep/bad", "good", "refit"]
    assert find_runs(str(folder / "good")) == [(".", str(folder / "good"))]


def test_read_entries_put_all_folds_of_a_command_before_each_of_them(folder):
    entries = read_entries(str(folder))
    assert [entry.name for entry in entries][:3] == ["all", "all/fold0", "all/fold1"]
    together = entries[0]
    assert together.is_folds and not entries[1].is_folds
    assert together.time.cpu_seconds == 200.0 and together.flags["fold"] == "all"
    assert len(together.histories) == 2 and len(together.logits.ids) == 180


def test_read_entries_of_folds_of_which_one_is_trained_again_have_none_of_them_together(tmp_path):
    write_folds(tmp_path / "all")
    (tmp_path / "all" / "fold1" / "run.json").unlink()
    assert [entry.name for entry in read_entries(str(tmp_path))] == ["all/fold0"]


def test_compare_puts_together_what_the_same_images_judge(folder):
    found = compare(read_entries(str(folder)), "log_loss")
    names = [[one.entry.name for one in comparison.scored] for comparison in found]
    assert sorted(names[0][:2]) == ["all/fold0", "good"] and names[0][2] == "deep/bad"
    assert names[1:] == [["all"], ["all/fold1"]]
    assert [one.where for one in found] == [
        "fold0 of leaves",
        "all folds of leaves",
        "fold1 of leaves",
    ]


def test_compare_gains_are_the_paired_bootstrap_of_the_rows_of_each_id(folder):
    comparison = compare(read_entries(str(folder)), "log_loss")[0]
    at = {one.entry.name: place for place, one in enumerate(comparison.scored)}
    good, bad = (made_up_logits(noise=noise, seed=seed) for noise, seed in ((0.5, 0), (4.0, 1)))
    rows = [np.argsort(ids) for ids, _, _ in (good, bad)]
    targets = good[2][rows[0]]
    assert np.array_equal(targets, bad[2][rows[1]])
    for metric in ("log_loss", "accuracy", "roc_auc"):
        logits = [np.float32(part[1][order]) for part, order in zip((good, bad), rows, strict=True)]
        expected = gain_interval(metric, *logits, targets, Task.SINGLE_LABEL)
        gain = comparison.gains[metric][at["good"]][at["deep/bad"]]
        assert (gain.gain, gain.low, gain.high) == pytest.approx(expected)
        assert gain.sign == 1
        back = comparison.gains[metric][at["deep/bad"]][at["good"]]
        assert (back.gain, back.low, back.high) == pytest.approx(
            (-gain.gain, -gain.high, -gain.low)
        )


def test_verdict_names_what_is_not_told_apart_from_the_best(folder):
    comparison = compare(read_entries(str(folder)), "log_loss")[0]
    best, second, _ = (one.entry.name for one in comparison.scored)
    assert comparison.verdict.startswith(f"The best of 3 is {best}: log_loss 0.")
    assert comparison.verdict.endswith(f"not told apart from it on 90 images: {second}.")


def test_verdict_of_one_run_says_that_there_is_nothing_to_compare(tmp_path):
    write_run(tmp_path / "one")
    (comparison,) = compare(read_entries(str(tmp_path)))
    assert comparison.metric == "accuracy"
    assert comparison.verdict.endswith("There is nothing to compare it with.")


def test_compare_other_labels_or_tasks_are_other_images(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", task=Task.MULTI_LABEL)
    found = compare(read_entries(str(tmp_path)))
    assert [len(one.scored) for one in found] == [1, 1]
    assert {one.metric for one in found} == {"accuracy", "roc_auc"}  # The tasks' own defaults.


def test_differing_flags_leave_out_what_does_not_alter_the_result(folder):
    entries = [entry for entry in read_entries(str(folder)) if entry.name in ("good", "deep/bad")]
    assert differing_flags(entries) == ["learning_rate", "seed"]
