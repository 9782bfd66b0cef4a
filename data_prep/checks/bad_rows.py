"""What becomes of bad rows: they stop the run, or are left out."""

from collections.abc import Callable

import numpy as np

from data_prep.checks.check import CheckedImages
from data_prep.config import PrepConfig
from data_prep.labels import Problem, describe, quarantine_csv, summary
from orchard import storage
from orchard.errors import OrchardError


def quarantined_by_flag(images: CheckedImages) -> dict[str, list[Problem]]:
    """The problems of each CSV as the dataset holds them: `file` is the CSV's flag."""
    return {
        flag: [problem._replace(file=flag) for problem in one.problems]
        for flag, one in images.by_flag.items()
    }


def quarantine(images: CheckedImages) -> bytes:
    """The content of `quarantine.csv`; a header alone where there is no problem."""
    by_flag = quarantined_by_flag(images)
    return quarantine_csv([problem for problems in by_flag.values() for problem in problems])


def refuse_bad_rows(
    images: CheckedImages, config: PrepConfig, quarantine_path: str, log: Callable[[str], None]
) -> None:
    """List the bad rows, and stop or go on without them, as `--on_bad` says.

    Args:
        images: all rows.
        config: the settings.
        quarantine_path: where to write all problems when they stop the run.
        log: takes each line that is for the user.

    Raises:
        OrchardError: they stop the run, or no labeled row is left.
    """
    for one in images.all:
        odd = np.flatnonzero(one.facts["odd"] & one.usable)
        if len(odd):
            log(
                f"{one.table.file}: {len(odd)} odd image{'' if len(odd) == 1 else 's'}, with bytes "
                f"that every decoder skips; the first is {one.files[odd[0]]!r}"
            )
    problems = [problem for one in images.all for problem in one.problems]
    if not problems:
        return
    for line in describe(problems):
        log(line)
    if config.on_bad == "fail" or not images.labelled.usable.any():
        storage.write_bytes(quarantine_path, quarantine(images))
        advice = "correct them, or pass --on_bad=skip to leave them out"
        if config.on_bad == "skip":
            advice = f"no labeled row is left; correct {images.labelled.table.file}"
        raise OrchardError(f"{summary(problems)}; all are in {quarantine_path}; {advice}")
    kept = sum(int(one.usable.sum()) for one in images.all)
    bad = sum(len(one.usable) for one in images.all) - kept
    log(f"left out {bad} bad row{'' if bad == 1 else 's'}, kept {kept} (--on_bad=skip)")
