"""A server for one exported model: TensorFlow Serving's REST paths, and a page to drop a photo on.

Start at `app`, which has the paths. `rest` reads requests and writes answers in TensorFlow
Serving's words, `model` is what is served, `batching` puts photos of several requests together,
`metrics` counts, and `run` holds the socket and ends well. Needs the extra `[serve]`.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.serving.app import make_app
    from ensemble.serving.limits import Limits
    from ensemble.serving.model import ServedModel, check_name
    from ensemble.serving.run import bind, run_app

__all__ = ["Limits", "ServedModel", "bind", "check_name", "make_app", "run_app"]

__getattr__, __dir__ = attach(__name__)
