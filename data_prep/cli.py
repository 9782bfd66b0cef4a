"""How every command starts: absl flags in, one line of error and an exit status out."""

import os
import sys
from collections.abc import Callable

from absl import app

from data_prep import gcs_errors
from data_prep.errors import OrchardError

EXIT_BAD_INPUT = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, what shells report for Ctrl-C.
_NO_TENSORFLOW = (
    "TensorFlow is not installed here; run, where Orchard's setup.py is: "
    "pip install -e '.[tensorflow]' (with a GPU '.[gpu]', on a TPU VM '.[tpu]')"
)


def run(main: Callable[[list[str]], int | None]) -> None:
    """Run `main(argv)` under absl, turning user errors into one line on stderr.

    Exit status: what `main` returns (None is 0), 1 after an `OrchardError`, 130 after Ctrl-C.
    Anything else keeps its traceback: it is a defect of ours and wants reporting.
    """
    # TensorFlow's start-up chatter would bury the one line that matters; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    def guarded(argv: list[str]) -> int | None:
        try:
            return main(argv)
        except OrchardError as error:
            print(f"error: {error}", file=sys.stderr)
            return EXIT_BAD_INPUT
        except KeyboardInterrupt:
            print("interrupted: run the same command again to go on", file=sys.stderr)
            return EXIT_INTERRUPTED
        except ModuleNotFoundError as error:
            if error.name != "tensorflow":
                raise
            print(f"error: {_NO_TENSORFLOW}", file=sys.stderr)
            return EXIT_BAD_INPUT
        except Exception as error:
            line = gcs_errors.explain_tensorflow(error)
            if line is None:
                raise
            print(f"error: {line}", file=sys.stderr)
            return EXIT_BAD_INPUT

    app.run(guarded)
