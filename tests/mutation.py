"""Mutants: would the tests of the pure functions notice if the code said something else?

    python -m tests.mutation [--subjects=order,splits] [--mutants=60] [--seed=0]

Cosmic Ray (the extra "mutation") finds the places and makes the mutants: another operator, another
comparison, a number beside, a condition denied, a loop that never runs. Of each place one mutant is
drawn, and of each subject's places at most --mutants, by the seed. Left out are annotations,
assertions, `frozen=` and `strict=`, which no input reaches, and `is` in place of `==`.

A mutant costs what its tests cost and no more: this process imports once what they need besides
this repository, and each mutant is a fork of it, which imports the mutated source in place of the
file. No file is changed. Results are kept in build/mutation.jsonl; the same command goes on where
it was stopped. What was killed stays killed until its source changes; what survived is tried again
whenever its tests have changed.
"""

import argparse
import ast
import contextlib
import gc
import hashlib
import importlib.abc
import importlib.util
import json
import os
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchard import storage

_ROOT = Path(__file__).parent.parent
_RESULTS = _ROOT / "build" / "mutation.jsonl"
# An endless loop ends at so many times what the tests take without a mutant, and a bit.
_TIMES_AS_LONG, _MORE_SECONDS = 3, 3
_MAX_SECONDS = 900
_GUARDS = ("frozen", "kw_only", "strict")
# Of this repository, so that a mutant is seen.
_OURS = ("orchard", "data_prep", "trainer", "ensemble", "tests", "benchmarks", "conftest")
# `is` in place of `==` and the like: true of small numbers and of names by chance.
_EQUAL_AS_IS = re.compile("_(Eq|NotEq|Lt|LtE|Gt|GtE)_Is(Not)?$")


@dataclass(frozen=True)
class Subject:
    """Sources that are mutated together, and the tests that should notice.

    Attributes:
        name: What the table calls them.
        sources: Paths or patterns, from the repository's root.
        tests: What pytest runs, from the repository's root.
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]

    def paths(self) -> list[Path]:
        """All sources, as files."""
        return [path for pattern in self.sources for path in sorted(_ROOT.glob(pattern))]

    def tests_digest(self) -> str:
        """Changes when any of the tests does."""
        found = [_ROOT / name for name in self.tests]
        files = [f for path in found for f in (sorted(path.rglob("*.py")) or [path])]
        return _digest("".join(file.read_text(encoding="utf-8") for file in files))


SUBJECTS = (
    Subject("order", ("trainer/data/order.py",), ("tests/trainer/data/test_order.py",)),
    Subject(
        "splits",
        ("data_prep/plan/splits.py", "data_prep/labels/given_splits.py"),
        (
            "tests/data_prep/plan/test_splits.py",
            "tests/data_prep/plan/test_growth.py",
            "tests/data_prep/labels/test_given_splits.py",
        ),
    ),
    Subject(
        "plan",
        tuple(f"data_prep/plan/{name}.py" for name in ("build", "duplicates", "growth", "shards")),
        ("tests/data_prep/plan",),
    ),
    Subject("labels", ("data_prep/labels/*.py",), ("tests/data_prep/labels",)),
    Subject(
        "combine",
        ("ensemble/combine/[!c]*.py", "ensemble/combine/comb*.py"),
        ("tests/ensemble/combine",),
    ),
    Subject(
        "weights",
        ("ensemble/fitting/weightings/*.py",),
        ("tests/ensemble/fitting/weightings", "tests/ensemble/fitting/test_fitter.py"),
    ),
    Subject(
        "calibrate",
        ("ensemble/combine/calibrate.py", "trainer/evaluation/calibration.py"),
        (
            "tests/ensemble/combine/test_calibrate.py",
            "tests/trainer/evaluation/test_calibration.py",
        ),
    ),
    Subject(
        "schedules",
        ("trainer/optim/schedules.py",),
        ("tests/trainer/optim/test_schedules.py",),
    ),
    Subject(
        "metrics",
        (
            *(f"trainer/evaluation/{name}.py" for name in ("bootstrap", "classes", "metric")),
            "trainer/evaluation/predictions.py",
            "trainer/evaluation/metrics/*.py",
        ),
        ("tests/trainer/evaluation",),
    ),
    Subject("cascade", ("ensemble/cascade/*.py",), ("tests/ensemble/cascade",)),
)


@dataclass(frozen=True)
class Mutant:
    """One change of one source.

    Attributes:
        path: The source, from the repository's root.
        digest: The unchanged source's.
        operator: Cosmic Ray's name of the change.
        occurrence: The how manieth place at which that operator applies.
        line: Counted from 1.
    """

    path: str
    digest: str
    operator: str
    occurrence: int
    line: int

    def source(self) -> str:
        """The whole source with the change."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        text = (_ROOT / self.path).read_text(encoding="utf-8")
        return mutate_code(text, get_operator(self.operator)(), self.occurrence)

    def is_for_type_checkers(self) -> bool:
        """Whether it is about which imports only they follow."""
        lines = (_ROOT / self.path).read_text(encoding="utf-8").splitlines()
        return "if TYPE_CHECKING:" in lines[self.line - 1]

    def statement(self) -> range:
        """The lines of its statement; of one that holds others, its own up to the first of them."""
        tree = ast.parse((_ROOT / self.path).read_text(encoding="utf-8"))
        found = range(self.line, self.line + 1)
        for node in ast.walk(tree):  # Those within others come after them.
            if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
                body = getattr(node, "body", None)
                end = body[0].lineno if body else (getattr(node, "end_lineno", 0) or 0) + 1
                begin = getattr(node, "lineno", end)
                if begin <= self.line < max(end, begin + 1):
                    found = range(begin, max(end, begin + 1))
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _left_out(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where stands what no input reaches: annotations, assertions, guards."""
    spans = []
    for node in ast.walk(ast.parse(text)):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Assert) or (isinstance(node, ast.keyword) and node.arg in _GUARDS):
            found.append(node)
        for one in found:
            if isinstance(one, ast.AST):
                start = (one.lineno, one.col_offset)
                spans.append((start, (one.end_lineno or 0, one.end_col_offset or 0)))
    return spans


def find_mutants(paths: list[Path], most: int, seed: int) -> list[Mutant]:
    """One mutant a place, at most `most` of them, drawn by the seed."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    operators = {
        name: get_operator(name)()
        for name in operator_names()
        if not get_operator(name).arguments() and not _EQUAL_AS_IS.search(name)
    }
    places: dict[tuple, list[Mutant]] = {}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        spans = _left_out(text)
        nodes = list(ast_nodes(get_ast(text)))
        for name, operator in operators.items():
            found = (place for node in nodes for place in operator.mutation_positions(node))
            for occurrence, (start, end) in enumerate(found):
                if not any(first <= start and end <= last for first, last in spans):
                    source = path.relative_to(_ROOT).as_posix()
                    mutant = Mutant(source, _digest(text), name, occurrence, start[0])
                    places.setdefault((source, start, end), []).append(mutant)
    rng = random.Random(seed)
    drawn = [rng.choice(mutants) for _, mutants in sorted(places.items())]
    rng.shuffle(drawn)  # So that more of them are these and others.
    return [mutant for mutant in drawn if not mutant.is_for_type_checkers()][:most]


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from other source than its file's."""

    def __init__(self, path: str, source: str):
        self._path = path
        self._name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._source = source

    def find_spec(self, fullname, path=None, target=None):
        del path, target
        if fullname != self._name:
            return None
        file = _ROOT / self._path
        found = importlib.util.spec_from_file_location(fullname, file, loader=self)
        assert found is not None
        return found

    def exec_module(self, module):
        exec(compile(self._source, str(_ROOT / self._path), "exec"), module.__dict__)


