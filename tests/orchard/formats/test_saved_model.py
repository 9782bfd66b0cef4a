import hashlib

from orchard.formats import fingerprint_saved_model


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
