import pytest

from ensemble.inference.loading import LoadedMember, load_saved_model
from ensemble.members.runs import load_members
from orchard.errors import OrchardError
from tests.ensemble.builders import make_dataset, make_member


def test_loaded_member_of_a_damaged_saved_model_is_refused_in_one_line(tmp_path):
    make_dataset(tmp_path / "leaves", {"fold0": 4, "fold1": 4})
    make_member(tmp_path / "broken", tmp_path / "leaves")
    model = tmp_path / "broken" / "saved_model"
    (member,) = load_members([str(tmp_path / "broken")])[0]
    weights = next(model.glob("variables/*.data*"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit, which TensorFlow would load without a word
    weights.write_bytes(content)
    with pytest.raises(OrchardError, match="not those that run.json describes"):
        LoadedMember(member)
    (model / "saved_model.pb").write_bytes(b"cut")
    with pytest.raises(OrchardError, match="cannot be loaded") as caught:
        load_saved_model(str(model), "member broken")
    assert "\n" not in str(caught.value)
