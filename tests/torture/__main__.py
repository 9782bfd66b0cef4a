r"""Run the campaigns: python -m tests.torture --minutes=45 --seed=0 --state=torture.json

What is in the file of --state is not done again, so that the same command goes on where it was
stopped. Exit status 1 if anything failed; --repeat=CAMPAIGN/KIND/NUMBER does one trial again.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.gcs_server import GcsServer
from tests.torture.campaigns import CAMPAIGNS, Campaign, place_of
from tests.torture.trials import KILLS, Bench, Reference, Trial, Wrong, impossible


class State:
    """What was done, in a file; and what was made for it, in the folder beside it."""

    def __init__(self, path: Path, seed: int, undisturbed_runs: int) -> None:
        self._path, self.undisturbed_runs = path, undisturbed_runs
        self.folder = path.with_suffix(".files")
        self.folder.mkdir(parents=True, exist_ok=True)
        value = {"seed": seed, "references": {}, "trials": []}
        if path.exists():
            value = json.loads(path.read_text())
            if value["seed"] != seed:
                raise SystemExit(f"{path} is of --seed={value['seed']}; name another --state")
        self.references = {k: Reference(**v) for k, v in value["references"].items()}
        self.trials = [Trial(**one) for one in value["trials"]]
        self.seed = seed

    def save(self) -> None:
        """Replace the file."""
        value = {
            "seed": self.seed,
            "references": {name: asdict(one) for name, one in self.references.items()},
            "trials": [one.to_json() for one in self.trials],
        }
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(value, indent=1))
        os.replace(new, self._path)


def benches(state: State, names: list[str]) -> Iterator[Bench]:
    """The campaigns, each with its inputs and its undisturbed outcome."""
    with contextlib.ExitStack() as stack:
        for name in names:
            yield open_bench(state, CAMPAIGNS[name], stack)


def open_bench(state: State, campaign: Campaign, stack: contextlib.ExitStack) -> Bench:
    """Make what a campaign needs, where it is not there yet."""
    inputs = state.folder / campaign.make_inputs.__name__.lstrip("_")
    made = inputs / ".made"
    if not made.exists():
        # Where they stay: runs name the places of what they were made of.
        shutil.rmtree(inputs, ignore_errors=True)
        inputs.mkdir()
        campaign.make_inputs(inputs)
        made.touch()
    server = stack.enter_context(GcsServer()) if campaign.bucket else None
    environment = server.env if server else {}
    bench = Bench(campaign, inputs, place_of(campaign, state.folder / "now", server), environment)
    if campaign.name not in state.references:
        state.references[campaign.name] = bench.undisturbed(state.undisturbed_runs)
        state.save()
    return bench


def todo(bench: Bench, state: State, share: float) -> Iterator[tuple[str, int]]:
    """Kind and number of the trials that are left: one of kills, one of another kind, in turn."""
    campaign = bench.campaign
    others = [
        (kind, number)
        for kind, count in campaign.others.items()
        if not impossible(kind, state.folder)
        for number in range(math.ceil(count * share))
    ]
    # First one of each kind.
    others.sort(key=lambda one: one[1])

    def done(kind: str) -> dict[int, Trial]:
        some = [one for one in state.trials if (one.campaign, one.kind) == (campaign.name, kind)]
        return {one.number: one for one in some}

    left = iter([(kind, number) for kind, number in others if number not in done(kind)])
    number = 0
    while sum(len(one.moments) for one in done(KILLS).values()) < campaign.kills * share:
        if number not in done(KILLS):
            yield KILLS, number
            yield from itertools.islice(left, 1)
        number += 1
    yield from left


def table(state: State, names: list[str]) -> list[str]:
    """The outcome in Markdown."""
    lines = [
        "| campaign | disturbance | how many | in one line | trials | ended equal | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        for kind in (KILLS, *CAMPAIGNS[name].others):
            some = [one for one in state.trials if (one.campaign, one.kind) == (name, kind)]
            reason = impossible(kind, state.folder)
            if not some and reason:
                lines.append(f"| {name} | {kind} | not possible here: {reason} | | | | |")
            if some:
                moments = sum(len(one.moments) for one in some)
                words = sum(one.one_line for one in some)
                failed = sum(bool(one.failure) for one in some)
                equal = len(some) - failed
                lines.append(
                    f"| {name} | {kind} | {moments} | {words} | {len(some)} | {equal} | {failed} |"
                )
    reasons: dict[str, list[str]] = {}
    for name in names:
        reasons.setdefault(CAMPAIGNS[name].left_out, []).append(name)
    return [*lines, "", *(f"Not compared of {', '.join(n)}: {r}" for r, n in reasons.items())]


def main() -> int:
    """Exit status 1: something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=45.0, help="no trial begins after them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=Path("torture.json"))
    parser.add_argument("--only", default=",".join(CAMPAIGNS), help="campaigns, joined by commas")
    parser.add_argument("--share", type=float, default=1.0, help="of the disturbances")
    parser.add_argument(
        "--undisturbed", type=int, default=2, help="runs of each campaign, which must be equal"
    )
    parser.add_argument("--repeat", default="", help="one trial: CAMPAIGN/KIND/NUMBER")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := sorted(set(names) - set(CAMPAIGNS)):
        parser.error(f"--only={unknown[0]}: there are {', '.join(CAMPAIGNS)}")
    state = State(options.state.absolute(), options.seed, options.undisturbed)
    if options.repeat:
        name, kind, number = options.repeat.split("/")
        with contextlib.ExitStack() as stack:
            bench = open_bench(state, CAMPAIGNS[name], stack)
            trial = bench.run(kind, int(number), state.seed, state.references[name])
        print(json.dumps(trial.to_json(), indent=1))
        return int(bool(trial.failure))
    deadline = time.monotonic() + 60 * options.minutes
    complete = run(state, names, options.share, deadline)
    print("\n".join(table(state, names)))
    failed = [one for one in state.trials if one.failure and one.campaign in names]
    for one in failed:
        print(
            f"--seed={state.seed} --repeat='{one.campaign}/{one.kind}/{one.number}': {one.failure}"
        )
    if not complete:
        print(f"--minutes={options.minutes:g} were not enough: the same command goes on")
    return int(bool(failed))


def run(state: State, names: list[str], share: float, deadline: float) -> bool:
    """Do what is left to do; whether all of it was done before the deadline."""
    try:
        for bench in benches(state, names):
            name = bench.campaign.name
            for kind, number in todo(bench, state, share):
                if time.monotonic() > deadline:
                    return False
                trial = bench.run(kind, number, state.seed, state.references[name])
                state.trials.append(trial)
                state.save()
                print(f"{name}/{kind}/{number}: {'; '.join(trial.moments)}", flush=True)
                print(f"  {trial.failure or 'equal'}", flush=True)
    except Wrong as error:
        raise SystemExit(f"{error}") from error
    return True


if __name__ == "__main__":
    sys.exit(main())
