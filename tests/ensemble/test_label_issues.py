"""From runs to doubtful labels, to decisions, to a dataset that has them."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep import PrepConfig, prepare
from ensemble.label_issues import LabelIssuesOptions, list_issues
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import load_logits, save_logits
from orchard.formats.manifest import load_manifest, load_records
from tests.data_prep.builders import jpeg, write_csv
from tests.records import run_record

_ROOT = Path(__file__).parents[2]
_CLASSES = ("bag", "coat", "shirt")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """30 photos in three folds, a network of folds that knows the truth, and two wrong labels.

    a05 is mislabeled; a20 is the picture of a21 with another label.
    """
    root = tmp_path_factory.mktemp("doubts")
    (root / "images").mkdir()
    truth = {f"a{n:02d}": n % 3 for n in range(30)}
    for n, name in enumerate(truth):
        (root / "images" / f"{name}.jpg").write_bytes(jpeg(n if name != "a21" else 20))
    labels = {name: _CLASSES[at] for name, at in truth.items()}
    labels["a05"] = "bag"
    write_csv(root / "train.csv", [("image_id", "label"), *labels.items()])
    dataset = prepare(_config(root, "1.0.0", folds=3), log=lambda line: None)
    manifest, index = load_manifest(dataset), load_records(dataset)
    for fold in range(3):
        rows = index[index["split"] == f"fold{fold}"]
        logits = np.array([4 * np.eye(3)[truth[name]] for name in rows["id"]], np.float32)
        logits += np.random.default_rng(fold).normal(scale=0.3, size=logits.shape)
        run = root / "runs" / f"fold{fold}"
        others = "+".join(f"fold{k}" for k in range(3) if k != fold)
        record = run_record(
            class_names=_CLASSES,
            train_split=others,
            eval_split=f"fold{fold}",
            fold=str(fold),
            member_fingerprint=f"f{fold}",
            dataset={
                "name": "clothes",
                "version": "1.0.0",
                "fingerprint": manifest.fingerprint,
                "path": dataset,
            },
        )
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps(record.to_json(), default=str))
        targets = np.stack(rows["target"].tolist())
        save_logits(
            str(run / "eval_logits" / f"fold{fold}.npz"),
            rows["id"].to_numpy(str),
            logits.astype(np.float32),
            targets.astype(np.float32),
            _CLASSES,
        )
    assert len(load_logits(str(root / "runs" / "fold0" / "eval_logits" / "fold0.npz")).ids) > 5
    return root, dataset


def _config(root, version, **flags):
    return PrepConfig(
        csv=str(root / "train.csv"),
        images_dir=str(root / "images"),
        name="clothes",
        version=version,
        data_dir=str(root / "data"),
        **flags,
    )


def _command(world, output_dir, *more):
    root, dataset = world
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "ensemble.label_issues",
            f"--members={root / 'runs'}",
            f"--dataset={dataset}",
            f"--output_dir={output_dir}",
            *more,
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )


def _rows(path):
    return list(csv.DictReader(path.open()))


def test_label_issues_are_listed_decided_and_applied(world, tmp_path):
    out = tmp_path / "out"
    done = _command(world, out)
    assert done.returncode == 0, done.stderr
    issues = _rows(out / "label_issues.csv")
    assert [row["rank"] for row in issues] == [str(n + 1) for n in range(len(issues))]
    # Twins first; which of the two has the wrong label, the networks say.
    assert {row["id"] for row in issues[:2]} == {"a20", "a21"}
    assert issues[0]["reason"].startswith("the picture of a2")
    (found,) = [row for row in issues if row["id"] == "a05"]
    assert (found["given"], found["suggested"], found["csv_row"]) == ("bag", "shirt", "7")
    page = (out / "label_issues.html").read_text()
    assert "suggested: <strong>shirt</strong>" in page and page.count("data:image/jpeg") > 3
    assert done.stdout.splitlines()[0].startswith(f"{len(issues)} of 30 labels are doubtful")

    fixes = _rows(out / "label_fixes.csv")
    assert {row["decision"] for row in fixes} == {"keep"}
    for row in fixes:
        row["decision"] = {"a05": "change", "a21": "drop"}.get(row["id"], "keep")
    with (out / "label_fixes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fixes[0])
        writer.writeheader()
        writer.writerows(fixes)
    again = _command(world, out, "--nonear_duplicates")
    assert "2 decisions in" in again.stdout
    assert {row["id"]: row["decision"] for row in _rows(out / "label_fixes.csv")}["a21"] == "drop"

    said = []
    config = _config(world[0], "1.1.0", folds=3, label_fixes=str(out / "label_fixes.csv"))
    directory = prepare(config, log=said.append)
    assert any(line.endswith("1 labels changed, 1 rows left out") for line in said)
    index = load_records(directory).set_index("id")
    assert index["target"]["a05"].argmax() == 2 and "a21" not in index.index
    applied = load_manifest(directory).inputs["csv"]["label_fixes"]
    assert (applied["changed"], applied["dropped"]) == (1, 1)
    card = Path(directory, "report.html").read_text()
    assert "1 changed, 1 rows left out" in card and "--label_fixes=LABEL_FIXES" in card
    assert load_manifest(world[1]).fingerprint != load_manifest(directory).fingerprint


def test_label_issues_into_a_folder_that_another_writes_are_refused_and_decisions_stay(
    world, tmp_path
):
    root, dataset = world
    options = LabelIssuesOptions(
        members=(str(root / "runs"),),
        dataset=dataset,
        output_dir=str(tmp_path),
        near_duplicates=False,
    )
    list_issues(options)
    fixes = tmp_path / "label_fixes.csv"
    fixes.write_text(fixes.read_text().replace("keep", "drop"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with storage.lock_folder(str(tmp_path), ""):
        with pytest.raises(OrchardError, match=f"{tmp_path} is being written by another process"):
            list_issues(options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (kept,) = [line for line in list_issues(options) if "decisions in" in line]
    assert kept.startswith(f"{len(_rows(fixes))} decisions")


def test_label_issues_of_members_of_another_dataset_are_refused(world, tmp_path):
    root, _ = world
    other = shutil.copytree(root / "runs", tmp_path / "runs")
    for path in other.glob("*/run.json"):
        path.write_text(path.read_text().replace('"fingerprint": "', '"fingerprint": "x'))
    done = _command((tmp_path, world[1]), tmp_path / "out")
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    assert "was trained on the dataset with fingerprint" in done.stderr
    assert done.stderr.count("\n") == 1
