import concurrent.futures

import google_crc32c
import pytest

from orchard import storage
from orchard.errors import OrchardError
from orchard.storage import gcs as client
from orchard.storage import gcs_client
from tests.gcs_server.conditions import Conditions

SMALL = b"some metadata"
ABOVE_8_MIB = bytes(range(256)) * (36 << 10)  # 9 MiB: sent resumably.
contents = pytest.mark.parametrize("content", [SMALL, ABOVE_8_MIB], ids=["small", "9MiB"])
ONE_LINE_FAULTS = ["429", "503", "reset", "lost_response", "truncate", "corrupt"]


@pytest.fixture
def upload(gcs, tmp_path):
    """Upload content from a file, as shards are."""

    def upload(content, name, **options):
        local = tmp_path / "local"
        local.write_bytes(content)
        options.setdefault("crc32c", google_crc32c.value(content))
        return client.upload_file(str(local), gcs.path(name), **options)

    return upload


@contents
def test_upload_file_generation_absent_conflicts_with_an_object(gcs, upload, content):
    upload(b"theirs", "a")
    with pytest.raises(client.GenerationConflict, match="another writer"):
        upload(content, "a", generation=client.ABSENT)
    assert gcs.read("a") == b"theirs"


@contents
def test_upload_file_and_delete_replace_the_known_generation_alone(gcs, upload, content):
    first = upload(content, "a", generation=client.ABSENT)
    second = upload(content[:-1], "a", generation=first.generation)
    with pytest.raises(client.GenerationConflict):
        upload(content, "a", generation=first.generation)
    with pytest.raises(client.GenerationConflict):
        client.delete(gcs.path("a"), generation=first.generation)
    client.delete(gcs.path("a"), generation=second.generation)
    assert client.stat(gcs.path("a")) is None


@contents
def test_write_bytes_by_many_writers_creates_one_object(gcs, content):
    def create(index):
        try:
            client.write_bytes(gcs.path("a"), content + bytes([index]), generation=client.ABSENT)
        except client.GenerationConflict:
            return None
        return index

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        winners = [index for index in pool.map(create, range(6)) if index is not None]
    assert len(winners) == 1
    assert gcs.read("a") == content + bytes(winners)


@contents
@pytest.mark.parametrize("kind", ONE_LINE_FAULTS)
def test_upload_and_read_survive_every_kind_of_fault(gcs, upload, content, kind):
    gcs.set_conditions(Conditions(fault_rate=1.0, fault_kinds=(kind,), fault_limit=2))
    info = upload(content, "a", generation=client.ABSENT, metadata={"plan": "1"})
    assert gcs.read("a") == content
    assert (info.crc32c, info.metadata) == (google_crc32c.value(content), {"plan": "1"})
    gcs.set_conditions(Conditions(fault_rate=1.0, fault_kinds=(kind,), fault_limit=2))
    assert client.read_bytes(gcs.path("a")) == content


def test_upload_file_lost_answer_finds_its_own_object(gcs, upload):
    lost = Conditions(
        fault_rate=1.0, fault_kinds=("lost_response",), fault_limit=1, match="^upload"
    )
    gcs.set_conditions(lost)
    info = upload(SMALL, "a", generation=client.ABSENT)
    assert [entry["status"] for entry in gcs.take_log() if entry["operation"] == "upload"] == [
        200,
        412,
    ]
    assert info == client.stat(gcs.path("a"))


def test_upload_file_changed_after_writing_is_removed_again(gcs, upload):
    with pytest.raises(OrchardError, match="changed between its writing and its upload"):
        upload(SMALL, "a", crc32c=google_crc32c.value(b"something else"))
    assert gcs.objects() == {}


def test_upload_file_always_corrupted_fails_in_one_line(gcs, upload):
    gcs.set_conditions(Conditions(fault_rate=1.0, fault_kinds=("corrupt",)))
    with pytest.raises(OrchardError) as caught:
        upload(SMALL, "a")
    assert "CRC32C" in str(caught.value) and "\n" not in str(caught.value)
    assert gcs.objects() == {}


def test_list_names_are_one_level_deep(gcs):
    for name in ("d/b", "d/a/x", "d/a/y", "da", "d2/z"):
        client.write_bytes(gcs.path(name), SMALL)
    assert client.list_names(gcs.path("d")) == client.list_names(gcs.path("d/")) == ["a", "b"]
    assert list(client.list_objects(gcs.path("d/a/"))) == ["x", "y"]
    assert client.list_names(gcs.path("nothing")) == []


def test_exists_directory_with_an_object_below(gcs):
    for name in ("d-1", "d/x"):
        client.write_bytes(gcs.path(name), SMALL)
    there = [client.exists(gcs.path(name)) for name in ("d", "d/", "d/x", "d-1", "d/y", "e")]
    assert there == [True, True, True, True, False, False]


def test_read_bytes_missing_object_is_one_line(gcs):
    with pytest.raises(OrchardError, match=r"gs://orchard-test/none: no such object \(404\)"):
        client.read_bytes(gcs.path("none"))


