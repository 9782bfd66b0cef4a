"""The command `orchard`: one name for the commands of all packages.

    orchard prep --csv=train.csv ...      is python -m data_prep.main --csv=train.csv ...
    orchard train --help

It lies in the package at the end of the direction, since it names the others.
"""

import runpy
import sys
from collections.abc import Sequence

from orchard import ctrl_c

COMMANDS = {
    "prep": ("data_prep.main", "CSV, or one folder a class, and images to a dataset"),
    "verify": ("data_prep.verify", "check a dataset, or trace one of its images"),
    "preview": ("trainer.preview", "draw what a network will see"),
    "preflight": ("trainer.preflight", "compile a training for a TPU that is not there"),
    "train": ("trainer.main", "train one network, or one a fold"),
    "summary": ("trainer.summary", "run directories to one table"),
    "soup": ("ensemble.soup", "average the weights of trainings of one start"),
    "ensemble": ("ensemble.main", "combine trained networks and predict a split"),
    "label_issues": ("ensemble.label_issues", "list labels that are probably wrong"),
    "explain": ("ensemble.explain", "show where networks look, and what their errors are like"),
    "predict": ("ensemble.predict", "predict images with an ensemble or a single network"),
    "serve": ("ensemble.serve", "serve an ensemble or a single network by HTTP, with a page"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names, with the flags that follow.

    Args:
        argv: the arguments; default: the command line's.

    Returns:
        The exit status, where no command was run; a command exits by itself.
    """
    if argv is None:
        ctrl_c.end_at_once()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("help", "--help", "-h"):
        print("orchard COMMAND --flag=value ...; orchard COMMAND --help names the flags\n")
        for name, (module, summary) in COMMANDS.items():
            print(f"  {name:<10} {summary} (python -m {module})")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        print(f"error: {name!r} is no command; use one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 1
    sys.argv[1:] = arguments[1:]
    # As `python -m` does it: worker processes that import the main module again find it.
    runpy.run_module(COMMANDS[name][0], run_name="__main__", alter_sys=True)
    return 0
