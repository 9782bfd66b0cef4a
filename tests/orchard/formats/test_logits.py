import numpy as np
import pytest

from orchard.errors import OrchardError
from orchard.formats.logits import load_logits, save_logits


def _save(path):
    ids, values = np.array(["b", "ä/1"]), np.array([[0.5, -1], [2, 3]], np.float32)
    save_logits(str(path), ids, values, np.eye(2), ("cat", "dog"))
    return ids, values


def test_load_logits_of_saved_ones_gives_them_back(tmp_path):
    ids, values = _save(tmp_path / "eval.npz")
    table = load_logits(str(tmp_path / "eval.npz"))
    assert list(table.ids) == list(ids)
    np.testing.assert_array_equal(table.logits, values)
    np.testing.assert_array_equal(table.targets, np.eye(2))
    assert table.logits.dtype == table.targets.dtype == np.float32
    assert table.class_names == ("cat", "dog")


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: b"", lambda data: b"hi"])
def test_load_logits_of_a_damaged_file_names_it(tmp_path, damage):
    path = tmp_path / "eval.npz"
    _save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OrchardError, match="eval.npz.*is damaged or no logits file"):
        load_logits(str(path))


def test_save_logits_with_other_columns_than_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ids, classes"):
        save_logits(str(tmp_path / "x.npz"), ["a"], np.zeros((1, 3)), np.zeros((1, 3)), ("x", "y"))
