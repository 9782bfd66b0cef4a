r"""Serve an exported ensemble, or a single network, to browsers and programs.

    python -m ensemble.serve --model=out/saved_model --port=8501

Then http://localhost:8501 is a page to drop a photo on, and /v1/models/NAME:predict answers as
TensorFlow Serving does. SIGTERM or Ctrl-C ends it once everything that has begun is answered.
"""

from __future__ import annotations

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import importlib.util
import logging as python_logging
from dataclasses import dataclass, field

from absl import logging
from absl.flags import FLAGS

from ensemble.serving import Limits
from orchard import cli, flags
from orchard.errors import OrchardError
from orchard.flags import Options, option, required, select

_LIMITS = Limits()
_PACKAGES = ("starlette", "uvicorn", "prometheus_client")


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Options):
    """What to serve, where, and how much of it to anybody."""

    model: str = field(
        metadata=required("saved_model of ensemble.main or trainer.main, or its folder.")
    )
    name: str = option("default", "Of the model, in /v1/models/NAME:predict.", common=True)
    host: str = option(
        "127.0.0.1", "Address to listen at; 0.0.0.0: other machines may ask, too.", common=True
    )
    port: int = option(8501, "Port; 0: any.", common=True, at_least=0, at_most=65_535)
    max_batch: int = option(
        _LIMITS.max_batch, "Images that the model sees at once.", group="batching", at_least=1
    )
    max_wait_ms: float = option(
        _LIMITS.max_wait_ms,
        "How long an image waits for others, where the model has nothing to do.",
        group="batching",
        at_least=0,
    )
    max_body_mb: int = option(
        _LIMITS.max_body_mb, "Megabytes of a request.", group="limits", at_least=1
    )
    max_pixels: int = option(_LIMITS.max_pixels, "Pixels of an image.", group="limits", at_least=1)
    max_instances: int = option(
        _LIMITS.max_instances, "Images of a request.", group="limits", at_least=1
    )
    max_requests: int = option(
        _LIMITS.max_requests,
        "Requests that are read or answered at once; others are told to try again.",
        group="limits",
        at_least=1,
    )
    timeout_seconds: float = option(
        _LIMITS.timeout_seconds, "For a request to arrive whole.", group="limits", above=0
    )


OPTIONS = (ServeOptions,)


def main() -> None:
    """Load the model, answer until told to end, and end well."""
    options = flags.build(ServeOptions)
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise OrchardError(
            f"serving needs {', '.join(missing)}; install it where Orchard's setup.py is: "
            "pip install -e '.[serve]'"
        )
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    from ensemble.serving import ServedModel, bind, check_name, make_app, run_app

    check_name(options.name)
    # Before the model is loaded, which takes a while.
    listening = bind(options.host, options.port)
    limits = select(Limits, options)
    model = ServedModel(options.model, options.name, limits.max_pixels)
    model.warm_up(limits.max_batch)
    python_logging.getLogger("uvicorn").setLevel(python_logging.ERROR)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"serving {options.model} as {options.name}: http://{shown}:{port}", flush=True)
    run_app(make_app(model, limits), listening)
    print("ended: everything that had begun is answered")


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
