"""What the pre-flight's findings mean: go on, go on without the bad rows, or stop."""

from collections.abc import Callable, Container, Sequence

from data_prep.checks.survey import Survey, quarantine
from data_prep.config import PrepConfig
from data_prep.labels import describe, quarantine_csv, summary
from data_prep.plan import Assignment
from data_prep.publish import Snapshot, Staging, differences, snapshot_of_dataset
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import QUARANTINE_FILE, load_manifest

Say = Callable[[str], None]


def judge_rows(surveys: Sequence[Survey], config: PrepConfig, staging: Staging, say: Say) -> None:
    """Tell the bad rows and decide by `--on_bad` whether they are the end.

    Raises:
      OrchardError: they are; all of them are in a `quarantine.csv` that the message names.
    """
    problems = [problem for one in surveys for problem in one.problems]
    if not problems:
        return
    for line in describe(problems):
        say(line)
    left = sum(int(one.usable.sum()) for one in surveys)
    if config.on_bad == "fail" or not surveys[0].usable.any():
        path = storage.join(staging.root, QUARANTINE_FILE)
        storage.write_bytes(path, quarantine_csv(quarantine(surveys)))
        advice = "mend them, or pass --on_bad=skip to leave them out"
        if config.on_bad == "skip":
            advice = f"no labelled row is left; mend {config.csv}"
        raise OrchardError(f"{summary(problems)}; all are in {path}; {advice}")
    bad = sum(len(one.table.ids) for one in surveys) - left
    say(f"left out {_counted(bad, 'bad row')}, kept {left} (--on_bad=skip)")


def tell_duplicates(assignment: Assignment, surveys: Sequence[Survey], say: Say) -> None:
    """Say how many images are there more than once."""
    table = surveys[0].table
    sets = (("identical", assignment.identical), ("nearly identical", assignment.near))
    for what, groups in sets:
        if groups:
            rows = sum(len(group) for group in groups)
            first = " and ".join(repr(table.ids[row]) for row in groups[0][:2])
            sets_of = _counted(len(groups), "group")
            say(f"{rows} {what} images in {sets_of}, each kept in one split; first: {first}")
    if assignment.identical_across:
        one, other = assignment.identical_across[0]
        say(
            f"{_counted(len(assignment.identical_across), 'test image')} with the content of a "
            "labelled one; "
            f"first: {surveys[1].table.ids[other]!r} and {table.ids[one]!r}"
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def accept_finished(
    staging: Staging, now: Snapshot, would_be: Callable[[Container[str]], str]
) -> None:
    """Return when the published dataset is what this run would make, and is undamaged.

    Args:
      staging: of the dataset.
      now: what this run was given.
      would_be: the fingerprint of what it would make, for the settings that there were.

    Raises:
      OrchardError: it was made of something else, in what it differs, and what to do.
    """
    published = load_manifest(staging.final_dir)
    if published.fingerprint != would_be(published.settings):
        before = snapshot_of_dataset(staging.final_dir, published)
        phrases = differences(before, now)
        phrases = phrases or ["other row numbers, files or bad rows, or by another Orchard"]
        raise OrchardError(
            f"{staging.final_dir} is finished and was made of other things: {'; '.join(phrases)}; "
            "pass a new --version, or --overwrite to replace it"
        )
    shards = [shard for split in published.splits.values() for shard in split.shards]
    files = {shard.file: shard for shard in shards} | published.files
    paths = [storage.join(staging.final_dir, name) for name in files]
    for (name, info), found in zip(files.items(), storage.sizes_and_crc32cs(paths), strict=True):
        if found != (info.num_bytes, info.crc32c):
            raise OrchardError(
                f"{staging.final_dir} is finished, but {name} is missing or damaged; pass "
                "--overwrite to write the dataset again"
            )


def tell_changes(before: Snapshot | None, now: Snapshot, say: Say) -> None:
    """Say what changed since an interrupted run, if there was one."""
    if before is not None:
        for phrase in differences(before, now):
            say(f"since the interrupted run: {phrase}")
