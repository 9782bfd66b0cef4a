import pytest
from absl import flags

from orchard.errors import OrchardError
from orchard.flags import define
from trainer import command_line
from trainer.config import TrainConfig

_NEEDED = ["--dataset=d", "--run_dir=r", "--architecture=mobilenet_v2"]


def _config(*arguments, needed=_NEEDED):
    values = flags.FlagValues()
    define(TrainConfig, command_line.RecipeOptions, values=values)
    values(["main", *needed, *arguments])
    return command_line.config_from_flags(values)


def test_config_from_flags_given_flags_are_its_fields():
    config = _config(
        "--batch_size=8",
        "--epochs=2.5",
        "--deterministic",
        "--image_size=48x64",
        "--mixup_alpha=0.2",
    )
    assert config.epochs == 2.5 and config.deterministic and config.width_px == 64
    assert config.augment.mixup_alpha == 0.2


def test_config_from_flags_recipe_gives_defaults_only():
    recipe = _config("--recipe=smoke")
    assert recipe.epochs == 2 and recipe.batch_size_per_replica == 16
    assert _config("--recipe=smoke", "--epochs=3").epochs == 3


def test_config_from_flags_exclusive_flag_beats_the_recipe():
    config = _config("--recipe=smoke", "--batch_size=8")
    assert config.batch_size == 8 and config.batch_size_per_replica == 0


@pytest.mark.parametrize("name", command_line.recipes())
def test_config_from_flags_every_recipe_is_valid(name):
    assert _config(f"--recipe={name}") != _config("--batch_size=8")


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ("--epochs=3", (3, 0, 0)),
        ("--min_steps=900", (5, 900, 60)),
        ("--budget=600steps", (10, 0, 0)),
        ("--dropout=0.5", (5, 300, 60)),
    ],
)
def test_config_from_flags_length_that_is_given_is_not_stretched_by_the_recipe(given, length):
    config = _config("--recipe=fast", given)
    assert (config.epochs, config.min_steps, config.max_epochs) == length


def test_config_from_flags_unknown_recipe_is_refused_with_the_names():
    with pytest.raises(OrchardError, match="--recipe=slow: choose one of article, auto, best"):
        _config("--recipe=slow")


def test_config_from_flags_auto_recipe_is_chosen_by_the_data_and_said(tiny_dataset, capsys):
    config = _config(
        "--recipe=auto", "--accelerator=cpu", needed=[f"--dataset={tiny_dataset}", "--run_dir=r"]
    )
    assert (config.architecture, config.image_size) == ("efficientnet_b0", "64")
    assert (config.batch_size, config.epochs, config.min_steps) == (8, 5, 300)
    assert config.optimizer == "adamw"  # As in --recipe=fast.
    assert capsys.readouterr().out == (
        "--recipe=auto: 54 rows of 16 px on cpu: --architecture=efficientnet_b0 --image_size=64 "
        "--batch_size=8, the rest as --recipe=fast\n"
    )


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ("--architecture=mobilenet_v2", "architecture", "mobilenet_v2"),
        ("--image_size=96", "image_size", "96"),
        ("--batch_size_per_replica=4", "batch_size", 0),
    ],
)
def test_config_from_flags_given_flag_beats_the_auto_recipe(
    tiny_dataset, capsys, given, name, value
):
    needed = [f"--dataset={tiny_dataset}", "--run_dir=r"]
    config = _config("--recipe=auto", "--accelerator=cpu", given, needed=needed)
    assert getattr(config, name) == value
    said = capsys.readouterr().out
    assert given.partition("=")[0] + "=" not in said and f"--{name}=" not in said


def test_config_from_flags_auto_recipe_on_a_tpu_gives_the_batch_of_a_replica(tiny_dataset):
    needed = [f"--dataset={tiny_dataset}", "--run_dir=r"]
    config = _config("--recipe=auto", "--accelerator=tpu", needed=needed)
    assert (config.batch_size, config.batch_size_per_replica) == (0, 16)
