"""One output directory, disturbed and then finished; and what became of it."""

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.torture.campaigns import Campaign
from tests.torture.outcomes import differences
from tests.torture.places import Disk, Folder, Place
from tests.torture.processes import Ended, Hang, Running

KILLS = "kills"
_KILLS_A_TRIAL = 5
_EXIT_RUN_AGAIN = 75
_RUN_AGAIN = "run the same command again"
_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_JUMPS_DAYS = (-400, -2, -0.01, 0.01, 2, 400)


class Wrong(Exception):
    """What a disturbance must not lead to."""


@dataclass(frozen=True)
class Reference:
    """Undisturbed runs of a campaign.

    Attributes:
        outcome: what every trial must end in.
        seconds: of a whole run.
        work_seconds: from the first change of the output on.
        changes: of the output that were seen.
        num_bytes: of the output, or 0.
    """

    outcome: dict[str, str]
    seconds: float
    work_seconds: float
    changes: int
    num_bytes: int


@dataclass
class Trial:
    """What was done to one output directory, and what it ended in.

    Attributes:
        campaign: its name.
        kind: of the disturbance.
        number: of the trial.
        moments: one line for each disturbance.
        ended_early: runs that were over before their disturbance came.
        one_line: disturbed runs that ended in one clear line.
        failure: what went wrong; empty: nothing.
    """

    campaign: str
    kind: str
    number: int
    moments: list[str] = field(default_factory=list)
    ended_early: int = 0
    one_line: int = 0
    failure: str = ""

    def to_json(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)


@dataclass
class Bench:
    """A campaign at its place, with its inputs.

    Attributes:
        latest: the last run that came to its end undisturbed, by which moments are drawn: what else
            a machine does changes its speed by far.
    """

    campaign: Campaign
    inputs: Path
    place: Place
    environment: dict[str, str]
    latest: Ended | None = None

    def start(self, **environment: str) -> Running:
        """The command."""
        command = self.campaign.command(self.inputs, self.place.path)
        variables = self.environment | environment
        return Running(command, self.place.look, self.place.poll_seconds, variables)

    def start_to_kill(self, **environment: str) -> Running:
        """The command, as a fork of this process where its imports would take the longest."""
        command = self.campaign.command(self.inputs, self.place.path)
        if self.campaign.saves_often:
            command.insert(2, "tests.torture.often")
        variables = self.environment | environment
        preload = () if variables else self.campaign.preload
        return Running(command, self.place.look, self.place.poll_seconds, variables, preload)

    def outcome(self) -> dict[str, str] | None:
        """What is there and looks whole."""
        return self.campaign.outcome(self.place, self.inputs)

    def undisturbed(self, runs: int = 2) -> Reference:
        """So many runs, which must be equal.

        Raises:
            Wrong: they are not.
        """
        found = []
        for _ in range(runs):
            self.place.clear()
            ended = self.start().end()
            outcome = self.outcome()
            if ended.status or outcome is None:
                raise Wrong(f"the undisturbed run failed ({ended.status}): {ended.last_words}")
            num_bytes = self.place.num_bytes() if isinstance(self.place, Folder) else 0
            found.append(
                Reference(outcome, ended.seconds, ended.work_seconds, ended.changes, num_bytes)
            )
        if differ := differences(found[0].outcome, found[-1].outcome):
            raise Wrong(f"undisturbed runs differ in {', '.join(differ)}")
        return min(found, key=lambda one: one.seconds)

    def run(self, kind: str, number: int, seed: int, reference: Reference) -> Trial:
        """Carry out a trial."""
        trial = Trial(self.campaign.name, kind, number)
        moments = random.Random(f"{seed} {self.campaign.name} {kind} {number}")
        self.place.clear()
        try:
            _DISTURBANCES[kind](self, trial, moments, reference)
        except (Wrong, Hang) as error:
            trial.failure = str(error)
        return trial

    def check(self, reference: Reference) -> None:
        """What looks whole has to be.

        Raises:
            Wrong: it is not.
        """
        try:
            outcome = self.outcome()
        except Exception as error:
            raise Wrong(f"what looks whole cannot be read: {error!r}") from error
        if outcome is not None and (differ := differences(reference.outcome, outcome)):
            raise Wrong(f"what looks whole differs in {', '.join(differ)}")

    def finish(self, reference: Reference) -> None:
        """The same command again has to end in the undisturbed outcome.

        Raises:
            Wrong: it does not.
        """
        ended = self.latest = self.start().end()
        if ended.status:
            raise Wrong(f"the same command fails ({ended.status}): {ended.last_words}")
        if self.outcome() is None:
            raise Wrong("the same command ends well, and there is no outcome")
        self.check(reference)


def _accept(trial: Trial, ended: Ended, signals: tuple[int, ...] = ()) -> None:
    """A disturbed run ends well, by its signal, or in one clear line.

    Raises:
        Wrong: it ends in another way.
    """
    if ended.status == 0 or -ended.status in signals:
        return
    lines = ended.errors.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if ended.status == _EXIT_RUN_AGAIN and _RUN_AGAIN in ended.output + ended.errors:
        trial.one_line += 1
    elif ended.status > 0 and "Traceback" not in ended.errors and errors == lines[-1:]:
        trial.one_line += 1
        trial.moments[-1] += f": {errors[0]}"
    else:
        raise Wrong(f"it ends neither well nor in one line ({ended.status}): {ended.last_words}")


