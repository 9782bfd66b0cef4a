"""One config's step against topologies: does it fit, and what is the largest batch that does."""

import os
from collections.abc import Callable

from orchard.errors import OrchardError
from orchard.progress import Progress
from trainer.tpu import compiler, search
from trainer.tpu.chips import Topology
from trainer.tpu.compiler import Compiled, Effort
from trainer.tpu.lowering import StepLowering
from trainer.xla import Program


class Examiner:
    """Compiles a step for the batches and topologies that it is asked for.

    Args:
        lowering: of the step.
        parts: parts that a replica's batch is computed in; batches are multiples of it.
        cache_dir: where results of earlier compilations are.
        effort: how hard the compiler shall try.
    """

    def __init__(self, lowering: StepLowering, parts: int, cache_dir: str, effort: Effort):
        self._lowering, self._parts = lowering, parts
        self._cache_dir, self._effort = cache_dir, effort
        self._programs: dict[tuple[int, int], Program] = {}

    def compile(self, topology: Topology, batch_size: int) -> Compiled:
        """The verdict on `batch_size` images per replica.

        Raises:
            OrchardError: the step holds what no TPU can run, named with its origin.
        """
        text = f"{topology.name}, {batch_size} a replica"
        with _bar(f"{text}: lowering") as bar:
            program = self._program(batch_size * topology.num_replicas, topology.num_replicas)
            bar.set_description(f"{text}: compiling")
            compiled = compiler.compile_program(
                program, topology, self._cache_dir, self._effort, bar.update
            )
        if compiled.verdict == compiler.UNSUPPORTED:
            raise OrchardError(
                f"the step does not compile for {topology.chip.name}: {compiled.message}"
            )
        return compiled

    def largest(
        self,
        topology: Topology,
        refused: tuple[int, Compiled] | None = None,
        on_attempt: Callable[[int, Compiled], None] = lambda *_: None,
    ) -> tuple[int, Compiled]:
        """The largest batch per replica that fits, and its verdict.

        Args:
            topology: what it must fit.
            refused: a batch that did not fit.
            on_attempt: called with each batch that was tried.

        Raises:
            OrchardError: not even one image fits.
        """
        verdicts: dict[int, Compiled] = {}
        chip, parts = topology.chip, self._parts

        def attempt(rung: int) -> search.Attempt:
            verdicts[rung] = self.compile(topology, rung * parts)
            on_attempt(rung * parts, verdicts[rung])
            return _attempt(rung, verdicts[rung], chip.available_hbm_bytes)

        before = []
        if refused:
            rung = -(-refused[0] // parts)
            before = [_attempt(rung, refused[1], chip.available_hbm_bytes)]
        start = chip.available_hbm_bytes // self._lowering.activation_bytes_per_image
        found = search.largest_batch(attempt, start, before)
        if found is None:
            raise OrchardError(
                f"not even one image per replica fits {topology.name}; take smaller images, a "
                "smaller network or a chip with more memory"
            )
        return found.batch_size * parts, verdicts[found.batch_size]

    def _program(self, batch_size: int, num_replicas: int) -> Program:
        key = (batch_size, num_replicas)
        if key not in self._programs:
            lowered = self._lowering.lower(batch_size, num_replicas)
            if lowered.program is None:
                raise OrchardError(
                    "the step cannot be compiled for a TPU: " + "; ".join(lowered.problems)
                )
            self._programs = {key: lowered.program}  # One: they weigh megabytes.
        return self._programs[key]


def _attempt(rung: int, compiled: Compiled, available_bytes: int) -> search.Attempt:
    needed = compiled.peak_bytes if compiled.fits else compiled.needed_bytes
    return search.Attempt(rung, compiled.fits, needed, compiled.available_bytes or available_bytes)


def _bar(text: str) -> Progress:
    # No total: a compilation reports no progress. The bar's clock shows that it is running.
    layout = "{desc} {elapsed}"
    hidden = not os.isatty(2)
    return Progress(desc=text, bar_format=layout, leave=False, disable=hidden)
