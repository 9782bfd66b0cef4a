"""A SavedModel's identity, and the folder that a model server wants it in."""

import hashlib
import re

from orchard import storage
from orchard.errors import OrchardError

# TensorFlow's name for the graph; written last, so that what has it is whole.
SAVED_MODEL_FILE = "saved_model.pb"
# TensorFlow Serving's name for the requests that it answers to itself before any other.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def fingerprint_saved_model(folder: str) -> str:
    """SHA-256, in hex, over the names and contents of a SavedModel's files."""
    digest = hashlib.sha256()
    for name in storage.list_files(folder):
        content = storage.read_bytes(storage.join(folder, name))
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def serving_dir(folder: str, serving: str) -> str:
    """The version folder of `--serving=NAME` or `NAME/VERSION`: `folder/serving/NAME/VERSION`.

    Args:
        folder: of the run or ensemble.
        serving: a name, and a number from 1 on that is 1 where it is missing.

    Raises:
        OrchardError: it is neither.
    """
    match = re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)(?:/([1-9][0-9]{0,17}))?", serving)
    if not match:
        raise OrchardError(
            f"--serving={serving}: give NAME or NAME/VERSION, such as leaves or leaves/2: letters, "
            "digits, and a number from 1 on"
        )
    return storage.join(folder, "serving", match[1], match[2] or "1")
