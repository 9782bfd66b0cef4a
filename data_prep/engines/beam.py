"""The engine of many machines: Apache Beam on DirectRunner, Dataflow, Flink or Spark.

A pipeline cannot hand results back, so each is written to a folder that both sides reach.
"""

import contextlib
import io
import logging
import pickle
import shlex
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_prep.engines.base import Engine, Item, Result
from orchard import storage
from orchard.errors import OrchardError
from orchard.plugins import plugin_names, use_plugins


class BeamEngine(Engine):
    """Runs each `map` as one pipeline.

    Args:
        options: Beam's flags, as on a command line.
        results_dir: where results are handed over; on gs:// when the workers are elsewhere.

    Raises:
        OrchardError: Apache Beam is not installed, or does not understand the options.
    """

    # The workers may be other machines: no file of ours is sure to be there.
    shares_files = False

    def __init__(self, options: str, results_dir: str) -> None:
        try:
            from apache_beam.options.pipeline_options import PipelineOptions
        except ImportError as error:
            raise OrchardError(
                "--engine=beam needs Apache Beam: pip install -e '.[beam]'"
            ) from error
        with _translate_errors(options):
            known = PipelineOptions(shlex.split(options))
            num_workers = known.get_all_options()["direct_num_workers"]
        # How many tasks to make: Beam deals them out, whatever its number of workers is.
        self.workers = max(num_workers, 8)
        self._options, self._flags = known, options
        # Of this run alone: it is removed even where another run holds the dataset's lock.
        self._results_dir = storage.join(results_dir, uuid.uuid4().hex)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        storage.remove_tree(self._results_dir)

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], ahead: int | None = None
    ) -> Iterator[tuple[int, Result]]:
        """(position, result) of every item, once the whole pipeline has run.

        Raises:
            OrchardError: a call raised it, or the pipeline failed.
        """
        del ahead  # Workers publish by themselves: nothing piles up here.
        import apache_beam as beam

        # At INFO, each worker reports its start and end, between the lines that are for the user.
        logging.getLogger("apache_beam").setLevel(logging.WARNING)
        storage.remove_tree(self._results_dir)
        storage.make_directory(self._results_dir)
        results_dir = self._results_dir
        with _translate_errors(self._flags):
            unbuilt = beam.Pipeline(options=self._options)
        try:
            with unbuilt as pipeline:
                _ = (
                    pipeline
                    | "Items" >> beam.Create(list(enumerate(items)))
                    | "Spread" >> beam.Reshuffle()
                    | "Run" >> beam.Map(_call, function, results_dir, plugin_names())
                )
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise OrchardError(f"the Beam pipeline failed: {reason[-500:]}") from error
        return self._results(len(items))

    def _results(self, count: int) -> Iterator[tuple[int, Any]]:
        for position in range(count):
            result = pickle.loads(storage.read_bytes(_result_path(self._results_dir, position)))
            if isinstance(result, OrchardError):
                raise result
            yield position, result


@contextlib.contextmanager
def _translate_errors(options: str) -> Iterator[None]:
    """Raise one line for flags that Beam refuses, where Beam itself prints pages and exits."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            yield
    except (ValueError, SystemExit) as error:
        reason = " ".join(str(error).split())
        if isinstance(error, SystemExit):
            reason = printed.getvalue().rpartition("error: ")[2].strip() or "it asks for help only"
        raise OrchardError(f"--beam_options={options}: {reason[:300]}") from error


def _result_path(results_dir: str, position: int) -> str:
    return storage.join(results_dir, f"{position:06d}.pickle")


def _call(
    numbered: tuple[int, Any],
    function: Callable[[Any], Any],
    results_dir: str,
    plugins: tuple[str, ...],
) -> None:
    position, item = numbered
    try:
        use_plugins(plugins)
        result = function(item)
    except OrchardError as error:
        # As a result it reaches the user in one line; raised, Beam would try again and again.
        result = error
    storage.write_bytes(_result_path(results_dir, position), pickle.dumps(result))
