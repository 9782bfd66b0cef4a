import numpy as np

from ensemble.output.examples import disagreement, most_disputed, worst_rows


def test_disagreement_is_zero_for_agreeing_members_and_greatest_for_opposed_ones():
    agree, lean, oppose = [[0.7, 0.3]] * 2, [[0.7, 0.3], [0.4, 0.6]], [[1.0, 0.0], [0.0, 1.0]]
    p = np.stack([agree, lean, oppose], axis=1)
    for task in ("single_label", "multi_label"):
        values = disagreement(p, task)
        assert values[0] == 0.0
        assert 0 < values[1] < values[2]
        assert most_disputed(p, task, 5).tolist() == [2, 1]
    np.testing.assert_allclose(disagreement(p, "single_label")[2], np.log(2), rtol=1e-6)


def test_worst_rows_gives_wrong_ones_with_the_greatest_loss_first():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.05, 0.95], [0.45, 0.55]])
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    wrong = np.array([False, True, True, False])
    assert worst_rows(p, targets, wrong, "single_label", 5).tolist() == [2, 1]
    assert worst_rows(p, targets, wrong, "single_label", 1).tolist() == [2]
