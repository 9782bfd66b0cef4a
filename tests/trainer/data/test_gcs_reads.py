import pytest

from trainer.data import gcs_reads
from trainer.data.gcs_reads import read_options

GIB = 1 << 30
BLOCK, CACHE = "GCS_READ_CACHE_BLOCK_SIZE_MB", "GCS_READ_CACHE_MAX_SIZE_MB"


def test_read_options_dataset_that_fits_is_cached_whole_in_large_blocks():
    options = read_options(dataset_bytes=10 * GIB, memory_bytes=100 * GIB)
    assert int(options[BLOCK]) >= 16
    assert 10 * 1024 < int(options[CACHE]) < 12 * 1024


def test_read_options_dataset_that_does_not_fit_has_small_blocks():
    options = read_options(dataset_bytes=50 * GIB, memory_bytes=100 * GIB)
    assert options == {BLOCK: "1", CACHE: str(40 * 1024)}


def test_read_options_any_dataset_leaves_most_of_the_memory():
    for dataset_gib in range(1, 200):
        options = read_options(dataset_gib * GIB, memory_bytes=64 * GIB)
        assert int(options[CACHE]) <= 0.4 * 64 * 1024


@pytest.mark.parametrize("name", [BLOCK, CACHE])
def test_set_read_options_variable_set_by_the_user_stays(name, monkeypatch):
    monkeypatch.delenv(BLOCK, raising=False)
    monkeypatch.delenv(CACHE, raising=False)
    monkeypatch.setenv(name, "7")
    gcs_reads.set_read_options(GIB)
    other = {BLOCK: CACHE, CACHE: BLOCK}[name]
    assert gcs_reads.os.environ[name] == "7" and other not in gcs_reads.os.environ
