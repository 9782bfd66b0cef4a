import dataclasses
import json

import pytest

from orchard.errors import OrchardError
from orchard.flags import Kind
from trainer.augment.options import AugmentOptions
from trainer.config import TrainConfig, changed_flags

_MIXUP = AugmentOptions(mixup_alpha=0.2)
_TURNS = AugmentOptions(quarter_turns=True)
_NOTHING = AugmentOptions.only()
_NEEDED = {"dataset": "d", "run_dir": "r", "architecture": "mobilenet_v2", "batch_size": 8}


def _config(**changes):
    return TrainConfig(**(_NEEDED | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mobilenet_v9"}, "mobilenet_v9 is unknown"),
        ({"dataset": ""}, "--dataset is required: Dataset directory"),
        ({"batch_size_per_replica": 8}, "--batch_size and --batch_size_per_replica"),
        ({"learning_rate": 1.0, "learning_rate_per_replica": 1.0}, "say the same thing"),
        ({"num_evals": 3, "eval_every_epochs": 2.0}, "--eval_every_epochs and --num_evals"),
        ({"max_epochs": 20.0}, "give --min_steps"),
        ({"min_steps": 9, "max_epochs": 1.0}, "--max_epochs=1 is below --epochs=10"),
        ({"best_metric": "last", "early_stopping_evals": 2}, "not --best_metric=last"),
        ({"fold": "0", "train_split": "train"}, "--fold chooses the splits"),
        ({"fold": "first"}, "--fold=first: choose 0, 1, 2, ..., all or none"),
        ({"fold": "none", "train_split": "train"}, "--fold chooses the splits"),
        ({"fold": "0", "refit": 2}, "--refit=2 trains on all rows"),
        ({"refit": 2}, "--refit=2 trains on all rows"),
        ({"fold": "all", "refit": -1}, "--refit=-1"),
        ({"image_size": "0"}, "--image_size=0"),
        ({"image_size": "12x"}, "--image_size=12x"),
        ({"epochs": 0.0}, "--epochs=0.0"),
        ({"optimizer": "adamw2"}, "--optimizer=adamw2: choose one of adamw, adam"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "--optimizer=adamw"),
        ({"preprocessing": "half"}, "--preprocessing=half"),
        ({"profile_steps": "9,3"}, "FIRST,LAST"),
        ({"serving": "a b"}, "--serving=a b: give NAME or NAME/VERSION"),
        ({"serving": "leaves", "fold": "all"}, "--serving=leaves names one model"),
        ({"freeze_epochs": 1, "weights": "none"}, "random features"),
        ({"label_smoothing": 1.5}, "from 0 to 1"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"seed": -1}, "--seed=-1"),
        ({"epochs": float("inf")}, "--epochs=inf: choose a number above 0"),
        ({"max_loss": float("inf")}, "--max_loss=inf"),
        ({"image_size": "48x64", "augment": _TURNS}, "square images, not --image_size=48x64"),
        ({"threads": -1}, "--threads=-1: choose a number from 0 to"),
        ({"reader": "block", "cache": "ram"}, "--reader=block excludes --cache"),
        ({"cache": "ram", "cache_dir": "/ssd"}, "--cache=ram and --cache_dir exclude each other"),
        ({"architecture": "my.keras"}, "--architecture=my.keras needs --image_size"),
        ({"class_weights": "1,x"}, "--class_weights=1,x: give none, balanced, or numbers"),
        ({"freeze_epochs": 10}, "--freeze_epochs=10 leaves nothing of 10 epochs"),
        ({"accumulation_steps": 3}, "--batch_size=8 does not divide into --accumulation_steps=3"),
        ({"batch_size": 9, "augment": _MIXUP}, "--batch_size=9 must be even; try 10"),
        (
            {"batch_size": 9, "accumulation_steps": 3, "augment": _MIXUP},
            "--batch_size=9 must be even; try 12",
        ),
        ({"accelerator": "tpu", "replicas": 2}, "--replicas does not apply to a TPU"),
        ({"accelerator": "tpu", "jit_compile": True}, "--jit_compile works on one device"),
        ({"replicas": 2, "jit_compile": True}, "--jit_compile works on one device"),
        ({"batch_size": 8.5}, "--batch_size=8.5: a whole number is needed"),
        ({"fold": 0}, "--fold=0: text is needed"),
        ({"head": "mlp"}, "--head=mlp is for frozen features; drop it, or add --features=frozen"),
        ({"feature_views": 3}, "--feature_views=3 is for frozen features"),
        ({"feature_cache": "c"}, "--feature_cache=c is for frozen features"),
        ({"features": "frozen", "feature_views": 0}, "--feature_views=0"),
        ({"features": "frozen", "epochs": 5}, "drop --epochs=5.0, or the --recipe"),
        ({"features": "frozen", "ema_momentum": 0.9}, "drop --ema_momentum=0.9"),
        ({"features": "frozen", "budget": "2h"}, "drop --budget=2h"),
        ({"features": "frozen", "best_metric": "f1"}, "drop --best_metric=f1"),
        ({"features": "frozen", "loss": "focal"}, "drop --loss=focal"),
        ({"features": "frozen", "dropout": 0.5, "clip_norm": 1}, "--dropout=0.5, --clip_norm=1.0"),
        ({"features": "frozen", "weights": "none"}, "a head on random features"),
        ({"features": "frozen", "feature_views": 2, "augment": _MIXUP}, "mixup and cutmix pair"),
        ({"features": "frozen", "augment": _TURNS}, "--feature_views=1 takes images as they are"),
        ({"features": "frozen", "feature_views": 2, "augment": _NOTHING}, "needs augmentation"),
        ({"features": "frozen", "fold": "none", "refit": 2}, "would solve the same head as often"),
    ],
)
def test_train_config_impossible_value_is_refused_in_one_line(changes, message):
    with pytest.raises(OrchardError, match=message) as caught:
        _config(**changes)
    assert "\n" not in str(caught.value)


