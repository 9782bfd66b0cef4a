import numpy as np
import pytest

from orchard.formats import Task
from trainer.evaluation import METRICS, bootstrap


def _data(task="single_label", rows=60, classes=3, seed=0, noise=1.5):
    generator = np.random.default_rng(seed)
    targets = np.eye(classes)[generator.integers(classes, size=rows)]
    if task == "multi_label":
        targets = (generator.random((rows, classes)) < 0.4).astype(float)
    logits = targets * 2 + generator.normal(size=(rows, classes)) * noise
    return logits, targets


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("metric", METRICS.names())
def test_resampled_scores_equal_the_scores_of_the_rows_drawn(metric, task):
    logits, targets = _data(task)
    counts = bootstrap.draw_counts(len(logits), seed=3, num_draws=4)
    result = bootstrap.resampled_scores(metric, logits, targets, task, counts)
    for draw, value in zip(counts, result, strict=True):
        rows = np.repeat(np.arange(len(logits)), draw.astype(int))
        assert value == pytest.approx(METRICS[metric]().score(logits[rows], targets[rows], task))


def test_resampled_scores_with_ties_count_them_half():
    logits = np.array([[0.5], [0.5], [0.2], [0.9]])
    targets = np.array([[1.0], [0.0], [0.0], [1.0]])
    ones = np.ones((1, 4))
    assert bootstrap.resampled_scores("roc_auc", logits, targets, "multi_label", ones)[0] == 0.875


def test_resampled_scores_leave_a_class_missing_from_a_draw_out():
    logits, targets = _data(rows=4)
    targets = np.eye(3)[[0, 0, 1, 1]]
    result = bootstrap.resampled_scores("roc_auc", logits, targets, "single_label", np.ones((1, 4)))
    assert result[0] == pytest.approx(METRICS["roc_auc"]().score(logits, targets, "single_label"))
    only_first = np.array([[2.0, 2.0, 0.0, 0.0]])
    assert np.isnan(
        bootstrap.resampled_scores("roc_auc", logits, targets, "single_label", only_first)[0]
    )


def test_score_interval_holds_the_score_and_narrows_with_more_rows():
    widths = []
    for rows in (50, 800):
        logits, targets = _data(rows=rows)
        low, high = bootstrap.score_interval("accuracy", logits, targets, "single_label")
        score = METRICS["accuracy"]().score(logits, targets, "single_label")
        assert low <= score <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_gain_interval_is_positive_for_the_better_in_any_metric():
    good, targets = _data(rows=400, noise=0.5)
    bad, _ = _data(rows=400, noise=3.0)
    for metric in ("accuracy", "log_loss", "roc_auc"):
        gain, low, high = bootstrap.gain_interval(metric, good, bad, targets, "single_label")
        assert 0 < low < gain < high
        assert bootstrap.gain_interval(metric, good, good, targets, "single_label") == (
            0.0,
            0.0,
            0.0,
        )


def test_resampled_scores_a_few_draws_at_a_time_are_the_same(monkeypatch):
    logits, targets = _data()
    counts = bootstrap.draw_counts(len(logits), seed=3, num_draws=7)
    for metric in ("roc_auc", "accuracy", "f1"):
        whole = bootstrap.resampled_scores(metric, logits, targets, "single_label", counts)
        with monkeypatch.context() as patched:
            patched.setattr(bootstrap, "_ELEMENTS_AT_ONCE", 2 * len(logits))
            parts = bootstrap.resampled_scores(metric, logits, targets, "single_label", counts)
        np.testing.assert_allclose(parts, whole)


def test_draw_counts_with_the_same_seed_are_the_same():
    a = bootstrap.draw_counts(20, seed=1, num_draws=5)
    assert np.array_equal(a, bootstrap.draw_counts(20, seed=1, num_draws=5))
    assert not np.array_equal(a, bootstrap.draw_counts(20, seed=2, num_draws=5))
    assert (a.sum(axis=1) == 20).all()


def test_draw_counts_that_all_share_cannot_be_changed():
    counts = bootstrap.draw_counts(20, seed=1, num_draws=5)
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 7
    assert bootstrap.draw_counts(3, seed=0).shape == (400, 3)


@pytest.mark.parametrize("classes, draws", [(3, 400), (500_000, 400), (800_000, 250), (10**7, 100)])
def test_counts_for_very_many_targets_are_of_fewer_draws_but_never_few(classes, draws):
    targets = np.broadcast_to(np.zeros(1), (10, classes))
    assert bootstrap.counts_for(targets).shape == (draws, 10)


def test_percentiles_are_those_of_the_draws_that_have_a_value():
    assert bootstrap.percentiles(np.arange(101.0)) == pytest.approx((2.5, 97.5))
    assert bootstrap.percentiles(np.arange(101.0), 0.5) == pytest.approx((25, 75))
    some = np.concatenate([np.arange(101.0), [np.nan] * 7])
    assert bootstrap.percentiles(some) == pytest.approx((2.5, 97.5))
    assert np.isnan(bootstrap.percentiles(np.full(3, np.nan))).all()


def test_mean_interval_is_about_the_mean_and_none_of_nothing():
    values = np.random.default_rng(0).normal(5.0, 1.0, 400)
    low, high = bootstrap.mean_interval(values)
    # Of 400 normal numbers the mean's standard error is 0.05.
    assert low < values.mean() < high and high - low == pytest.approx(2 * 1.96 * 0.05, rel=0.15)
    assert bootstrap.mean_interval(np.full(9, 0.25)) == (0.25, 0.25)
    assert np.isnan(bootstrap.mean_interval(np.zeros(0))).all()


def test_score_interval_of_another_confidence_is_another():
    logits, targets = _data(rows=200)
    wide = bootstrap.score_interval("accuracy", logits, targets, "single_label")
    narrow = bootstrap.score_interval("accuracy", logits, targets, "single_label", confidence=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    again = bootstrap.score_interval("accuracy", logits, targets, "single_label", seed=1)
    assert again != wide
