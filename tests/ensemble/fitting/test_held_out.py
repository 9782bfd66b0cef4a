import numpy as np
import pytest

from ensemble.combine import COMBINERS, activate
from ensemble.fitting.held_out import assemble_held_out, out_of_fold, refuse_leakage
from ensemble.members.runs import FoldGroup, Member
from orchard.errors import OrchardError
from orchard.formats import InputSpec
from orchard.formats.logits import Logits, save_logits

NAMES = ("a", "b")
_GENERATOR = np.random.default_rng(0)
_LOGITS = {(m, i): _GENERATOR.normal(size=2) for m in range(6) for i in range(8)}


def _member(path, train="fold1", evaluated="fold0"):
    return Member(
        str(path),
        str(path).rsplit("/", 1)[-1],
        NAMES,
        "single_label",
        "net",
        InputSpec(8, 8, "squash", False),
        train,
        evaluated,
        "f",
        "d",
    )


def _table(member, ids, unlabeled=()):
    targets = np.array([[1.0, 0.0] if i % 2 else [0.0, 1.0] for i in ids], np.float32)
    targets[[i in unlabeled for i in ids]] = -1
    logits = np.array([_LOGITS[member, i] for i in ids], np.float32)
    return Logits(np.array([f"id{i}" for i in ids]), logits, targets, NAMES)


def test_assemble_held_out_of_folds_takes_each_ones_own_rows():
    members = [_member(f"x/fold{k}", evaluated=f"fold{k}") for k in range(2)]
    networks = (FoldGroup("x", (0, 1)),)
    tables = [_table(0, [4, 0, 2]), _table(1, [1, 3])]
    held_out = assemble_held_out(tables, members, networks)
    assert held_out.ids.tolist() == ["id0", "id1", "id2", "id3", "id4"]
    z = held_out.representations(np.ones((2, 1)), COMBINERS["logits"]("single_label"))
    expected = [_LOGITS[0, 0], _LOGITS[1, 1], _LOGITS[0, 2], _LOGITS[1, 3], _LOGITS[0, 4]]
    np.testing.assert_allclose(z[0], expected, atol=1e-6)
    np.testing.assert_array_equal(held_out.targets.argmax(axis=1), [1, 0, 1, 0, 1])


def test_representations_of_shared_rows_are_averaged_where_the_combiner_averages():
    members = [_member("x/fold0"), _member("x/fold1")]
    held_out = assemble_held_out(
        [_table(0, [0, 1]), _table(1, [1, 0])], members, (FoldGroup("x", (0, 1)),)
    )
    temperatures = np.array([[2.0], [1.0]])
    p = held_out.representations(temperatures, COMBINERS["probabilities"]("single_label"))
    logits = np.array([[_LOGITS[m, i] for i in (0, 1)] for m in (0, 1)])
    expected = (activate(logits[0] / 2, "single_label") + activate(logits[1], "single_label")) / 2
    np.testing.assert_allclose(p[0], expected, atol=1e-6)


def test_assemble_held_out_keeps_rows_that_every_network_covers():
    members = [_member("a"), _member("b")]
    networks = (FoldGroup("a", (0,)), FoldGroup("b", (1,)))
    tables = [_table(0, [0, 1, 2, 3], unlabeled=(3,)), _table(1, [3, 2, 1, 5])]
    held_out = assemble_held_out(tables, members, networks)
    assert held_out.ids.tolist() == ["id1", "id2"]
    assert [rows.tolist() for rows in held_out.rows] == [[0, 1], [1, 0]]


def test_assemble_held_out_without_a_common_row_is_refused():
    members = [_member("a"), _member("b", evaluated="fold1", train="fold0")]
    networks = (FoldGroup("a", (0,)), FoldGroup("b", (1,)))
    with pytest.raises(OrchardError, match="no held-out labeled image in common .*b: fold1"):
        assemble_held_out([_table(0, [0]), _table(1, [1])], members, networks)


def test_assemble_held_out_with_other_targets_is_refused():
    members, networks = [_member("a"), _member("b")], (FoldGroup("a", (0,)), FoldGroup("b", (1,)))
    other = _table(1, [0, 1])
    other.targets[0] = [1.0, 0.0]
    with pytest.raises(OrchardError, match="b has other targets"):
        assemble_held_out([_table(0, [0, 1]), other], members, networks)


@pytest.mark.parametrize("split", ["fold1", "fold0+fold1", "fold1[:50%]"])
def test_refuse_leakage_of_a_split_that_a_member_trained_on_raises(split):
    member = _member("runs/b7", train="fold1+fold2")
    with pytest.raises(OrchardError, match="runs/b7 was trained on fold1"):
        refuse_leakage([member], split)
    refuse_leakage([member], "fold0")
    refuse_leakage([member], "fold11")


def test_refuse_leakage_of_a_fold_of_another_repeat_raises():
    member = _member("runs/b7", train="repeat1_fold1+repeat1_fold2")
    with pytest.raises(OrchardError, match="runs/b7 was trained on fold0"):
        refuse_leakage([member], "fold0")
    refuse_leakage([member], "repeat1_fold0")
    refuse_leakage([member], "holdout")


def test_refuse_leakage_of_a_sliced_split_counts_it_whole():
    with pytest.raises(OrchardError, match="trained on train"):
        refuse_leakage([_member("b7", train="train[:80%]")], "train[80%:]")


def test_out_of_fold_reads_the_logits_of_the_runs(tmp_path):
    member, networks = _member(tmp_path / "a"), (FoldGroup("a", (0,)),)
    with pytest.raises(OrchardError, match="fold0.npz is missing"):
        out_of_fold([member], networks)
    table = _table(0, [0, 1, 2])
    path = str(tmp_path / "a" / "eval_logits" / "fold0.npz")
    save_logits(path, table.ids, table.logits, table.targets, NAMES)
    assert len(out_of_fold([member], networks).ids) == 3
    save_logits(path, table.ids, table.logits, table.targets, ("b", "a"))
    with pytest.raises(OrchardError, match="other classes than its run.json"):
        out_of_fold([member], networks)
    table.logits[1] = np.inf
    save_logits(path, table.ids, table.logits, table.targets, NAMES)
    with pytest.raises(OrchardError, match="not finite for image 'id1'"):
        out_of_fold([member], networks)


def test_out_of_fold_of_a_member_evaluated_on_its_training_images_is_refused(tmp_path):
    member = _member(tmp_path / "a", train="fold0+fold1", evaluated="fold0")
    with pytest.raises(OrchardError, match="trained on fold0"):
        out_of_fold([member], (FoldGroup("a", (0,)),))


def test_out_of_fold_of_a_member_without_evaluation_asks_for_a_named_split(tmp_path):
    member = _member(tmp_path / "a", evaluated=None)
    with pytest.raises(OrchardError, match="--weights_split"):
        out_of_fold([member], (FoldGroup("a", (0,)),))
