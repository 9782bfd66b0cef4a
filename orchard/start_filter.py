"""Copies its stdin to stderr without the lines that TensorFlow prints as it starts.

A program of its own, of the standard library alone: `orchard.tensorflow_start` runs it.

    python start_filter.py [PATTERN ...]    further lines to drop
"""

import os
import re
import select
import sys

# How lines of its log begin: "I0000 00:00:1795925481.659470   30529 port.cc:153] ", or
# "2026-11-29 04:05:06.789012: I tensorflow/core/util/port.cc:153] ".
_LOG = r"(?:{0}\d{{4}} [\d:.]+ +\d+ |\d{{4}}-\d\d-\d\d [\d:.]+: {0} )\S+:\d+\] "
_ANY, _INFORMATION = _LOG.format("[IWE]"), _LOG.format("I")
KNOWN = (
    _INFORMATION,
    r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
    r"To enable the following instructions: ",
    # Both of its libraries bring these.
    _ANY + r"Unable to register cu\w+ (?:plugin )?factory",
    _ANY + r"computation placer already registered",
    _ANY + r"TF-TRT Warning: Could not find TensorRT",
)
NO_GPU = _ANY + r"failed call to cuInit"
_WAIT_SECONDS = 0.2  # For the rest of a line, such as of a progress bar.


def main(patterns: list[str]) -> None:
    """Copy until nobody can write any more."""
    is_known = re.compile("|".join((*KNOWN, *patterns)).encode()).match
    rest, within_line = b"", False
    while True:
        if rest and not select.select([0], [], [], _WAIT_SECONDS)[0]:
            _write(rest)
            rest, within_line = b"", True
        data = os.read(0, 1 << 16)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if within_line or not is_known(line):
                _write(line + b"\n")
            within_line = False
        if not data:
            if not is_known(rest):
                _write(rest)
            return


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        pass
