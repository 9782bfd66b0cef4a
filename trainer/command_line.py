"""TrainConfig as absl flags, for the commands that take one (`main`, `preflight`)."""

import importlib.resources
from collections.abc import Callable

from absl import flags

from orchard.errors import OrchardError
from trainer.config import TrainConfig, config_of_flags, flag_fields
from trainer.config_checks import EXCLUSIVE_FLAGS

_DEFINE: dict[type, Callable] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define --recipe and one flag for each field of TrainConfig and its augmentation."""
    names = ", ".join(recipes())
    flags.DEFINE_string("recipe", "", f"Defaults for the other flags: {names}.", values)
    for field in flag_fields():
        help_text, choices = field.metadata["help"], field.metadata["choices"]
        if choices:
            help_text = f"{help_text} {'|'.join(c for c in choices if c)}."
        _DEFINE[field.type](field.name, field.default, help_text, flag_values=values)


def config_from_flags(values: flags.FlagValues) -> TrainConfig:
    """The TrainConfig of parsed flags; a flag on the command line beats the recipe."""
    if values.recipe:
        _apply_recipe(values, values.recipe)
    return config_of_flags({field.name: values[field.name].value for field in flag_fields()})


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = importlib.resources.files("trainer") / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".flags") for name in names if name.endswith(".flags"))


def _apply_recipe(values: flags.FlagValues, recipe: str) -> None:
    if recipe not in recipes():
        raise OrchardError(f"--recipe={recipe} must be one of {', '.join(recipes())}")
    text = (importlib.resources.files("trainer") / "recipes" / f"{recipe}.flags").read_text()
    for line in text.splitlines():
        if line.startswith("--"):
            name, _, value = line[2:].partition("=")
            if not any(values[other].present for other in _other_ways_to_say(name)):
                values.set_default(name, value)


def _other_ways_to_say(name: str) -> list[str]:
    return [b if name == a else a for a, b in EXCLUSIVE_FLAGS if name in (a, b)]
