import json

import pytest

from ensemble import SavedPredictor
from ensemble.fitting.held_out import out_of_fold
from ensemble.members.runs import check_contents, check_dataset, load_members
from orchard.errors import OrchardError
from orchard.formats import DatasetOfRun
from tests.records import run_record
from tests.trainer import runs
from trainer.loop import train_and_evaluate
from trainer.results import export_only


def _run(path, **changes):
    path.mkdir(parents=True, exist_ok=True)
    record = {**run_record(member_fingerprint=str(path)).to_json(), **changes}
    (path / "run.json").write_text(json.dumps(record))
    return str(path)


def test_load_members_reads_a_run(tmp_path):
    members, networks = load_members([_run(tmp_path / "b7") + "/"])
    member = members[0]
    assert member.name == "b7"
    assert (member.input.height_px, member.input.width_px) == (480, 768)
    assert (member.input.resize, member.input.exact_decode) == ("crop", True)
    assert member.saved_model_dir == str(tmp_path / "b7" / "saved_model")
    assert networks[0].members == (0,)


def test_load_members_of_a_run_without_evaluation_gives_no_eval_split(tmp_path):
    assert load_members([_run(tmp_path / "b7", eval_split="none")])[0][0].eval_split is None


def test_load_members_of_a_directory_of_folds_gives_one_group(tmp_path):
    for fold in (0, 1, 2, 10):
        _run(tmp_path / "b7" / f"fold{fold}")
    _run(tmp_path / "b6")
    members, networks = load_members([str(tmp_path / "b7"), str(tmp_path / "b6")])
    assert [m.name for m in members] == ["b7/fold0", "b7/fold1", "b7/fold2", "b7/fold10", "b6"]
    assert [(n.name, n.members) for n in networks] == [("b7", (0, 1, 2, 3)), ("b6", (4,))]


def test_load_members_of_folds_and_refits_gives_one_group(tmp_path):
    for name in ("fold0", "fold1", "refit0", "refit10", "refit2"):
        _run(tmp_path / "b7" / name)
    members, networks = load_members([str(tmp_path / "b7")])
    assert [m.name.removeprefix("b7/") for m in members] == [
        "fold0",
        "fold1",
        "refit0",
        "refit2",
        "refit10",
    ]
    assert [m.is_refit for m in members] == [False, False, True, True, True]
    assert [(n.name, n.members) for n in networks] == [("b7", (0, 1, 2, 3, 4))]
    folds = load_members([str(tmp_path / "b7")], refits=False)
    assert [m.name for m in folds.members] == ["b7/fold0", "b7/fold1"]


def test_load_members_of_an_unfinished_refit_is_refused_unless_folds_are_wanted(tmp_path):
    for name in ("fold0", "fold1"):
        _run(tmp_path / "b7" / name)
    (tmp_path / "b7" / "refit0").mkdir()
    with pytest.raises(OrchardError, match="refit0 has no run.json.* --predict_with=folds"):
        load_members([str(tmp_path / "b7")])
    assert len(load_members([str(tmp_path / "b7")], refits=False).members) == 2


def test_load_members_of_folds_listed_one_by_one_gives_one_group(tmp_path):
    paths = [_run(tmp_path / name) for name in ("b7/fold0", "b6", "b7/fold1")]
    networks = load_members(paths)[1]
    assert [(n.name, n.members) for n in networks] == [("b7", (0, 2)), ("b6", (1,))]


