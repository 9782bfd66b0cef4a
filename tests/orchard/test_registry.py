import importlib
import sys
import threading

import pytest

from orchard.errors import OrchardError

_COLORS = """
from orchard.registry import Registry

COLORS = Registry("color", package="colors.members")
"""
_MEMBER = """
from colors import COLORS

COLORS.register({name!r})({value})
"""


@pytest.fixture
def colors(tmp_path, monkeypatch):
    """A registry whose own members are "amber" and "blue"."""
    members = tmp_path / "colors" / "members"
    members.mkdir(parents=True)
    (tmp_path / "colors" / "__init__.py").write_text(_COLORS)
    (members / "__init__.py").write_text("")
    # The file names decide on the order.
    (members / "first.py").write_text(_MEMBER.format(name="blue", value=1))
    (members / "second.py").write_text(_MEMBER.format(name="amber", value=2))
    monkeypatch.syspath_prepend(tmp_path)
    import colors

    yield colors.COLORS
    for name in [name for name in sys.modules if name.partition(".")[0] == "colors"]:
        del sys.modules[name]


def test_names_are_those_of_the_folder_in_the_order_of_its_files(colors):
    assert colors.names() == ("blue", "amber")
    assert tuple(colors) == ("blue", "amber")
    assert colors.items() == (("blue", 1), ("amber", 2))


def test_getitem_known_name_is_the_member(colors):
    assert colors["amber"] == 2
    assert "amber" in colors and "cyan" not in colors


def test_getitem_unknown_name_lists_the_choices(colors):
    with pytest.raises(OrchardError) as caught:
        colors["cyan"]
    assert str(caught.value) == (
        "'cyan' is no color; choose one of blue, amber, or name the module that registers it in "
        "--plugins"
    )


def test_register_before_first_use_comes_after_our_own(colors):
    colors.register("cyan")(3)
    assert colors.names() == ("blue", "amber", "cyan")


def test_register_after_first_use_comes_last(colors):
    colors.names()
    assert colors.register("cyan")(3) == 3
    assert colors.names() == ("blue", "amber", "cyan")


@pytest.mark.parametrize("before_first_use", [True, False])
def test_register_taken_name_is_refused(colors, before_first_use):
    if not before_first_use:
        colors.names()
    with pytest.raises(OrchardError, match="^the color 'blue' is registered twice; give yours"):
        colors.register("blue")(3)
        colors.names()


def test_names_asked_for_by_many_threads_are_whole_in_each(colors, tmp_path):
    slow = _MEMBER.format(name="slow", value=0) + "import time\ntime.sleep(0.2)\n"
    (tmp_path / "colors" / "members" / "a_slow_one.py").write_text(slow)
    found = []
    threads = [threading.Thread(target=lambda: found.append(colors.names())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [("slow", "blue", "amber")] * 4


def test_names_of_a_module_imported_before_are_where_its_file_is(colors, tmp_path):
    text = "from colors import COLORS\n\n@COLORS.register({name!r})\ndef {name}(): ...\n"
    for file, name in (("abc", "red"), ("xyz", "violet")):
        path = tmp_path / "colors" / "members" / f"{file}_color.py"
        path.write_text(text.format(name=name))
    importlib.import_module("colors.members.xyz_color")
    assert colors.names() == ("red", "violet", "blue", "amber")
