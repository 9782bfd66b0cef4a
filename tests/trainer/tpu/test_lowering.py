import keras
import pytest
import tensorflow as tf

from trainer.config import TrainConfig
from trainer.tpu.lowering import Labels, StepLowering

LABELS = Labels(num_classes=3, task="single_label")


@keras.saving.register_keras_serializable("tests")
class CountsPositives(keras.layers.Layer):
    """What a TPU cannot do: a shape that depends on the pixels."""

    def call(self, inputs):
        found = tf.cast(tf.shape(tf.where(inputs > 0))[0], inputs.dtype)
        return inputs + 0 * found


def _backbone(tmp_path, *layers):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, name="stem")(x)
    for layer in (*layers, keras.layers.GlobalAveragePooling2D()):
        x = layer(x)
    path = tmp_path / "backbone.keras"
    keras.Model(inputs, x).save(path)
    return str(path)


def _config(architecture, **kwargs):
    kwargs = {"image_size": "16", "batch_size_per_replica": 4, **kwargs}
    return TrainConfig(dataset="none", run_dir="none", architecture=architecture, **kwargs)


def test_step_lowering_of_any_batch_size_gives_a_program(tmp_path):
    lowering = StepLowering(_config(_backbone(tmp_path), optimizer="sgd"), LABELS)
    programs = [lowering.lower(batch_size, 2) for batch_size in (2, 8)]
    assert all(lowered.program and not lowered.problems for lowered in programs)
    # 7 x 7 x 8 of the stem and 3 logits, in bfloat16.
    assert lowering.activation_bytes_per_image == 2 * (7 * 7 * 8 + 3)


@pytest.mark.parametrize(
    "flags",
    [
        {"accumulation_steps": 2, "clip_norm": 1.0, "ema_momentum": 0.9, "dropout": 0.2},
        {"class_weights": "balanced", "loss": "focal", "optimizer": "lamb", "weight_decay": 0.01},
        {"freeze_epochs": 1.0, "layer_decay": 0.7, "batch_norm": "frozen", "precision": "float32"},
    ],
    ids=["accumulated", "weighted", "fine-tuned"],
)
def test_step_lowering_of_any_flags_has_no_problems(tmp_path, flags):
    lowered = StepLowering(_config(_backbone(tmp_path), **flags), LABELS).lower(8, 2)
    assert not lowered.problems
    assert lowered.program


def test_step_lowering_of_many_labels_gives_a_program(tmp_path):
    labels = Labels(num_classes=5, task="multi_label")
    assert StepLowering(_config(_backbone(tmp_path)), labels).lower(8, 2).program


def test_step_lowering_of_a_layer_that_no_tpu_runs_names_it(tmp_path):
    config = _config(_backbone(tmp_path, CountsPositives(name="odd")))
    lowered = StepLowering(config, LABELS).lower(8, 2)
    assert not lowered.program
    (problem,) = lowered.problems
    assert problem.startswith("Where gives a shape that depends on the data: in ")
    assert "/odd" in problem
    assert "test_lowering.py:" in problem
