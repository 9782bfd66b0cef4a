import pytest

from data_prep import storage
from data_prep.errors import OrchardError


def test_a_gs_path_with_one_slash_is_no_local_folder():
    assert storage.is_gcs("gs://bucket/a") and not storage.is_gcs("./gs:/bucket")
    for path in ("gs:/bucket/a", "gs:bucket"):
        with pytest.raises(OrchardError, match=f"{path}: two slashes are needed"):
            storage.exists(path)


def test_a_folder_that_cannot_be_listed_is_one_line(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(storage.os, "listdir", refuse)
    with pytest.raises(OrchardError, match=f"{tmp_path}: Permission denied"):
        storage.list_names(str(tmp_path))
