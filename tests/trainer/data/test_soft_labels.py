import numpy as np
import pytest

from orchard.errors import OrchardError
from tests.trainer import runs
from trainer.data import soft_labels
from trainer.data.load import load_records


@pytest.fixture
def records(tiny_dataset):
    return load_records(tiny_dataset, "fold1+fold2")


def _csv(path, ids, header="image_id,class0,class1,class2", row="0.25,0.5,0.25"):
    path.write_text("\n".join([header, *(f"{image_id},{row}" for image_id in ids)]))
    return str(path)


def test_mix_soft_labels_rows_in_any_order_are_matched_by_id(tmp_path, records, tiny_dataset):
    ids = [*reversed(records.ids), "somebody-else"]
    path = _csv(tmp_path / "soft.csv", ids)
    config = runs.config(
        tiny_dataset, "mobilenet_v2", tmp_path, soft_labels=path, soft_labels_weight=0.4
    )
    mixed = soft_labels.mix_soft_labels(config, records)
    expected = 0.6 * records.targets + 0.4 * np.array([0.25, 0.5, 0.25])
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
    assert mixed.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"header": "image_id,class0,class1"}, "expected one column of ids"),
        ({"row": "0.5,1.5,0"}, "not in 0..1"),
        ({"drop": 1}, "no row for 1 of"),
        ({"twice": True}, "appears twice"),
    ],
)
def test_read_of_unfit_rows_is_refused(tmp_path, records, change, message):
    ids = list(records.ids)[change.pop("drop", 0) :]
    ids += ids[:1] if change.pop("twice", False) else []
    path = _csv(tmp_path / "soft.csv", ids, **change)
    with pytest.raises(OrchardError, match=message):
        soft_labels.read(path, records.ids, records.class_names)


def test_read_of_ids_that_look_like_numbers_keeps_their_text(tmp_path):
    ids = np.array(["0001", "1.10", "NA"])
    path = _csv(tmp_path / "soft.csv", ids)
    values = soft_labels.read(path, ids, ("class0", "class1", "class2"))
    np.testing.assert_array_equal(values, [[0.25, 0.5, 0.25]] * 3)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x80"])
def test_read_of_other_bytes_is_one_line(tmp_path, content):
    path = tmp_path / "soft.csv"
    path.write_bytes(content)
    with pytest.raises(OrchardError, match="is no CSV"):
        soft_labels.read(str(path), np.array(["a"]), ("class0",))
