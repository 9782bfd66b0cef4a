"""Ratios of ours to a peer, as the benchmarks report them to `python -m benchmarks`."""

import dataclasses
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# Names the file that `report` appends to; without it nothing is kept.
REPORT_TO = "ORCHARD_RATIOS"


class Better(StrEnum):
    """Whether a ratio of ours to a peer is good when it is large."""

    MORE = "more"  # Of rates, such as images a second.
    LESS = "less"  # Of costs, such as seconds.


@dataclass(frozen=True)
class Ratio:
    """Ours beside one peer.

    Attributes:
        what: was done and measured, such as "60,000 images of 28x28, images a CPU-second".
        peer: who else did it.
        packages: distributions whose versions matter to the peer, as pip names them.
        better: which way is good.
        rounds: ours over theirs, once a round of neighbors.
    """

    what: str
    peer: str
    packages: tuple[str, ...]
    better: Better
    rounds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError(f"a ratio needs a round. Received: none for {self.what}")

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.rounds)


def report(
    what: str,
    peer: str,
    packages: Sequence[str],
    better: Better,
    *,
    ours: Sequence[float],
    theirs: Sequence[float],
) -> None:
    """Append a ratio, a line of JSON, to the file that ORCHARD_RATIOS names, if it names one.

    Args:
        what: was done and measured.
        peer: who else did it.
        packages: whose versions matter to the peer.
        better: which way is good.
        ours: a number a round.
        theirs: their number in the same round.
    """
    path = os.environ.get(REPORT_TO)
    if not path:
        return
    rounds = tuple(one / other for one, other in zip(ours, theirs, strict=True))
    ratio = Ratio(what, peer, tuple(packages), better, rounds)
    with open(path, "a") as file:
        file.write(json.dumps(dataclasses.asdict(ratio)) + "\n")


def parse(line: str) -> Ratio:
    """What `report` wrote."""
    fields = json.loads(line)
    for name in ("packages", "rounds"):
        fields[name] = tuple(fields[name])
    return Ratio(**fields | {"better": Better(fields["better"])})
