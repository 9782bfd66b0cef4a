"""Dataclasses to flags, and back."""

import dataclasses
import enum
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from absl import flags as absl_flags
from hypothesis import given
from hypothesis import strategies as st

from orchard import flags
from orchard.errors import OrchardError
from orchard.flags import Kind, Options, option, required


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Inner(Options, group="looks"):
    color: Color = option(Color.RED, "Color of all.")


@dataclass(frozen=True, kw_only=True)
class Base(Options, group="input"):
    source: str = field(metadata=required("Where from."))
    count: int = option(3, "How many.", at_least=0, at_most=9, kind=Kind.BOOKKEEPING)
    share: float = option(0.5, "What part.", above=0, below=1, common=True)


@dataclass(frozen=True, kw_only=True)
class Config(Base):
    GROUPS = ("looks", "input")

    inner: Inner = field(default_factory=Inner)
    names: tuple[str, ...] = option((), "Which ones.", group="rest")
    column: str | None = option(None, "Which column.", group="rest")
    side_px: int = option(0, "How wide.", group="rest", name="side", at_least=0)
    fast: bool = option(False, "In a hurry.", group="rest")
    mode: str = option("a", "How.", group="rest", choices=lambda: ("a", "b"))

    def check(self):
        super().check()
        if self.fast and self.count:
            raise OrchardError("--fast excludes --count; drop one")


def parsed(*arguments):
    values = absl_flags.FlagValues()
    flags.define(Config, values=values)
    values(["command", *arguments])
    return flags.build(Config, values)


def test_build_nothing_but_required_gives_the_defaults():
    assert parsed("--source=x") == Config(source="x")


def test_build_every_kind_of_flag_is_read():
    built = parsed(
        "--source=x",
        "--count=0",
        "--share=0.25",
        "--names=a,b",
        "--column=c",
        "--side=7",
        "--fast",
        "--mode=b",
        "--color=blue",
    )
    assert built == Config(
        source="x",
        count=0,
        share=0.25,
        names=("a", "b"),
        column="c",
        side_px=7,
        fast=True,
        mode="b",
        inner=Inner(color=Color.BLUE),
    )


def test_build_empty_optional_text_is_none():
    assert parsed("--source=x", "--column=").column is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": ""}, "--source is required: Where from."),
        ({"count": 10}, "--count=10: choose a number from 0 to 9"),
        ({"count": 1.5}, "--count=1.5: a whole number is needed"),
        ({"count": True}, "--count=True: a whole number is needed"),
        ({"share": 0}, "--share=0.0: choose a number above 0 and below 1"),
        ({"share": float("nan")}, "--share=nan: choose a number above 0"),
        ({"share": "half"}, "--share='half': a number is needed"),
        ({"side_px": -1}, "--side=-1: choose a number of at least 0"),
        ({"mode": "c"}, "--mode=c: choose one of a, b"),
        ({"names": "a"}, "--names='a': a list of texts is needed"),
        ({"fast": 1}, "--fast=1: true or false is needed"),
        ({"fast": True}, "--fast excludes --count; drop one"),
        ({"source": "d\udcff"}, r"--source='d\\udcff' is not UTF-8"),
        ({"names": ("a", "b\udcff")}, r"--names='a,b\\udcff' is not UTF-8"),
        ({"source": "a\nb"}, r"--source='a\\nb' has a line break; remove it, or rename what"),
        ({"names": ("a", "b\r")}, r"--names='a,b\\r' has a line break"),
    ],
)
def test_options_impossible_value_is_refused_in_flag_terms(changes, message):
    with pytest.raises(OrchardError, match=message):
        Config(**{"source": "x", **changes})


def test_options_line_break_where_it_is_allowed_is_kept():
    @dataclass(frozen=True, kw_only=True)
    class Columns(Options):
        column: str = option("", "A name in a CSV.", multiline=True)

    assert Columns(column="two\nlines").column == "two\nlines"


def test_options_unknown_enum_value_is_refused_with_the_choices():
    with pytest.raises(OrchardError, match="--color=green: choose one of red, blue"):
        Inner(color="green")
    assert Inner(color="blue").color is Color.BLUE


def test_options_lists_paths_and_whole_numbers_take_their_one_form():
    built = Config(source=pathlib.Path("a/b"), names=["c", pathlib.Path("d")])
    assert (built.source, built.names) == (os.path.join("a", "b"), ("c", "d"))


def test_options_replace_checks_again():
    with pytest.raises(OrchardError, match="--count=-1"):
        dataclasses.replace(Config(source="x"), count=-1)


@given(
    count=st.integers(0, 9),
    share=st.floats(0, 1, exclude_min=True, exclude_max=True),
    names=st.lists(st.text("abc", min_size=1)),
    color=st.sampled_from(Color),
)
def test_of_flags_any_config_survives_the_way_through_flags(count, share, names, color):
    config = Config(source="x", count=count, share=share, names=names, inner=Inner(color=color))
    assert Config.of_flags(config.flags()) == config


def test_flag_fields_bases_come_first_and_nested_last():
    names = [flag.name for flag in Config.flag_fields()]
    assert names == "source count share names column side fast mode color".split()


def test_help_text_common_flags_come_first_then_groups_in_their_order():
    text = flags.help_text("Does it.\n\n    python -m it --source=x", Config)
    places = [
        text.index(part)
        for part in ("Does it", "* --source", "--share", "Looks:", "--color", "Input:", "Rest:")
    ]
    assert places == sorted(places)
    assert text.count("--share") == 1
    assert "red|blue. [red]" in text


def test_reference_has_a_row_for_every_flag():
    markdown = flags.reference(Config)
    rows = [line for line in markdown.splitlines() if line.startswith("| `--")]
    assert len(rows) == len(Config.flag_fields())
    assert "| `--source` | **required** | Where from. |" in rows
    assert r"| `--mode` | `a` | How. a\|b. |" in rows


def test_select_takes_what_both_have():
    @dataclass(frozen=True)
    class Narrow:
        count: int
        extra: int
        missing: int = 5

    assert flags.select(Narrow, Config(source="x"), extra=1) == Narrow(3, 1)


PROGRAM = """
'''Counts.

    python -m counts --source=x
'''
from dataclasses import dataclass, field
from orchard import cli, flags
from orchard.flags import Options, option, required

@dataclass(frozen=True, kw_only=True)
class Config(Options, group="input"):
    source: str = field(metadata=required("Where from."))
    count: int = option(3, "How many.")

cli.run(lambda: print(flags.build(Config)), Config)
"""


def run(tmp_path, *arguments):
    (tmp_path / "counts.py").write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, "-m", "counts", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )


def test_parse_help_ends_with_status_zero(tmp_path):
    done = run(tmp_path, "--help")
    assert done.returncode == 0 and done.stdout.startswith("Counts.\n\n    python -m counts")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--count=x", "error: --count=x: a whole number is needed"),
        ("--cuont=1", "error: Unknown command line flag 'cuont'"),
        ("--flagfile=nowhere", "error: "),
        ("--plugins=no_such.module", "error: --plugins=no_such.module cannot be imported (Module"),
    ],
)
def test_parse_bad_command_line_is_one_line(tmp_path, argument, message):
    done = run(tmp_path, "--source=x", argument)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