class _Plainly:
    """Hypothesis draws the same few examples for every mutant, and shrinks none."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self):
        from hypothesis import Phase, settings

        settings.register_profile(
            "mutants",
            deadline=None,
            derandomize=True,
            max_examples=25,
            database=None,
            phases=(Phase.explicit, Phase.generate),
        )
        settings.load_profile("mutants")


class _Watching(_Plainly):
    """Notes which test runs which line, how long each takes, and what was imported."""

    def __init__(self, paths: list[Path]):
        import coverage

        files = [str(path) for path in paths]
        self._coverage = coverage.Coverage(data_file=None, include=files, config_file=False)
        self._seconds: dict[str, float] = {}
        self._coverage.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        # Other tests of the file may use what a fixture makes but once.
        self._coverage.switch_context(item.nodeid.split("::")[0])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        self._coverage.switch_context(item.nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        began = time.process_time()
        yield
        self._seconds[item.nodeid] = time.process_time() - began

    def seen(self) -> dict:
        """As JSON; the context of what importing runs is empty."""
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {
            Path(file).relative_to(_ROOT).as_posix(): data.contexts_by_lineno(file)
            for file in data.measured_files()
        }
        return {"lines": lines, "seconds": self._seconds, "modules": list(sys.modules)}


@dataclass(frozen=True)
class Watched:
    """What the tests of a subject do without any mutant.

    Attributes:
        lines: For each source, line -> tests that run it; the name of a file: its fixtures do; an
            empty name: importing it does.
        seconds: Of each test, of a core.
        modules: What is imported in the end.
    """

    lines: dict[str, dict[str, list[str]]]
    seconds: dict[str, float]
    modules: list[str]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that run a mutant's statement, the fastest first."""
        lines = self.lines.get(mutant.path, {})
        found = {name for line in mutant.statement() for name in lines.get(str(line), ())}
        names = [name for name in self.seconds if found & {"", name, name.split("::")[0]}]
        return sorted(names, key=lambda name: self.seconds[name])


