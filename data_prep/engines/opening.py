"""The engine that `--engine` names."""

from data_prep.engines.base import Engine
from data_prep.engines.pool import LocalEngine


def open_engine(kind: str, workers: int, beam_options: str, results_dir: str) -> Engine:
    """A new engine, for a `with` block.

    Args:
        kind: `local` or `beam`.
        workers: of `local`: processes; 0: one a core.
        beam_options: of `beam`: Beam's own flags, as on a command line.
        results_dir: of `beam`: a folder, reached by all workers, for what they hand back.
    """
    if kind == "beam":
        from data_prep.engines.beam import BeamEngine

        return BeamEngine(beam_options, results_dir)
    return LocalEngine(workers)
