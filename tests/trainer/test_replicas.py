"""1, 2 and 4 replicas at the same global batch: the same training within float error."""

import numpy as np
import pytest

from tests.trainer import runs
from trainer.loop import train_and_evaluate
from trainer.training.progress import read_metrics


@pytest.fixture(scope="module")
def run_dirs(tmp_path_factory, tiny_dataset):
    folder = tmp_path_factory.mktemp("replicas")
    # Without dropout, whose masks are drawn for each replica's part of the batch.
    backbone = runs.tiny_backbone(folder / "backbone.keras", dropout=0.0)
    configs = [
        runs.config(
            tiny_dataset,
            backbone,
            folder / f"{replicas}",
            replicas=replicas,
            log_every_steps=1,
            clip_norm=0.5,
            weight_decay=0.01,
            precise_batch_norm="off",
            learning_rate=0.003,
        )
        for replicas in (4, 2, 1)
    ]
    # Processes of their own: TensorFlow makes its logical devices once.
    *several, one = configs
    processes = [runs.start(config) for config in several]
    assert train_and_evaluate(one) == 0
    for process in processes:
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
    return {config.replicas: config.run_dir for config in configs}


@pytest.mark.parametrize("replicas", [2, 4])
def test_train_on_replicas_has_the_losses_and_scores_of_one_device(run_dirs, replicas):
    expected, got = (read_metrics(run_dirs[count]) for count in (1, replicas))
    for kind, name in (("train", "loss"), ("eval", "log_loss")):
        values = [
            [line[name] for line in lines if line["kind"] == kind] for lines in (expected, got)
        ]
        assert len(values[0]) > 1
        np.testing.assert_allclose(values[1], values[0], rtol=2e-4)
