import pytest

from tests.trainer.features import runs
from trainer import folds


@pytest.fixture(scope="session")
def frozen_folds(tiny_dataset, tiny_backbone, tmp_path_factory):
    """Config of a frozen run of all folds, with one refit, that is finished."""
    run_dir = tmp_path_factory.mktemp("frozen") / "cv"
    config = runs.config(tiny_dataset, tiny_backbone, run_dir, fold="all", refit=1)
    assert folds.train_all(config, 0.0) == 0
    return config
