import io
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchard.errors import OrchardError
from orchard.formats import (
    ARRAY_RECORD,
    DAMAGED,
    RECORD_FORMATS,
    TFRECORD,
    Place,
    record_format,
    tfrecord,
)

FORMS = tuple(RECORD_FORMATS.values())
BYTES = st.binary(min_size=1, max_size=300)
PAYLOADS = [b"first" * 9000, b"s", b"third" * 30_000, b"last" * 40]


class Output(io.BytesIO):
    def write(self, *pieces):
        for piece in pieces:
            super().write(piece)


def written(form, records):
    output = Output()
    with form.writing(output) as file:
        for record in records:
            file.write(*record)
    return output.getvalue()


def whole(payloads):
    return [(payload,) for payload in payloads]


def save(path, form, payloads=PAYLOADS):
    path.write_bytes(written(form, whole(payloads)))
    lengths = [*map(len, payloads)]
    offsets = form.offsets(np.array(lengths)).tolist()
    return [Place(str(path), *place) for place in zip(offsets, lengths, strict=True)]


@pytest.mark.parametrize("form", FORMS, ids=RECORD_FORMATS)
@given(st.lists(st.lists(BYTES, min_size=1, max_size=3), min_size=1, max_size=5))
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_scan_gives_what_was_written_where_the_offsets_say(form, records):
    data = written(form, records)
    assert written(form, records) == data
    payloads = [b"".join(record) for record in records]
    lengths = np.array([*map(len, payloads)])
    offsets = form.offsets(lengths)
    frames = list(form.scan(io.BytesIO(data), "x"))
    assert [frame.payload for frame in frames] == payloads
    assert [frame.offset for frame in frames] == offsets.tolist()
    np.testing.assert_array_equal(form.ends(offsets, lengths)[:-1], offsets[1:])


def test_tfrecord_writing_gives_the_frames_of_tfrecord():
    payload = b"ab"
    frame = tfrecord.frame_header(2) + payload + written(TFRECORD, [(payload,)])[-4:]
    assert written(TFRECORD, [(b"a", b"b")]) == frame
    assert tfrecord.is_intact(frame[12:])


@pytest.mark.parametrize("form", FORMS, ids=RECORD_FORMATS)
def test_read_few_gives_records_of_several_files_in_the_order_asked(form, tmp_path):
    first = save(tmp_path / f"a.{form.name}-0", form)
    second = save(tmp_path / f"b.{form.name}-0", form, [b"other", b"one more"])
    found = form.read_few([first[2], second[1], first[0]])
    assert found == [PAYLOADS[2], b"one more", PAYLOADS[0]]
    assert form.read_few([]) == []


@pytest.mark.parametrize("form", FORMS, ids=RECORD_FORMATS)
def test_damaged_record_is_marked_or_named_and_the_others_read(form, tmp_path):
    path = tmp_path / f"a.{form.name}-0"
    places = save(path, form)
    data = bytearray(path.read_bytes())
    data[data.index(b"third" * 10) + 7] ^= 1
    path.write_bytes(data)
    assert form.read_few(places) == [*PAYLOADS[:2], DAMAGED, PAYLOADS[3]]
    with pytest.raises(OrchardError, match="shard-1, record 2.* does not match its checksum"):
        list(form.scan(io.BytesIO(bytes(data)), "shard-1"))


@pytest.mark.parametrize("form", FORMS, ids=RECORD_FORMATS)
def test_cut_file_is_refused_naming_it(form):
    data = written(form, whole(PAYLOADS))
    with pytest.raises(OrchardError, match="shard-1"):
        list(form.scan(io.BytesIO(data[:-1]), "shard-1"))


def test_array_record_of_many_numbers_marks_only_the_damaged_one(tmp_path):
    path = tmp_path / "a.array_record-0"
    save(path, ARRAY_RECORD)
    data = bytearray(path.read_bytes())
    data[data.index(b"third" * 10) + 7] ^= 1
    path.write_bytes(data)
    reader = ARRAY_RECORD.open(str(path), "a")
    assert ARRAY_RECORD.read(reader, [3, 2, 0]) == [PAYLOADS[3], DAMAGED, PAYLOADS[0]]


def test_array_record_is_read_by_its_own_package(tmp_path):
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    save(tmp_path / "a.array_record-00000-of-00001", ARRAY_RECORD)
    with ArrayRecordDataSource([str(tmp_path / "a.array_record-00000-of-00001")]) as source:
        assert [source[number] for number in range(len(source))] == PAYLOADS


def test_array_record_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(OrchardError, match=r"pip install -e '\.\[array_record\]'"):
        ARRAY_RECORD.check_installed()


def test_array_record_on_a_full_disk_is_refused_in_one_line():
    from orchard.formats import record_files

    with pytest.raises(OrchardError, match="No space left on device.*; set TMPDIR"):
        writer = record_files._ArrayRecordWriter("/dev/full", "group_size:1")
        writer.write(b"x" * (2 << 20))
        writer.close()


def test_record_format_goes_by_the_name_of_the_file_alone():
    assert record_format("gs://b.array_record-x/a.tfrecord-00000-of-00001") is TFRECORD
    assert record_format("/data/a-train.array_record-00000-of-00001") is ARRAY_RECORD
    assert record_format("anything") is TFRECORD
