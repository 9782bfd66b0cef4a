"""TrainConfig as absl flags, for the commands that take one (`main`, `preflight`, `preview`)."""

import importlib.resources
from dataclasses import dataclass
from typing import TypeVar

from absl import flags

from orchard.flags import Options, build, option
from trainer.config import EXCLUSIVE_FLAGS, TrainConfig

Config = TypeVar("Config", bound=TrainConfig)


def _choices() -> tuple[str, ...]:
    return ("", *recipes())


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Options, group="bookkeeping"):
    """Where the defaults of the other flags come from."""

    recipe: str = option("", "Defaults for the other flags.", choices=_choices, common=True)


def config_from_flags(values: flags.FlagValues = flags.FLAGS) -> TrainConfig:
    """The TrainConfig of parsed flags; a flag on the command line beats the recipe."""
    return build_with_recipe(TrainConfig, values)


def build_with_recipe(kind: type[Config], values: flags.FlagValues = flags.FLAGS) -> Config:
    """As `config_from_flags`, for a command with a TrainConfig of its own."""
    recipe = build(RecipeOptions, values).recipe
    if recipe:
        _apply_recipe(values, recipe)
    return build(kind, values)


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = importlib.resources.files("trainer") / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".flags") for name in names if name.endswith(".flags"))


def _apply_recipe(values: flags.FlagValues, recipe: str) -> None:
    text = (importlib.resources.files("trainer") / "recipes" / f"{recipe}.flags").read_text()
    for line in text.splitlines():
        if line.startswith("--"):
            name, _, value = line[2:].partition("=")
            if not any(values[other].present for other in _other_ways_to_say(name)):
                values.set_default(name, value)


def _other_ways_to_say(name: str) -> list[str]:
    return [b if name == a else a for a, b in EXCLUSIVE_FLAGS if name in (a, b)]
