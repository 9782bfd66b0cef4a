import pytest

from ensemble.submission import match_ids, read_submission
from orchard.errors import OrchardError

NAMES = ("healthy", "rust", "scab")


def _read(tmp_path, text):
    path = tmp_path / "sample.csv"
    path.write_text(text)
    return read_submission(str(path), NAMES)


def test_read_submission_that_is_absent_is_refused(tmp_path):
    with pytest.raises(OrchardError, match="no such CSV file"):
        read_submission(str(tmp_path / "absent.csv"), NAMES)


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
        read_submission(str(tmp_path / "sample.csv"), NAMES)


def test_match_ids_with_or_without_extension_finds_them():
    assert match_ids(["b.JPG", "a"], ["a.jpg", "b"], "it").tolist() == [1, 0]
    assert match_ids(["a.jpg", "a"], ["a", "a.jpg"], "it").tolist() == [1, 0]


def test_match_ids_that_are_ambiguous_or_repeated_are_refused():
    with pytest.raises(OrchardError, match="'a', which is several among"):
        match_ids(["a"], ["a.jpg", "a.png"], "it")
    with pytest.raises(OrchardError, match="one image twice, as 'a' and 'a.jpg'"):
        match_ids(["a", "b", "a.jpg"], ["a", "b"], "it")