def test_write_bytes_missing_bucket_names_the_bucket(gcs):
    with pytest.raises(OrchardError, match="there is no bucket gs://nobody-has-this"):
        client.write_bytes("gs://nobody-has-this/a", SMALL)


def test_upload_file_refused_names_role_principal_and_bucket(gcs, upload):
    gcs.set_conditions(Conditions(deny_status=403))
    with pytest.raises(OrchardError) as caught:
        upload(SMALL, "a")
    assert str(caught.value) == (
        "gs://orchard-test/a: trainer@example.iam.gserviceaccount.com lacks "
        "storage.objects.create (403); grant it roles/storage.objectUser on the bucket: gcloud "
        "storage buckets add-iam-policy-binding gs://orchard-test "
        "--member=serviceAccount:trainer@example.iam.gserviceaccount.com "
        "--role=roles/storage.objectUser"
    )


def test_read_bytes_refused_names_the_viewers_role(gcs):
    gcs.set_conditions(Conditions(deny_status=403))
    with pytest.raises(OrchardError, match="grant it roles/storage.objectViewer on the bucket"):
        client.read_bytes(gcs.path("a"))


def test_read_bytes_refused_credentials_say_what_to_do(gcs):
    gcs.set_conditions(Conditions(deny_status=401))
    with pytest.raises(OrchardError, match=r"accept the credentials \(401\); run `gcloud auth"):
        client.read_bytes(gcs.path("a"))


def test_read_bytes_failing_service_is_given_up_at_the_deadline(gcs, monkeypatch):
    monkeypatch.setattr(gcs_client, "_DEADLINE_SECONDS", 0.5)
    gcs.set_conditions(Conditions(fault_rate=1.0, fault_kinds=("503",)))
    with pytest.raises(OrchardError, match="kept failing until the deadline"):
        client.read_bytes(gcs.path("a"))


def test_stat_path_without_a_bucket_is_refused():
    with pytest.raises(OrchardError, match="gs:// names no bucket"):
        client.stat("gs://")


@pytest.mark.parametrize("name", ["_bad", "Bad", "bad-", "b ad"])
def test_exists_impossible_bucket_name_is_refused(name):
    with pytest.raises(OrchardError, match=f"gs://{name}/x: '{name}' cannot be a bucket's name"):
        client.exists(f"gs://{name}/x")


def test_replace_tree_deletes_and_writes_the_last_file_in_this_order(gcs, tmp_path):
    for name in ("saved_model.pb", "old"):
        client.write_bytes(gcs.path("m", name), SMALL)
    (tmp_path / "variables").mkdir()
    for name in ("saved_model.pb", "a", "variables/data"):
        (tmp_path / name).write_bytes(name.encode())
    gcs.take_log()
    storage.replace_tree(str(tmp_path), gcs.path("m"), last="saved_model.pb")
    changes = [
        (entry["operation"], entry["path"].partition("/")[2])
        for entry in gcs.take_log()
        if entry["operation"] in ("upload", "delete")
    ]
    assert changes[0] == ("delete", "m/saved_model.pb")
    assert changes[-1] == ("upload", "m/saved_model.pb")
    assert set(gcs.objects()) == {"m/saved_model.pb", "m/a", "m/variables/data"}
    assert gcs.read("m/variables/data") == b"variables/data"


def test_list_files_and_local_copy_hold_all_objects_below(gcs):
    for name in ("m/saved_model.pb", "m/assets/", "m/variables/data", "m2/other"):
        client.write_bytes(gcs.path(name), name.encode())
    assert storage.list_files(gcs.path("m")) == ["saved_model.pb", "variables/data"]
    with storage.local_copy(gcs.path("m")) as folder:
        assert storage.list_files(folder) == ["saved_model.pb", "variables/data"]
        assert storage.read_bytes(f"{folder}/variables/data") == b"m/variables/data"
    with storage.local_copy(gcs.path("m/variables/data")) as copy:
        assert storage.read_bytes(copy) == b"m/variables/data"


def test_stat_has_size_and_checksum_of_an_object(gcs):
    client.write_bytes(gcs.path("a"), SMALL)
    facts = storage.FileInfo(len(SMALL), google_crc32c.value(SMALL))
    assert storage.stat(gcs.path("a")) == facts
    assert storage.stat(gcs.path("b")) is None
    found = storage.sizes_and_crc32cs([gcs.path("a"), gcs.path("b")])
    assert found == [(facts.num_bytes, facts.crc32c), None]


def test_write_bytes_where_there_must_be_nothing_replaces_nothing(gcs):
    storage.gcs.write_bytes(gcs.path("a"), b"old", storage.gcs.ABSENT)
    with pytest.raises(OrchardError, match="a was replaced by another writer"):
        storage.gcs.write_bytes(gcs.path("a"), b"new", storage.gcs.ABSENT)
    assert gcs.read("a") == b"old"