def _moment(
    bench: Bench, moments: random.Random, running: Running, reference: Reference
) -> tuple[str, Callable[[], bool]]:
    """A random moment of a run: after a change of its output, of its work's time, or of any time.

    Mostly by what has been done, and not by the clock: on a busy machine every run would be stopped
    before it did anything, or where it waits longest.
    """
    pace = bench.latest or reference
    kind, fraction, changes = moments.randrange(5), moments.random(), moments.random()
    if kind == 0:
        seconds = fraction * (pace.work_seconds if running.is_fork else pace.seconds)
        return f"{seconds:.2f} s after its start", lambda: running.seconds >= seconds
    if kind == 1:
        seconds = fraction * pace.work_seconds
        return f"after {seconds:.2f} s of work", lambda: running.work_seconds >= seconds > 0
    count = 1 + int(changes * reference.changes)
    delay, reached = fraction * 0.03, []

    def come() -> bool:
        if running.changes >= count and not reached:
            reached.append(time.monotonic())
        return bool(reached) and time.monotonic() >= reached[0] + delay

    return f"at change {count}", come


def _kill(
    bench: Bench, trial: Trial, moments: random.Random, reference: Reference, **environment: str
) -> bool:
    """Stop a run by a signal; whether it came before the end."""
    running = bench.start_to_kill(**environment)
    text, come = _moment(bench, moments, running, reference)
    number = moments.choice(bench.campaign.signals)
    whole_group = moments.random() < 0.5
    if not running.watch(come):
        trial.ended_early += 1
        ended = bench.latest = running.end()
        if ended.status or bench.outcome() is None:
            raise Wrong(f"a run that was not stopped fails ({ended.status}): {ended.last_words}")
        return False
    running.signal(number, whole_group)
    trial.moments.append(f"{number.name} {'to all ' if whole_group else ''}{text}")
    _accept(trial, running.end(), (number,))
    return True


def _kills(bench: Bench, trial: Trial, moments: random.Random, reference: Reference) -> None:
    for _ in range(_KILLS_A_TRIAL):
        stopped = _kill(bench, trial, moments, reference)
        bench.check(reference)
        if not stopped:
            return  # That run was the last one: it ended well, with an outcome.
    bench.finish(reference)


def _disk_full(bench: Bench, trial: Trial, moments: random.Random, reference: Reference) -> None:
    """The disk has no room for all of it, and then it has."""
    size = int(moments.uniform(0.02, 1.0) * reference.num_bytes) + 4096
    disk = Disk(bench.place.path, size)
    try:
        trial.moments.append(f"{size} bytes of room")
        ended = bench.start().end()
        _accept(trial, ended)
        if ended.status == 0:
            trial.ended_early += 1
        bench.check(reference)
        disk.grow()
        bench.finish(reference)
    finally:
        disk.close()


def _read_only(bench: Bench, trial: Trial, moments: random.Random, reference: Reference) -> None:
    """The disk can no longer be written to, after a kill or from the start."""
    disk = Disk(bench.place.path, 1 << 30)
    try:
        if trial.number % 2:
            _kill(bench, trial, moments, reference)
        disk.set_writable(False)
        before = bench.place.look()
        trial.moments.append("read-only")
        ended = bench.start().end()
        _accept(trial, ended)
        if ended.status == 0 and bench.outcome() is None:
            raise Wrong("it ends well without a place to write to")
        if bench.place.look() != before:
            raise Wrong("what is read-only has changed")
        disk.set_writable(True)
        bench.finish(reference)
    finally:
        disk.close()


def _two_at_once(bench: Bench, trial: Trial, moments: random.Random, reference: Reference) -> None:
    """The same command twice at a time, the second at any moment of the first or at once."""
    first = bench.start()
    text, come = _moment(bench, moments, first, reference)
    if trial.number % 3:
        first.watch(come)
    else:
        text = "at once"
    second = bench.start()
    trial.moments.append(f"a second one {text}")
    ended = [first.end(), second.end()]
    for one in ended:
        _accept(trial, one)
    if all(one.status for one in ended):
        raise Wrong(f"none of the two ends well: {ended[0].last_words} | {ended[1].last_words}")
    bench.check(reference)
    bench.finish(reference)


def _clock(bench: Bench, trial: Trial, moments: random.Random, reference: Reference) -> None:
    """The clock jumps, back or forward, while a run works, which is then killed; and again."""
    with tempfile.NamedTemporaryFile("w") as clock:
        environment = {
            "LD_PRELOAD": str(_FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": clock.name,
            "FAKETIME_NO_CACHE": "1",
            # Only what a wrong clock does: neither waiting nor the times of files.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

        def set_clock(days: float) -> None:
            clock.seek(0)
            clock.truncate()
            clock.write(f"{days:+.4f}d\n")
            clock.flush()

        set_clock(moments.choice(_JUMPS_DAYS))
        _kill(bench, trial, moments, reference, **environment)
        bench.check(reference)
        running = bench.start(**environment)
        text, come = _moment(bench, moments, running, reference)
        days = moments.choice(_JUMPS_DAYS)
        running.watch(come)
        set_clock(days)
        trial.moments.append(f"clock {days:+} days {text}")
        ended = running.end()
        _accept(trial, ended)
        bench.check(reference)
    bench.finish(reference)


_DISTURBANCES = {
    KILLS: _kills,
    "disk full": _disk_full,
    "read-only": _read_only,
    "two at once": _two_at_once,
    "clock": _clock,
}


def impossible(kind: str, scratch: Path) -> str:
    """Why a disturbance cannot be made on this machine; empty: it can."""
    if kind in ("disk full", "read-only") and not Disk.is_possible(scratch):
        return "no right to mount"
    if kind == "clock" and not _FAKETIME.exists():
        return "no libfaketime"
    return ""
