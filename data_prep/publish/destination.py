"""The place where a local dataset appears by one rename, and what may be in its way."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import DATASET_INFO_FILE, FEATURES_FILE, MANIFEST_FILE

# Any of them shows that a folder holds a dataset, of ours or of TFDS, whole or not.
_MARKS = (FEATURES_FILE, MANIFEST_FILE, DATASET_INFO_FILE)
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def check(root: str, final_dir: str, overwrite: bool) -> None:
    """Find what would keep `take` from working, before hours go into a dataset.

    Args:
        root: the existing folder in which the dataset will grow.
        final_dir: the place that it will take.
        overwrite: whether it may replace a dataset.

    Raises:
        OrchardError: something else is there, or nothing can be renamed to there.
    """
    parent = os.path.dirname(final_dir)
    with _translate_errors(final_dir):
        _refuse_occupied(final_dir, overwrite)
        # Where there is no such folder yet, it will be beside the staging area.
        if os.path.lexists(parent):
            _try_rename(os.path.join(root, "probe"), parent)


def take(files_dir: str, final_dir: str, old_dir: str, overwrite: bool) -> None:
    """Rename `files_dir` to `final_dir`; a dataset that it replaces goes to `old_dir`.

    Raises:
        OrchardError: something else is there; what was there before is there still.
    """
    with _translate_errors(final_dir):
        os.makedirs(os.path.dirname(final_dir), exist_ok=True)
        _refuse_occupied(final_dir, overwrite)
        replaces = overwrite and os.path.isdir(final_dir)
        if replaces:
            storage.remove_tree(old_dir)
            os.rename(final_dir, old_dir)
        try:
            os.rename(files_dir, final_dir)
        except OSError:
            if replaces:
                os.rename(old_dir, final_dir)
            raise
        storage.sync(os.path.dirname(final_dir))


def _refuse_occupied(final_dir: str, overwrite: bool) -> None:
    names = storage.list_names(final_dir)
    if FEATURES_FILE in names:
        return  # Whether a finished dataset may be replaced is decided elsewhere.
    if os.path.islink(final_dir) or (os.path.exists(final_dir) and not os.path.isdir(final_dir)):
        found = "is a link or a file"
    elif not names:
        return
    elif any(mark in names for mark in _MARKS):
        if overwrite:
            return
        raise OrchardError(
            f"{final_dir} holds a dataset that is not whole, without {FEATURES_FILE}; pass "
            "--overwrite to write it again, or choose another --version"
        )
    else:
        found = f"holds {len(names)} files and no dataset, the first is {names[0]!r}"
    raise OrchardError(f"{final_dir} {found}; remove it, or choose another --version")


def _try_rename(probe: str, parent: str) -> None:
    """Rename an empty folder, as the dataset's own will be."""
    os.makedirs(probe, exist_ok=True)
    try:
        moved = os.path.join(parent, f".probe.{os.getpid()}")
        os.rename(probe, moved)
        probe = moved
    finally:
        os.rmdir(probe)


@contextmanager
def _translate_errors(final_dir: str) -> Iterator[None]:
    """Raise one line that fits for what the file system refuses at the dataset's place."""
    parent = os.path.dirname(final_dir)
    try:
        yield
    except OSError as error:
        advice = "choose another --data_dir"
        if error.errno == errno.EXDEV:
            reason = "is on another disk than --data_dir, and no rename leads from disk to disk"
            advice = "choose a --data_dir on that disk"
        elif error.errno in _OCCUPIED and not os.path.isdir(parent):
            reason, advice = "is no folder", "remove it, or choose another --name"
        else:
            reason = f"does not take a dataset ({error.strerror})"
        raise OrchardError(f"{parent} {reason}; {advice}") from error
