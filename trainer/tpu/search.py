"""The largest batch that fits, looked for from above: a refusal is cheap, a fit is compiled once.

Pure: the caller says what happens when a batch is tried.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """What became of one batch size.

    Attributes:
        batch_size: images per replica.
        fits: whether the step compiled.
        needed_bytes: memory it needs or would need; 0: not known.
        available_bytes: memory there is.
    """

    batch_size: int
    fits: bool
    needed_bytes: int = 0
    available_bytes: int = 0


def _spacing(batch_size: float) -> int:
    """Distance of the rungs around a batch size of 8 or more: eight, or about a sixteenth of it."""
    return max(8, 2 ** (int(math.log2(batch_size)) - 4))


def rung_above(batch_size: int) -> int:
    """The next larger batch worth trying: 1, 2, 4, 8, 16, 24, ..., 256, 272, ..., 512, 544, ...

    TPUs lay batches out in rows of eight: a size between takes the room of the next one.
    """
    return batch_size * 2 if batch_size < 8 else batch_size + _spacing(batch_size)


def rung_at_or_below(batch_size: float) -> int:
    """The largest batch worth trying that is not above `batch_size`; at least 1."""
    if batch_size >= 8:
        return int(batch_size // _spacing(batch_size)) * _spacing(batch_size)
    return next((size for size in (4, 2) if size <= batch_size), 1)


def largest_batch(
    try_batch: Callable[[int], Attempt], start: int, refused: Sequence[Attempt] = ()
) -> Attempt | None:
    """The attempt with the largest batch on the ladder of `rung_above` that fits.

    The next rung, or a smaller batch above it, has then been refused.

    Args:
        try_batch: tries one batch size; no size is tried twice.
        start: where to begin, best above what fits.
        refused: attempts made before.

    Returns:
        None where not even one image fits.
    """
    refused = list(refused)
    fitting: Attempt | None = None
    candidate = _guess_below(refused) if refused else rung_at_or_below(start)
    while True:
        attempt = try_batch(candidate)
        if attempt.fits:
            fitting = attempt
        else:
            refused.append(attempt)
        lowest = min((a.batch_size for a in refused), default=math.inf)
        above = rung_above(fitting.batch_size) if fitting else 1
        if lowest <= above:
            return fitting
        if fitting and not refused:
            candidate = _guess_above(fitting)
        else:
            guess = _guess_below(refused)
            halfway = rung_at_or_below((above + lowest) / 2) if fitting else guess
            candidate = guess if guess >= above else max(halfway, above)


def _guess_above(fitting: Attempt) -> int:
    """A rung above where the memory would be just enough if the need grew with the batch."""
    if not fitting.needed_bytes:
        return rung_at_or_below(fitting.batch_size * 2)
    ratio = fitting.available_bytes / fitting.needed_bytes
    return rung_above(rung_at_or_below(fitting.batch_size * ratio))


def _guess_below(refused: list[Attempt]) -> int:
    """Where the memory would be just enough, by the refusals so far; below the lowest of them."""
    lowest = min(attempt.batch_size for attempt in refused)
    next_below = rung_at_or_below(lowest / 2 if lowest <= 8 else lowest - 1)
    guess = _just_enough(sorted(refused, key=lambda a: a.batch_size))
    return min(rung_at_or_below(guess), next_below)


def _just_enough(refused: list[Attempt]) -> float:
    """Where a line through the needs of the two lowest refusals meets the memory there is."""
    lowest = refused[0]
    if not lowest.needed_bytes:
        return lowest.batch_size / 2
    slope = lowest.needed_bytes / lowest.batch_size
    if len(refused) > 1 and refused[1].needed_bytes > lowest.needed_bytes:
        rise = refused[1].needed_bytes - lowest.needed_bytes
        slope = rise / (refused[1].batch_size - lowest.batch_size)
    return lowest.batch_size - (lowest.needed_bytes - lowest.available_bytes) / slope
