"""Bars with images/s, MB/s and time left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

# A terminal gets a living bar; a log file a line now and then.
_LOG_INTERVAL_SECONDS = 30


class Bar:
    """Counts images and bytes on a tqdm bar."""

    def __init__(self, bar: tqdm) -> None:
        self._bar = bar
        self.num_bytes = 0

    def add(self, images: int, num_bytes: int) -> None:
        """Count `images` more, of `num_bytes` together."""
        self.num_bytes += num_bytes
        seconds = self._bar.format_dict["elapsed"] or 1e-9
        self._bar.set_postfix_str(f"{self.num_bytes / 1e6 / seconds:.1f} MB/s", refresh=False)
        self._bar.update(images)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.write(line, file=sys.stdout)


@contextmanager
def bar(what: str, total_images: int) -> Iterator[Bar]:
    """A bar over `total_images`, on stderr."""
    terminal = sys.stderr.isatty()
    with tqdm(
        desc=what,
        total=total_images,
        unit=" images",
        mininterval=0.1 if terminal else _LOG_INTERVAL_SECONDS,
        dynamic_ncols=terminal,
        file=sys.stderr,
    ) as display:
        # tqdm's monitor is a thread, and forking with threads is not safe.
        yield Bar(display)


tqdm.monitor_interval = 0
