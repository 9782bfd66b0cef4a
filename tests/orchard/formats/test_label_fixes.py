import pytest

from orchard.errors import OrchardError
from orchard.formats import Decision, LabelFix, label_fixes_csv, read_label_fixes

_ONE = (
    LabelFix("a,1", ("rust",), ("scab",), Decision.CHANGE),
    LabelFix("b", ("rust",), ("scab",), Decision.CHANGE, ("healthy, really",)),
    LabelFix("c", ("[odd]",), ("scab",)),
)
_MANY = (
    LabelFix("a", ("rust", "big scab"), ("rust",), Decision.DROP),
    LabelFix("b", (), ("rust",), Decision.CHANGE, ("rust", "big scab")),
)


@pytest.mark.parametrize(
    ("fixes", "task"), [(_ONE[:2], "single_label"), (_MANY, "multi_label"), ((), "single_label")]
)
def test_label_fixes_csv_is_read_back(fixes, task, tmp_path):
    path = tmp_path / "fixes.csv"
    path.write_bytes(label_fixes_csv(fixes, task))
    assert read_label_fixes(str(path), task).fixes == fixes


def test_read_label_fixes_edited_by_a_spreadsheet_is_the_same(tmp_path):
    path = tmp_path / "fixes.csv"
    path.write_bytes(
        b"\xef\xbb\xbfid,given,suggested,decision,label,note\r\n"
        b"a,rust,scab,Change,,looked at it\r\nb,rust,scab,,,\r\n,,,,,\r\n"
    )
    assert read_label_fixes(str(path), "single_label").fixes == (
        LabelFix("a", ("rust",), ("scab",), Decision.CHANGE),
        LabelFix("b", ("rust",), ("scab",)),
    )


def test_new_label_is_the_suggested_one_unless_another_is_given():
    assert [fix.new_label for fix in _ONE[:2]] == [("scab",), ("healthy, really",)]


@pytest.mark.parametrize(
    ("text", "task", "words"),
    [
        ("id,given\na,b\n", "single_label", "has no column 'suggested'"),
        ("", "single_label", "has no column 'id'"),
        ("id,given,suggested,decision,label\na,x,y,maybe,\n", "single_label", "row 2: 'maybe' is"),
        ("id,given,suggested,decision,label\na,x,y\n", "single_label", "row 2: 3 cells, not 5"),
        (
            "id,given,suggested,decision,label\na,x,y,,\na,x,y,,\n",
            "single_label",
            "row 3: 'a' is there twice",
        ),
        ("id,given,suggested,decision,label\na,x,[],,\n", "multi_label", "row 2: 'x' is no list"),
    ],
)
def test_read_label_fixes_that_are_none_are_refused_naming_the_row(text, task, words, tmp_path):
    path = tmp_path / "fixes.csv"
    path.write_text(text)
    with pytest.raises(OrchardError, match=words):
        read_label_fixes(str(path), task)


def test_read_label_fixes_without_a_file_is_refused(tmp_path):
    with pytest.raises(OrchardError, match="there is no such file"):
        read_label_fixes(str(tmp_path / "absent.csv"), "single_label")
