import pytest

from ensemble.submission import SubmissionValues, match_ids, read_submission
from orchard.errors import OrchardError

NAMES = ("healthy", "rust", "scab")


def _read(tmp_path, text, names=NAMES, **options):
    path = tmp_path / "sample.csv"
    path.write_text(text)
    return read_submission(str(path), names, **{"task": "single_label", **options})


def test_read_submission_that_is_absent_is_refused(tmp_path):
    with pytest.raises(OrchardError, match="no such CSV file"):
        read_submission(str(tmp_path / "absent.csv"), NAMES, "single_label")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,healthy,rust\nleaf_0,0,0\n", "no column 'scab'; after the id it needs one column a"),
        ("id,healthy,rust,scab,rot\nleaf_0,0,0,0,0\n", "a column 'rot', no class; after the id"),
        ("id\nleaf_0\n", "no column 'healthy'"),
        ("id,labels\nleaf_0,x,y\n", "row 2: 3 cells where the header has 2"),
        ("", "the first row must name the columns"),
        ("id,labels\nleaf_0,x\nleaf_1,x\nleaf_0,x\n", "row 4: 'leaf_0' again, as in row 2"),
        ("id,labels\n,x\n", "row 2: no id"),
        ("id,labels\n", "no rows below the header"),
    ],
)
def test_read_submission_that_does_not_fit_is_refused(text, words, tmp_path):
    with pytest.raises(OrchardError, match=words):
        _read(tmp_path, text)


def test_read_submission_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "sample.csv").write_bytes(b"id,labels\n\x89PNG\r\n\x1a\n\x00")
    with pytest.raises(OrchardError, match="sample.csv, row 2: not UTF-8 text"):
        read_submission(str(tmp_path / "sample.csv"), NAMES, "single_label")


@pytest.mark.parametrize(
    ("names", "text", "classes", "note"),
    [
        (("cat", "dog"), "id,label\na,0.5\nb,0.5\n", ("dog",), "probability of class 'dog'"),
        (("0", "1"), "id,label\na,0\nb,0\n", ("1",), "probability of class '1'"),
        (("cat", "dog"), "id,cat\na,0.5\n", ("cat",), "probability of class 'cat'"),
        (("cat", "dog"), "id,cat\na,\n", ("cat",), "probability of class 'cat'"),
        (("cat", "dog"), "id,label\na,cat\n", (), ""),
        (("1", "2"), "id,label\na,1\n", (), ""),
        (("cancer",), "id,label\na,0.5\n", ("cancer",), "probability of class 'cancer'"),
        (("cancer",), "id,cancer\na,0.5\n", ("cancer",), ""),
        (("0", "1", "2"), "id,label\na,0\n", (), ""),
        (NAMES, "id,label\na,0.5\n", (), "names of classes, though the sample has numbers"),
    ],
)
def test_read_submission_of_one_column_knows_whether_it_holds_probabilities(
    names, text, classes, note, tmp_path
):
    submission = _read(tmp_path, text, names)
    assert submission.classes == classes
    assert note in submission.note and bool(note) == bool(submission.note)


def test_read_submission_of_two_labels_an_image_holds_names(tmp_path):
    submission = _read(tmp_path, "id,label\na,0.5\n", ("cat", "dog"), task="multi_label")
    assert submission.classes == ()


def test_read_submission_with_values_given_does_not_guess(tmp_path):
    two = ("0", "1")
    assert _read(tmp_path, "id,label\na,0\n", two, values=SubmissionValues.LABELS).classes == ()
    assert _read(tmp_path, "id,1\na,0\n", two, values=SubmissionValues.LABELS).classes == ()
    assert _read(
        tmp_path, "id,label\na,x\n", two, values=SubmissionValues.PROBABILITIES
    ).classes == ("1",)
    with pytest.raises(OrchardError, match="'label' for 3 classes; give it one column a class"):
        _read(tmp_path, "id,label\na,0\n", values=SubmissionValues.PROBABILITIES)
    with pytest.raises(OrchardError, match="one column a class; give it one column of labels"):
        _read(tmp_path, "id,0,1\na,0,0\n", two, values=SubmissionValues.LABELS)


def test_match_ids_with_or_without_extension_finds_them():
    assert match_ids(["b.JPG", "a"], ["a.jpg", "b"], "it").tolist() == [1, 0]
    assert match_ids(["a.jpg", "a"], ["a", "a.jpg"], "it").tolist() == [1, 0]


def test_match_ids_that_are_ambiguous_or_repeated_are_refused():
    with pytest.raises(OrchardError, match="'a', which is several among"):
        match_ids(["a"], ["a.jpg", "a.png"], "it")
    with pytest.raises(OrchardError, match="one image twice, as 'a' and 'a.jpg'"):
        match_ids(["a", "b", "a.jpg"], ["a", "b"], "it")
