"""A tiny run of two epochs, finished: shared by the tests of what it leaves."""

import pytest

from tests.trainer import runs
from trainer.loop import train_and_evaluate


@pytest.fixture(scope="package")
def config(tmp_path_factory, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path_factory.mktemp("run"),
        precision="mixed_bfloat16",
        epochs=2,
    )
    assert train_and_evaluate(config) == 0
    return config
