import hashlib
import json
import logging
from pathlib import Path

import mlcroissant
import pytest

from orchard.formats.manifest import load_manifest, load_records
from tests.data_prep.builders import run


def _read(directory):
    return json.loads(Path(directory, "croissant.json").read_text())


@pytest.mark.parametrize("flags", [{"folds": 3, "fold_repeats": 2}, {"eval_fraction": 0.25}])
def test_croissant_json_is_valid_and_gives_the_index(given, tmp_path, flags, caplog):
    directory, _ = run(tmp_path / "out", **given, **flags)
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=str(Path(directory, "croissant.json")))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors and "not standard" not in caplog.text
    # Whoever publishes the dataset says these: we know none of them.
    assert all(
        any(word in one for word in ("citeAs", "datePublished", "license", "creator", "url"))
        for one in issues.warnings
    ), issues.warnings
    rows = list(dataset.records("records"))
    index = load_records(directory)
    assert [row["records/id"].decode() for row in rows] == index["id"].tolist()
    assert [row["records/offset"] for row in rows] == index["offset"].tolist()
    assert [list(row["records/target"]) for row in rows] == [list(t) for t in index["target"]]
    names = [row["classes/name"] for row in dataset.records("classes")]
    assert tuple(names) == load_manifest(directory).class_names


def test_croissant_json_names_the_files_that_are_there(given, tmp_path):
    directory, _ = run(tmp_path / "out", **given, folds=3)
    files = {one["@id"]: one for one in _read(directory)["distribution"]}
    content = Path(directory, "records.parquet").read_bytes()
    assert files["records.parquet"]["sha256"] == hashlib.sha256(content).hexdigest()
    for split, info in load_manifest(directory).splits.items():
        found = sorted(
            path.name for path in Path(directory).glob(files[f"shards-{split}"]["includes"])
        )
        assert found == [shard.file for shard in info.shards]


def test_croissant_json_of_many_classes_has_labels_and_no_targets(given, tmp_path):
    names = ",".join(f"class{n:03d}" for n in range(300)).split(",")
    with open(given["csv"]) as file:
        header, *rows = file.read().splitlines()
    ids = [row.split(",")[0] for row in rows]
    Path(given["csv"]).write_text(
        "\n".join([header, *(f"{one},class{n:03d}" for n, one in enumerate(ids))])
    )
    directory, _ = run(tmp_path / "out", **given, class_names=tuple(names))
    fields = {one["@id"] for one in _read(directory)["recordSet"][2]["field"]}
    assert "records/label" in fields and "records/target" not in fields
    dataset = mlcroissant.Dataset(jsonld=str(Path(directory, "croissant.json")))
    labels = [row["records/label"] for row in dataset.records("records")]
    assert labels == load_records(directory)["label"].tolist()
