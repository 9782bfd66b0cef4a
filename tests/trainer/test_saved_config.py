import dataclasses

import pytest

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Resolved
from trainer.config import TrainConfig
from trainer.saved_config import SavedConfig

_RESOLVED = Resolved(
    train_split="fold1+fold2",
    eval_split="fold0",
    batch_size=8,
    eval_batch_size=8,
    learning_rate=0.01,
    warmup_steps=0.0,
    total_steps=18,
    image_size="16x16",
    precision="float32",
    best_metric="accuracy",
    order="permutation",
)


@pytest.fixture
def saved(tmp_path):
    config = TrainConfig(
        dataset="data", run_dir=str(tmp_path), architecture="mobilenet_v2", batch_size=8
    )
    return SavedConfig(config, _RESOLVED)


def test_load_saved_one_is_equal(saved):
    saved.save()
    assert SavedConfig.load(saved.config.run_dir) == saved


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda values: values.pop("resolved"), "was damaged or edited: 'resolved'"),
        (lambda values: values["resolved"].pop("order"), "resolved.order is missing"),
        (lambda values: values["resolved"].update(batch_size="8"), "resolved.batch_size is '8'"),
        (lambda values: values.update(warp=9), "of another version .*warp"),
    ],
)
def test_load_damaged_file_is_refused_in_one_line(saved, damage, message):
    saved.save()
    path = storage.join(saved.config.run_dir, "config.json")
    values = storage.read_json(path)
    damage(values)
    storage.write_json(path, values)
    with pytest.raises(OrchardError, match=message) as caught:
        SavedConfig.load(saved.config.run_dir)
    assert "\n" not in str(caught.value)


def test_changes_to_names_flags_and_resolved_values_that_differ(saved):
    config = dataclasses.replace(saved.config, dropout=0.5, log_every_steps=1)
    new = SavedConfig(config, dataclasses.replace(_RESOLVED, total_steps=20))
    assert saved.changes_to(new) == [
        ("dropout", saved.config.dropout, 0.5),
        ("total_steps", 18, 20),
    ]
    assert saved.changes_to(saved) == []
