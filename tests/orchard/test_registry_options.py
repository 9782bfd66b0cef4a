import dataclasses
from dataclasses import dataclass

import pytest

from orchard.errors import OrchardError
from orchard.flags import Options, option
from orchard.registry import Registry
from orchard.registry_options import RegistryOptions

EFFECTS: Registry[type[Options]] = Registry("effect", "tests.orchard.effects")


@EFFECTS.register("blur")
@dataclass(frozen=True, kw_only=True)
class Blur(Options):
    blur_px: float = option(0.0, "Radius.", at_least=0)


@EFFECTS.register("noise")
@dataclass(frozen=True, kw_only=True)
class Noise(Options):
    noise: float = option(0.1, "Spread.")
    grain_px: int = option(1, "Size.")


@dataclass(frozen=True, init=False, repr=False)
class EffectOptions(RegistryOptions[Options]):
    registry = EFFECTS


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    name: str = option("", "Name.")
    effects: EffectOptions = dataclasses.field(default_factory=EffectOptions)


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    monkeypatch.setattr(EFFECTS, "_loaded", True)


def test_registry_options_fields_of_all_members_are_flat():
    options = EffectOptions(blur_px=2, grain_px=3)
    assert (options.blur_px, options.noise, options.grain_px) == (2.0, 0.1, 3)
    assert options[Noise] == Noise(grain_px=3)
    assert options.flags() == {"blur_px": 2.0, "noise": 0.1, "grain_px": 3}
    assert repr(options) == "EffectOptions(blur_px=2.0, grain_px=3)"


def test_registry_options_nested_in_options_are_among_their_flags():
    assert [f.name for f in Config.flag_fields()] == ["name", "blur_px", "noise", "grain_px"]
    config = Config(name="x", effects=EffectOptions(noise=0.5))
    assert Config.of_flags(config.flags()) == config


def test_registry_options_member_registered_later_is_one_of_them(monkeypatch):
    monkeypatch.setattr(EFFECTS, "_members", dict(EFFECTS.items()))

    @EFFECTS.register("tint")
    @dataclass(frozen=True, kw_only=True)
    class Tint(Options):
        tint: float = option(0.0, "How much.")

    assert EffectOptions(tint=0.5)[Tint].tint == 0.5


@pytest.mark.parametrize(
    "values, message",
    [
        ({"blur_px": -1}, "--blur_px=-1.0: choose a number"),
        ({"sepia": 1}, "--sepia is an option of no effect; .*--plugins"),
    ],
)
def test_registry_options_impossible_value_is_refused(values, message):
    with pytest.raises(OrchardError, match=message):
        EffectOptions(**values)


def test_registry_options_unknown_attribute_raises_attribute_error():
    with pytest.raises(AttributeError, match="EffectOptions has no attribute 'sepia'"):
        _ = EffectOptions().sepia
