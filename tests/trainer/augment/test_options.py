import copy
import dataclasses
import pickle

import pytest

from orchard.errors import OrchardError
from trainer.augment import AugmentOptions


@pytest.mark.parametrize(
    "change, message",
    [
        ({"flips": "vertical"}, "--flips=vertical: choose one of none, horizontal, both"),
        ({"rotate_degrees": 90}, "--rotate_degrees=90.0: choose a number from 0 to 45"),
        ({"crop_min_area": 0}, "--crop_min_area=0.0: choose a number from 0.01 to 1"),
        ({"mixup_alpha": -1}, "--mixup_alpha=-1.0"),
        ({"tint": 1}, "--tint is an option of no augmentation"),
    ],
)
def test_augment_options_impossible_value_is_refused(change, message):
    with pytest.raises(OrchardError, match=message):
        AugmentOptions(**change)


def test_augment_options_flags_are_flat_and_in_their_old_order():
    assert list(AugmentOptions().flags()) == [
        "flips",
        "quarter_turns",
        "crop_min_area",
        "crop_max_aspect",
        "rotate_degrees",
        "shear",
        "zoom",
        "translate",
        "brightness",
        "contrast",
        "saturation",
        "erase",
        "randaugment_ops",
        "randaugment_magnitude",
        "mixup_alpha",
        "cutmix_alpha",
    ]
    values = AugmentOptions(zoom=0.2).flags()
    assert AugmentOptions.of_flags(values) == AugmentOptions(**values) == AugmentOptions(zoom=0.2)


def test_augment_options_copied_pickled_and_replaced_keep_their_values():
    options = AugmentOptions(flips="both", zoom=0.2)
    assert options == copy.deepcopy(options) == pickle.loads(pickle.dumps(options))
    assert hash(options) == hash(copy.copy(options))
    assert dataclasses.replace(options, zoom=0.1) == AugmentOptions(flips="both", zoom=0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.zoom = 0.3
    assert repr(options) == "AugmentOptions(flips='both', zoom=0.2)"


def test_only_some_values_turns_all_else_off():
    options = AugmentOptions.only(zoom=0.3)
    assert options.flips == "none"
    assert [type(m).__name__ for m in options.members if m.enabled] == ["Affine"]


def test_augment_options_imported_need_no_tensorflow():
    import subprocess
    import sys

    program = (
        "import sys; from trainer.augment import AugmentOptions; AugmentOptions(zoom=0.1);"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
