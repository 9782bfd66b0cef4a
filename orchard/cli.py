"""How every command starts and ends: parse flags, run, report an error in one line, exit."""

import functools
import io
import os
import select
import sys
from collections.abc import Callable
from types import TracebackType

from absl import app, flags

from orchard import ctrl_c, storage, tensorflow_start
from orchard.ctrl_c import EXIT_INTERRUPTED, INTERRUPTED
from orchard.errors import OrchardError
from orchard.flags import Options, parse

EXIT_BAD_INPUT = 1
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE, what they report for `command | head -1`.
_NO_TENSORFLOW = (
    "TensorFlow is not installed here; run, where Orchard's setup.py is: "
    "pip install -e '.[tensorflow]' (with a GPU '.[gpu]', on a TPU VM '.[tpu]')"
)


def run(main: Callable[[], int | None], *options: type[Options]) -> None:
    """Define and parse the flags of `options` and run `main()`; user errors are one line on stderr.

    A leading `~/` in a flag's value, or in an item of a list, becomes the home folder: neither the
    shell (in `--name=~/x`) nor a flagfile expands it.

    Exit status: what `main` returns (None is 0), 1 after an `OrchardError`, 130 after Ctrl-C, 141
    when the reader of its output is gone. Any other exception is a bug and keeps its traceback.
    """
    tensorflow_start.prepare()
    # Ids come from anywhere: show characters that the terminal cannot encode as escapes.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # For a Ctrl-C before or after `main`, such as while Python waits for threads to end.
    sys.excepthook = _end_quietly
    app.run(functools.partial(_guarded, main), flags_parser=functools.partial(_parse, options))


def _parse(options: tuple[type[Options], ...], argv: list[str]) -> list[str]:
    try:
        return parse(argv, *options, summary=sys.modules["__main__"].__doc__ or "")
    except OrchardError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def _guarded(main: Callable[[], int | None], argv: list[str]) -> int | None:
    try:
        ctrl_c.begin()
        if len(argv) > 1:
            raise OrchardError(f"{argv[1]!r} is not a flag; write every flag as --name=value")
        _expand_home(flags.FLAGS)
        status = main()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        return EXIT_BROKEN_PIPE
    except Exception as error:
        line = _explained(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return EXIT_BAD_INPUT


def _expand_home(values: flags.FlagValues) -> None:
    def expanded(value: object) -> object:
        if isinstance(value, list):
            return [expanded(item) for item in value]
        if isinstance(value, str) and value.startswith("~/"):
            return os.path.expanduser(value)
        return value

    for name in values:
        values[name].value = expanded(values[name].value)


def _explained(error: Exception) -> str | None:
    """The one line for an error that the user can fix; None for a bug."""
    if isinstance(error, OrchardError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
        return _NO_TENSORFLOW
    if isinstance(error, UnicodeEncodeError):
        near = error.object[max(0, error.start - 30) : error.end + 30]
        return (
            f"{near!r} cannot be written in {error.encoding} ({error.reason}); name files, ids and "
            "flags in UTF-8, and run in a locale of UTF-8, such as LC_ALL=C.UTF-8"
        )
    return storage.explain(error)


def _reader_is_gone() -> bool:
    """Whether stdout or stderr is a pipe that nobody reads; further output is then discarded."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        poll.register(stream.fileno(), 0)
    gone = [handle for handle, _ in poll.poll(0)]
    for handle in gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), handle)
    return bool(gone)


def _end_quietly(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print(INTERRUPTED, file=sys.stderr)
    sys.exit(EXIT_INTERRUPTED)
