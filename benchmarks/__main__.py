"""Every ratio that the documentation claims, in one go: a table and a plot, in less than an hour.

    python -m benchmarks [--only=prep,loop] [--write]

Short forms of the benchmarks run one after the other, each ours and its peers in turn; each says
its ratios (`ratios.py`). They go to benchmarks/results/ratios.json at once, with the machine, its
load and the peers' versions; --only replaces those of the benchmarks that it names. --write makes
the table and the plot of docs/benchmarks.md from what is there; without it the table is printed.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from absl import app, flags
from matplotlib.figure import Figure

from benchmarks.ratios import REPORT_TO, Better, Ratio, parse

_ROOT = Path(__file__).resolve().parent.parent
_RESULTS = _ROOT / "benchmarks" / "results" / "ratios.json"
_PAGE = _ROOT / "docs" / "benchmarks.md"
_PLOT = _ROOT / "docs" / "images" / "ratios.png"
_LABEL_LETTERS = 76  # In a line of the plot.
_BEGIN, _END = "<!-- ratios: begin -->\n", "<!-- ratios: end -->"

# Name -> what follows `python -m`.
COMMANDS = {
    "prep": "benchmarks.prep --rounds=3 --cases=small,photos,resized --photos=200",
    "growth": "benchmarks.growth --rounds=3 --cases=small",
    "gcs": "benchmarks.gcs --rounds=3 --photos=600 upload prep",
    "input": "benchmarks.input --seconds=4",
    "input_square": "benchmarks.input --synthetic_photos=12 --square=512 --seconds=4",
    "input_native": "benchmarks.input --synthetic_photos=12 --seconds=4",
    "startup": "benchmarks.startup --architectures=mobilenet --rounds=3",
    "loop": "benchmarks.train --cases=vgg_small:28:32,mobilenet:64:32 --rounds=3 --seconds=1",
    "runtimes": "benchmarks.runtimes --architectures=mobilenet --starts=0",
    "ensemble": "benchmarks.ensemble --photos=96 --batch_size=4 --repeats=4",
    "serving": "benchmarks.serving --parts=batch",
}

_ONLY = flags.DEFINE_list("only", [], f"Of {', '.join(COMMANDS)}; default: all.")
_WRITE = flags.DEFINE_bool("write", False, "Make docs/benchmarks.md's table and plot.")
_RUN = flags.DEFINE_bool("run", True, "Or only show what is known.")


@dataclass(frozen=True)
class Measured:
    """What one benchmark said, and where.

    Attributes:
        name: of the benchmark.
        command: that was run.
        date: of the run, YYYY-MM-DD.
        machine: cores, kind of processor, Python.
        load: what waited for the cores before and after, the mean of a minute: other programs'
            before, its own as well after.
        versions: package -> version, of the peers.
        ratios: that it reported.
    """

    name: str
    command: str
    date: str
    machine: str
    load: tuple[float, float]
    versions: dict[str, str]
    ratios: tuple[Ratio, ...]


def main(argv: list[str]) -> None:
    """Run what is asked for, keep it, and show it."""
    del argv
    for name in _ONLY.value:
        if name not in COMMANDS:
            raise app.UsageError(f"--only={name}: there are {', '.join(COMMANDS)}")
    known = load()
    for name in (_ONLY.value or COMMANDS) if _RUN.value else ():
        print(f"python -m {COMMANDS[name]}", flush=True)
        known[name] = measure(name)
        _save(known)
    text = markdown(list(known.values()))
    if _WRITE.value:
        page = _PAGE.read_text()
        before, rest = page.split(_BEGIN)
        _PAGE.write_text(before + _BEGIN + text + _END + rest.split(_END)[1])
        figure(list(known.values())).savefig(_PLOT, dpi=110, facecolor="white")
    else:
        print(text)


def measure(name: str) -> Measured:
    """Run a benchmark and take its ratios."""
    command = COMMANDS[name]
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as reported:
        before = os.getloadavg()[0]
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)],
            cwd=_ROOT,
            env=os.environ | {REPORT_TO: reported.name, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=sys.stderr,
        )
        after = os.getloadavg()[0]
        ratios = tuple(parse(line) for line in reported)
    if done.returncode or not ratios:
        raise SystemExit(f"python -m {command} failed with {done.returncode}, {len(ratios)} ratios")
    packages = sorted({package for ratio in ratios for package in ratio.packages})
    return Measured(
        name,
        f"python -m {command}",
        datetime.date.today().isoformat(),
        _machine(),
        (round(before, 1), round(after, 1)),
        {package: importlib.metadata.version(package) for package in packages},
        ratios,
    )


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    kind = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{cores} cores of {kind}, Python {platform.python_version()}"


def load() -> dict[str, Measured]:
    """What is known, in the order of `COMMANDS`."""
    if not _RESULTS.exists():
        return {}
    found = {}
    for fields in json.loads(_RESULTS.read_text()):
        ratios = tuple(parse(json.dumps(one)) for one in fields["ratios"])
        found[fields["name"]] = Measured(
            **fields | {"ratios": ratios, "load": tuple(fields["load"])}
        )
    return {name: found[name] for name in COMMANDS if name in found}


def _save(known: dict[str, Measured]) -> None:
    ordered = [dataclasses.asdict(known[name]) for name in COMMANDS if name in known]
    _RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")


def markdown(known: Sequence[Measured]) -> str:
    """A table a benchmark: what, beside whom, the ratio and its spread."""
    lines = []
    for one in known:
        versions = ", ".join(f"{name} {version}" for name, version in one.versions.items())
        lines += [
            f"`{one.command}` ({one.date}; {one.machine}; load {one.load[0]} before, "
            f"{one.load[1]} after{'; ' + versions if versions else ''}):",
            "",
            "| what | beside | ours / it | lowest to highest of | better is |",
            "|---|---|---|---|---|",
        ]
        for ratio in one.ratios:
            low, high = min(ratio.rounds), max(ratio.rounds)
            lines.append(
                f"| {ratio.what} | {ratio.peer} | {ratio.median:.2f} | {low:.2f} to {high:.2f} of "
                f"{len(ratio.rounds)} | {ratio.better} |"
            )
        lines.append("")
    return "\n".join(lines)


def figure(known: Sequence[Measured]) -> Figure:
    """All ratios on one logarithmic axis, right of 1 where ours is better."""
    ratios = [ratio for one in known for ratio in one.ratios]
    labels = [textwrap.fill(f"{one.what}: {one.peer}", _LABEL_LETTERS) for one in ratios]
    drawn = Figure(figsize=(9, 1.2 + 0.3 * len(ratios)), layout="constrained")
    axes = drawn.subplots()
    for at, ratio in enumerate(ratios):
        gains = [one if ratio.better is Better.MORE else 1 / one for one in ratio.rounds]
        middle = ratio.median if ratio.better is Better.MORE else 1 / ratio.median
        color = "C2" if min(gains) > 1 else "C3" if max(gains) < 1 else "0.4"
        axes.plot([min(gains), max(gains)], [at, at], color=color, linewidth=2)
        axes.plot(middle, at, "o", color=color, markersize=5)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    ticks = [0.25, 0.5, 1, 2, 4, 8]
    axes.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(ratios)), labels, fontsize=7)
    axes.set_ylim(-0.7, len(ratios) - 0.3)
    axes.invert_yaxis()
    axes.set_xlabel("times as good: median and range")
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


if __name__ == "__main__":
    app.run(main)
