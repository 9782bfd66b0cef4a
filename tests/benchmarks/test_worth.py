import json

import numpy as np
import pytest

from benchmarks.worth import plans, sets, table
from benchmarks.worth.cascades import cross_fitted
from benchmarks.worth.plans import ALL_FOLDS, Network, Training, contenders
from benchmarks.worth.scores import SHOWN, Row, calibrated_by_halves, results_file

_NETWORKS = (Network("a", "a", 1.0), Network("b", "b", 1.5), Network("c", "c", 2.1))


def _cost(training: Training) -> float:
    """What a training spends, in steps of the first network."""
    runs = 1.0
    if training.rows == ALL_FOLDS:  # A refit sees all rows as often as a fold's run sees its part.
        runs = sets.NUM_FOLDS + training.refits * sets.NUM_FOLDS / (sets.NUM_FOLDS - 1)
    return training.steps * training.network.price * runs


@pytest.mark.parametrize("steps", [300, 600, 3600])
def test_contenders_all_spend_the_same(steps):
    for contender in contenders(_NETWORKS, steps, repeat=1):
        spent = sum(_cost(training) for training in contender.trainings)
        # Steps are whole numbers.
        assert spent == pytest.approx(steps, abs=6), contender.name


def test_contenders_of_another_repeat_share_no_training():
    first, second = (
        {training.key for one in contenders(_NETWORKS, 600, repeat) for training in one.trainings}
        for repeat in (0, 1)
    )
    assert not first & second


def test_contenders_trainings_that_differ_have_files_of_their_own():
    trainings = {one for each in contenders(_NETWORKS, 600, 0) for one in each.trainings}
    assert len({training.key for training in trainings}) == len(trainings)


def test_contenders_names_are_distinct_and_plain_keras_comes_first():
    names = [one.name for one in contenders(_NETWORKS, 600, 0)]
    assert names[0] == plans.PLAIN and len(set(names)) == len(names)


def test_markdown_gain_beyond_chance_is_bold():
    rows = [
        Row(
            "digits",
            600,
            plans.PLAIN,
            10.0,
            1,
            dict.fromkeys(SHOWN, [[0.5]]),
            {},
        ),
        Row(
            *("digits", 600, "3 seeds", 10.0, 3),
            dict.fromkeys(SHOWN, [[0.6, 0.8], [0.9]]),
            dict.fromkeys(SHOWN, (0.1, -0.1, 0.2))
            | {"roc_auc": (0.3, 0.1, 0.5), "log_loss": (-1, -2, -0.1)},
        ),
    ]
    text = table.markdown(rows)
    assert "| 0.8000 | **+0.3000 (+0.1000 to +0.5000)** | 0.8000 | +0.1000 (-0.1000 to" in text
    assert "**-1.0000 (-2.0000 to -0.1000)**" in text


def test_figure_contender_is_where_its_gain_takes_plain_keras():
    fixed = ("solar", 900)
    plain = Row(*fixed, plans.PLAIN, 10.0, 1, dict.fromkeys(SHOWN, [[0.5], [0.3]]), {})
    gains = dict.fromkeys(SHOWN, (0.1, 0.0, 0.2))
    # Of one split, which is easier than the mean of both.
    ours = Row(*fixed, "3 seeds", 20.0, 3, dict.fromkeys(SHOWN, [[0.6]]), gains)
    of_loss, of_auc = table.figure([plain, ours]).axes
    for axes, place in ((of_loss, 0.3), (of_auc, 0.5)):
        lines = {line.get_label(): line.get_xydata()[0] for line in axes.lines}
        np.testing.assert_allclose(lines[plans.PLAIN], (10, 0.4))
        np.testing.assert_allclose(lines["3 seeds"], (20, place))


def test_digits_train_and_test_share_no_image(tmp_path):
    found = sets.SETS["digits"](tmp_path, 0)
    assert (len(found.train.labels), len(found.test.labels)) == (599, 1198)
    train = {one.tobytes() for one in found.train.pixels}
    # Two of the 1,797 digits are drawn alike, whichever way they are divided.
    assert sum(one.tobytes() in train for one in found.test.pixels) <= 2
    assert found.train.pixels[0].shape == (32, 32) and found.train.pixels[0].dtype == np.uint8


def test_split_each_image_is_tested_on_once():
    pixels = [np.full((1, 1), number) for number in range(60)]
    labels = [f"class_{number % 4}" for number in range(60)]
    found = [sets._split(pixels, labels, 1 / 3, split) for split in range(3)]
    tested = [int(one[0, 0]) for each in found for one in each.test.pixels]
    assert sorted(tested) == list(range(60))
    for each in found:
        learned = {int(one[0, 0]) for one in each.train.pixels}
        assert learned == set(range(60)) - {int(one[0, 0]) for one in each.test.pixels}


def test_results_file_is_what_the_documentation_says():
    rows = [Row(**row) for row in json.loads(results_file().read_text())]
    with open("docs/benchmarks.md", encoding="utf-8") as file:
        assert table.markdown(rows).strip() in file.read()


def test_cross_fitted_cascade_stays_within_its_cost_and_predicts_each_image():
    generator = np.random.default_rng(0)
    targets = np.eye(4, dtype=np.float32)[generator.integers(4, size=400)]
    logits = np.stack([3 * targets + generator.normal(size=targets.shape) for _ in range(3)])
    ids = np.array([f"image_{at}" for at in range(len(targets))])
    flops = np.array([10, 12, 14])

    probabilities, spent = cross_fitted(logits.astype(np.float32), ids, targets, flops, 15.0)

    # The cost is that of images that no search has seen; all three networks would cost 36.
    assert 10 <= spent <= 18
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    first_alone = (logits[0].argmax(axis=1) == targets.argmax(axis=1)).mean()
    assert (probabilities.argmax(axis=1) == targets.argmax(axis=1)).mean() > first_alone


def test_calibrated_by_halves_undoes_a_wrong_temperature():
    generator = np.random.default_rng(0)
    truth = generator.dirichlet(np.ones(4), size=2000)
    targets = np.stack([generator.multinomial(1, row) for row in truth]).astype(np.float32)
    sharp = truth**3 / (truth**3).sum(axis=1, keepdims=True)
    found = calibrated_by_halves(sharp, targets)
    assert np.abs(found - truth).mean() < 0.02 < np.abs(sharp - truth).mean()
