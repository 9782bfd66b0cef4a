import pytest
from absl import flags

from orchard.errors import OrchardError
from orchard.flags import define
from trainer import command_line
from trainer.config import TrainConfig

_NEEDED = ["--dataset=d", "--run_dir=r", "--architecture=mobilenet_v2"]


def _config(*arguments):
    values = flags.FlagValues()
    define(TrainConfig, command_line.RecipeOptions, values=values)
    values(["main", *_NEEDED, *arguments])
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


def test_config_from_flags_unknown_recipe_is_refused_with_the_names():
    with pytest.raises(OrchardError, match="--recipe=slow: choose one of article, best"):
        _config("--recipe=slow")
