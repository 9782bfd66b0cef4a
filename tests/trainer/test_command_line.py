import pytest
from absl import flags

from orchard.errors import OrchardError
from trainer import command_line

_NEEDED = ["--dataset=d", "--run_dir=r", "--architecture=mobilenet_v2"]


def _config(*arguments):
    values = flags.FlagValues()
    command_line.define_flags(values)
    values(["main", *_NEEDED, *arguments])
    return command_line.config_from_flags(values)


def test_flags_become_a_config():
    config = _config(
        "--batch_size=8",
        "--epochs=2.5",
        "--deterministic",
        "--image_size=48x64",
        "--mixup_alpha=0.2",
    )
    assert config.epochs == 2.5 and config.deterministic and config.width_px == 64
    assert config.augment.mixup_alpha == 0.2


def test_a_recipe_gives_defaults_that_the_command_line_beats():
    recipe = _config("--recipe=smoke")
    assert recipe.epochs == 2 and recipe.batch_size_per_replica == 16
    assert _config("--recipe=smoke", "--epochs=3").epochs == 3


def test_another_way_to_say_it_beats_the_recipe_too():
    config = _config("--recipe=smoke", "--batch_size=8")
    assert config.batch_size == 8 and config.batch_size_per_replica == 0


@pytest.mark.parametrize("name", command_line.recipes())
def test_every_recipe_is_a_config(name):
    assert _config(f"--recipe={name}") != _config("--batch_size=8")


def test_recipes_that_are_not_there_are_refused_with_those_that_are():
    with pytest.raises(OrchardError, match="--recipe=slow must be one of article, best"):
        _config("--recipe=slow")
