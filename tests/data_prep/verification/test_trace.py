import pytest

from data_prep.verification.trace import trace_image
from orchard.errors import OrchardError
from orchard.formats.manifest import load_records
from tests.data_prep.builders import jpeg, run, write_csv
from tests.data_prep.verification.damage import SHARD, change_bytes, edit_index


def test_trace_of_an_id_finds_shard_row_and_file(dataset):
    found = trace_image(str(dataset), "a007")
    lines = dict(found.lines)
    assert lines["split"] == "train" and lines["shard"] == SHARD
    assert lines["CSV row"] == "9" and lines["source file"] == "a007.jpg"
    assert lines["labels"] == "coat"
    assert found.jpeg == jpeg(7, 22, 30)
    records = load_records(str(dataset))
    row = records.index[records["id"] == "a007"][0]
    assert lines["record"] == f"{row} of 12"
    assert lines["byte offset"] == str(records["offset"][row])
    assert dict(trace_image(str(dataset), "t001").lines)["labels"] == "none (unlabeled)"


def test_trace_of_a_damaged_record_names_its_place_in_the_shard(dataset):
    offset = int(load_records(str(dataset))["offset"][3])
    image_id = load_records(str(dataset))["id"][3]
    change_bytes(dataset, offset + 300)
    with pytest.raises(OrchardError, match=f"id '{image_id}', record 3 at byte {offset}: .*checks"):
        trace_image(str(dataset), image_id)


def test_trace_in_an_index_with_an_unknown_split_is_refused(dataset):
    edit_index(dataset, "split", 3, "fold7")
    with pytest.raises(OrchardError, match="split 'fold7'.* which the manifest does not know"):
        trace_image(str(dataset), load_records(str(dataset))["id"][3])


def test_trace_of_an_unknown_id_is_refused(dataset):
    with pytest.raises(OrchardError, match="no id 'a07'"):
        trace_image(str(dataset), "a07")


@pytest.mark.parametrize("wanted", ["a007.jpg", "a007.JPG", "a007.png"])
def test_trace_of_an_id_with_an_ending_finds_the_one_without(dataset, wanted):
    assert dict(trace_image(str(dataset), wanted).lines)["id"] == "a007"


def test_trace_of_an_id_without_an_ending_finds_the_one_with(given, tmp_path):
    rows = [(f"a{n:03d}.jpg", "bag") for n in range(3)]
    given["csv"] = write_csv(tmp_path / "x.csv", [("image_id", "label"), *rows])
    directory, _ = run(tmp_path / "out", **given)
    assert dict(trace_image(directory, "a002").lines)["id"] == "a002.jpg"
