import numpy as np
import pytest

from ensemble.labels import targets_of_csv, targets_of_folders
from orchard.errors import OrchardError

NAMES = ("rust", "scab")


def test_targets_of_csv_with_other_images_takes_those_that_were_predicted(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,label\nother,rust\nb.jpg,scab\n")
    found = targets_of_csv(str(path), ["a", "b"], NAMES, "single_label", others=True)
    np.testing.assert_array_equal(found, [[-1, -1], [0, 1]])
    with pytest.raises(OrchardError, match="names 'other', which is not among"):
        targets_of_csv(str(path), ["a", "b"], NAMES, "single_label")
    with pytest.raises(OrchardError, match="has none of the 1 predicted images"):
        targets_of_csv(str(path), ["a"], NAMES, "single_label", others=True)


def test_targets_of_folders_are_there_if_all_are_classes():
    paths = ["x/scab/1.jpg", "y/rust/2.jpg"]
    found = targets_of_folders(paths, NAMES, "single_label")
    np.testing.assert_array_equal(found, [[0, 1], [1, 0]])
    assert targets_of_folders([*paths, "x/3.jpg"], NAMES, "single_label") is None
    assert targets_of_folders(paths, NAMES, "multi_label") is None
