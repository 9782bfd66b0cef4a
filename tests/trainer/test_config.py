import dataclasses
import json

import pytest

from orchard.errors import OrchardError
from trainer.augment.options import AugmentOptions
from trainer.config import TrainConfig, changed_flags, flag_fields, parse_image_size

_TURNS = AugmentOptions(quarter_turns=True)
_NEEDED = {"dataset": "d", "run_dir": "r", "architecture": "mobilenet_v2", "batch_size": 8}


def _config(**changes):
    return TrainConfig(**(_NEEDED | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mobilenet_v9"}, "mobilenet_v9 is unknown"),
        ({"dataset": ""}, "--dataset, --run_dir and --architecture are needed"),
        ({"batch_size": 0}, "--batch_size=64"),
        ({"batch_size_per_replica": 8}, "--batch_size and --batch_size_per_replica"),
        ({"learning_rate": 1.0, "learning_rate_per_replica": 1.0}, "say the same thing"),
        ({"fold": "0", "train_split": "train"}, "--fold chooses the splits"),
        ({"fold": "first"}, "--fold=first"),
        ({"image_size": "0"}, "--image_size=0"),
        ({"image_size": "12x"}, "--image_size=12x"),
        ({"epochs": 0.0}, "--epochs=0.0"),
        ({"optimizer": "adamw2"}, "--optimizer=adamw2 must be one of adamw"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "--optimizer=adamw"),
        ({"preprocessing": "half"}, "--preprocessing=half"),
        ({"profile_steps": "9,3"}, "FIRST,LAST"),
        ({"freeze_epochs": 1, "weights": "none"}, "random features"),
        ({"label_smoothing": 1.5}, "from 0 to 1"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"seed": -1}, "--seed=-1"),
        ({"epochs": float("inf")}, "--epochs=inf must be a number of at least"),
        ({"max_loss": float("inf")}, "--max_loss=inf"),
        ({"image_size": "48x64", "augment": _TURNS}, "square images, not --image_size=48x64"),
    ],
)
def test_values_that_cannot_be_are_refused_in_one_line(changes, message):
    with pytest.raises(OrchardError, match=message) as caught:
        _config(**changes)
    assert "\n" not in str(caught.value)


def test_a_config_survives_json():
    config = _config(image_size="480x768", epochs=2.5, deterministic=True)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert (config.height_px, config.width_px) == (480, 768)


def test_another_versions_json_is_refused():
    values = _config().to_json() | {"warp": 9}
    with pytest.raises(OrchardError, match="another version.*warp"):
        TrainConfig.from_json(values)


def test_images_are_as_large_as_the_network_was_made_for():
    assert _config(architecture="efficientnet_b7").height_px == 600
    with pytest.raises(OrchardError, match="needs --image_size"):
        _ = _config(architecture="my.keras").height_px


def test_image_sizes_are_height_by_width():
    assert parse_image_size("512") == (512, 512)
    assert parse_image_size("480x768") == (480, 768)


def test_only_flags_that_alter_the_result_count_as_changes():
    old = _config()
    moved = dataclasses.replace(old, run_dir="elsewhere", max_minutes=5.0, log_every_steps=1)
    assert changed_flags(old, moved, ("result",)) == []
    assert changed_flags(old, dataclasses.replace(old, dropout=0.5), ("result",)) == [
        ("dropout", 0.0, 0.5)
    ]


def test_every_field_explains_itself():
    for field in flag_fields():
        assert field.metadata["help"].endswith("."), field.name
