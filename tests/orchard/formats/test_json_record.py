import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchard.errors import OrchardError
from orchard.formats import (
    EnsembleRecord,
    FoldsRecord,
    JsonRecord,
    Manifest,
    RunRecord,
    Task,
)
from tests.orchard.formats.strategies import values_of
from tests.records import ensemble_record, folds_record, manifest, run_record

RECORDS = [manifest(), run_record(), folds_record(), ensemble_record()]


@dataclass(frozen=True)
class _Part:
    name: str
    share: float | None


@dataclass(frozen=True)
class _Record(JsonRecord):
    SCHEMA_VERSION: ClassVar[int] = 4
    REMEDY: ClassVar[str] = "make it again"

    count: int
    task: Task
    parts: tuple[_Part, ...]
    size: tuple[int, int] = (1, 2)
    more: dict[str, Any] = field(default_factory=dict)


_GOOD = {
    "schema_version": 4,
    "count": 3,
    "task": "multi_label",
    "parts": [{"name": "a", "share": 1}, {"name": "b", "share": None}],
}


def test_from_json_missing_default_gives_default():
    parts = (_Part("a", 1.0), _Part("b", None))
    assert _Record.from_json(_GOOD, "f.json") == _Record(3, Task.MULTI_LABEL, parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 5}, "f.json: schema_version is 5, this Orchard reads 4; make it again"),
        ({"schema_version": None}, "schema_version is None"),
        ({"count": "3"}, "f.json was damaged or edited: count is '3'; make it again"),
        ({"count": True}, "count is True"),
        ({"count": 3.0}, "count is 3.0"),
        ({"task": "ranking"}, "task is 'ranking'"),
        ({"task": []}, r"task is \[\]"),
        ({"parts": {}}, "parts is {}"),
        ({"parts": [{"name": "a"}]}, r"parts\[0\].share is missing"),
        ({"parts": [{"name": "a", "share": "x" * 99}]}, r"parts\[0\].share is 'x+\.\.\.;"),
        ({"size": [1]}, r"size is \[1\]"),
        ({"size": [1, "2"]}, r"size\[1\] is '2'"),
        ({"more": []}, r"more is \[\]"),
        ({"new": 1}, "new is no field of it"),
    ],
)
def test_from_json_other_value_is_one_line(change, message):
    with pytest.raises(OrchardError, match=message) as caught:
        _Record.from_json(_GOOD | change, "f.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_from_json_no_object_is_one_line(value):
    with pytest.raises(OrchardError, match="f.json was damaged or edited: it holds"):
        _Record.from_json(value, "f.json")


def test_to_json_of_nan_is_null():
    value = _Record(1, Task.SINGLE_LABEL, (_Part("a", float("nan")),)).to_json()
    assert value["parts"] == [{"name": "a", "share": None}]


def test_save_and_load_give_an_equal_record(tmp_path):
    record = _Record(1, Task.SINGLE_LABEL, ())
    record.save(str(tmp_path / "f.json"))
    assert _Record.load(str(tmp_path / "f.json")) == record


@given(st.data())
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Manifest, {}),
        (RunRecord, {"eval_split": st.sampled_from([None, "fold0"])}),
        (FoldsRecord, {}),
        (EnsembleRecord, {}),
    ],
)
def test_from_json_of_to_json_is_the_same_record(kind, fields, data):
    record = data.draw(values_of(kind, **fields))
    written = json.dumps(record.to_json(), sort_keys=True)
    assert kind.from_json(json.loads(written), "f.json") == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_of_another_version_are_refused(record):
    value = record.to_json() | {"schema_version": 99}
    reads = "1 and 2" if isinstance(record, Manifest) else "1"
    message = f"f.json: schema_version is 99, this Orchard reads {reads}; "
    with pytest.raises(OrchardError, match=message):
        type(record).from_json(value, "f.json")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_with_an_edited_field_are_refused_naming_it(record):
    good = record.to_json()
    for name in good.keys() - {"schema_version"}:
        with pytest.raises(OrchardError, match=f"f.json was damaged or edited: .*{name}") as caught:
            type(record).from_json(good | {name: 1.5j}, "f.json")
        assert "\n" not in str(caught.value)
