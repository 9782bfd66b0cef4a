"""Members and a dataset that fsspec reads, with its local disk in place of a service."""

import numpy as np
import pytest

from ensemble import pipeline
from ensemble.config import EnsembleConfig
from orchard.errors import OrchardError
from tests.ensemble.builders import make_dataset, make_member


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("remote")
    make_dataset(root / "leaves" / "1.0.0", {"fold0": 24, "fold1": 4, "test": 9})
    make_member(root / "a", root / "leaves" / "1.0.0", seed=1)
    make_member(root / "b", root / "leaves" / "1.0.0", seed=2, size=(24, 12))
    return str(root)


def config(root, output_dir):
    return EnsembleConfig(
        members=(f"{root}/a", f"{root}/b"),
        dataset=f"{root}/leaves/1.0.0",
        split="test",
        output_dir=str(output_dir),
        weights="greedy",
        batch_size=4,
    )


def test_run_with_remote_members_and_dataset_is_the_local_run(root, tmp_path):
    local = pipeline.run(config(root, tmp_path / "local"))
    remote = pipeline.run(config(f"file://{root}", tmp_path / "remote"))
    np.testing.assert_array_equal(remote.logits, local.logits)
    predictions = [
        (tmp_path / name / "predictions.csv").read_bytes() for name in ("local", "remote")
    ]
    assert predictions[0] == predictions[1]


def test_config_output_to_a_storage_for_reading_is_refused(root):
    with pytest.raises(OrchardError, match="^s3://bucket/out: s3:// is for reading only; write"):
        config(root, "s3://bucket/out")
