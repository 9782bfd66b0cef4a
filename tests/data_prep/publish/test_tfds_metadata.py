import pytest

from data_prep.publish.tfds_metadata import features, refuse_registered_name, supervised_keys
from orchard.errors import OrchardError
from orchard.formats import Task


@pytest.mark.parametrize(
    ("task", "key", "names_of"),
    [
        (Task.SINGLE_LABEL, "label", lambda label: label.names),
        (Task.MULTI_LABEL, "labels", lambda labels: labels.feature.names),
    ],
)
def test_features_of_a_task_have_its_label_with_the_class_names(task, key, names_of):
    found = features(task, ("bag", "coat"))
    assert set(found) == {"image", "image_id", "target", key}
    assert names_of(found[key]) == ["bag", "coat"] and found["target"].shape == (2,)
    assert supervised_keys(task) == ("image", key)


def test_refuse_registered_name_of_tfds_refuses_unless_it_is_our_own():
    with pytest.raises(OrchardError, match="--name=mnist .* choose another, such as my_mnist"):
        refuse_registered_name("mnist")
    refuse_registered_name("mnist", own={"mnist"})
    refuse_registered_name("plants_of_mine")