def test_load_members_with_equal_names_names_them_by_path(tmp_path):
    paths = [_run(tmp_path / name) for name in ("x/b7", "y/b7", "z/b6")]
    assert [m.name for m in load_members(paths)[0]] == [paths[0], paths[1], "b6"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_names": ["scab", "rust", "healthy"]}, "in another order .class 0 is 'scab'"),
        ({"class_names": ["rust", "scab", "rot"]}, r"other classes than member .*rot \(3\)"),
        ({"class_names": ["rust", "scab"]}, "other classes"),
        ({"task": "multi_label"}, "trained for a multi_label task"),
        (
            {"dataset": vars(DatasetOfRun("leaves", "1.0.0", "other", "somewhere"))},
            "members of one ensemble share one dataset",
        ),
        ({"image_size_px": 5}, "run.json was damaged or edited: image_size_px is 5"),
        ({"dataset": {}}, "run.json was damaged or edited: dataset.name is missing"),
    ],
)
def test_load_members_that_do_not_fit_are_refused(changes, words, tmp_path):
    first, second = _run(tmp_path / "a"), _run(tmp_path / "b", **changes)
    with pytest.raises(OrchardError, match=words) as caught:
        load_members([first, second])
    assert "\n" not in str(caught.value)
    assert second in str(caught.value)


def test_load_members_of_unfinished_missing_or_repeated_runs_is_refused(tmp_path):
    run = _run(tmp_path / "a")
    with pytest.raises(OrchardError, match="nowhere: no run.json"):
        load_members([run, str(tmp_path / "nowhere")])
    with pytest.raises(OrchardError, match="listed twice"):
        load_members([run, run + "/"])
    _run(tmp_path / "b" / "fold0")
    (tmp_path / "b" / "fold1").mkdir()
    with pytest.raises(OrchardError, match="fold1 has no run.json, so its training has not"):
        load_members([str(tmp_path / "b")])
    (tmp_path / "a" / "run.json").write_text("{")
    with pytest.raises(OrchardError, match="not valid JSON"):
        load_members([run])


def test_load_members_of_one_run_under_two_paths_is_refused(tmp_path, monkeypatch):
    run = _run(tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    for other in (str(tmp_path / "link"), "a", "./a/", "../" + tmp_path.name + "/a"):
        with pytest.raises(OrchardError, match="listed twice") as caught:
            load_members([run, other])
        assert "\n" not in str(caught.value)


def test_load_members_of_folds_in_two_spellings_gives_one_group(tmp_path, monkeypatch):
    for fold in (0, 1):
        _run(tmp_path / "b7" / f"fold{fold}")
    monkeypatch.chdir(tmp_path)
    networks = load_members(["b7/fold0", "./b7//fold1/"])[1]
    assert [(n.name, n.members) for n in networks] == [("b7", (0, 1))]


def test_check_dataset_of_another_one_is_refused_unless_allowed(tmp_path):
    members = load_members([_run(tmp_path / "a")])[0]
    names = members[0].class_names
    check_dataset(members, names, "single_label", "abc123")
    with pytest.raises(OrchardError, match="--allow_other_dataset"):
        check_dataset(members, names, "single_label", "zzz")
    check_dataset(members, names, "single_label", "zzz", allow_other_dataset=True)
    with pytest.raises(OrchardError, match="in another order"):
        check_dataset(members, names[::-1], "single_label", "zzz", allow_other_dataset=True)
    with pytest.raises(OrchardError, match="task"):
        check_dataset(members, names, "multi_label", "abc123")


def test_load_members_of_an_exported_checkpoint_is_a_member_of_its_own(tmp_path):
    dataset = runs.tiny_dataset(tmp_path / "tiny" / "1.0.0")
    backbone = runs.tiny_backbone(tmp_path / "tiny.keras")
    config = runs.config(dataset, backbone, tmp_path / "run", epochs=1, eval_every_epochs=1)
    assert train_and_evaluate(config) == 0
    assert export_only(config.run_dir, "last") == 0
    output = str(tmp_path / "run" / "export-000000004")
    assert SavedPredictor(output).class_names == ("class0", "class1", "class2")
    both = load_members([config.run_dir, output])
    assert [network.name for network in both.networks] == ["run", "export-000000004"]
    check_contents(both.members[1], both.members[1].saved_model_dir)
    assert len(out_of_fold(both.members, both.networks).ids) == 18
