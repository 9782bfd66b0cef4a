"""How a path finds its storage, and what is the same for all storages."""

import pytest

from orchard import storage
from orchard.errors import OrchardError


def test_write_json_equal_values_are_equal_bytes(tmp_path):
    path = str(tmp_path / "file.json")
    storage.write_json(path, {"b": [1, 2], "a": "é"})
    assert storage.read_bytes(path) == storage.json_bytes({"a": "é", "b": [1, 2]})
    assert storage.read_json(path) == {"a": "é", "b": [1, 2]}
    storage.write_bytes(path, b"{")
    with pytest.raises(OrchardError, match="file.json is not valid JSON .*damaged or edited"):
        storage.read_json(path)


@pytest.mark.parametrize("path", ["gs:/bucket/a", "gs:bucket"])
def test_scheme_without_two_slashes_is_refused(path):
    with pytest.raises(OrchardError, match=f"^{path}: two slashes are needed, gs://BUCKET/PATH$"):
        storage.exists(path)


@pytest.mark.parametrize(
    ("path", "remote", "gcs", "tensorflow"),
    [
        ("a/b", False, False, True),
        ("/a:b/c", False, False, True),
        ("a1:b/c", False, False, True),
        ("gs://bucket/a", True, True, True),
        ("s3://bucket/a", True, False, False),
        ("memory://a", True, False, False),
    ],
)
def test_path_is_served_by_the_storage_of_its_scheme(path, remote, gcs, tensorflow):
    assert storage.is_remote(path) == remote
    assert storage.is_gcs(path) == gcs
    assert storage.tensorflow_reads(path) == tensorflow


@pytest.mark.parametrize("folder", ["a/b", "gs://bucket/b", "s3://bucket/b"])
def test_join_and_normalize_keep_the_scheme(folder):
    assert storage.join(folder, "c", "d") == f"{folder}/c/d"
    assert storage.normalize(folder + "/") == folder


def test_check_writable_accepts_local_and_gcs():
    storage.check_writable("a/b")
    storage.check_writable("gs://bucket/b")


class TensorFlowError(Exception):
    pass


TensorFlowError.__module__ = "tensorflow.python.framework.errors_impl"


def test_explain_error_of_a_storage_is_one_line():
    error = TensorFlowError("HTTP response code 401 when reading gs://plants/a")
    assert storage.explain(error).startswith("gs://plants/a: Google Cloud Storage does not accept")
    assert storage.explain(ValueError("a bug")) is None
