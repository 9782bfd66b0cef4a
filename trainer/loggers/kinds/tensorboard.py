"""tensorboard: numbers as events for TensorBoard, in the run directory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchard import storage
from orchard.formats import RunDir, RunRecord
from orchard.lazy import lazy_import
from trainer.loggers.logger import LOGGERS, LoggedRun, Logger, LogKind

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@LOGGERS.register("tensorboard")
class TensorBoardLogger(Logger):
    """Writes RUN/tensorboard; steps that are taken again stand beside the first ones there."""

    def begin(self, run: LoggedRun) -> None:
        """Open a file of events."""
        folder = RunDir(run.run_dir).tensorboard_dir
        storage.make_directory(folder)  # TensorFlow's own would be closed to the group.
        self._writer = tf.summary.create_file_writer(folder)

    def log(self, kind: LogKind, step: int, values: Mapping[str, Any]) -> None:
        """Write the numbers among the values."""
        with self._writer.as_default(step=step):
            for name, value in values.items():
                if isinstance(value, int | float):
                    tf.summary.scalar(f"{kind}/{name}", value)

    def flush(self) -> None:
        """Write what is buffered."""
        self._writer.flush()

    def end(self, record: RunRecord | None) -> None:
        """Close the file."""
        del record
        self._writer.close()
