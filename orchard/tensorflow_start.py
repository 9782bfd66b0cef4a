"""How TensorFlow starts within a command: at once, and without a word.

Its import takes half as long where Python's garbage collector waits for its end, and where Keras
and TensorFlow Lite do not load scikit-learn, SciPy, Matplotlib and jax for what no command uses.
On the way, and when it first looks for a GPU, TensorFlow prints lines that look like a failure on
a machine without one. Parts of it print before any setting of its own is read, so these lines are
dropped where they are written to.
"""

import contextlib
import gc
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from orchard import start_filter

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ITS_ERRORS_ALONE = "2"
# For `keras.wrappers`, `keras.visualization`, a converter of jax's functions and sparse matrices in
# an old `fit`. All are optional there; whoever imports them otherwise, or later, gets them.
_NOT_NEEDED = ("jax", "matplotlib", "scipy", "sklearn")
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg")


def prepare() -> None:
    """The next import of TensorFlow is quick and silent; a command calls this before it begins.

    Whoever sets TF_CPP_MIN_LOG_LEVEL to 0 or 1 sees all that TensorFlow prints.
    """
    level = os.environ.setdefault(_LOG_LEVEL, _ITS_ERRORS_ALONE)
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Start(silent=level not in ("0", "1")))


class _Start(MetaPathFinder, Loader):
    """Finds TensorFlow as others do, and is there when it is loaded."""

    def __init__(self, silent: bool):
        self._silent = silent
        self._is_looking = False
        self._loader: Loader | None = None
        self._thread = 0  # Of the import.

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _NOT_NEEDED and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        if fullname != "tensorflow" or self._is_looking:
            return None
        self._is_looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._is_looking = False
        if spec is not None and spec.loader is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        assert self._loader is not None
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert self._loader is not None and module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._thread = threading.get_ident()
        try:
            with _dropping_its_lines() if self._silent else contextlib.nullcontext():
                with _without_collections():
                    self._loader.exec_module(module)
                if module.test.is_built_with_cuda():
                    module.config.list_physical_devices("GPU")  # It says so where there is none.
        finally:
            self._thread = 0
            sys.meta_path.remove(self)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """What is made stays; it is looked through neither meanwhile nor afterward."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _dropping_its_lines() -> Iterator[None]:
    """Stderr of this process goes through `start_filter`, which outlives whatever ends it."""
    if sys.stderr is None:
        yield
        return
    stderr = os.dup(2)
    reader, writer = os.pipe()
    try:
        # In a session of its own: Ctrl-C is not for it. It ends when nobody can write any more.
        filtering = subprocess.Popen(
            [sys.executable, "-I", "-S", start_filter.__file__, *_patterns()],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:  # No process is to be had.
        os.close(writer)
        os.close(stderr)
        yield
        return
    finally:
        os.close(reader)
    sys.stderr.flush()
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        # Later lines come after these; a process that was started meanwhile may hold its end open.
        with contextlib.suppress(subprocess.TimeoutExpired):
            filtering.wait(timeout=2)


def _patterns() -> list[str]:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not any(map(os.path.exists, _GPU_FILES)):
        return [start_filter.NO_GPU]
    return []
