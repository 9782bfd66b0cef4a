"""TrainConfig as absl flags, for the commands that take one (`main`, `preflight`, `preview`)."""

import importlib.resources
from dataclasses import dataclass
from typing import TypeVar

from absl import flags

from orchard.flags import Options, build, option
from trainer.config import EXCLUSIVE_FLAGS, TrainConfig
from trainer.runtime import HardwareOptions

Config = TypeVar("Config", bound=TrainConfig)


# Not a file: what it says depends on the data and the device.
AUTO_RECIPE = "auto"


def _choices() -> tuple[str, ...]:
    return ("", *sorted([AUTO_RECIPE, *recipes()]))


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Options, group="bookkeeping"):
    """Where the defaults of the other flags come from."""

    recipe: str = option(
        "",
        "Defaults for the other flags; auto: chosen by the data and the device.",
        choices=_choices,
        common=True,
    )


def config_from_flags(values: flags.FlagValues = flags.FLAGS) -> TrainConfig:
    """The TrainConfig of parsed flags; a flag on the command line beats the recipe."""
    return build_with_recipe(TrainConfig, values)


def build_with_recipe(kind: type[Config], values: flags.FlagValues = flags.FLAGS) -> Config:
    """As `config_from_flags`, for a command with a TrainConfig of its own."""
    recipe = build(RecipeOptions, values).recipe
    if recipe == AUTO_RECIPE:
        _apply_auto(values)
    elif recipe:
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
            _set_default(values, name, value)


def _set_default(values: flags.FlagValues, name: str, value: str) -> bool:
    """Set what was not given; returns whether it was set."""
    if values[name].present or any(values[other].present for other in _other_ways_to_say(name)):
        return False
    values.set_default(name, value)
    return True


def _apply_auto(values: flags.FlagValues) -> None:
    # It reads images and looks for devices, which nothing else here needs.
    from trainer import auto_recipe

    _apply_recipe(values, auto_recipe.BASE_RECIPE)
    facts = auto_recipe.facts_of(values.dataset, build(HardwareOptions, values))
    chosen = auto_recipe.choose(facts, values.architecture)
    if "batch_size_per_replica" in chosen and not values["batch_size"].present:
        values.set_default("batch_size", "0")  # The base recipe's.
    used = {name: value for name, value in chosen.items() if _set_default(values, name, value)}
    print(auto_recipe.describe(facts, used))


def _other_ways_to_say(name: str) -> list[str]:
    others = [b if name == a else a for a, b in EXCLUSIVE_FLAGS if name in (a, b)]
    # Whoever says the epochs does not want more of them for the sake of a recipe's steps.
    return others + ["epochs"] * (name in ("min_steps", "max_epochs"))