def test_train_config_frozen_keeps_what_heads_have_and_what_does_not_change_the_result():
    config = _config(
        features="frozen", head="mlp", seed=3, label_smoothing=0.1, class_weights="balanced"
    )
    again = dataclasses.replace(config, run_dir="elsewhere", max_minutes=5.0, feature_cache="c")
    assert not changed_flags(config, again, Kind.RESULT, Kind.RESOLVED)


def test_train_config_frozen_of_plain_images_records_that_nothing_was_augmented():
    assert _config(features="frozen").augment == _NOTHING
    assert _config(features="frozen", feature_views=2).augment == AugmentOptions()
    assert TrainConfig.from_json(_config(features="frozen").to_json()).augment == _NOTHING


def test_to_json_any_config_is_read_back_equal():
    config = _config(image_size="480x768", epochs=2.5, deterministic=True)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert (config.height_px, config.width_px) == (480, 768)


def test_from_json_unknown_field_is_refused():
    values = _config().to_json() | {"warp": 9}
    with pytest.raises(OrchardError, match="another version.*warp"):
        TrainConfig.from_json(values)


def test_from_json_file_without_a_newer_flag_takes_its_default():
    values = _config(epochs=3).to_json()
    del values["min_steps"]
    assert TrainConfig.from_json(values) == _config(epochs=3)


def test_height_px_without_image_size_is_what_the_network_was_made_for():
    assert _config(architecture="efficientnet_b7").height_px == 600


def test_changed_flags_of_kind_result_leaves_out_bookkeeping():
    old = _config()
    moved = dataclasses.replace(old, run_dir="elsewhere", max_minutes=5.0, log_every_steps=1)
    assert changed_flags(old, moved, Kind.RESULT) == []
    assert changed_flags(old, dataclasses.replace(old, dropout=0.5), Kind.RESULT) == [
        ("dropout", 0.0, 0.5)
    ]


def test_flag_fields_every_flag_has_a_sentence_and_a_group():
    for flag in TrainConfig.flag_fields():
        assert flag.help.endswith(".") and flag.group in TrainConfig.GROUPS, flag.name


def test_batch_size_without_a_flag_is_32():
    assert _config(batch_size=0).global_batch_size(4) == 32
    assert _config(batch_size=0, batch_size_per_replica=8).global_batch_size(4) == 32
    assert _config(batch_size=0, batch_size_per_replica=3).global_batch_size(2) == 6
