"""What most tests of preparation start from."""

from pathlib import Path

import pytest

from tests.data_prep.builders import make_input, run


@pytest.fixture
def given(tmp_path):
    """Settings of a small input: twelve labeled images and three of the split `test`."""
    return make_input(tmp_path / "in")


@pytest.fixture
def dataset(given, tmp_path):
    """A published dataset."""
    return Path(run(tmp_path / "out", **given)[0])
