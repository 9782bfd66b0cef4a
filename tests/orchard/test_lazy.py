import sys

import pytest

from orchard.lazy import lazy_import

_DOOR = """
from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from room import table
    from room.chair import SEAT, sit
    from room.window import open_window

__all__ = ["SEAT", "open_window", "sit", "table"]
__getattr__, __dir__ = attach(__name__)
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A package with a lazy door; its module `window` cannot be imported."""
    folder = tmp_path / "room"
    folder.mkdir()
    (folder / "__init__.py").write_text(_DOOR)
    (folder / "chair.py").write_text("SEAT = object()\ndef sit(): return 'sitting'\n")
    (folder / "table.py").write_text("LEGS = 4\n")
    (folder / "window.py").write_text("raise RuntimeError('needs a library')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import room

    yield room
    for name in [name for name in sys.modules if name.partition(".")[0] == "room"]:
        del sys.modules[name]


def test_attach_imports_nothing_before_a_name_is_used(room):
    assert not [name for name in sys.modules if name.startswith("room.")]


def test_attach_name_imports_its_module_alone(room):
    assert room.sit() == "sitting"
    assert [name for name in sys.modules if name.startswith("room.")] == ["room.chair"]


def test_attach_name_is_the_same_object_every_time(room):
    assert room.SEAT is room.SEAT
    assert vars(room)["SEAT"] is room.SEAT


def test_attach_submodule_is_imported_by_from_import(room):
    from room import table

    assert table.LEGS == 4


def test_attach_unknown_name_is_an_attribute_error(room):
    with pytest.raises(AttributeError, match="module 'room' has no attribute 'door'"):
        _ = room.door


def test_attach_error_of_an_exported_module_is_raised_when_its_name_is_used(room):
    with pytest.raises(RuntimeError, match="needs a library"):
        _ = room.open_window


def test_attach_dir_lists_the_exports(room):
    assert {"SEAT", "open_window", "sit", "table"} <= set(dir(room))


def test_lazy_import_imports_at_the_first_attribute(tmp_path, monkeypatch):
    (tmp_path / "slow_library.py").write_text("ANSWER = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    library = lazy_import("slow_library")
    assert "slow_library" not in sys.modules
    assert library.ANSWER == 42
    assert "slow_library" in sys.modules
    monkeypatch.delitem(sys.modules, "slow_library")


def test_lazy_import_missing_module_is_an_error_at_the_first_attribute():
    library = lazy_import("no_such_library")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        _ = library.anything
