"""The command as a user runs it: one good call on two replicas, and calls that are refused."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf

from ensemble import pipeline
from ensemble.config import EnsembleConfig
from orchard.errors import OrchardError
from tests.ensemble.builders import CLASS_NAMES, make_dataset, make_member
from tests.records import start_up_lines
from trainer.runtime import Accelerator

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset of 21 test images and two members."""
    root = tmp_path_factory.mktemp("main")
    dataset = root / "leaves" / "1.0.0"
    truth = make_dataset(dataset, {"fold0": 24, "fold1": 8, "test": 21})
    make_member(root / "a", dataset, seed=1)
    make_member(root / "b", dataset, seed=2, size=(20, 24), noise=1.0)
    names = [CLASS_NAMES[at] for at in truth["test"].argmax(axis=1)]
    pd.DataFrame({"image_id": [f"test_{i:04d}.jpg" for i in range(21)], "label": names}).to_csv(
        root / "labels.csv", index=False
    )
    return root


def _config(world, output, **changes):
    values = {
        "members": (str(world / "a"), str(world / "b")),
        "dataset": str(world / "leaves" / "1.0.0"),
        "split": "test",
        "output_dir": str(output),
    }
    return EnsembleConfig(**{**values, **changes})


def _command(world, *flags):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "ensemble.main",
            f"--members={world / 'a'},{world / 'b'}",
            f"--dataset={world / 'leaves' / '1.0.0'}",
            *flags,
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )


def test_main_on_two_replicas_predicts_every_row_and_ends_with_the_scores(world, tmp_path):
    out = tmp_path / "out"
    done = _command(
        world,
        f"--output_dir={out}",
        "--replicas=2",
        "--batch_size=5",
        "--weights=2,1",
        f"--labels_csv={world / 'labels.csv'}",
    )
    assert done.returncode == 0, done.stderr
    assert start_up_lines(done.stderr) == []
    lines = done.stdout.splitlines()
    assert lines[0] == "Scores on split test, 21 labeled images:"
    assert [line.split()[0] for line in lines[2:5]] == ["a", "b", "ensemble"]
    assert lines[5].startswith("The ensemble ")
    assert str(out / "predictions.csv") in done.stdout
    assert str(out / "report.html") in done.stdout
    command = f"python -m ensemble.predict --model={out / 'saved_model'} --images_dir="
    assert command in lines[-1]
    table = pd.read_csv(out / "predictions.csv")
    assert list(table["image_id"]) == [f"test_{i:04d}" for i in range(21)]
    names = list(CLASS_NAMES)
    one = pipeline.run(_config(world, tmp_path / "one", weights="2,1", export=False))
    assert one.probabilities.shape == (21, 3)
    other = pd.read_csv(tmp_path / "one" / "predictions.csv")
    pd.testing.assert_frame_equal(table[names], other[names], atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": "2,1,1"}, "--weights=2,1,1 has 3 values for 2 networks (a, b)"),
        ({"weights": "-1,1"}, "weights must be >= 0"),
        (
            {"weights": "best"},
            "--weights=best: give greedy, stack, stack_nonnegative, uniform, auto, or numbers",
        ),
        ({"split": "nowhere"}, "no split 'nowhere'"),
        ({"members": ("absent",)}, "no run.json there"),
        ({"members": ()}, "--members is required"),
        ({"members": ("a", "")}, "--members=a, has an empty entry"),
        ({"seed": -1}, "--seed=-1: choose a number of at least 0"),
        ({"combine": "rank", "calibrate": True}, "--calibrate does not go with"),
        ({"combine": "rank", "soft_labels": True}, "--soft_labels does not go with"),
        ({"combine": "rank", "metric": "accuracy"}, "cannot be judged by"),
        (
            {"combine": "median"},
            "--combine=median: choose one of geometric, logits, probabilities, rank",
        ),
        ({"thresholds": "0.5,2"}, "--thresholds=0.5,2: give f1, or numbers between 0 and 1"),
        ({"thresholds": "f1"}, "--thresholds=f1 is for many labels an image"),
        ({"weights": "greedy", "weights_split": "fold1"}, "was trained on fold1"),
        ({"sample_submission": "absent.csv"}, "absent.csv: no such CSV file"),
        ({"batch_size": 0}, "--batch_size=0: choose a number of at least 1"),
        ({"dataset": "absent"}, "absent does not exist"),
    ],
)
def test_run_with_bad_input_is_refused_in_one_line_and_leaves_nothing(
    changes, words, world, tmp_path
):
    with pytest.raises(OrchardError) as caught:
        pipeline.run(_config(world, tmp_path / "out", **changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_check_accelerator_pod_with_local_paths_is_refused(tmp_path):
    pod = Accelerator("tpu", tf.distribute.get_strategy(), pod_hosts=2)
    config = EnsembleConfig(
        members=("gs://b/runs/a",), dataset="gs://b/data/1.0.0", output_dir=str(tmp_path)
    )
    with pytest.raises(OrchardError, match="--output_dir=.* a TPU of 2 hosts needs it on gs://"):
        pipeline.check_accelerator(config, pod)
    pipeline.check_accelerator(dataclasses.replace(config, output_dir="gs://b/out"), pod)


def test_check_accelerator_several_workers_are_refused(tmp_path):
    workers = Accelerator("cpu", tf.distribute.get_strategy(), num_hosts=2)
    config = EnsembleConfig(members=("a",), dataset="d", output_dir=str(tmp_path))
    with pytest.raises(OrchardError, match="runs in one process; unset TF_CONFIG"):
        pipeline.check_accelerator(config, workers)


def test_main_with_an_error_prints_it_on_stderr_and_exits_with_one(world, tmp_path):
    done = _command(world, f"--output_dir={tmp_path / 'out'}", "--weights=1,2,3")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: --weights=1,2,3 has 3 values")
    assert "Traceback" not in done.stderr