def _child(
    tests: list[str],
    plugin: _Plainly,
    mutated: _Mutated | None = None,
    max_cpu_seconds: int = 0,
) -> int:
    """Runs the tests in this process, which is there for nothing else; pytest's exit code."""
    os.setsid()
    if mutated:
        resource.setrlimit(resource.RLIMIT_CPU, (max_cpu_seconds, max_cpu_seconds + 1))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        sys.meta_path.insert(0, mutated)
    plugins = ["-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin"]
    asked = ["-x", "-q", "--no-header", "--tb=short", *plugins, *tests]
    return int(pytest.main(asked, plugins=[plugin]))


def _in_fork(run: Callable[[], int]) -> int:
    """What `run` returns in a fork of this process; less than 0: it was ended by a signal."""
    pid = os.fork()
    if not pid:
        code = 70
        with contextlib.suppress(BaseException):
            code = run()
            sys.stdout.flush()
        os._exit(code)
    end = time.monotonic() + _MAX_SECONDS
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.02)


def watch(subject: Subject) -> Watched:
    """Runs the tests of a subject without any mutant, unless that was done.

    Raises:
        RuntimeError: they fail.
    """
    sources = "".join(path.read_text(encoding="utf-8") for path in subject.paths())
    key = _digest(subject.tests_digest() + sources)
    file = _RESULTS.with_name(f"mutation-{subject.name}-{key}.json")
    if not file.exists():

        def run() -> int:
            plugin = _Watching(subject.paths())
            code = _child(list(subject.tests), plugin)
            if not code:
                storage.write_bytes(str(file), json.dumps(plugin.seen()).encode())
            return code

        if _in_fork(run):
            raise RuntimeError(f"{subject.name}: its tests fail without any mutant")
    return Watched(**json.loads(file.read_text(encoding="utf-8")))


def survives(mutant: Mutant, watched: Watched) -> bool:
    """Whether all tests pass, or there are none.

    Raises:
        RuntimeError: pytest does not know the tests.
    """
    mutated, tests = _Mutated(mutant.path, mutant.source()), watched.tests_of(mutant)
    seconds = sum(watched.seconds[name] for name in tests)
    limit = int(_TIMES_AS_LONG * seconds) + _MORE_SECONDS
    code = _in_fork(lambda: _child(tests, _Plainly(), mutated, limit)) if tests else 0
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RuntimeError(f"pytest knows none of {' '.join(tests)}")
    return code == 0


def _import_once(names: list[str]) -> None:
    """Imports all of these that are not this repository's: forks inherit them."""
    for name in names:
        if name.split(".")[0] not in _OURS:
            with contextlib.suppress(Exception):  # Some are no modules to import by their names.
                importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _known() -> dict[tuple, dict]:
    """Results so far; of a mutant that was tried again, the newest."""
    if not _RESULTS.exists():
        return {}
    lines = [json.loads(line) for line in _RESULTS.read_text(encoding="utf-8").splitlines()]
    return {(r["path"], r["digest"], r["operator"], r["occurrence"]): r for r in lines}


def _changed_lines(mutant: Mutant) -> str:
    old = (_ROOT / mutant.path).read_text(encoding="utf-8").splitlines()
    new = mutant.source().splitlines()
    before, after = next(pair for pair in zip(old, new, strict=False) if pair[0] != pair[1])
    return f"    - {before.strip()}\n    + {after.strip()}"


def try_subject(subject: Subject, most: int, seed: int) -> tuple[int, list[Mutant]]:
    """The number of mutants, and those that survive."""
    mutants = find_mutants(subject.paths(), most, seed)
    tests, known, alive = subject.tests_digest(), _known(), []
    watched = None
    for mutant in mutants:
        old = known.get((mutant.path, mutant.digest, mutant.operator, mutant.occurrence))
        if old and (not old["survives"] or old["tests"] == tests):
            lives = old["survives"]
        else:
            if watched is None:
                watched = watch(subject)
                _import_once(watched.modules)
            lives = survives(mutant, watched)
            with _RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**vars(mutant), "survives": lives, "tests": tests}) + "\n")
        if lives:
            alive.append(mutant)
            print(f"  {mutant.path}:{mutant.line} {mutant.operator.removeprefix('core/')}")
            print(_changed_lines(mutant), flush=True)
    return len(mutants), alive


def main() -> None:
    """Tries all subjects; prints what survives, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", default=",".join(subject.name for subject in SUBJECTS))
    parser.add_argument("--mutants", type=int, default=60, help="at most, of each subject")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    asked = args.subjects.split(",")
    _RESULTS.parent.mkdir(exist_ok=True)
    os.chdir(_ROOT)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    rows = []
    by_name = {subject.name: subject for subject in SUBJECTS}
    for name in asked:
        print(f"{name}:", flush=True)
        number, alive = try_subject(by_name[name], args.mutants, args.seed)
        rows.append(f"| {name} | {number} | {number - len(alive)} | {len(alive)} |")
    print("\n".join(["| subject | mutants | killed | survivors |", "|---|---|---|---|", *rows]))
    print(f"{_cpu_seconds() / 60:.1f} CPU-minutes of forks")


if __name__ == "__main__":
    main()
