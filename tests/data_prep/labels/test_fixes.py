import pytest

from data_prep.labels import LabelOptions, apply_label_fixes, labels_of_csv, parse_csv
from orchard.errors import OrchardError
from orchard.formats import Decision, LabelFix, label_fixes_csv

_CSV = b"id,label,tree\na,rust,1\nb,scab,1\nc,rust,2\nd,healthy,2\nd,rust,2\n"


def _table(text=_CSV, **options):
    if text == _CSV:
        options = {"label_columns": ("label",)} | options
    return labels_of_csv(parse_csv(text, "train.csv"), LabelOptions(**options))


def _fixes(tmp_path, *fixes, task="single_label"):
    path = tmp_path / "label_fixes.csv"
    path.write_bytes(label_fixes_csv(fixes, task))
    return str(path)


def _labels(table):
    return [
        [table.class_names[at] for at in table.targets.classes_of(row)]
        for row in range(len(table.ids))
    ]


def test_apply_label_fixes_changes_drops_and_keeps(tmp_path):
    path = _fixes(
        tmp_path,
        LabelFix("a", ("rust",), ("scab",), Decision.CHANGE),
        LabelFix("b", ("scab",), ("rust",), Decision.DROP),
        LabelFix("c", ("rust",), ("scab",)),
    )
    before = _table(group_column="tree")
    table = apply_label_fixes(before, path)
    assert table.ids == ("a", "c", "d", "d") and table.csv_rows.tolist() == [2, 4, 5, 6]
    assert _labels(table) == [["scab"], ["rust"], ["healthy"], ["rust"]]
    assert table.groups == ("1", "2", "2", "2")
    assert (table.fixes.changed, table.fixes.dropped) == (1, 1) and len(table.fixes.sha256) == 64
    assert table.class_names == before.class_names
    assert [one.kind for one in table.problems] == ["duplicate id"]


def test_apply_label_fixes_of_a_dropped_row_drops_its_problems(tmp_path):
    table = _table(b"id,label\na,rust\nb,\n")
    assert [one.id for one in table.problems] == ["b"]
    fixed = apply_label_fixes(table, _fixes(tmp_path, LabelFix("b", (), ("rust",), Decision.DROP)))
    assert not fixed.problems and fixed.ids == ("a",)


def test_apply_label_fixes_that_are_made_already_change_nothing(tmp_path):
    path = _fixes(tmp_path, LabelFix("b", ("rust",), ("scab",), Decision.CHANGE))
    table = apply_label_fixes(_table(), path)
    assert _labels(table)[1] == ["scab"] and table.fixes.changed == 0


def test_apply_label_fixes_of_many_labels_sets_them_all(tmp_path):
    text = b"id,rust,scab,dry\na,1,0,1\nb,0,1,1\nc,1,1,0\n"
    path = _fixes(
        tmp_path,
        LabelFix("a", ("rust", "dry"), ("rust",), Decision.CHANGE),
        LabelFix("b", ("dry", "scab"), ("rust",), Decision.CHANGE, ("rust", "scab")),
        task="multi_label",
    )
    assert _labels(apply_label_fixes(_table(text), path)) == [
        ["rust"],
        ["rust", "scab"],
        ["rust", "scab"],
    ]


def test_apply_label_fixes_of_many_classes_sets_the_class_alone(tmp_path):
    names = tuple(f"c{n:03d}" for n in range(300))
    table = _table(b"id,label\na,c000\nb,c299\n", class_names=names)
    assert table.targets.are_classes
    path = _fixes(tmp_path, LabelFix("a", ("c000",), ("c007",), Decision.CHANGE))
    assert apply_label_fixes(table, path).targets.values.tolist() == [7, 299]


@pytest.mark.parametrize(
    ("fix", "words"),
    [
        (LabelFix("zz", ("rust",), ("scab",), Decision.DROP), "train.csv has no row 'zz'"),
        (
            LabelFix("a", ("rust",), ("mildew",), Decision.CHANGE),
            "'mildew', the new label of 'a', is no class",
        ),
        (
            LabelFix("a", ("healthy",), ("scab",), Decision.CHANGE),
            "'a' was healthy when its label was doubted, and is rust in train.csv",
        ),
        (LabelFix("a", ("healthy",), ("scab",), Decision.DROP), "'a' was healthy when"),
    ],
)
def test_apply_label_fixes_that_do_not_fit_the_table_are_refused(fix, words, tmp_path):
    with pytest.raises(OrchardError, match=words) as caught:
        apply_label_fixes(_table(), _fixes(tmp_path, fix))
    assert "\n" not in str(caught.value)
