"""Progress bars: on a terminal they live, in a log they are a line now and then."""

import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

# How often a bar is drawn anew: on a terminal it moves, in a log file every drawing is a line.
_TERMINAL_INTERVAL_SECONDS = 0.1
_LOG_INTERVAL_SECONDS = 30
# A rate of less time than this is noise.
_MIN_SECONDS_OF_RATE = 1.0
_WITHOUT_RATE = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class Progress(tqdm):
    """tqdm as all commands show it; takes what tqdm takes."""

    monitor_interval = 0  # No monitor thread: a process that has threads cannot fork safely.

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        terminal = sys.stderr.isatty()
        kwargs.setdefault("dynamic_ncols", terminal)
        kwargs.setdefault(
            "mininterval", _TERMINAL_INTERVAL_SECONDS if terminal else _LOG_INTERVAL_SECONDS
        )
        super().__init__(*args, **kwargs)

    @property
    def format_dict(self) -> MutableMapping[str, Any]:
        """What the bar shows: no rate before there is one."""
        shown = super().format_dict
        if not shown["bar_format"] and (shown["elapsed"] or 0) < _MIN_SECONDS_OF_RATE:
            shown["bar_format"] = _WITHOUT_RATE
        return shown


class Bar:
    """Counts images and bytes."""

    def __init__(self, bar: tqdm) -> None:
        self._bar = bar
        self.num_bytes = 0

    def add(self, images: int, num_bytes: int = 0) -> None:
        """Count `images` more, which have `num_bytes` together; 0: only images are counted."""
        self.num_bytes += num_bytes
        if self.num_bytes:
            self._show_bytes()
        self._bar.update(images)

    def _show_bytes(self) -> None:
        seconds = self._bar.format_dict["elapsed"] or 0
        text = f"{self.num_bytes / 1e6:.1f} MB"
        if seconds >= _MIN_SECONDS_OF_RATE:
            text = f"{self.num_bytes / 1e6 / seconds:.1f} MB/s"
        self._bar.set_postfix_str(text, refresh=False)

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.write(line, file=sys.stdout)


@contextmanager
def bar(title: str, total_images: int) -> Iterator[Bar]:
    """Show a bar over `total_images` on stderr while the block runs."""
    with Progress(desc=title, total=total_images, unit=" images") as display:
        yield Bar(display)
