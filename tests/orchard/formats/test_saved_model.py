import hashlib

import pytest

from orchard.errors import OrchardError
from orchard.formats import fingerprint_saved_model, serving_dir


def _model(folder, content=b"weights"):
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(content)
    return str(folder)


def test_fingerprint_saved_model_hashes_names_and_contents(tmp_path):
    digest = hashlib.sha256()
    for name, content in ((b"saved_model.pb", b"graph"), (b"variables/data", b"weights")):
        digest.update(name + b"\0" + hashlib.sha256(content).digest())
    assert fingerprint_saved_model(_model(tmp_path / "a")) == digest.hexdigest()


def test_fingerprint_saved_model_of_other_content_differs(tmp_path):
    first, second = _model(tmp_path / "a"), _model(tmp_path / "b", b"others")
    assert fingerprint_saved_model(first) != fingerprint_saved_model(second)


@pytest.mark.parametrize(
    ("serving", "folder"),
    [("leaves", "leaves/1"), ("leaves/2", "leaves/2"), ("a.b-c_1/10", "a.b-c_1/10")],
)
def test_serving_dir_is_a_name_and_a_number(serving, folder):
    assert serving_dir("out", serving) == f"out/serving/{folder}"


@pytest.mark.parametrize("serving", ["", "..", "a/b", "a/0", "a/01", "a/1/2", "/a", "-a", "a b"])
def test_serving_dir_of_another_text_is_refused(serving):
    with pytest.raises(OrchardError, match="give NAME or NAME/VERSION"):
        serving_dir("out", serving)
