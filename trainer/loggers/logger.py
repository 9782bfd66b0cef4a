"""What a logger is: a class whose methods are told what a training comes to, as it does.

A new one is one file in `trainer.loggers.kinds`, or in a module that --plugins names; --loggers
follows from the registry. In Python an object can be given: `train_and_evaluate(config, loggers=)`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchard.errors import OrchardError
from orchard.flags import Kind, Options, option
from orchard.formats import RunRecord
from orchard.registry import Registry

LogKind = Literal["train", "eval", "event"]


@dataclass(frozen=True)
class LoggedRun:
    """The training that a logger is about to be told of.

    Attributes:
        run_dir: where it is kept; a logger may keep a file of its own there.
        flags: the value of every flag, by name.
        step: the steps that it has behind it: more than 0 where it goes on.
        total_steps: those that it ends with, unless it is stopped early.
        ask_to_stop: takes a reason. The training saves and stops as at Ctrl-C, so that the same
            command goes on with it; unless it has come to its end, and is then finished.
    """

    run_dir: str
    flags: Mapping[str, Any]
    step: int
    total_steps: int
    ask_to_stop: Callable[[str], None]


class Logger:
    """Is told of one training; by default it does nothing with that.

    The methods are called in the training's own thread, between steps: what they take, it takes.
    What they raise ends it. So one that talks to a server should send seldom, in `flush`, and bear
    that the server is away. Of several workers the first one alone has loggers.
    """

    def begin(self, run: LoggedRun) -> None:
        """The network is built; the first step comes next, or the first after `run.step`."""

    def log(self, kind: LogKind, step: int, values: Mapping[str, Any]) -> None:
        """Something to remember.

        Args:
            kind: "train": means since the last such line, with `loss`, `learning_rate`, `epoch`.
                "eval": every metric by its name, and `best`, whether it is the best so far.
                "event": `event` says what happened, `reason` why.
            step: the steps taken by then.
            values: numbers, truth values and texts; a number may be NaN.
        """

    def back_to(self, step: int) -> None:
        """After a blow-up the training goes on from `step`: what came after it comes again."""

    def flush(self) -> None:
        """A checkpoint is about to be written, or the training has ended: nothing may be lost."""

    def end(self, record: RunRecord | None) -> None:
        """It is over.

        Args:
            record: what run.json has of a finished run, exported by now; None: it was stopped, or
                failed, and may go on another day.
        """


LOGGERS: Registry[type[Logger]] = Registry("logger", "trainer.loggers.kinds")


class Loggers(Logger):
    """Several, told one after the other."""

    def __init__(self, members: Sequence[Logger]) -> None:
        self._members = tuple(members)
        self._begun: list[Logger] = []

    def begin(self, run: LoggedRun) -> None:
        """Those that begin have an end."""
        for member in self._members:
            member.begin(run)
            self._begun.append(member)

    def log(self, kind: LogKind, step: int, values: Mapping[str, Any]) -> None:
        """See `Logger`."""
        for member in self._members:
            member.log(kind, step, values)

    def back_to(self, step: int) -> None:
        """See `Logger`."""
        for member in self._members:
            member.back_to(step)

    def flush(self) -> None:
        """See `Logger`."""
        for member in self._members:
            member.flush()

    def end(self, record: RunRecord | None) -> None:
        """End those that have begun, once."""
        while self._begun:
            self._begun.pop(0).end(record)


@dataclass(frozen=True, kw_only=True)
class LoggerOptions(Options, group="bookkeeping"):
    """Where progress goes."""

    loggers: tuple[str, ...] = option(
        ("tensorboard",),
        "Where the progress of a training goes besides metrics.jsonl, joined by commas; none of "
        "them: --loggers= with nothing behind it.",
        choices=LOGGERS,
        kind=Kind.BOOKKEEPING,
    )

    def check(self) -> None:
        """Refuse what is no logger, and one that is named twice."""
        super().check()
        for name in self.loggers:
            if name not in LOGGERS:
                known = ", ".join(LOGGERS)
                raise OrchardError(
                    f"--loggers={','.join(self.loggers)}: {name!r} is no logger; choose from "
                    f"{known}, or name the module that registers it in --plugins"
                )
        if len(set(self.loggers)) < len(self.loggers):
            raise OrchardError(f"--loggers={','.join(self.loggers)}: name each of them once")


def make_loggers(options: LoggerOptions, more: Sequence[Logger], is_chief: bool) -> Loggers:
    """The loggers of one training.

    Args:
        options: those by name.
        more: further ones.
        is_chief: whether this worker is the first: only then there are any.

    Raises:
        OrchardError: what one of them needs is not installed.
    """
    if not is_chief:
        return Loggers(())
    return Loggers([*(LOGGERS[name]() for name in options.loggers), *more])
