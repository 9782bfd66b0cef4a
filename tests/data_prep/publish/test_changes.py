from pathlib import Path

import pytest

from data_prep.config import default_settings
from data_prep.publish.changes import Given, describe_changes, load_given, save_given
from orchard.errors import OrchardError
from tests.data_prep.builders import digests, interrupted, jpeg, make_input, run


def given_of(class_names, settings=None, versions=None, **num_rows):
    return Given(
        settings=default_settings() | (settings or {}),
        versions=versions or {},
        class_names=list(class_names),
        num_rows=num_rows or {"csv": 4},
    )


@pytest.mark.parametrize(
    ("now", "phrases"),
    [
        (given_of("abc"), []),
        (given_of("cba"), ["the classes are in another order"]),
        (given_of("abcd"), ["1 class was added (first 'd')"]),
        (given_of("a"), ["2 classes were removed (first 'b')"]),
        (given_of("abc", {"square_px": 8}), ["--square was 0, now 8"]),
        (given_of("abc", {"class_names": ["a", "b"]}), ["--class_names was , now a,b"]),
        (given_of("abc", versions={"numpy": "9"}), ["numpy was None, now 9"]),
        (
            given_of("abc", csv=3, test_csv=2),
            ["--csv had 4 usable rows, now 3", "--test_csv had 0 usable rows, now 2"],
        ),
    ],
)
def test_describe_changes_of_one_difference_names_it(now, phrases):
    assert describe_changes(given_of("abc"), now) == phrases


def test_load_given_of_a_saved_one_is_equal_and_of_a_damaged_one_is_none(tmp_path):
    assert load_given(str(tmp_path)) is None
    save_given(given_of("abc"), str(tmp_path))
    assert load_given(str(tmp_path)) == given_of("abc")
    for damaged in ("{}", "[", "[]"):
        (tmp_path / "given.json").write_text(damaged)
        assert load_given(str(tmp_path)) is None


@pytest.fixture
def given(tmp_path):
    return make_input(tmp_path / "in")


def change_csv(given, old, new):
    text = Path(given["csv"]).read_text()
    assert old in text
    Path(given["csv"]).write_text(text.replace(old, new))


def change_label(given):
    change_csv(given, "a001,coat", "a001,bag")


def change_image(given):
    Path(given["images_dir"], "a002.jpg").write_bytes(jpeg(99))


def add_row(given):
    Path(given["images_dir"], "new.jpg").write_bytes(jpeg(99))
    change_csv(given, "a001,coat", "a001,coat\nnew,bag")


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (change_label, {}, "1 row has other labels (first 'a001')"),
        (change_image, {}, "1 image has other content (first 'a002')"),
        (
            lambda given: change_csv(given, ",bag", ",basket"),
            {},
            "1 class was added (first 'basket'); 1 class was removed (first 'bag')",
        ),
        (
            lambda given: change_csv(given, "a011,shirt\n", ""),
            {},
            "--csv had 12 usable rows, now 11; 1 row was removed (first 'a011')",
        ),
        (add_row, {}, "1 row was added (first 'new')"),
        (lambda given: None, {"seed": 1}, "--seed was 0, now 1"),
        (lambda given: None, {"short_side_px": 9}, "--short_side was 0, now 9"),
    ],
)
def test_check_finished_of_another_plan_names_the_difference_and_changes_nothing(
    given, tmp_path, change, settings, message
):
    # Lines that end in LF, whatever the system.
    text = Path(given["csv"]).read_text()
    Path(given["csv"]).write_text(text, newline="\n")
    directory, _ = run(tmp_path / "out", **given)
    before = digests(directory)
    change(given)
    with pytest.raises(OrchardError) as caught:
        run(tmp_path / "out", **given, **settings)
    assert message in str(caught.value)
    assert "pass a new --version, or --overwrite" in str(caught.value)
    assert digests(directory) == before


@pytest.mark.parametrize("file", ["clothes-train.tfrecord-00000-of-00001", "report.html"])
def test_check_finished_of_a_damaged_file_names_it(given, tmp_path, file):
    directory, _ = run(tmp_path / "out", **given)
    path = Path(directory, file)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(OrchardError, match=f"{file} is missing or damaged"):
        run(tmp_path / "out", **given)


def test_prepare_after_an_interrupted_run_says_what_changed(given, tmp_path, monkeypatch):
    interrupted(tmp_path / "out", monkeypatch, **given)
    change_csv(given, "a011,shirt", "")
    _, said = run(tmp_path / "out", seed=3, **given)
    start = "since the interrupted run: "
    assert [line.removeprefix(start) for line in said if line.startswith(start)] == [
        "--seed was 0, now 3",
        "--csv had 12 usable rows, now 11",
    ]
