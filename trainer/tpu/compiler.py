"""A program in, the TPU compiler's verdict out; the compiler runs in a process of its own."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, fields

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import TextEnum
from trainer.tpu.chips import Topology
from trainer.xla import Program

FITS, TOO_LARGE, UNSUPPORTED = "fits", "too_large", "unsupported"
_EXTRA = ("jax", "libtpu")
_POLL_SECONDS = 0.5


class Effort(TextEnum):
    """How hard the compiler tries."""

    FULL = "full"  # As trainings are compiled.
    QUICK = "quick"  # Its level O0.


@dataclass(frozen=True)
class Collectives:
    """Operations of one kind between devices, such as "all-reduce".

    Attributes:
        count: operations in the compiled program.
        result_bytes: of all their results on one device; an all-reduce sends up to twice as much.
    """

    count: int
    result_bytes: int


@dataclass(frozen=True)
class Compiled:
    """What libtpu said about one program over all devices of a topology.

    Memory, FLOPs and bytes are those of one device, with its part of the batch.

    Attributes:
        topology: such as "v5e:2x2".
        verdict: "fits", "too_large" or "unsupported".
        compile_seconds: what the compilation took, when it was done.
        num_hosts: machines that the topology is spread over.
        libtpu_version: the compiler's.
        key: hash of program, topology and compiler: the result's name in the cache.
        cached: whether it was compiled before.
        message: the compiler's, for "unsupported".
        needed_bytes: memory that a program that is too large asks for, by the compiler.
        available_bytes: memory that there is, by the compiler, where it was asked for more.
        peak_bytes: the compiler's estimate of the largest memory in use at once. It can lie below
            arguments plus temporaries, some of which share their place.
        argument_bytes: weights, optimizer slots and the batch.
        output_bytes: what the step returns.
        alias_bytes: part of the output that is written over arguments.
        temporary_bytes: activations, gradients and scratch.
        program_bytes: the program itself.
        effort: how hard the compiler tried.
        flops: floating-point operations of a step.
        bytes_accessed: bytes that a step's operations read and write.
        collectives: what passes between the devices in a step, by the kind of operation.
    """

    topology: str
    verdict: str
    compile_seconds: float
    num_hosts: int
    libtpu_version: str
    key: str = ""
    cached: bool = False
    message: str = ""
    needed_bytes: int = 0
    available_bytes: int = 0
    peak_bytes: int = 0
    argument_bytes: int = 0
    output_bytes: int = 0
    alias_bytes: int = 0
    temporary_bytes: int = 0
    program_bytes: int = 0
    effort: Effort = Effort.FULL
    flops: float = 0.0
    bytes_accessed: float = 0.0
    collectives: dict[str, Collectives] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether it compiled."""
        return self.verdict == FITS


def default_cache_dir() -> str:
    """Where results are kept: in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "orchard", "preflight")


def check_installed() -> None:
    """Raise OrchardError where the extra is missing."""
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise OrchardError(
            f"preflight needs {', '.join(missing)}, which are not installed here; "
            "run: pip install -e '.[preflight]' (not on a TPU VM: see docs/guides/tpu.md)"
        )


def compile_program(
    program: Program,
    topology: Topology,
    cache_dir: str,
    effort: Effort = Effort.FULL,
    on_wait: Callable[[], object] = lambda: None,
) -> Compiled:
    """Compile `program` for all devices of `topology`; seconds to many minutes.

    Args:
        program: what to compile.
        topology: what to compile it for.
        cache_dir: folder of earlier results, by program, topology and compiler.
        effort: how hard it shall try.
        on_wait: called every half second while the compiler runs.

    Raises:
        OrchardError: the extra is missing, or the compiler died.
    """
    check_installed()
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: os.path.join(folder, name) for name in ("program", "request", "result")}
        with open(paths["program"], "wb") as file:
            file.write(program.to_bytes())
        storage.write_json(paths["request"], _request(paths, topology, cache_dir, effort))
        _run_worker(paths["request"], topology, on_wait)
        result = storage.read_json(paths["result"])
    known = {one.name for one in fields(Compiled)}
    values = {name: value for name, value in result.items() if name in known}
    collectives = {kind: Collectives(**c) for kind, c in values.pop("collectives", {}).items()}
    return Compiled(**values, effort=effort, collectives=collectives)


def _request(paths: dict[str, str], topology: Topology, cache_dir: str, effort: Effort) -> dict:
    options = {}
    if topology.num_chips < 4:
        # libtpu takes hosts of four chips for granted.
        options["chips_per_host_bounds"] = (*topology.shape, 1)[:3]
    return {
        "program": paths["program"],
        "result": paths["result"],
        "parent_pid": os.getpid(),
        "cache_dir": cache_dir,
        "effort": effort,
        "topology": topology.name,
        "chip_config": topology.chip.config_name,
        "topology_options": options,
    }


def _run_worker(request: str, topology: Topology, on_wait: Callable[[], object]) -> None:
    command = [sys.executable, "-m", "trainer.tpu.compile_worker", request]
    with tempfile.TemporaryFile("w+", errors="replace") as stderr:
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            while worker.poll() is None:
                on_wait()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.wait(_POLL_SECONDS)
        finally:
            worker.kill()  # It ignores Ctrl-C while it compiles.
            worker.wait()
        if worker.returncode == 0:
            return
        stderr.seek(0)
        lines = [line for line in stderr.read().splitlines() if line.strip()]
    last_line = lines[-1][:300] if lines else "it printed nothing"
    raise OrchardError(
        f"the TPU compiler died on the program for {topology.name} (exit status "
        f"{worker.returncode}): {last_line}; -9 is mostly this machine's own memory: close other "
        "programs or take a smaller batch"
    )
