import pytest

from tests.trainer import runs


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory):
    return runs.tiny_dataset(tmp_path_factory.mktemp("data") / "tiny" / "1.0.0")


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory):
    return runs.tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny.keras")
